//! Says hello, and misbehaves when it is asked to: what tests of limits run.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Hello;
wasip2::http::proxy::export!(Hello);

/// Requests that this instance has seen.
static SEEN: AtomicU32 = AtomicU32::new(0);

impl Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let seen = SEEN.fetch_add(1, Ordering::Relaxed) + 1;
        let text = match path.as_str() {
            "/endless" => return answer(out, &[], std::iter::repeat(&[b'x'; 4096][..])),
            "/loop" => endless(),
            "/memory" => hoard(),
            "/panic" => panic!("on purpose"),
            "/silent" => return,
            "/sleep" => {
                std::thread::sleep(Duration::from_secs(600));
                String::new()
            }
            "/log" => {
                println!("to stdout");
                eprintln!("to stderr");
                "written\n".to_owned()
            }
            "/seen" => format!("{seen}\n"),
            "/environment" => {
                let mut all: Vec<_> = std::env::vars().collect();
                all.sort();
                format!("{all:?}\n")
            }
            "/method" => format!("{:?}\n", request.method()),
            "/headers" => format!("{:?}\n", headers(&request)),
            "/echo" => echo(&request),
            "/cookies" => "two\n".to_owned(),
            _ => format!("hello {path}\n"),
        };
        let cookies: &[&str] = match path.as_str() {
            "/cookies" => {
                &["cairn_session=another; Path=/", " = cairn_session=nameless", "theme=dark"]
            }
            _ => &[],
        };
        answer(out, cookies, text.as_bytes().chunks(4096));
    }
}

fn answer<'a>(out: ResponseOutparam, cookies: &[&str], pieces: impl Iterator<Item = &'a [u8]>) {
    let headers = Fields::new();
    headers.set("content-type", &[b"text/plain".to_vec()]).expect("the header is allowed");
    for cookie in cookies {
        headers.append("set-cookie", cookie.as_bytes()).expect("the header is allowed");
    }
    let response = OutgoingResponse::new(headers);
    let body = response.body().expect("it is taken once");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("it is taken once");
    for piece in pieces {
        stream.blocking_write_and_flush(piece).expect("the client is there");
    }
    drop(stream);
    OutgoingBody::finish(body, None).expect("the body is whole");
}

/// Names and values as they came, in order of names.
fn headers(request: &IncomingRequest) -> Vec<(String, String)> {
    let all = request.headers().entries().into_iter();
    let mut all: Vec<_> =
        all.map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned())).collect();
    all.sort();
    all
}

fn echo(request: &IncomingRequest) -> String {
    let body = request.consume().expect("it is taken once");
    let stream = body.stream().expect("it is taken once");
    let mut all = Vec::new();
    while let Ok(piece) = stream.blocking_read(65_536) {
        all.extend_from_slice(&piece);
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn endless() -> String {
    let mut count = 0u64;
    loop {
        count = std::hint::black_box(count.wrapping_add(1));
    }
}

fn hoard() -> String {
    let mut all = Vec::new();
    loop {
        all.push(vec![1u8; 1 << 20]);
        std::hint::black_box(&all);
    }
}
