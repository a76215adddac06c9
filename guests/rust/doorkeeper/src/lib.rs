//! Lets requests pass, sends some elsewhere and some away: a filter by the world `filtering` of `cairn:compute`.

use self::exports::cairn::compute::filter::{Decision, Guest, Request, Response, Rewrite};

wit_bindgen::generate!({
    path: "../../../crates/ground/wasm/wit",
    world: "cairn:compute/filtering",
    generate_all,
});

struct Doorkeeper;
export!(Doorkeeper);

impl Guest for Doorkeeper {
    fn on_request(request: Request) -> Result<Decision, String> {
        let Request { method, path, query, headers } = request;
        let name = headers.iter().find(|(name, _)| name == "x-name").map(|(_, value)| value);
        if path.ends_with("/broken") {
            return Err("it was asked to fail".to_owned());
        }
        if path.ends_with("/private") {
            return Ok(Decision::Respond(Response {
                status: 403,
                headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
                body: format!("{method} {path}?{query} is not for you\n").into_bytes(),
            }));
        }
        Ok(match name {
            None => Decision::Continue,
            Some(name) => Decision::Rewrite(Rewrite {
                path: Some(format!("{path}?from={name}")),
                headers: vec![("x-name".to_owned(), name.to_uppercase())],
            }),
        })
    }
}
