//! Clients that speak HTTP/2, and what it lets them hide. The tests wait for the door to close, never
//! for a time.

use std::time::Duration;

use axum::http::Request;
use bytes::Bytes;
use cairn_bucket::Bucket;
use cairn_env::Env;
use cairn_http::{Options, Waits};
use h2::client::{Builder, SendRequest};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::support::{Server, noise};

/// A door that is impatient, and takes one request at a time.
async fn impatient() -> Server {
    let short = Duration::from_millis(100);
    let waits = Waits { headers: short, body: short, write: short, shutdown: short };
    let env = Env::real();
    let options = Options { waits, requests_max: 1, ..Options::default() };
    Server::on(Bucket::memory(&env), options).await
}

/// A connection whose pings are answered, and what tells its end.
async fn connect(server: &Server, window: u32) -> (SendRequest<Bytes>, oneshot::Receiver<()>) {
    let stream = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    let mut client = Builder::new();
    client.initial_window_size(window);
    let (requests, connection) = client.handshake(stream).await.unwrap();
    let (end, ended) = oneshot::channel();
    server.env.spawn.task(Box::pin(async move {
        // How it ends is the door's choice.
        drop(connection.await);
        end.send(()).unwrap_or_default();
    }));
    (requests, ended)
}

fn get(server: &Server, path: &str) -> Request<()> {
    let request = Request::get(format!("{}{path}", server.url));
    request.header("authorization", format!("Bearer {}", server.root)).body(()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_an_idle_connection_ends_although_it_answers_pings() {
    let server = impatient().await;
    let (mut requests, connection) = connect(&server, 65_535).await;
    let (answer, _) = requests.send_request(get(&server, "/livez"), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    connection.await.unwrap();
    let (_silent, connection) = connect(&server, 65_535).await;
    connection.await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_an_answer_that_nobody_takes_does_not_keep_its_place() {
    let server = impatient().await;
    let work = tempfile::tempdir().unwrap();
    std::fs::write(work.path().join("file"), noise(3000, 5)).unwrap();
    server.fill(work.path(), "data:v1").await;
    for path in ["/fs/data/v1/file", "/api/v1/version"] {
        let (mut requests, connection) = connect(&server, 0).await;
        let (answer, _) = requests.send_request(get(&server, path), true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        connection.await.unwrap();
        drop((answer, requests));
        // The place is free again.
        while server.get("/api/v1/version", &[]).await.status() == 503 {
            tokio::task::yield_now().await;
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_taken_comes_whole() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    let file = noise(2_000_000, 5);
    std::fs::write(work.path().join("big"), &file).unwrap();
    server.fill(work.path(), "data:v1").await;
    let (mut requests, connection) = connect(&server, 65_535).await;
    let (answer, _) = requests.send_request(get(&server, "/fs/data/v1/big"), true).unwrap();
    let mut body = answer.await.unwrap().into_body();
    let mut found = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        body.flow_control().release_capacity(piece.len()).unwrap();
        found.extend_from_slice(&piece);
    }
    assert!(found == file);
    drop((requests, body));
    connection.await.unwrap();
    server.stop().await;
}
