//! Functions that are told of changes of keys.

use cairn_testkit::guests;
use serde_json::Value;

use crate::documented;
use crate::lab::Lab;
use crate::running_node::Node;

const UP: &str = "--data-dir data";

fn node() -> (Lab, Node, Lab) {
    let lab = Lab::new();
    let node = Node::start_with(&lab, "127.0.0.1:0", UP);
    let through = lab.through(&node);
    (lab, node, through)
}

/// What the function wrote of what it was told: the lines of its input, in capitals.
fn told(through: &Lab) -> Vec<Value> {
    let lines = through.json("fn logs teller");
    let texts = lines.iter().filter_map(|line| line["text"].as_str()?.strip_prefix("told "));
    texts.map(|text| serde_json::from_str(text).unwrap()).collect()
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    assert!((0..2000).any(|_| holds()), "{what}");
}

/// FUNCTIONS-10: in their order, at least once, also those of a time when no node was there; with the function's own grants.
#[test]
fn functions_10_changes_of_keys_are_told_in_their_order() {
    let (lab, node, through) = node();
    std::fs::copy(guests::c("teller").unwrap(), lab.path("teller.wasm")).unwrap();
    through.ok("fn deploy teller.wasm --name teller");
    through.ok("kv create carts");
    through.ok("kv put carts user/0 before");
    through.fails("trigger add teller none", 3);
    through.fails("trigger add none carts", 3);
    through.fails("trigger add teller carts --path x", 2);
    let made = through.json("trigger add teller carts --prefix user/").remove(0);
    documented::check("trigger add", &made);
    through.fails("trigger add teller carts", 5);
    through.ok("kv put carts user/1 one");
    // It may not read them yet, and says so.
    let failing = || through.json("trigger ls").remove(0);
    until("the trigger fails", || failing()["failures"] != 0);
    documented::check("trigger add", &failing());
    through.ok("grant add function/@main/teller reader carts");
    until("the first change is told", || !told(&through).is_empty());
    through.ok("kv put carts other two");
    through.ok("kv put carts user/2 three");
    through.ok("kv del carts user/1");
    until("three changes are told", || told(&through).len() >= 3);
    let said = told(&through);
    assert_eq!((&said[0]["key"], &said[0]["value"]), (&"user/1".into(), &"one".into()));
    assert_eq!((&said[1]["key"], &said[1]["value"]), (&"user/2".into(), &"three".into()));
    assert_eq!((&said[2]["type"], &said[2]["key"]), (&"delete".into(), &"user/1".into()));
    let seqs: Vec<u64> = said.iter().map(|line| line["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted(), "{seqs:?}");
    until("it is written down", || failing()["told"].as_u64() >= seqs.last().copied());
    // What changes while the function fails is told once it is well again, after a node's end too.
    through.ok("kv put carts user/fail four");
    until("the function fails", || failing()["error"] == "exit code 1");
    let _node = node.killed_with(&lab, UP);
    through.ok("fn deploy teller.wasm --name teller --env FORGIVE=1");
    until("it is told again", || told(&through).iter().any(|line| line["key"] == "user/fail"));
    documented::check("trigger rm", &through.json("trigger rm teller")[0]);
    assert!(through.json("trigger ls").is_empty());
}
