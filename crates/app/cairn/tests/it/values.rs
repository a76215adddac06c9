//! Large values of keys on a real node: `cairn`, curl, kills and collections.

use std::io::Write as _;
use std::process::{Command, Output};

use crate::identity::program;
use crate::lab::Lab;
use crate::process::{Running, files_below, until};
use crate::running_node::Node;
use crate::tree::Rng;

const MIB: usize = 1 << 20;
const DATA: &str = "--data-dir data";

/// A node that keeps keys, and a lab whose commands go through it.
fn served() -> (Lab, Node, Lab) {
    let lab = Lab::new();
    let node = Node::start_with(&lab, "127.0.0.1:0", DATA);
    let through = lab.through(&node);
    (lab, node, through)
}

/// curl on the keys of a namespace; it must end well.
#[track_caller]
fn curl(node: &Node, args: &[&str], key: &str) -> Output {
    let mut curl = Command::new(program("curl"));
    curl.args(["-sS", "-u", &format!(":{}", node.token)]).args(args);
    let out = curl.arg(format!("{}/api/v1/kv/main/files/keys/{key}", node.url)).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    out
}

#[test]
fn large_values_go_in_and_out_by_cairn_and_curl() {
    let (lab, node, through) = served();
    let big = Rng(1).noise(23 * MIB + 5);
    lab.write("big", &big);
    through.ok("kv create files");
    assert_eq!(through.ok("kv put files big --file big"), "commit 1\n");
    through.ok("kv get files big -o out");
    assert_eq!(std::fs::read(lab.path("out")).unwrap(), big);
    let printed = through.cairn("kv get files big").output().unwrap();
    assert!(printed.stdout == big, "byte for byte");
    let entry = through.json("kv get files big").remove(0);
    crate::documented::check("kv get", &entry);
    assert_eq!((&entry["large"], &entry["size"]), (&true.into(), &big.len().into()));
    let scanned = through.json("kv scan files").remove(0);
    crate::documented::check("kv scan", &scanned);
    assert_eq!(scanned, entry);
    assert_eq!(through.ok("kv scan files"), "       1  big  (23.0 MiB)\n");
    let (piped, mut pipe) = Running::held(through.cairn("kv put files piped -"));
    pipe.write_all(&big).unwrap();
    drop(pipe);
    let piped = piped.end();
    assert_eq!(piped.code, Some(0), "{}", piped.stderr);
    let path = lab.path("big").display().to_string();
    assert_eq!(curl(&node, &["-f", "-T", &path], "curled").stdout, br#"{"seq":3}"#);
    // Without a length.
    let chunked = ["-f", "-T", &path, "-H", "Transfer-Encoding: chunked", "-H", "If-None-Match: *"];
    assert_eq!(curl(&node, &chunked, "chunked").stdout, br#"{"seq":4}"#);
    for key in ["piped", "curled", "chunked"] {
        assert!(curl(&node, &["-f"], key).stdout == big, "{key}");
    }
    let range = curl(&node, &["-f", "-r", "9000000-9999999"], "chunked").stdout;
    assert!(range == big[9_000_000..10_000_000], "a range is what lies there");
    let head = String::from_utf8(curl(&node, &["-f", "-I"], "big").stdout).unwrap();
    assert!(head.contains(&format!("content-length: {}", big.len())), "{head}");
    let code = ["-o", "/dev/null", "-w", "%{http_code}", "-T", &path, "-H", "If-None-Match: *"];
    assert_eq!(curl(&node, &code, "big").stdout, b"412");
    through.ok("kv ttl files big 8w");
    let mut watch = through.start("--json kv watch files --after 4");
    let told = (0..2).map(|_| serde_json::from_str::<serde_json::Value>(&watch.line()).unwrap());
    for line in told {
        crate::documented::check("kv watch", &line);
    }
    watch.kill();
    let exported = through.ok("kv export files --prefix c");
    lab.write("c.ndjson", &exported);
    let said = through.fails("kv import files c.ndjson", 2);
    assert!(said.contains("line 1: it stands for a large value"), "{said}");
    assert_eq!(node.stop().code, Some(0));
}

/// KV-5: what was acknowledged is there after a kill and collections, also in the past, and a put that was
/// cut off changes nothing.
#[test]
fn kv_5_large_values_survive_kills_and_collections() {
    let (lab, node, through) = served();
    through.ok("kv create files --history 1d");
    let (old, new) = (Rng(2).noise(9 * MIB), Rng(3).noise(7 * MIB));
    lab.write("old", &old);
    lab.write("new", &new);
    through.ok("kv put files k --file old");
    through.ok("kv put files k --file new");
    let packs = || files_below(&lab.bucket().join("packs")).len();
    let before = packs();
    let (cut_off, mut pipe) = Running::held(through.cairn("kv put files k -"));
    pipe.write_all(&Rng(4).noise(40 * MIB)).unwrap();
    until("a pack of what comes", || (packs() > before).then_some(()));
    let node = node.killed_with(&lab, DATA);
    drop(pipe);
    assert_ne!(cut_off.end().code, Some(0));
    for _ in 0..2 {
        lab.ok("gc --grace 0s");
    }
    lab.verify();
    let through = lab.through(&node);
    let read = |words: &str| through.cairn(&format!("kv get files k {words}")).output().unwrap();
    assert!(read("--at 1").stdout == old, "the past is there");
    assert!(read("--at 2").stdout == new, "and what came after it");
    assert!(read("").stdout == new, "a put that was cut off changes nothing");
    through.ok("kv rm files --yes");
    assert_eq!(files_below(&lab.bucket().join("values")).len(), 0);
    for _ in 0..2 {
        lab.ok("gc --grace 0s");
    }
    lab.verify();
    assert_eq!(node.stop().code, Some(0));
}
