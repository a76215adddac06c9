//! Answers requests: `wasi:http` 0.2.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Function;
wasip2::http::proxy::export!(Function);

impl Guest for Function {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let text = format!("hello from {{name}}, you asked for {path}\n");

        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("it is taken once");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("it is taken once");
        stream.blocking_write_and_flush(text.as_bytes()).expect("the client is there");
        drop(stream);
        OutgoingBody::finish(body, None).expect("the body is whole");
    }
}
