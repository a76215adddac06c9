// Answers requests by the event `fetch`; `fetch` itself asks what `outbound` in the manifest names.
import { get } from "wasi:config/store@0.2.0-rc.1";

addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  const { pathname, search } = new URL(request.url);
  return new Response(`${get("GREETING") ?? "hello"} from {{name}}, you asked for ${pathname}${search}\n`);
}
