//! `cairn kv` against a door with namespaces in memory.

use std::sync::Arc;

use cairn_access::{Access, Plain};
use cairn_bucket::Bucket;
use cairn_datasets::{Datasets, Uploads};
use cairn_env::Env;
use cairn_http::DoorBuilder;
use cairn_kv::Kv;
use cairn_partition::MemoryStore;
use serde_json::Value;

use crate::documented;
use crate::lab::Lab;

/// A door in this process that keeps keys in its memory.
struct Door {
    _runtime: tokio::runtime::Runtime,
    url: String,
    token: String,
}

impl Door {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (url, token) = runtime.block_on(async {
            let env = Env::real();
            let bucket = Bucket::memory(&env);
            let options = cairn_blocks::Options::default();
            let datasets =
                Datasets::open_or_init(bucket.clone(), None, options, &env).await.unwrap();
            let (access, first) =
                Access::bootstrap(bucket, env.clone(), Arc::new(Plain)).await.unwrap();
            let uploads = Uploads::new(datasets.clone());
            let kv = Kv::new(Arc::new(MemoryStore::new(&env)), &datasets);
            let door = DoorBuilder::new(datasets, uploads, access).kv(kv).build().unwrap();
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            tokio::spawn(async move {
                let never = std::future::pending();
                door.serve(listener, cairn_http::Transport::Plain, never).await.unwrap();
            });
            (url, first.unwrap().token.expose().to_owned())
        });
        Self { _runtime: runtime, url, token }
    }

    fn lab(&self) -> Lab {
        Lab::new().by_profile().with("CAIRN_URL", &self.url).with("CAIRN_TOKEN", &self.token)
    }
}

/// A value as text; its output is read by lines.
fn value(lab: &Lab, words: &str) -> String {
    lab.ok(words).trim_end().to_owned()
}

#[test]
fn keys_are_put_read_swapped_and_removed() {
    let door = Door::start();
    let lab = door.lab();
    let made = lab.json("kv create carts --history 2h").remove(0);
    documented::check("kv status", &made);
    assert_eq!((&made["durable"], &made["history_ms"]), (&"log".into(), &7_200_000.into()));
    assert!(lab.fails("kv create carts", 5).contains("there is a namespace @main/carts already"));
    let put = lab.json("kv put carts alice one").remove(0);
    documented::check("kv put", &put);
    let printed = lab.cairn("kv get carts alice").output().unwrap();
    assert_eq!(printed.stdout, b"one", "byte for byte, without an end of line");
    let entry = lab.json("kv get carts alice").remove(0);
    documented::check("kv get", &entry);
    assert_eq!(entry["seq"], put["seq"]);
    assert!(
        lab.fails("kv put carts alice two --if-absent", 5).contains("is there (since commit 1)")
    );
    let clone = lab.json("kv clone carts trial").remove(0);
    documented::check("kv status", &clone);
    assert_eq!((&clone["name"], &clone["history_ms"]), (&"trial".into(), &7_200_000.into()));
    lab.fails("kv clone carts trial", 5);
    lab.fails("kv clone nothing other", 3);
    lab.fails("kv clone carts @lab/other", 2);
    lab.fails("kv clone carts elsewhere.test/other", 2);
    lab.ok("kv cas carts alice --expect 1 two");
    assert_eq!(value(&lab, "kv get trial alice"), "one");
    lab.fails("kv cas carts alice --expect 1 three", 5);
    lab.ok("kv cas carts bob --expect 0 new");
    assert_eq!(value(&lab, "kv get carts alice --at 1"), "one");
    assert_eq!(value(&lab, "kv get carts alice --at 0s"), "two");
    let all: Vec<u8> = (0..=255).collect();
    lab.write("value.bin", &all);
    lab.ok("kv put carts a/b%2f..c --file value.bin");
    lab.ok("kv get carts a/b%2f..c -o out.bin");
    assert_eq!(std::fs::read(lab.path("out.bin")).unwrap(), all);
    for climbing in [".", ".."] {
        lab.ok(&format!("kv put carts {climbing} odd --if-absent"));
        assert_eq!(value(&lab, &format!("kv get carts {climbing}")), "odd");
        lab.ok(&format!("kv del carts {climbing}"));
        lab.fails(&format!("kv get carts {climbing}"), 3);
    }
    assert!(
        lab.fails("kv get carts nobody", 3).contains("there is no key \"nobody\" in @main/carts")
    );
    assert!(lab.fails("kv get none k", 3).contains("there is no namespace @main/none"));
    lab.fails("kv get carts:tag k", 2);
    lab.fails("kv get carts alice --at yesterday", 2);
    lab.cairn_refuses("kv del carts");
    documented::check("kv del", &lab.json("kv del carts alice bob").remove(0));
    lab.fails("kv get carts alice", 3);
    lab.fails("kv rm carts", 2);
    documented::check("kv rm", &lab.json("kv rm carts --yes").remove(0));
    lab.fails("kv status carts", 3);
}

#[test]
fn keys_are_scanned_watched_and_timed() {
    let door = Door::start();
    let lab = door.lab();
    lab.ok("kv create @lab/s");
    for number in 0..5 {
        lab.ok(&format!("kv put @lab/s user/{number} v{number}"));
    }
    lab.ok("kv put @lab/s other x --ttl 1h");
    documented::check("kv ls", &lab.json("kv ls @lab").remove(0));
    assert_eq!(lab.ok("kv ls @lab"), "@lab/s\n");
    assert_eq!(lab.ok("kv ls"), "");
    for entry in lab.json("kv scan @lab/s") {
        documented::check("kv scan", &entry);
    }
    assert_eq!(lab.ok("kv scan @lab/s --prefix user/ --keys -r -n 2"), "user/4\nuser/3\n");
    assert_eq!(lab.ok("kv scan @lab/s --from p --to user/1"), "       1  user/0  v0\n");
    assert_eq!(lab.ok("kv scan @lab/s --keys --at 2"), "user/0\nuser/1\n");
    let ttl = lab.json("kv ttl @lab/s other").remove(0);
    documented::check("kv ttl", &ttl);
    assert!(ttl["expires_ms"].as_u64().is_some());
    assert_eq!(lab.ok("kv ttl @lab/s other --none"), "lives for ever\n");
    assert!(lab.ok("kv ttl @lab/s other 30d").starts_with("lives until 20"));
    let mut watch = lab.start("--json kv watch @lab/s --after 4 --prefix user/");
    let mut told: Vec<Value> = Vec::new();
    while told.iter().filter(|line| line["type"] != "position").count() < 2 {
        let line = serde_json::from_str(&watch.line()).unwrap();
        documented::check("kv watch", &line);
        told.push(line);
        if told.len() == 2 {
            lab.ok("kv del @lab/s --prefix user/");
        }
    }
    let changes: Vec<_> = told.iter().filter(|line| line["type"] != "position").collect();
    assert_eq!((&changes[0]["key"], &changes[0]["seq"]), (&"user/4".into(), &5.into()));
    assert_eq!((&changes[1]["type"], &changes[1]["to"]), (&"delete_range".into(), &"user0".into()));
    watch.kill();
    lab.fails("kv watch @lab/s --after 999", 2);
}

/// KV-1 by the commands: an export imported elsewhere gives the same, and a wrong line is named.
#[test]
fn kv_1_what_is_exported_is_imported() {
    let door = Door::start();
    let lab = door.lab();
    lab.ok("kv create a");
    lab.ok("kv create @lab/b --durable bucket");
    lab.write("bin", [0_u8, 255, 10]);
    lab.ok("kv put a bin --file bin");
    lab.ok("kv put a text hello --ttl 8w");
    let lines = lab.ok("kv export a");
    assert_eq!(lines.lines().count(), 2);
    lab.write("a.ndjson", &lines);
    documented::check("kv import", &lab.json("kv import @lab/b a.ndjson").remove(0));
    assert_eq!(lab.ok("kv export @lab/b"), lines);
    lab.write("wrong.ndjson", format!("{lines}{{\"key\":\"x\"}}\n"));
    let said = lab.fails("kv import @lab/b wrong.ndjson", 2);
    assert!(said.contains("line 3: it has neither value nor value_base64"), "{said}");
    lab.fails("kv import @lab/b missing.ndjson", 3);
    let status = lab.json("kv set @lab/b --durable log").remove(0);
    assert_eq!(status["durable"], "log");
}
