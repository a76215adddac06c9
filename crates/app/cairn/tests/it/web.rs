//! What the door of functions has beside functions' own answers: files of datasets, and WebSockets.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use cairn_testkit::{guests, tool};
use serde_json::{Value, json};

use crate::functions::ask;
use crate::lab::Lab;
use crate::running_node::Node;

fn node() -> (Lab, Node, Lab) {
    let lab = Lab::new();
    let node = Node::start_with(&lab, "127.0.0.1:0", "--data-dir data --web 127.0.0.1:0");
    let through = lab.through(&node);
    (lab, node, through)
}

/// The status line and headers of an answer, and its body.
fn curl(node: &Node, path: &str, more: &[&str]) -> (String, String) {
    let url = format!("{}{path}", node.web);
    let told = Command::new("curl").args(["-s", "-i"]).args(more).arg(url).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let (head, body) = told.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or("")
}

#[test]
fn routes_lead_to_files_of_a_dataset() {
    let (lab, node, through) = node();
    for (path, text) in [
        ("site/index.html", "<h1>start</h1>"),
        ("site/app.js", "let it = 1\n"),
        ("site/docs/index.html", "docs"),
        ("site/docs/a b.txt", "0123456789"),
        ("site/empty/x.txt", ""),
        ("other.txt", "not served"),
    ] {
        lab.write(path, text);
    }
    through.ok("push site pages");
    let made = through.json("route files /site/{*path} pages --public").remove(0);
    crate::documented::check("route add", &made);
    assert_eq!((&made["function"], &made["files"]["tag"]), (&"pages".into(), &"latest".into()));
    assert_eq!(ask(&node, "/site/", &[]), (200, "<h1>start</h1>".to_owned()));
    assert_eq!(ask(&node, "/site/docs/a%20b.txt", &[]).1, "0123456789");
    let (head, _) = curl(&node, "/site/app.js", &[]);
    assert!(header(&head, "content-type").starts_with("text/javascript"), "{head}");
    assert_eq!(header(&head, "x-content-type-options"), "nosniff");
    let etag = format!("If-None-Match: {}", header(&head, "etag"));
    assert!(curl(&node, "/site/app.js", &["-H", &etag]).0.starts_with("http/1.1 304"));
    let (head, body) = curl(&node, "/site/docs/a%20b.txt", &["-r", "2-4"]);
    assert_eq!((header(&head, "content-range"), body.as_str()), ("bytes 2-4/10", "234"));
    let (head, _) = curl(&node, "/site/docs/a%20b.txt", &["-r", "20-"]);
    assert!(head.starts_with("http/1.1 416") && head.contains("bytes */10"), "{head}");
    let (head, _) = curl(&node, "/site/docs?x=1", &[]);
    assert_eq!(header(&head, "location"), "/site/docs/?x=1");
    let (head, body) = curl(&node, "/site/app.js", &["-I"]);
    assert_eq!((header(&head, "content-length"), body.as_str()), ("11", ""));
    for missing in
        ["/site/none", "/site/empty/", "/site/app.js/", "/site/a/../app.js", "/site/%2e%2e/x"]
    {
        let curl = curl(&node, missing, &["--path-as-is"]);
        assert!(curl.0.starts_with("http/1.1 404"), "{missing}: {curl:?}");
    }
    let (head, _) = curl(&node, "/site/app.js", &["-X", "POST"]);
    assert!(head.starts_with("http/1.1 405") && head.contains("allow: get, head"), "{head}");
    // The tag moves, and what is served with it.
    lab.write("site/app.js", "let it = 2\n");
    through.ok("push site pages");
    assert_eq!(ask(&node, "/site/app.js", &[]).1, "let it = 2\n");
}

/// RFC 9110, 9.3.2: whatever a function answers.
#[test]
fn answers_to_head_have_no_body() {
    let (lab, node, through) = node();
    std::fs::copy(guests::rust("hello").unwrap(), lab.path("hello.wasm")).unwrap();
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("route add /{*path} hello --public");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let (head, body) = curl(&node, "/x", &[version]);
        assert!(head.contains(" 200") && body == "hello /x\n", "{head}\n{body}");
        let (head, body) = curl(&node, "/x", &[version, "-I"]);
        assert!(head.contains(" 200") && body.is_empty(), "{head}\n{body}");
    }
    // On one connection, where a body that nobody asked for would be in the way of the next answer.
    let (_, next) = curl(&node, "/x", &["--http1.1", "-I", &format!("{}/y", node.web)]);
    assert!(next.starts_with("HTTP/1.1 200") && !next.contains("hello"), "{next}");
}

#[test]
fn files_are_for_those_who_may_read_them() {
    let (lab, node, through) = node();
    lab.write("app/dist/index.html", "the app");
    through.ok("push app app:stable");
    through.ok("route files /app/{*path} app:stable/dist --fallback index.html");
    assert_eq!(ask(&node, "/app/", &[]).0, 401);
    let token = format!("Authorization: Bearer {}", node.token);
    for path in ["/app/", "/app/some/view"] {
        assert_eq!(
            ask(&node, path, std::slice::from_ref(&token)),
            (200, "the app".to_owned()),
            "{path}"
        );
    }
    let other = through.ok("token create other");
    through.ok("grant add other invoker app");
    let other = format!("Authorization: Bearer {}", other.trim());
    assert_eq!(ask(&node, "/app/", &[other]).0, 403);
    through.fails("route files /y app --fallback ../x", 2);
    through.ok("route rm /app/{*path} app");
    assert_eq!(ask(&node, "/app/", &[token]).0, 404);
}

fn client(node: &Node, path: &str) -> Command {
    let url = format!("{}{path}", node.web.replace("http:", "ws:"));
    let mut client = Command::new(tool::find("python").unwrap());
    client.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/websocket_client.py")).arg(url);
    client
}

fn talk(node: &Node, path: &str, token: Option<&str>) -> Value {
    let told = client(node, path).args(token).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_slice(&told.stdout).unwrap()
}

/// WEB-4: a function answers the messages of a socket that it opens, for who may call it.
#[test]
fn web_4_functions_answer_websockets() {
    let (lab, node, through) = node();
    std::fs::copy(guests::c("socket").unwrap(), lab.path("socket.wasm")).unwrap();
    through.ok("fn deploy socket.wasm --name socket");
    through.ok("fn deploy socket.wasm --name guarded");
    through.ok("route add /socket socket --public");
    through.ok("route add /guarded guarded");
    let heard = talk(&node, "/socket", None);
    let heard = heard.as_array().unwrap();
    assert_eq!((&heard[0], &heard[1]), (&json!("1 ONE"), &json!("2 ZWEI äöü")));
    assert_eq!(heard[2].as_str().unwrap().len(), 100_002);
    assert_eq!((&heard[3], &heard[22]), (&json!("4 BURST 0"), &json!("23 BURST 19")));
    assert_eq!(heard[23], json!([4000, "bye"]));
    // Who may not call it gets no socket, and what opens none answers as it does.
    assert_eq!(talk(&node, "/guarded", None), json!([401]));
    assert_eq!(talk(&node, "/guarded", Some(&node.token)).as_array().unwrap().len(), 24);
    assert_eq!(ask(&node, "/socket", &[]), (426, "open a WebSocket\n".to_owned()));
    let hello = guests::rust("hello").unwrap();
    std::fs::copy(hello, lab.path("hello.wasm")).unwrap();
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("route add /hello hello --public");
    assert_eq!(talk(&node, "/hello", None), json!([502]));
    // A filter is asked for each message.
    std::fs::copy(guests::rust("guard").unwrap(), lab.path("guard.wasm")).unwrap();
    through.ok("fn deploy guard.wasm --name guard --env SECRET=s3cret");
    through.ok("filter add guard socket");
    assert_eq!(talk(&node, "/socket", None), json!([401]));
}

/// WEB-4: an open socket ends with its token, and with the node.
#[test]
fn web_4_sockets_end_with_their_token_and_their_node() {
    let (lab, node, through) = node();
    std::fs::copy(guests::c("socket").unwrap(), lab.path("socket.wasm")).unwrap();
    through.ok("fn deploy socket.wasm --name socket");
    through.ok("route add /socket socket");
    through.ok("grant add caller invoker socket");
    let begin = || {
        let made = through.json("token create caller").remove(0);
        let token = made["token"].as_str().unwrap();
        let mut resting = client(&node, "/socket");
        let resting = resting.args([token, "rest"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut resting = resting.spawn().unwrap();
        let (mut to, from) = (resting.stdin.take().unwrap(), resting.stdout.take().unwrap());
        let mut from = BufReader::new(from).lines();
        writeln!(to, "one").unwrap();
        assert_eq!(from.next().unwrap().unwrap(), "1 ONE");
        (made["info"]["id"].as_str().unwrap().to_owned(), to, from, resting)
    };
    let (id, mut to, mut from, mut ends) = begin();
    through.ok(&format!("token rm {id}"));
    writeln!(to, "two").unwrap();
    assert_eq!(from.next().unwrap().unwrap(), "1008");
    assert!(ends.wait().unwrap().success());
    let (_, to, mut from, mut ends) = begin();
    drop(to);
    node.stop();
    assert_eq!(from.next().unwrap().unwrap(), "1001");
    assert!(ends.wait().unwrap().success());
}
