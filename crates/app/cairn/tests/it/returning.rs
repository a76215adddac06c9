//! What functions are made of comes back, and is done again, from a backup and from the bucket alone.

use std::time::Duration;

use serde_json::Value;

use crate::functions::ask;
use crate::lab::Lab;
use crate::process::{pause, until};
use crate::running_node::Node;

const UP: &str = "--data-dir data --web 127.0.0.1:0";
/// Another disk.
const ANEW: &str = "--data-dir anew --web 127.0.0.1:0";
/// Whatever was acknowledged is shipped by then.
const SHIPPED: Duration = Duration::from_millis(1500);

/// Lets all pass, and says so in a header.
const FILTER: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "Status: 204\ncairn-set-passed: the filter\n\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 42))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

/// Keeps what it is given as `told` among its keys, and makes it its output.
const KEEPS: &str = r#"(module
  (import "core" "get_input_buffer_id" (func $input (result i32)))
  (import "core" "get_output_buffer_id" (func $output (result i32)))
  (import "core" "read_exchange_buffer" (func $read (param i32 i32 i32) (result i32)))
  (import "core" "write_exchange_buffer" (func $write (param i32 i32 i32) (result i32)))
  (import "core" "persistence_set" (func $set (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "told")
  (func (export "main") (result i32) (local $size i32)
    (local.set $size (call $read (call $input) (i32.const 1024) (i32.const 60000)))
    (drop (call $write (call $output) (i32.const 1024) (local.get $size)))
    (call $set (i32.const 16) (i32.const 4) (i32.const 1024) (local.get $size))))"#;

const PLAN: &str = r#"
[steps.copy]
function = "keeper"
files = "books/text"
"#;

/// What was there before.
struct Kept {
    plan: String,
    call: String,
}

fn one<'a>(rows: &'a [Value], name: &str) -> &'a Value {
    rows.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("{name}: {rows:?}"))
}

fn scheduled(through: &Lab) -> Value {
    through.json("cron ls").remove(0)
}

impl Kept {
    fn make(lab: &Lab, node: &Node, through: &Lab) -> Self {
        let hello = cairn_testkit::guests::rust("hello").unwrap();
        std::fs::copy(hello, lab.path("hello.wasm")).unwrap();
        for (name, code) in [("filter.wat", FILTER), ("keeper.wat", KEEPS), ("plan.toml", PLAN)] {
            lab.write(name, code);
        }
        lab.write("books/text/one", "some words\n");
        through.ok("push books books");
        through.ok("fn deploy hello.wasm --name hello --env WHO=one");
        through.ok("fn deploy hello.wasm --name hello --env WHO=two");
        through.ok("fn rollback hello");
        through.ok("fn deploy filter.wat --name filter");
        through.ok("fn deploy keeper.wat --name keeper");
        through.ok("filter add filter hello --priority 3");
        through.ok("route add /{*path} hello --public");
        through.ok("route files /books/{*path} books --public");
        through.ok("kv create carts");
        through.ok("kv put carts before there");
        through.ok("grant add function/@main/keeper reader carts");
        through.ok("grant add function/@main/keeper writer keeper");
        through.ok("trigger add keeper carts");
        let cron = through.cairn("cron add").args(["* * * * * *", "hello"]).output().unwrap();
        assert!(cron.status.success(), "{cron:?}");
        assert_eq!(through.ok("plan run plan.toml --output"), "some words\n");
        let plan = through.json("plan ls")[0]["id"].as_str().unwrap().to_owned();
        lab.write("input", "of a call\n");
        let call = "fn invoke keeper --input input --later --key a-key";
        let call = through.ok(call).trim().to_owned();
        assert_eq!(through.ok(&format!("fn result keeper {call}")), "of a call\n");
        let kept = Self { plan, call };
        kept.assert_in(node, through, "before");
        pause(SHIPPED);
        kept
    }

    /// All of it serves, without anybody having done anything.
    #[track_caller]
    fn assert_in(&self, node: &Node, through: &Lab, mark: &str) {
        let (status, seen) = ask(node, "/headers", &[]);
        assert_eq!(status, 200, "{seen}");
        assert!(seen.contains("(\"passed\", \"the filter\")"), "{seen}");
        assert_eq!(ask(node, "/environment", &[]).1, "[(\"WHO\", \"one\")]\n");
        assert_eq!(ask(node, "/books/text/one", &[]), (200, "some words\n".to_owned()));
        let all = through.json("fn ls");
        assert_eq!((&one(&all, "hello")["current"], all.len()), (&1.into(), 3));
        assert_eq!(through.json("fn versions hello").len(), 2);
        // A tick that nobody saw before.
        let last = |row: &Value| row["last"]["tick_ms"].as_u64().unwrap_or(0);
        let before = last(&scheduled(through));
        let ran = until("a tick", || {
            let row = scheduled(through);
            (last(&row) > before && row["last"]["outcome"] == "ok").then_some(row)
        });
        assert_eq!(ran["schedule"], "* * * * * *");
        // A change that is made now.
        assert_eq!(through.ok("kv get carts before"), "there\n");
        through.ok(&format!("kv put carts cart {mark}"));
        until("the trigger tells", || {
            through.run("kv get keeper told").stdout().contains(mark).then_some(())
        });
        let plan = &self.plan;
        assert_eq!(through.ok(&format!("plan output plan {plan}")), "some words\n");
        assert_eq!(through.json(&format!("plan show plan {plan}"))[0]["state"], "done");
        let call = &self.call;
        assert_eq!(through.ok(&format!("fn result keeper {call}")), "of a call\n");
        // The key is the call's, and what was done is not done again.
        let again = through.ok("fn invoke keeper --input input --later --key a-key");
        assert_eq!(again.trim(), call);
        let again = through.json("plan run plan.toml").remove(0);
        assert_eq!((&again["state"], &again["steps"][0]["reused"]), (&"done".into(), &1.into()));
    }
}

/// BACKUP-1: a node on what was restored serves all of it.
#[test]
fn backup_1_functions_come_back_and_serve() {
    let lab = Lab::new();
    let node = Node::start_with(&lab, "127.0.0.1:0", UP);
    let through = lab.through(&node);
    let kept = Kept::make(&lab, &node, &through);
    lab.ok("backup create");
    for gone in
        ["cron rm hello", "trigger rm keeper", "kv rm carts --yes", "fn rm hello --with-routes"]
    {
        through.ok(gone);
    }
    lab.ok("backup restore --to restored");
    let token = node.token.clone();
    assert_eq!(node.stop().code, Some(0));
    let copy = Lab::with_bucket(lab.path("restored"));
    for name in ["input", "plan.toml"] {
        copy.write(name, std::fs::read(lab.path(name)).unwrap());
    }
    let node = Node::start_with(&copy, "127.0.0.1:0", UP);
    let through = copy.with("CAIRN_TOKEN", &token);
    let through = through.with("CAIRN_URL", &node.url).without("CAIRN_BUCKET");
    kept.assert_in(&node, &through, "restored");
    assert_eq!(node.stop().code, Some(0));
}

/// LOG-2, FUNCTIONS-3: a node with another disk serves what is in the bucket.
#[test]
fn functions_3_a_node_on_another_disk_serves_what_the_bucket_has() {
    let lab = Lab::new();
    let node = Node::start_with(&lab, "127.0.0.1:0", UP);
    let through = lab.through(&node);
    let kept = Kept::make(&lab, &node, &through);
    let token = node.token.clone();
    node.kill();
    std::fs::remove_dir_all(lab.path("data")).unwrap();
    let node = Node::start_with(&lab, "127.0.0.1:0", ANEW);
    let through = lab.with("CAIRN_TOKEN", &token);
    let through = through.with("CAIRN_URL", &node.url).without("CAIRN_BUCKET");
    kept.assert_in(&node, &through, "anew");
    assert_eq!(node.stop().code, Some(0));
}

/// Without any time for the log to be shipped: what was asked for of functions is in the bucket when it is acknowledged.
#[test]
fn what_was_acknowledged_outlives_the_disk_of_its_node() {
    let lab = Lab::new();
    let node = Node::start_with(&lab, "127.0.0.1:0", UP);
    let through = lab.through(&node);
    lab.write("keeper.wat", KEEPS);
    lab.write("input", "some words");
    through.ok("fn deploy keeper.wat --name keeper");
    through.ok("grant add function/@main/keeper writer keeper");
    let call = through.json("fn invoke keeper --input input --later").remove(0);
    through.ok("route add /last keeper --public");
    let node = node.restarted(&lab, ANEW, || ());
    let through = lab.through(&node);
    until("the node serves", || (ask(&node, "/last", &[]).0 == 200).then_some(()));
    let id = call["id"].as_str().unwrap();
    assert_eq!(through.ok(&format!("fn result keeper {id}")).trim_end(), "some words");
}
