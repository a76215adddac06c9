//! Says again what it hears, while it hears it: a function for `wasi:http` 0.3, whose bodies are streams, and of which
//! one instance answers several requests at a time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wasip3::clocks::monotonic_clock;
use wasip3::exports::http::handler::Guest;
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme, Trailers};
use wasip3::wit_bindgen::{self, FutureReader, StreamReader, StreamResult, StreamWriter};
use wasip3::{wit_future, wit_stream};

/// Bytes that are heard at a time.
const PIECE: usize = 16 << 10;

struct Parrot;
wasip3::http::service::export!(Parrot);

type End = FutureReader<Result<Option<Trailers>, ErrorCode>>;

/// Requests that this instance has answered.
static SEEN: AtomicU32 = AtomicU32::new(0);
/// Requests for `/meet` that this instance has begun to answer.
static MET: AtomicU32 = AtomicU32::new(0);

impl Guest for Parrot {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        match path.as_str() {
            "/upstream" => upstream(request).await,
            "/meet" => Ok(told(meet().await)),
            "/sleep" => {
                wait(Duration::from_secs(600)).await;
                Ok(told("awake\n"))
            }
            "/loop" => loop {
                std::hint::black_box(&path);
            },
            "/log" => {
                eprintln!("to stderr");
                Ok(told("written\n"))
            }
            "/refused" => Err(ErrorCode::HttpRequestDenied),
            _ => Ok(again(request)),
        }
    }
}

/// What is heard, louder, piece by piece, with the trailers at its end.
fn again(request: Request) -> Response {
    let (_, kept) = wit_future::new(|| Ok(()));
    let (heard, end) = Request::consume_body(request, kept);
    let (said, body) = wit_stream::new();
    wit_bindgen::spawn_local(louder(heard, said));
    answer(body, end)
}

async fn louder(mut heard: StreamReader<u8>, mut said: StreamWriter<u8>) {
    loop {
        let (result, mut piece) = heard.read(Vec::with_capacity(PIECE)).await;
        if !matches!(result, StreamResult::Complete(_)) {
            return;
        }
        piece.make_ascii_uppercase();
        if !said.write_all(piece).await.is_empty() {
            // Nobody listens any more.
            return;
        }
    }
}

/// Waits until this instance answers another request for it, too.
async fn meet() -> &'static str {
    let here = MET.fetch_add(1, Ordering::Relaxed) + 1;
    eprintln!("{here} here");
    while MET.load(Ordering::Relaxed) < 2 {
        wait(Duration::from_millis(1)).await;
    }
    "here we are\n"
}

async fn wait(long: Duration) {
    monotonic_clock::wait_for(long.as_nanos().try_into().unwrap_or(u64::MAX)).await;
}

/// Asks `UPSTREAM` (`HOST:PORT`), with the body that it was sent, and hands on what that answers: no byte of either
/// passes the function's own memory.
async fn upstream(request: Request) -> Result<Response, ErrorCode> {
    let upstream = std::env::var("UPSTREAM").map_err(|_| ErrorCode::ConfigurationError)?;
    let (_, kept) = wit_future::new(|| Ok(()));
    let (body, end) = Request::consume_body(request, kept);
    let (asked, _) = Request::new(Fields::new(), Some(body), end, None);
    let refused = |()| ErrorCode::HttpRequestUriInvalid;
    asked.set_method(&Method::Post).map_err(refused)?;
    asked.set_scheme(Some(&Scheme::Http)).map_err(refused)?;
    asked.set_authority(Some(&upstream)).map_err(refused)?;
    asked.set_path_with_query(Some("/")).map_err(refused)?;
    let told = client::send(asked).await?;
    let status = told.get_status_code();
    let (_, kept) = wit_future::new(|| Ok(()));
    let (body, end) = Response::consume_body(told, kept);
    let response = answer(body, end);
    response.set_status_code(status).map_err(|()| ErrorCode::HttpProtocolError)?;
    Ok(response)
}

fn told(text: &'static str) -> Response {
    let (mut said, body) = wit_stream::new();
    let (_, end) = wit_future::new(|| Ok(None));
    wit_bindgen::spawn_local(async move { said.write_all(text.into()).await });
    answer(body, end)
}

fn answer(body: StreamReader<u8>, end: End) -> Response {
    let seen = SEEN.fetch_add(1, Ordering::Relaxed) + 1;
    let headers = [("x-seen".to_owned(), seen.to_string().into_bytes())];
    let headers = Fields::from_list(&headers).expect("they are headers");
    Response::new(headers, Some(body), end).0
}
