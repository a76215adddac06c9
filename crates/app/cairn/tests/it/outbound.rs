//! Requests of functions to others.

use std::io::{BufRead as _, Write as _};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::documented;
use crate::functions::{UP, ask, node};
use crate::lab::Lab;

/// FUNCTIONS-5, EGRESS-1: requests go where the release says, and into the node's own networks only when the
/// operator said so.
#[test]
fn functions_5_requests_go_where_the_release_says() {
    let (lab, node, through) = node();
    let proxy = cairn_testkit::guests::rust("proxy").unwrap();
    std::fs::copy(proxy, lab.path("proxy.wasm")).unwrap();
    let made = through.json("fn deploy hello.wasm --name hello --outbound https://*.example.org");
    documented::check("fn deploy", &made[0]);
    through.ok("route add /h/{*path} hello --public");
    let deploy = |through: &Lab, upstream: &str, outbound: &str| {
        let words =
            format!("fn deploy proxy.wasm --name proxy --env UPSTREAM={upstream} {outbound}");
        through.json(&words).remove(0)
    };
    let origin = format!("--outbound {}", node.web);
    let made = deploy(&through, &node.web, &origin);
    assert_eq!(made["settings"]["outbound"][0], node.web);
    through.ok("route add example.org/{*path} proxy --public");
    let host = ["Host: example.org".to_owned()];
    let (status, told) = ask(&node, "/h/a", &host);
    assert!(status == 502 && told.contains("HttpRequestDenied"), "{status} {told}");
    let log = through.ok("fn logs proxy");
    assert!(log.contains("--functions-to-private"), "{log}");
    through.fails("fn deploy proxy.wasm --name proxy --outbound ftp://example.org", 2);

    let node = node.killed_with(&lab, &format!("{UP} --functions-to-private"));
    let through = lab.through(&node);
    // It has another port now.
    deploy(&through, &node.web, "--outbound https://example.org");
    let (status, told) = ask(&node, "/h/a", &host);
    assert!(status == 502 && told.contains("HttpRequestDenied"), "{status} {told}");
    let log = through.ok("fn logs proxy");
    assert!(log.contains(&format!("{} is not among what it may ask", node.web)), "{log}");
    let upstream = node.web.replace("http://", "http://user@");
    deploy(&through, &upstream, &format!("--outbound {}", node.web));
    assert_eq!(ask(&node, "/h/a", &host).0, 502);
    deploy(&through, &node.web, &format!("--outbound {}", node.web));
    assert_eq!(ask(&node, "/h/a?b=c", &host), (200, "hello /h/a?b=c\n".to_owned()));
    assert_eq!(ask(&node, "/nowhere", &host).0, 404);
    through.ok("route add /echo hello --public");
    let body = "x".repeat(3_000_000);
    lab.write("body", &body);
    let mut curl = Command::new("curl");
    curl.args(["-s", "-H", &host[0], "--data-binary", &format!("@{}", lab.path("body").display())]);
    let told = curl.arg(format!("{}/echo", node.web)).output().unwrap();
    assert_eq!(told.stdout.len(), body.len());
}

/// Answers requests of one path after the other, on connections that it counts and keeps.
fn upstream(closes: bool) -> (String, Arc<AtomicU32>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || answered(&stream.unwrap(), closes));
        }
    });
    (address, count)
}

fn answered(stream: &std::net::TcpStream, closes: bool) {
    let mut lines = std::io::BufReader::new(stream).lines();
    while let Some(Ok(line)) = lines.next() {
        if line.is_empty() {
            (&*stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
            if closes {
                return;
            }
        }
    }
}

/// A connection to others is kept for the next request, and one that was closed meanwhile is made again.
#[test]
fn connections_to_others_are_kept() {
    let (lab, node, _) = node();
    let node = node.killed_with(&lab, &format!("{UP} --functions-to-private"));
    let through = lab.through(&node);
    let proxy = cairn_testkit::guests::rust("proxy").unwrap();
    std::fs::copy(proxy, lab.path("proxy.wasm")).unwrap();
    for (name, closes, connections) in [("kept", false, 1), ("closed", true, 5)] {
        let (origin, count) = upstream(closes);
        through.ok(&format!(
            "fn deploy proxy.wasm --name {name} --env UPSTREAM={origin} --outbound {origin}"
        ));
        through.ok(&format!("route add /{name} {name} --public"));
        for _ in 0..5 {
            assert_eq!(ask(&node, &format!("/{name}"), &[]), (200, "ok".to_owned()));
        }
        assert_eq!(count.load(Ordering::SeqCst), connections, "{name}");
    }
}
