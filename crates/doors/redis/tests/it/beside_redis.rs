//! The same commands to Redis itself: the same answers, byte for byte but for the texts of errors.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;
use tokio::net::TcpStream;

use crate::support::{Client, Server, command};

struct Redis {
    child: Child,
    address: String,
}

impl Redis {
    fn start(dir: &std::path::Path) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port().to_string();
        drop(free);
        let mut redis = Command::new(cairn_testkit::tool::find("redis-server").unwrap());
        redis.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(dir);
        let child = redis.stdout(Stdio::null()).spawn().unwrap();
        Self { child, address: format!("127.0.0.1:{port}") }
    }

    async fn client(&self) -> Client {
        while TcpStream::connect(&self.address).await.is_err() {
            // tidy: foreign process
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Client::connect(&self.address).await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

const NAMES: [&str; 40] = [
    "GET",
    "SET",
    "SETNX",
    "GETSET",
    "GETDEL",
    "GETEX",
    "MGET",
    "MSET",
    "MSETNX",
    "STRLEN",
    "APPEND",
    "GETRANGE",
    "SUBSTR",
    "SETRANGE",
    "INCR",
    "DECR",
    "INCRBY",
    "DECRBY",
    "DEL",
    "UNLINK",
    "EXISTS",
    "TOUCH",
    "TYPE",
    "RENAME",
    "RENAMENX",
    "EXPIREAT",
    "PEXPIREAT",
    "PERSIST",
    "TTL",
    "EXPIRETIME",
    "PEXPIRETIME",
    "SETEX",
    "PSETEX",
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH",
    "EXPIRE",
    "FLUSHDB",
    "MULTI",
];

/// The words that these commands take, most of them in the right place.
fn given() -> impl Strategy<Value = Vec<String>> {
    let key = || proptest::sample::select(vec!["a", "b", "c"]);
    let value = || {
        let values =
            ["x", "10", "-5", "9223372036854775807", "007", "+5", " 1", "1.5", "some text"];
        proptest::sample::select(values.to_vec())
    };
    let number =
        || proptest::sample::select(vec!["0", "1", "-1", "3", "-3", "100", "4000000000", "x"]);
    let option = || {
        let all = [
            "NX",
            "XX",
            "GET",
            "KEEPTTL",
            "EXAT",
            "PXAT",
            "4000000000",
            "4000000000000",
            "PERSIST",
            "GT",
            "LT",
            "1",
        ];
        proptest::sample::select(all.to_vec())
    };
    let any = || prop_oneof![3 => key(), 3 => value(), 2 => number(), 2 => option()];
    let name = proptest::sample::select(NAMES.to_vec());
    let words = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect::<Vec<_>>();
    prop_oneof![
        4 => (name.clone(), key(), prop::collection::vec(any(), 0..4)).prop_map(move |(name, key, rest)| {
            words([vec![name, key], rest].concat())
        }),
        3 => (key(), prop_oneof![1 => Just(""), 5 => value()], prop::collection::vec(option(), 0..4)).prop_map(move |(key, value, options)| {
            words([vec!["SET", key, value], options].concat())
        }),
        1 => (key(), prop::collection::vec(option(), 0..3)).prop_map(move |(key, options)| {
            words([vec!["GETEX", key], options].concat())
        }),
        2 => (key(), option()).prop_map(move |(key, option)| {
            words(vec!["PEXPIREAT", key, "4000000000000", option])
        }),
        1 => proptest::sample::select(vec!["MULTI", "EXEC", "DISCARD", "WATCH a", "WATCH b c"]).prop_map(move |all| {
            words(all.split(' ').collect())
        }),
        2 => (name, prop::collection::vec(key(), 0..4)).prop_map(move |(name, keys)| {
            words([vec![name], keys].concat())
        }),
        1 => (key(), number(), number()).prop_map(move |(key, from, to)| {
            words(vec!["GETRANGE", key, from, to])
        }),
        1 => (key(), number(), value()).prop_map(move |(key, at, value)| {
            words(vec!["SETRANGE", key, at, value])
        }),
        1 => (prop::collection::vec((key(), value()), 1..3)).prop_map(move |pairs| {
            let pairs = pairs.into_iter().flat_map(|(key, value)| [key, value]).collect();
            words([vec!["MSETNX"], pairs].concat())
        }),
    ]
}

/// Errors are the same when their codes are: their texts are ours. Also in lists.
fn comparable(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let lines = text.split("\r\n").map(|line| match line.strip_prefix('-') {
        Some(error) if !error.starts_with(|first: char| first.is_ascii_digit()) => {
            format!("-{}", error.split(' ').next().unwrap_or_default())
        }
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\r\n")
}

/// The same, but for what is left of a long time: a second may end between the two answers.
fn alike(found: &str, expected: &str) -> bool {
    let left = |line: &str| line.strip_prefix(':')?.parse::<i64>().ok();
    let long = 1_000_000_000..3_000_000_000;
    let same = |(found, expected): (&str, &str)| {
        let second = left(found)
            .zip(left(expected))
            .is_some_and(|(a, b)| long.contains(&a) && a.abs_diff(b) <= 1);
        found == expected || second
    };
    found.lines().count() == expected.lines().count()
        && found.lines().zip(expected.lines()).all(same)
}

/// Keys that are not there when they are watched. What the two differ in, on purpose: made and removed again,
/// such a key is as it was here, and a change there.
struct Absent {
    /// Of Redis, outside of its transaction.
    client: Client,
    watched: Vec<String>,
}

impl Absent {
    async fn note(&mut self, words: &[String], answer: &str) {
        let is = |name: &str| words[0].eq_ignore_ascii_case(name);
        if (is("EXEC") || is("DISCARD")) && !answer.starts_with('-') {
            self.watched.clear();
        }
        if is("WATCH") && answer == "+OK\r\n" {
            for key in &words[1..] {
                if self.is_absent(key).await {
                    self.watched.push(key.clone());
                }
            }
        }
    }

    /// Whether one of them is not there again, or still.
    async fn again(&mut self) -> bool {
        for key in self.watched.clone() {
            if self.is_absent(&key).await {
                return true;
            }
        }
        false
    }

    async fn is_absent(&mut self, key: &str) -> bool {
        self.client.ask(&["EXISTS", key]).await == ":0"
    }
}

/// A time to live that ends in the run: for the one before a read, for the other one after it.
fn ends_soon(words: &[String]) -> bool {
    let name = words[0].to_ascii_uppercase();
    let sets = ["SETEX", "PSETEX", "EXPIRE", "PEXPIRE"].contains(&name.as_str());
    sets && words.iter().any(|word| ["1", "3", "10", "100", "007"].contains(&word.as_str()))
}

/// What the two differ in, on purpose: places beyond 4 MiB in a value, and a time to live of more than a
/// hundred years.
fn beyond(words: &[String]) -> bool {
    let is = |name: &str| words[0].eq_ignore_ascii_case(name);
    let says = |what: &str| words.iter().any(|word| word == what);
    let in_ms = is("PEXPIREAT") || (is("SET") || is("GETEX")) && says("PXAT") && !says("EXAT");
    says("4000000000000") && !in_ms
        || is("SETRANGE") && words.get(2).is_some_and(|at| at == "4000000000")
        || says("9223372036854775807") && (words[0].contains("EX") || says("PXAT") || says("EXAT"))
        || (is("EXPIRE") || is("SETEX")) && says("4000000000")
}

#[test]
fn redis_answers_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Redis::start(dir.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    let config = ProptestConfig { cases: 600, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let sequences = prop::collection::vec(
        given().prop_filter("beyond", |words| !beyond(words) && !ends_soon(words)),
        1..40,
    );
    let done = runner.run(&sequences, |sequence| {
        runtime.block_on(async {
            let (mut theirs, mut ours) = (redis.client().await, server.client().await);
            for client in [&mut theirs, &mut ours] {
                client.ask(&["FLUSHDB"]).await;
            }
            let mut absent = Absent { client: redis.client().await, watched: Vec::new() };
            for words in &sequence {
                let bytes = command(words);
                theirs.send(&bytes).await;
                ours.send(&bytes).await;
                let expected = theirs.answer().await.unwrap();
                let found = ours.answer().await.unwrap();
                let (found, expected) = (comparable(&found), comparable(&expected));
                if expected == "*-1\r\n" && found != expected && absent.again().await {
                    return;
                }
                absent.note(words, &expected).await;
                let told = format!("{words:?}: {found:?}, not {expected:?}, of {sequence:?}");
                assert!(alike(&found, &expected), "{told}");
            }
        });
        Ok(())
    });
    done.unwrap();
    runtime.block_on(server.stop());
}

/// What is left of a long time, told on a machine that was busy for a while before it asked.
fn a_little_later(answer: &str, expected: &str) -> bool {
    let number = |text: &str| text.strip_prefix(':')?.parse::<i64>().ok();
    let (Some(told), Some(full)) = (number(answer), number(expected)) else { return false };
    full >= 10_000 && (full - 1_000..full).contains(&told)
}

/// Answers that hold a time, or are in no order.
#[tokio::test(flavor = "multi_thread")]
async fn redis_answers_alike_where_time_and_order_play_a_part() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Redis::start(dir.path());
    let server = Server::start().await;
    let mut both = [redis.client().await, server.client().await];
    let mut said = [Vec::new(), Vec::new()];
    for (client, said) in both.iter_mut().zip(&mut said) {
        for (words, expected) in [
            (&["SET", "a", "1", "EX", "10000"][..], "+OK"),
            (&["TTL", "a"], ":10000"),
            (&["EXPIRE", "a", "20000", "GT"], ":1"),
            (&["TTL", "a"], ":20000"),
            (&["EXPIRE", "a", "30000", "LT"], ":0"),
            (&["SET", "a", "2", "KEEPTTL"], "+OK"),
            (&["TTL", "a"], ":20000"),
            (&["INCR", "a"], ":3"),
            (&["TTL", "a"], ":20000"),
            (&["GETEX", "a", "PERSIST"], "$1 3"),
            (&["TTL", "a"], ":-1"),
            (&["PEXPIRE", "a", "0"], ":1"),
            (&["EXISTS", "a"], ":0"),
            (&["SETEX", "a", "10000", "v"], "+OK"),
            (&["RENAME", "a", "b"], "+OK"),
            (&["TTL", "b"], ":10000"),
            (&["SET", "b", "w"], "+OK"),
            (&["TTL", "b"], ":-1"),
            (&["DBSIZE"], ":1"),
            (&["ECHO", "x"], "$1 x"),
            (&["SELECT", "0"], "+OK"),
        ] {
            let answer = client.ask(words).await;
            assert!(answer == expected || a_little_later(&answer, expected), "{words:?} {answer}");
        }
        for key in ["user:1", "user:2", "user:[x]", "item"] {
            client.ask(&["SET", key, "x"]).await;
        }
        for pattern in ["*", "user:*", "user:[12]", "user:\\[x]", "u*r:?", "[^u]*", "none"] {
            let answer = client.ask(&["KEYS", pattern]).await;
            let mut keys: Vec<&str> = answer.split(' ').collect();
            keys.sort_unstable();
            said.push(format!("{pattern} {keys:?}"));
        }
    }
    assert_eq!(said[0], said[1]);
    server.stop().await;
}
