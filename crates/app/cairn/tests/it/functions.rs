//! Functions of a node, deployed as people deploy them and asked as browsers ask them.

use std::process::Command;

use serde_json::Value;

use crate::documented;
use crate::lab::Lab;
use crate::running_node::Node;

const UP: &str = "--data-dir data --web 127.0.0.1:0";
/// A program that does nothing.
const COMMAND: &str = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;

fn node() -> (Lab, Node, Lab) {
    let lab = Lab::new();
    let node = Node::start_with(&lab, "127.0.0.1:0", UP);
    let through = lab.through(&node);
    let hello = cairn_testkit::guests::rust("hello").unwrap();
    std::fs::copy(hello, lab.path("hello.wasm")).unwrap();
    lab.write("command.wat", COMMAND);
    (lab, node, through)
}

/// The status and the body of an answer.
fn ask(node: &Node, path: &str, headers: &[String]) -> (u16, String) {
    let mut curl = Command::new("curl");
    curl.args(["-s", "-w", "\n%{http_code}"]);
    for header in headers {
        curl.args(["-H", header]);
    }
    let told = curl.arg(format!("{}{path}", node.web)).output().unwrap();
    assert!(told.status.success(), "{told:?}");
    let told = String::from_utf8(told.stdout).unwrap();
    let (body, status) = told.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

fn shows(token: &str) -> [String; 1] {
    [format!("Authorization: Bearer {token}")]
}

#[test]
fn functions_are_deployed_called_and_rolled_back() {
    let (_lab, node, through) = node();
    let release = through.json("fn deploy hello.wasm --name hello --env WHO=one").remove(0);
    assert_eq!((&release["number"], &release["kind"]), (&1.into(), &"http".into()));
    let route = through.json("route add /{*path} hello --public").remove(0);
    documented::check("route add", &route);
    assert_eq!(ask(&node, "/a?b=c", &[]), (200, "hello /a?b=c\n".to_owned()));
    assert_eq!(ask(&node, "/environment", &[]).1, "[(\"WHO\", \"one\")]\n");
    through.json("fn deploy hello.wasm --name hello --env WHO=two --reuse 100");
    assert_eq!(ask(&node, "/environment", &[]).1, "[(\"WHO\", \"two\")]\n");
    assert_eq!(through.json("fn versions hello").len(), 2);
    through.ok("fn rollback hello");
    assert_eq!(ask(&node, "/environment", &[]).1, "[(\"WHO\", \"one\")]\n");
    documented::check("fn ls", &through.json("fn ls")[0]);
    assert_eq!(through.ok("fn invoke hello --path /log"), "written\n");
    let lines = through.json("fn logs hello");
    documented::check("fn logs", &lines[0]);
    assert!(lines.iter().any(|line| line["text"] == "to stderr"), "{lines:?}");
    documented::check("fn deploy", &through.json("fn deploy command.wat --name quiet")[0]);
    assert_eq!(through.ok("fn invoke quiet -- and more"), "");
    let refused = through.fails("fn rm hello", 5);
    assert!(refused.contains("--with-routes"), "{refused}");
    through.fails("fn rm nothing", 3);
    documented::check("route rm", &through.json("route rm /{*path} hello")[0]);
    documented::check("fn rm", &through.json("fn rm hello")[0]);
    assert_eq!(ask(&node, "/a", &[]).0, 404);
}

/// WEB-1: who may not invoke a function does not reach it.
#[test]
fn web_1_callers_show_what_lets_them_invoke() {
    let (lab, node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("route add /{*path} hello");
    let user = |name: &str| through.ok(&format!("token create {name}")).trim().to_owned();
    let (caller, stranger) = (user("caller"), user("stranger"));
    through.ok("grant add caller invoker hello");
    assert_eq!(ask(&node, "/x", &[]).0, 401);
    assert_eq!(ask(&node, "/x", &shows("cairn_nonsense")).0, 401);
    assert_eq!(ask(&node, "/x", &shows(&stranger)).0, 403);
    assert_eq!(ask(&node, "/x", &shows(&caller)), (200, "hello /x\n".to_owned()));
    let by = |token: &str| lab.through(&node).with("CAIRN_TOKEN", token);
    assert_eq!(by(&caller).ok("fn invoke hello --path /y"), "hello /y\n");
    by(&stranger).fails("fn invoke hello", 4);
    by(&caller).fails("fn logs hello", 4);
    by(&caller).fails("fn deploy hello.wasm --name hello", 4);
}

/// WEB-2: the guest sees who called, and nothing that would let it call as them.
#[test]
fn web_2_functions_see_no_credential_and_no_forged_header() {
    let (_lab, node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("route add /headers hello");
    through.ok("route add /{who}/headers hello");
    let mut headers = shows(&node.token).to_vec();
    headers.extend(["Cairn-Caller: somebody else", "Cairn-Made-Up: x"].map(str::to_owned));
    let (status, seen) = ask(&node, "/headers", &headers);
    assert_eq!(status, 200, "{seen}");
    assert!(seen.contains("(\"cairn-caller\", \"root\")"), "{seen}");
    assert!(!seen.contains(&node.token) && !seen.contains("authorization"), "{seen}");
    assert!(!seen.contains("made-up") && !seen.contains("somebody"), "{seen}");
    assert!(seen.contains("(\"cairn-route\", \"* /headers\")"), "{seen}");
}

#[test]
fn what_breaks_a_limit_is_told_and_harms_nobody() {
    let (_lab, node, through) = node();
    through.ok("fn deploy hello.wasm --name hello --cpu-ms 200 --memory 16M --wall-ms 1000");
    through.ok("route add /{*path} hello --public");
    for (path, status, word) in [
        ("/loop", 500, "cpu_ms"),
        ("/memory", 500, "memory_bytes"),
        ("/sleep", 504, "wall_ms"),
        ("/panic", 500, "trapped"),
        ("/silent", 500, "no answer"),
    ] {
        let (found, body) = ask(&node, path, &[]);
        assert_eq!(found, status, "{path}: {body}");
        let error: Value = serde_json::from_str(&body).unwrap();
        assert!(error["error"]["message"].as_str().unwrap().contains(word), "{path}: {body}");
        assert_eq!(ask(&node, "/x", &[]).0, 200, "after {path}");
    }
    let failed = through.fails("fn deploy hello.wasm --name hello --cpu-ms 0", 2);
    assert!(failed.contains("limits.cpu_ms"), "{failed}");
}

/// FUNCTIONS-3: what was acknowledged is there after `kill -9`, and what was not compiled yet is compiled.
#[test]
fn functions_outlive_kill_9() {
    let (lab, mut node, through) = node();
    through.ok("fn deploy hello.wasm --name hello");
    through.ok("route add /{*path} hello --public");
    for round in 2..5 {
        let made = lab.through(&node).json("fn deploy hello.wasm --name hello --no-wait").remove(0);
        assert_eq!(made["number"], round);
        node = node.killed_with(&lab, UP);
        let through = lab.through(&node);
        assert_eq!(through.ok("fn invoke hello --path /x"), "hello /x\n");
        let states = through.json("fn versions hello");
        assert_eq!(states.len(), round);
        assert_eq!(ask(&node, "/y", &[]), (200, "hello /y\n".to_owned()));
    }
    let through = lab.through(&node);
    let all_ready = || {
        let all = through.json("fn versions hello");
        all.iter().all(|release| release["state"] == "ready")
    };
    while !all_ready() {
        std::thread::yield_now();
    }
    assert_eq!(through.json("fn ls")[0]["current"], 4);
}
