// Answers requests as a CGI script does (RFC 3875): what is asked is in the environment, a body is the
// standard input, and what is written is headers, an empty line and a body.
const path = process.env.has("PATH_INFO") ? process.env.get("PATH_INFO") : "nothing";
const greeting = process.env.has("GREETING") ? process.env.get("GREETING") : "hello";
process.stdout.write("Content-Type: text/plain\r\n\r\n");
process.stdout.write(`${greeting} from {{name}}, you asked for ${path}\n`);

// Memory that WASI itself needs is asked for here, so that nothing else is kept there.
export function cabi_realloc(old: usize, oldSize: usize, align: usize, size: usize): usize {
  return heap.alloc(size);
}
