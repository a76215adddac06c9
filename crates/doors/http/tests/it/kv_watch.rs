//! KV-3: watching keys through the door.

use std::time::Duration;

use axum::http::Method;
use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::kv::{ask, call, with_namespace};
use crate::support::Server;

/// The lines of a watch, as they come.
struct Watched {
    pieces: futures::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    buffer: Vec<u8>,
}

impl Watched {
    async fn open(server: &Server, token: &str, query: &str) -> Self {
        let path = format!("main/carts/watch{query}");
        let answer = call(server, token, Method::GET, &path, &[], "").await;
        assert_eq!(answer.status(), 200);
        Self { pieces: answer.bytes_stream().boxed(), buffer: Vec::new() }
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let piece = tokio::time::timeout(Duration::from_secs(30), self.pieces.next()).await;
            self.buffer.extend_from_slice(&piece.unwrap()?.unwrap());
        }
    }
}

/// KV-3: whoever watches sees every commit once and in order while others write, also when the connection
/// is lost again and again.
#[tokio::test(flavor = "multi_thread")]
async fn kv_3_a_watch_has_no_gaps_while_others_write() {
    const WRITERS: usize = 4;
    const EACH: usize = 100;
    let server = with_namespace().await;
    let write = async |writer: usize| {
        for number in 0..EACH {
            let op = |part: usize| json!({"op": "put", "key": format!("w{writer}/{number}/{part}"), "value": "v"});
            let ops: Vec<Value> = (0..1 + number % 3).map(op).collect();
            let commit = json!({ "ops": ops }).to_string();
            assert_eq!(ask(&server, Method::POST, "main/carts/commit", &commit).await.0, 200);
        }
    };
    let watch = async {
        let (mut seen, mut after) = (Vec::new(), 0);
        let total = WRITERS * (0..EACH).map(|number| 1 + number % 3).sum::<usize>();
        while seen.len() < total {
            let mut watched =
                Watched::open(&server, &server.root, &format!("?after={after}")).await;
            assert_eq!(watched.next().await.unwrap()["seq"], after);
            // Each connection is dropped after some lines, which may be in the middle of a commit.
            let mut open = Vec::new();
            for _ in 0..37 {
                let line = watched.next().await.unwrap();
                let seq = line["seq"].as_u64().unwrap();
                assert_eq!(line["type"], "put");
                open.push((seq, line["key"].as_str().unwrap().to_owned()));
                if line["last"] == true {
                    assert_eq!(seq, after + 1, "the next commit, and no other");
                    after = seq;
                    seen.append(&mut open);
                }
                if seen.len() == total {
                    break;
                }
            }
        }
        seen
    };
    let writers = futures::future::join_all((0..WRITERS).map(write));
    let (seen, _) = tokio::join!(watch, writers);
    let mut keys: Vec<_> = seen.iter().map(|(_, key)| key.clone()).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), seen.len(), "each once");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_what_happens_to_its_range() {
    let server = with_namespace().await;
    let mut watched = Watched::open(&server, &server.root, "?prefix=a/").await;
    assert_eq!(watched.next().await.unwrap(), json!({"type": "position", "seq": 0, "last": true}));
    for (method, path, body) in [
        (Method::PUT, "keys/b", "elsewhere"),
        (Method::PUT, "keys/a/1?ttl=10ms", "short"),
        (Method::PUT, "keys/a/%ff", "x"),
        (Method::DELETE, "keys/a/%ff", ""),
        (Method::POST, "delete-range?prefix=b", ""),
        (Method::POST, "delete-range?prefix=a", ""),
    ] {
        let (status, said) = ask(&server, method, &format!("main/carts/{path}"), body).await;
        assert_eq!(status, 200, "{path}: {said}");
    }
    let mut told = Vec::new();
    while told.len() < 5 {
        told.push(watched.next().await.unwrap());
    }
    let of =
        |kind: &str| -> Vec<&Value> { told.iter().filter(|line| line["type"] == kind).collect() };
    assert_eq!(of("put").len(), 2);
    assert_eq!(of("delete_range")[0]["from"], "a");
    assert_eq!(of("delete_range")[0]["to"], "b");
    let deleted: Vec<_> = of("delete");
    let expired = deleted.iter().find(|line| line["expired"] == true).unwrap();
    assert_eq!(expired["key"], "a/1");
    let removed = deleted.iter().find(|line| line["expired"] == false).unwrap();
    assert_eq!(removed["key_base64"], "YS//");
    server.stop().await;
}

/// ACCESS-5: a watch ends with the grant of who watches, and says why.
#[tokio::test(flavor = "multi_thread")]
async fn access_5_a_watch_ends_with_its_grant() {
    let server = with_namespace().await;
    let reader = server.user("reader", &["reader carts"]).await;
    let mut watched = Watched::open(&server, &reader, "").await;
    watched.next().await.unwrap();
    let grant = cairn_access::Grant {
        subject: "reader".parse().unwrap(),
        role: "reader".parse().unwrap(),
        pattern: "carts".parse().unwrap(),
    };
    server.access.remove_grant(&grant.id()).await.unwrap();
    let end = watched.next().await.unwrap();
    assert_eq!((&end["type"], &end["error"]["kind"]), (&json!("end"), &json!("denied")), "{end}");
    assert!(watched.next().await.is_none());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_have_an_id_after_each_whole_commit() {
    let server = with_namespace().await;
    let two = r#"{"ops":[{"op":"put","key":"a","value":"1"},{"op":"put","key":"b","value":"1"}]}"#;
    assert_eq!(ask(&server, Method::POST, "main/carts/commit", two).await.0, 200);
    let headers = [("accept", "text/event-stream"), ("last-event-id", "0")];
    let path = "main/carts/watch?after=1";
    let answer = call(&server, &server.root, Method::GET, path, &headers, "").await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut pieces = answer.bytes_stream();
    let mut text = String::new();
    while text.matches("\n\n").count() < 3 {
        let piece = tokio::time::timeout(Duration::from_secs(30), pieces.next()).await;
        text.push_str(std::str::from_utf8(&piece.unwrap().unwrap().unwrap()).unwrap());
    }
    let heads: Vec<_> =
        text.split("\n\n").filter_map(|event| event.split_once("\ndata:")).collect();
    let heads: Vec<_> = heads.into_iter().map(|(head, _)| head).collect();
    assert_eq!(heads, ["id: 0\nevent: position", "event: put", "id: 1\nevent: put"]);
    server.stop().await;
}

/// The node stops although somebody watches, and the watch ends whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_its_node() {
    let server = with_namespace().await;
    let mut watched = Watched::open(&server, &server.root, "").await;
    watched.next().await.unwrap();
    let (_, ended) = tokio::join!(server.stop(), watched.next());
    assert_eq!(ended, None);
}
