//! Keys read out of the bucket, beside the node that owns them (READ-1).

use super::DATA;
use crate::lab::Lab;
use crate::process::{files_below, until};
use crate::running_node::Node;

/// READ-1: what only reads needs no node, in an encrypted bucket too, while the node goes on and when it is
/// gone; it writes nothing.
#[test]
fn read_1_what_only_reads_needs_no_node() {
    let lab = Lab::new().with("CAIRN_PASSPHRASE", "a long one");
    lab.ok("init --encrypt");
    let node = Node::start_with(&lab, "127.0.0.1:0", DATA);
    let through = lab.through(&node);
    assert!(lab.fails("kv get carts a", 3).contains("there is no namespace @main/carts"));
    through.ok("kv create carts");
    through.ok("kv put carts a one");
    through.ok("kv put carts b two --ttl 1h");
    lab.write("large", vec![7; 5 << 20]);
    through.ok("kv put carts large --file large");
    let seq = |lab: &Lab| lab.json("kv status carts").remove(0)["seq"].as_u64();
    until("the bucket has it", || (seq(&lab) == Some(3)).then_some(()));
    assert_eq!(lab.ok("kv get carts a"), "one\n");
    assert_eq!(lab.ok("kv ls"), "@main/carts\n");
    assert_eq!(lab.json("kv scan carts"), through.json("kv scan carts"));
    assert_eq!(lab.json("kv ttl carts b"), through.json("kv ttl carts b"));
    lab.ok("kv get carts large -o out");
    assert_eq!(std::fs::read(lab.path("out")).unwrap(), vec![7; 5 << 20]);
    let mut watch = lab.start("--json kv watch carts --after 2");
    let (_, line) = (watch.line(), watch.line());
    assert!(line.contains("\"seq\":3"), "what is there: {line}");
    through.ok("kv put carts a three");
    assert!(watch.line().contains("\"seq\":4"), "what comes");
    watch.kill();
    assert_eq!(lab.ok("kv get carts a --at 1"), "one\n");
    for change in ["kv put carts a x", "kv del carts a", "kv rm carts --yes", "kv create other"] {
        assert!(lab.fails(change, 2).contains("this command talks to a node"), "{change}");
    }
    node.kill();
    let objects = || {
        let mut files = files_below(lab.bucket());
        files.retain(|file| !file.starts_with(lab.bucket().join(".cairn-bucket")));
        files
    };
    let before = objects();
    assert_eq!(lab.ok("kv get carts a"), "three\n");
    assert_eq!(lab.ok("kv export carts --prefix a"), "{\"key\":\"a\",\"value\":\"three\"}\n");
    assert_eq!(objects(), before, "a reader writes nothing");
}
