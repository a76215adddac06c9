//! Functions for `wasi:http` 0.3: bodies that are streams, and several requests of one instance at a time.

use std::sync::Arc;
use std::sync::OnceLock;

use bytes::Bytes;
use cairn_wasm::{
    Body, Code, Failure, HttpFunction, Kind, Limits, Reuse, World, prepare, streamed, whole,
};
use futures::StreamExt as _;
use futures::channel::mpsc;
use futures::stream::FuturesUnordered;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use crate::files::Echo;
use crate::lab::{Kept, code, get, world};

async fn parrot() -> Code {
    static BUILT: OnceLock<Bytes> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let module = cairn_testkit::guests::rust("parrot").unwrap();
        prepare(&std::fs::read(module).unwrap()).unwrap().component
    });
    code(built.clone()).await
}

async fn function(limits: Limits, outside: Option<Echo>) -> (HttpFunction, Arc<Kept>) {
    let code = parrot().await;
    assert_eq!(code.kind(), Kind::Http);
    let (world, kept) = world();
    let environment = vec![("UPSTREAM".to_owned(), "example.org:81".to_owned())];
    let outside = outside.map_or_else(|| Arc::clone(&world.outside), |echo| Arc::new(echo) as _);
    let world = World { environment, outside, ..world };
    (HttpFunction::new(&code, limits, world).unwrap(), kept)
}

/// A body whose pieces are sent one by one.
fn piecewise() -> (mpsc::UnboundedSender<Result<Frame<Bytes>, std::io::Error>>, Body) {
    let (pieces, body) = mpsc::unbounded();
    (pieces, streamed(StreamBody::new(body)))
}

fn piece(text: &'static str) -> Result<Frame<Bytes>, std::io::Error> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

/// Each piece is answered before the next one is sent.
#[tokio::test]
async fn an_answer_is_sent_while_its_request_is() {
    let (parrot, _) = function(Limits::default(), None).await;
    let (pieces, body) = piecewise();
    let request = http::Request::post("http://localhost/").body(body).unwrap();
    let mut answer = parrot.handle(request).await.unwrap().into_body();
    for (said, heard) in [("one", "ONE"), ("two", "TWO")] {
        pieces.unbounded_send(piece(said)).unwrap();
        let frame = answer.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), heard);
    }
    let trailers: HeaderMap =
        [("x-end".parse().unwrap(), "yes".parse().unwrap())].into_iter().collect();
    pieces.unbounded_send(Ok(Frame::trailers(trailers.clone()))).unwrap();
    drop(pieces);
    let frame = answer.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_trailers().unwrap(), trailers);
    assert!(answer.frame().await.is_none());
}

#[tokio::test]
async fn large_bodies_pass_whole() {
    let (parrot, _) = function(Limits::default(), None).await;
    let (pieces, body) = piecewise();
    let request = http::Request::post("http://localhost/").body(body).unwrap();
    let answer = parrot.handle(request).await.unwrap().into_body();
    for _ in 0..3000 {
        pieces.unbounded_send(piece("a line of some length\n")).unwrap();
    }
    drop(pieces);
    let heard = answer.collect().await.unwrap().to_bytes();
    assert!(heard == "A LINE OF SOME LENGTH\n".repeat(3000), "{} bytes", heard.len());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_end() {
    let (parrot, _) = function(Limits::default(), None).await;
    let (pieces, body) = piecewise();
    let request = http::Request::post("http://localhost/").body(body).unwrap();
    let answer = parrot.handle(request).await.unwrap().into_body();
    pieces.unbounded_send(piece("one")).unwrap();
    pieces.unbounded_send(Err(std::io::Error::other("gone"))).unwrap();
    drop(pieces);
    assert!(answer.collect().await.is_err());
}

/// Each waits until its instance is asked by another one, which is sent once that one waits.
#[tokio::test]
async fn one_instance_answers_several_requests_at_a_time() {
    let reuse = Reuse { requests: 10, at_once: 2, ..Reuse::default() };
    let limits = Limits { reuse, cpu_ms: 20_000, ..Limits::default() };
    let (parrot, kept) = function(limits, None).await;
    let mut asked = FuturesUnordered::new();
    let first = loop {
        asked.push(get(&parrot, "/meet"));
        let waiting = asked.len();
        assert!(waiting < 10, "{:?}", kept.lines());
        tokio::select! {
            biased;
            first = asked.next() => break first.unwrap(),
            () = said(&kept, waiting) => {}
        }
    };
    assert_eq!(first, Ok((200, "here we are\n".to_owned())));
}

#[tokio::test]
async fn one_instance_answers_one_request_at_a_time_by_default() {
    let reuse = Reuse { requests: 10, ..Reuse::default() };
    let limits = Limits { reuse, wall_ms: 500, cpu_ms: 20_000, ..Limits::default() };
    let (parrot, kept) = function(limits, None).await;
    let first = get(&parrot, "/meet");
    let second = async {
        said(&kept, 1).await;
        get(&parrot, "/meet").await
    };
    let late = Err(Failure::Wall { limit_ms: 500 });
    assert_eq!(futures::join!(first, second), (late.clone(), late));
    assert_eq!(kept.lines(), ["stderr: 1 here"; 2]);
}

/// An answer is under way until it is read or left: its instance is not asked meanwhile, and is again after that.
#[tokio::test]
async fn one_instance_makes_one_answer_at_a_time_by_default() {
    let reuse = Reuse { requests: 10, ..Reuse::default() };
    let (parrot, _) = function(Limits { reuse, ..Limits::default() }, None).await;
    let mut under_way = Vec::new();
    for _ in 0..3 {
        let (pieces, body) = piecewise();
        let request = http::Request::post("http://localhost/").body(body).unwrap();
        let answer = parrot.handle(request).await.unwrap();
        assert_eq!(answer.headers()["x-seen"], "1");
        under_way.push((pieces, answer));
    }
    drop(under_way);
    let mut seen = Vec::new();
    while !seen.iter().any(|seen| seen == "2") {
        assert!(seen.len() < 100, "{seen:?}");
        let request = http::Request::get("http://localhost/").body(whole(Bytes::new())).unwrap();
        seen.push(parrot.handle(request).await.unwrap().headers()["x-seen"].clone());
        tokio::task::yield_now().await;
    }
}

/// Until so many lines are written.
async fn said(kept: &Kept, count: usize) {
    while kept.lines().len() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn limits_hold() {
    let limits = Limits { wall_ms: 300, ..Limits::default() };
    let (waits, _) = function(limits, None).await;
    assert_eq!(get(&waits, "/sleep").await, Err(Failure::Wall { limit_ms: 300 }));
    let (computes, _) = function(Limits { cpu_ms: 50, ..Limits::default() }, None).await;
    assert_eq!(get(&computes, "/loop").await, Err(Failure::Cpu { limit_ms: 50 }));
}

#[tokio::test]
async fn what_it_writes_goes_to_its_log() {
    let (parrot, kept) = function(Limits::default(), None).await;
    assert_eq!(get(&parrot, "/log").await.unwrap().1, "written\n");
    assert_eq!(kept.lines(), ["stderr: to stderr"]);
}

/// `wasi:http/client` sends where `wasi:http/outgoing-handler` does, and nowhere else.
#[tokio::test]
async fn requests_to_others_are_those_of_its_world() {
    let (free, _) = function(Limits::default(), Some(Echo)).await;
    let asked = get(&free, "/upstream").await.unwrap();
    assert_eq!(asked, (200, "POST http://example.org:81/".to_owned()));
    let (confined, kept) = function(Limits::default(), None).await;
    for path in ["/upstream", "/refused"] {
        let denied = Failure::NoAnswer { detail: "ErrorCode::HttpRequestDenied".to_owned() };
        assert_eq!(get(&confined, path).await, Err(denied));
    }
    let lines = kept.lines();
    assert!(lines.len() == 1 && lines[0].contains("nobody may be asked"), "{lines:?}");
}
