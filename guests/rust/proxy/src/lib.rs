//! A reverse proxy: asks `UPSTREAM` (`http://HOST[:PORT]`, by `wasi:config`) for what it is asked itself.
//! Bodies are streamed, the request's to its end before the answer's.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, IncomingResponse, OutgoingBody,
    OutgoingRequest, OutgoingResponse, ResponseOutparam, Scheme,
};
use wasip2::io::streams::StreamError;

use self::config::wasi::config::store;

mod config {
    wit_bindgen::generate!({
        inline: "
            package wasi:config@0.2.0-rc.1;
            interface store {
                variant error { upstream(string), io(string) }
                get: func(key: string) -> result<option<string>, error>;
                get-all: func() -> result<list<tuple<string, string>>, error>;
            }
            world imports { import store; }
        ",
        world: "wasi:config/imports",
        generate_all,
    });
}

/// Bytes that are moved at a time.
const PIECE: u64 = 64 << 10;

struct Proxy;
wasip2::http::proxy::export!(Proxy);

impl Guest for Proxy {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match asked(request) {
            Ok(answer) => forward(answer, out),
            Err(error) => {
                eprintln!("no answer from upstream: {error:?}");
                let response = OutgoingResponse::new(Fields::new());
                response.set_status_code(502).expect("it is a status");
                let body = response.body().expect("it is taken once");
                ResponseOutparam::set(out, Ok(response));
                let stream = body.write().expect("it is taken once");
                let why = format!("no answer from upstream: {error:?}\n");
                stream.blocking_write_and_flush(why.as_bytes()).expect("the client is there");
                drop(stream);
                OutgoingBody::finish(body, None).expect("the body is whole");
            }
        }
    }
}

fn asked(request: IncomingRequest) -> Result<IncomingResponse, ErrorCode> {
    let upstream = store::get("UPSTREAM").ok().flatten().unwrap_or_default();
    let (scheme, authority) = upstream.split_once("://").ok_or(ErrorCode::ConfigurationError)?;
    let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
    let sent = OutgoingRequest::new(request.headers().clone());
    let refused = |()| ErrorCode::HttpRequestUriInvalid;
    sent.set_method(&request.method()).map_err(refused)?;
    sent.set_scheme(Some(&scheme)).map_err(refused)?;
    sent.set_authority(Some(authority)).map_err(refused)?;
    sent.set_path_with_query(request.path_with_query().as_deref()).map_err(refused)?;
    let body = sent.body().expect("it is taken once");
    let answer = outgoing_handler::handle(sent, None)?;
    // One that is refused takes no body, and its answer says why.
    let _ = moved(request.consume().expect("it is taken once"), body);
    answer.subscribe().block();
    answer.get().expect("it is there").expect("it is taken once")
}

fn forward(answer: IncomingResponse, out: ResponseOutparam) {
    let response = OutgoingResponse::new(answer.headers().clone());
    response.set_status_code(answer.status()).expect("it is a status");
    let body = response.body().expect("it is taken once");
    ResponseOutparam::set(out, Ok(response));
    if moved(answer.consume().expect("it is taken once"), body).is_err() {
        panic!("the answer broke off");
    }
}

fn moved(from: IncomingBody, to: OutgoingBody) -> Result<(), StreamError> {
    let (input, output) = (from.stream().expect("once"), to.write().expect("once"));
    loop {
        match output.blocking_splice(&input, PIECE) {
            Ok(_) => {}
            Err(StreamError::Closed) => break,
            Err(error) => return Err(error),
        }
    }
    output.blocking_flush().or_else(|error| match error {
        StreamError::Closed => Ok(()),
        error => Err(error),
    })?;
    drop((input, output));
    OutgoingBody::finish(to, None).map_err(|_| StreamError::Closed)
}
