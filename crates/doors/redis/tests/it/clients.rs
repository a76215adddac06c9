//! Clients that others wrote.

use std::process::Output;

use cairn_kv::{At, KeyRange, Scan};
use tokio::process::Command;

use crate::support::{Server, carts};

fn program(name: &str) -> Command {
    Command::new(cairn_testkit::tool::find(name).unwrap())
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    let all = format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert!(output.status.success(), "{all}");
    all
}

fn cli(server: &Server) -> Command {
    let (_, port) = server.address.split_once(':').unwrap();
    let mut cli = program("redis-cli");
    cli.args(["-p", port, "--user", "main/carts", "-a", &server.root, "--no-auth-warning"]);
    cli
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_cli_asks_scans_and_loads() {
    let server = Server::start().await;
    let uri = format!("redis://main%2Fcarts:{}@{}/0", server.root, server.address);
    let set =
        program("redis-cli").args(["-u", &uri, "--no-auth-warning", "SET", "a", "1"]).output();
    assert_eq!(text(&set.await.unwrap()), "OK\n");
    let hello = cli(&server).args(["-3", "MGET", "a", "b"]).output().await.unwrap();
    assert_eq!(text(&hello), "1\n\n");
    // Bulk load, as its documentation tells.
    let load: String = (0..1000)
        .map(|number| format!("*3\r\n$3\r\nSET\r\n$5\r\nk{number:04}\r\n$1\r\nx\r\n"))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("load");
    std::fs::write(&file, load).unwrap();
    let piped = cli(&server)
        .arg("--pipe")
        .stdin(std::fs::File::open(&file).unwrap())
        .output()
        .await
        .unwrap();
    assert!(text(&piped).contains("errors: 0, replies: 1000"), "{}", text(&piped));
    let scanned = cli(&server).args(["--scan", "--pattern", "k*"]).output().await.unwrap();
    assert_eq!(text(&scanned).lines().count(), 1000);
    let page = server.kv.scan(&carts(), &Scan::of(KeyRange::all())).await.unwrap();
    assert_eq!(page.entries.len(), 1001);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_benchmark_runs() {
    let server = Server::start().await;
    let (_, port) = server.address.split_once(':').unwrap();
    for pipeline in ["1", "16"] {
        let ran = program("redis-benchmark")
            .args([
                "-p",
                port,
                "--user",
                "carts",
                "-a",
                &server.root,
                "-q",
                "-n",
                "2000",
                "-r",
                "100",
            ])
            .args(["-P", pipeline, "-t", "ping_inline,ping_mbulk,set,get,incr,mset"])
            .output()
            .await
            .unwrap();
        let said = text(&ran);
        assert_eq!(said.matches("requests per second").count(), 6, "{said}");
        assert!(!said.contains("Error"), "{said}");
    }
    assert!(server.kv.get(&carts(), b"mylist", At::Durable).await.unwrap().is_none());
    server.stop().await;
}

/// redis-py: commands, pipelines, optimistic transactions, scans, and a loop that many use as a lock.
const PYTHON: &str = r#"
import sys, redis
from redis.exceptions import AuthenticationError, ResponseError, WatchError
address, token = sys.argv[1:]
for protocol in (2, 3):
    r = redis.from_url(f"redis://main%2Fcarts:{token}@{address}/0", protocol=protocol)
    r.flushdb()
    assert r.ping() and r.set("a", "1", ex=100) and 98 < r.ttl("a") <= 100
    assert r.set("a", "2", nx=True) is None and r.get("a") == b"1"
    assert r.set("a", "3", get=True, keepttl=True) == b"1" and r.ttl("a") > 90
    assert r.mset({"x": 1, "y": 2}) and r.mget("x", "y", "z") == [b"1", b"2", None]
    assert r.incr("x", 5) == 6 and r.decr("x") == 5 and r.append("y", "!") == 2
    assert r.exists("x", "y", "z") == 2 and r.delete("x", "z") == 1
    assert r.getdel("y") == b"2!" and r.getex("a", persist=True) == b"3" and r.ttl("a") == -1
    with r.pipeline(transaction=False) as pipe:
        for number in range(2000):
            pipe.set(f"k{number:04}", number)
        assert all(pipe.execute())
    assert len(set(r.scan_iter("k*", count=100))) == 2000
    assert sorted(r.keys("k000?")) == [b"k000%d" % n for n in range(10)]
    with r.pipeline() as pipe:
        pipe.watch("a")
        old = int(pipe.get("a"))
        pipe.multi()
        pipe.set("a", old + 1).get("a")
        assert pipe.execute() == [True, b"4"]
        pipe.watch("a")
        r.set("a", "other")
        pipe.multi()
        pipe.set("a", "mine")
        try:
            pipe.execute()
            raise SystemExit("a watched key had changed")
        except WatchError:
            pass
    try:
        r.incr("a")
        raise SystemExit("it is no number")
    except ResponseError as error:
        assert "not an integer" in str(error)
try:
    redis.Redis.from_url(f"redis://carts:wrong@{address}").ping()
    raise SystemExit("a wrong token")
except AuthenticationError:
    pass
print("fine")
"#;

#[tokio::test(flavor = "multi_thread")]
async fn redis_py_works() {
    let server = Server::start().await;
    let ran = program("python3")
        .args(["-c", PYTHON, &server.address, &server.root])
        .output()
        .await
        .unwrap();
    assert_eq!(text(&ran), "fine\n");
    server.stop().await;
}

/// ioredis: reconnects, automatic pipelines, transactions, scans as a stream.
const NODE: &str = r#"
import Redis from 'ioredis';
const [host, port, token] = process.argv.slice(1);
const redis = new Redis({ host, port, username: 'main/carts', password: token, enableAutoPipelining: true });
const same = (found, expected) => {
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    throw new Error(`${JSON.stringify(found)} is not ${JSON.stringify(expected)}`);
  }
};
same(await Promise.all([redis.set('a', '1'), redis.incr('a'), redis.get('a')]), ['OK', 2, '2']);
same(await redis.multi().set('b', '1').incr('b').get('b').exec(), [[null, 'OK'], [null, 2], [null, '2']]);
await redis.watch('b');
await redis.duplicate().set('b', 'other');
same(await redis.multi().get('b').exec(), null);
const many = Array.from({ length: 500 }, (_, number) => [`k${number}`, String(number)]);
same(await redis.mset(new Map(many)), 'OK');
const seen = new Set();
for await (const keys of redis.scanStream({ match: 'k*', count: 50 })) keys.forEach((key) => seen.add(key));
same(seen.size, 500);
same(await redis.getBuffer('a').then((buffer) => buffer.toString()), '2');
same(await redis.set('lock', 'me', 'PX', 10000, 'NX'), 'OK');
same(await redis.set('lock', 'you', 'PX', 10000, 'NX'), null);
same(await redis.call('DELEX', 'lock', 'IFEQ', 'you'), 0);
same(await redis.call('DELEX', 'lock', 'IFEQ', 'me'), 1);
same(await redis.info().then((text) => text.includes('server_name:cairn')), true);
console.log('fine');
process.exit(0);
"#;

#[tokio::test(flavor = "multi_thread")]
async fn ioredis_works() {
    let server = Server::start().await;
    let (host, port) = server.address.split_once(':').unwrap();
    let dir = tempfile::tempdir().unwrap();
    let modules = cairn_testkit::tool::node_modules().unwrap();
    std::os::unix::fs::symlink(modules, dir.path().join("node_modules")).unwrap();
    let ran = program("node")
        .args(["--input-type=module", "-e", NODE, host, port, &server.root])
        .current_dir(dir.path())
        .output()
        .await
        .unwrap();
    assert_eq!(text(&ran), "fine\n");
    server.stop().await;
}
