//! Clients that send what they should not: by hand, for tonic's client would not.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use cairn_env::Env;
use cairn_grpc::limits::{MESSAGE_BYTES_MAX, OPEN_MAX};
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use prost::Message as _;
use tokio::net::TcpStream;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Server, data, soon, tar};

const LOOKUP: &str = "/cairn.dataset.v1.DatasetAPI/Lookup";

async fn connect(server: &Server) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(&server.address).await.unwrap();
    let (requests, connection) = h2::client::handshake(stream).await.unwrap();
    Env::real().spawn.task(Box::pin(async move {
        // How it ends is the door's choice.
        drop(connection.await);
    }));
    requests
}

fn request(server: &Server, path: &str) -> http::request::Builder {
    Request::post(format!("http://{}{path}", server.address))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("authorization", format!("Bearer {}", server.root))
}

fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    frame.freeze()
}

/// The status that a call ends with.
async fn call(server: &Server, head: http::request::Builder, body: &[Bytes], end: bool) -> Status {
    let mut requests = connect(server).await;
    let (answer, mut stream) = requests.send_request(head.body(()).unwrap(), false).unwrap();
    for (at, piece) in body.iter().enumerate() {
        let last = end && at + 1 == body.len();
        // The door may have answered already.
        if stream.send_data(piece.clone(), last).is_err() {
            break;
        }
    }
    let answer = soon(answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    if let Some(status) = Status::from_header_map(answer.headers()) {
        return status;
    }
    let mut body = answer.into_body();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    let trailers: HeaderMap = body.trailers().await.unwrap().unwrap();
    Status::from_header_map(&trailers).unwrap()
}

/// A `LookupRequest` with these bytes as its target's name.
fn lookup(name: &[u8]) -> Bytes {
    let name = [&[0x12, u8::try_from(name.len()).unwrap()][..], name].concat();
    framed(&[&[0x0a, u8::try_from(name.len()).unwrap()][..], &name].concat())
}

/// GRPC-1: bytes that are no message, no text or no name are the caller's mistake, and are said to be.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_1_what_is_no_message_is_refused() {
    let server = Server::start().await;
    for (what, body, code) in [
        ("a right one", lookup(b"data"), Code::NotFound),
        ("bad UTF-8", lookup(b"d\xff\xfe"), Code::InvalidArgument),
        ("a bad name", lookup(b"../etc"), Code::InvalidArgument),
        ("an empty name", lookup(b""), Code::InvalidArgument),
        ("no target", framed(b""), Code::InvalidArgument),
        ("no protobuf", framed(&[0xff; 40]), Code::InvalidArgument),
        ("a field cut off", framed(&[0x0a, 0x7f, 0x12]), Code::InvalidArgument),
        ("groups without end", framed(&[0x0b; 5000]), Code::InvalidArgument),
    ] {
        let status = call(&server, request(&server, LOOKUP), &[body], true).await;
        assert_eq!(status.code(), code, "{what}: {status}");
        assert!(!status.message().is_empty(), "{what}");
    }
}

/// GRPC-1: the length that a message says is bounded before any of it is held.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_1_a_message_is_bounded() {
    let server = Server::start().await;
    for path in [LOOKUP, "/cairn.dataset.v1.DatasetAPI/Push", "/cairn.block.v1.BlockAPI/Upload"] {
        let mut claims = BytesMut::new();
        claims.put_u8(0);
        claims.put_u32(u32::MAX);
        let status = call(&server, request(&server, path), &[claims.freeze()], false).await;
        assert_eq!(status.code(), Code::ResourceExhausted, "{path}: {status}");
        assert!(status.message().contains(&MESSAGE_BYTES_MAX.to_string()), "{status}");
    }
}

/// GRPC-1: a client that stands still in the middle is not waited for.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_1_a_client_that_stalls_is_not_waited_for() {
    let server = Server::with(Duration::from_millis(100)).await;
    let push = "/cairn.dataset.v1.DatasetAPI/Push";
    let target = [0x12, 1, b'd'];
    let target = [&[0x0a, u8::try_from(target.len()).unwrap()][..], &target].concat();
    let header = framed(&[&[0x0a, u8::try_from(target.len()).unwrap()][..], &target].concat());
    let data = data(&tar(&[("a", b"a")])).encode_to_vec();
    let whole = [&header[..], &framed(&data)].concat().into();
    for (what, path, body) in [
        ("half a frame", LOOKUP, lookup(b"data").slice(..7)),
        ("a push without data", push, header.clone()),
        ("a push in the middle", push, [&header[..], &[0, 0, 0, 1]].concat().into()),
        ("a push that does not end", push, whole),
    ] {
        let status = call(&server, request(&server, path), &[body], false).await;
        assert_eq!(status.code(), Code::DeadlineExceeded, "{what}: {status}");
        assert!(status.message().contains("2 KiB"), "{what}: {status}");
    }
    // GRPC-3: the last one sent all of an archive, and published nothing.
    server.pushes_have_ended().await;
    let status = call(&server, request(&server, LOOKUP), &[lookup(b"d")], true).await;
    assert_eq!(status.code(), Code::NotFound, "{status}");
    server.fill("d:latest", &[("a", b"a")]).await;
}

/// What a page of another site can make a browser send is no call.
#[tokio::test(flavor = "multi_thread")]
async fn only_grpc_is_a_call() {
    let server = Server::start().await;
    for (kind, status) in [
        (Some("text/plain"), 415),
        (Some("application/grpcx"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (None, 415),
        (Some("application/grpc"), 200),
        (Some("application/grpc+proto"), 200),
        (Some("application/grpc;charset=x"), 200),
    ] {
        let mut head = Request::post(format!("http://{}{LOOKUP}", server.address));
        if let Some(kind) = kind {
            head = head.header("content-type", kind);
        }
        let mut requests = connect(&server).await;
        let (answer, mut stream) = requests.send_request(head.body(()).unwrap(), false).unwrap();
        // The door may have answered already.
        stream.send_data(lookup(b"data"), true).unwrap_or_default();
        assert_eq!(answer.await.unwrap().status(), status, "{kind:?}");
    }
    let unknown = request(&server, "/cairn.dataset.v1.DatasetAPI/Drop");
    let status = call(&server, unknown, &[framed(b"")], true).await;
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    let twice = request(&server, LOOKUP).header("authorization", "Bearer x");
    let status = call(&server, twice, &[lookup(b"data")], true).await;
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
}

/// GRPC-1: what anybody may ask has its own bound, and who is in waits for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_1_calls_that_anybody_may_make_are_bounded() {
    let server = Server::start().await;
    let mut client = HealthClient::new(server.channel().await);
    let mut watching = Vec::new();
    for at in 0..OPEN_MAX {
        // One connection has only so many streams.
        if at % 100 == 0 {
            client = HealthClient::new(server.channel().await);
        }
        let mut stream = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert_eq!(stream.message().await.unwrap().unwrap().status, 1);
        watching.push(stream);
    }
    let refused = client.check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    server.fill("data:v1", &[("a", b"a")]).await;
    drop(watching);
    // Their places are free as soon as the door has seen that they are gone.
    while client.check(HealthCheckRequest::default()).await.is_err() {
        tokio::task::yield_now().await;
    }
    let unknown = HealthCheckRequest { service: "nothing".to_owned() };
    assert_eq!(client.check(unknown.clone()).await.unwrap_err().code(), Code::NotFound);
    let mut stream = client.watch(unknown).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().status, 3);
}
