//! REDIS-2 and REDIS-3: the order of answers, and what is done whole or not at all.

use std::time::Duration;

use cairn_kv::{At, Put};
use cairn_testkit::Shifted;

use crate::support::{Client, Server, carts, command};

/// REDIS-2: thousands of commands at once, changes that are under way together among them.
#[tokio::test(flavor = "multi_thread")]
async fn redis_2_a_pipeline_is_done_and_answered_in_its_order() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut bytes = Vec::new();
    for number in 0..3000 {
        let value = number.to_string();
        bytes.extend(command(&["SET", "k", &value]));
        match number % 5 {
            0 => bytes.extend(command(&["GET", "k"])),
            1 => bytes.extend(command(&["INCR", "k"])),
            2 => bytes.extend(command(&["SET", "", "x"])),
            _ => {}
        }
    }
    let sender = async { client.send(&bytes).await };
    sender.await;
    let mut next = async || String::from_utf8(client.answer().await.unwrap()).unwrap();
    for number in 0..3000 {
        assert_eq!(next().await, "+OK\r\n");
        match number % 5 {
            0 => {
                let value = number.to_string();
                assert_eq!(next().await, format!("${}\r\n{value}\r\n", value.len()));
            }
            1 => assert_eq!(next().await, format!(":{}\r\n", number + 1)),
            2 => assert!(next().await.starts_with("-ERR ")),
            _ => {}
        }
    }
    server.stop().await;
}

/// REDIS-3: changes that depend on what was there, by many at a time: none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn redis_3_no_increment_is_lost() {
    let server = Server::start().await;
    let mut tasks = Vec::new();
    for client in 0..8 {
        let mut redis = server.client().await;
        tasks.push(tokio::spawn(async move {
            for _ in 0..100 {
                assert!(redis.ask(&["INCR", "n"]).await.starts_with(':'));
                redis.ask(&["APPEND", "log", &client.to_string()]).await;
                redis.ask(&["MULTI"]).await;
                redis.ask(&["DECRBY", "m", "2"]).await;
                redis.ask(&["INCR", "n"]).await;
                assert!(redis.ask(&["EXEC"]).await.starts_with("*2 :-"));
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut client = server.client().await;
    assert_eq!(client.ask(&["MGET", "n", "m"]).await, "*2 $4 1600 $5 -1600");
    assert_eq!(client.ask(&["STRLEN", "log"]).await, ":800");
    server.stop().await;
}

/// Sums stay what they are while many move what they are made of.
#[tokio::test(flavor = "multi_thread")]
async fn redis_3_what_exec_reads_is_one_state() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.ask(&["MSET", "a", "100", "b", "100"]).await;
    let mut movers = Vec::new();
    for _ in 0..4 {
        let mut redis = server.client().await;
        movers.push(tokio::spawn(async move {
            for _ in 0..100 {
                let words = [&["MULTI"][..], &["DECR", "a"], &["INCR", "b"], &["EXEC"]];
                redis.send(&words.map(command).concat()).await;
                for _ in words {
                    redis.answer().await.unwrap();
                }
            }
        }));
    }
    while !movers.iter().all(tokio::task::JoinHandle::is_finished) {
        let said = client.ask(&["MGET", "a", "b"]).await;
        let values: Vec<i64> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert_eq!(values.iter().sum::<i64>(), 200, "{said}");
    }
    assert_eq!(client.ask(&["MGET", "a", "b"]).await, "*2 $4 -300 $3 500");
    server.stop().await;
}

async fn queue(client: &mut Client, words: &[&str]) {
    assert_eq!(client.ask(words).await, "+QUEUED");
}

/// REDIS-3: with WATCH none comes between the look and the change, by whatever door.
#[tokio::test(flavor = "multi_thread")]
async fn redis_3_what_was_watched_has_not_changed() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let put = |key: &'static str| Put { key: key.into(), value: "x".into(), ..Put::default() };
    for (changes, expected) in [(Some("w"), "*-1"), (Some("other"), "*1 +OK"), (None, "*1 +OK")] {
        assert_eq!(client.ask(&["WATCH", "w", "v"]).await, "+OK");
        assert_eq!(client.ask(&["MULTI"]).await, "+OK");
        queue(&mut client, &["SET", "done", "1"]).await;
        if let Some(key) = changes {
            server.kv.put(&carts(), put(key)).await.unwrap();
        }
        assert_eq!(client.ask(&["EXEC"]).await, expected);
    }
    // Also of a key that was not there, and when nothing is to be changed.
    client.ask(&["WATCH", "new"]).await;
    server.kv.put(&carts(), put("new")).await.unwrap();
    client.ask(&["MULTI"]).await;
    assert_eq!(client.ask(&["EXEC"]).await, "*-1");
    // What was given up does not count any more.
    client.ask(&["WATCH", "w"]).await;
    client.ask(&["UNWATCH"]).await;
    server.kv.put(&carts(), put("w")).await.unwrap();
    client.ask(&["MULTI"]).await;
    queue(&mut client, &["GET", "w"]).await;
    assert_eq!(client.ask(&["EXEC"]).await, "*1 $1 x");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_3_a_wrong_command_between_multi_and_exec_undoes_all() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for wrong in [&["NOPE"][..], &["GET"], &["SCAN", "0"], &["PING"]] {
        client.ask(&["MULTI"]).await;
        queue(&mut client, &["SET", "a", "1"]).await;
        assert!(client.ask(wrong).await.starts_with("-ERR "));
        assert!(client.ask(&["EXEC"]).await.starts_with("-EXECABORT "));
    }
    assert_eq!(client.ask(&["EXISTS", "a"]).await, ":0");
    // One that fails when it is done does not.
    client.ask(&["MULTI"]).await;
    queue(&mut client, &["SET", "a", "text"]).await;
    queue(&mut client, &["INCR", "a"]).await;
    queue(&mut client, &["APPEND", "a", "!"]).await;
    let said = client.ask(&["EXEC"]).await;
    assert!(said.starts_with("*3 +OK -ERR value is not an integer"), "{said}");
    assert_eq!(client.ask(&["GET", "a"]).await, "$5 text!");
    client.ask(&["MULTI"]).await;
    queue(&mut client, &["DEL", "a"]).await;
    assert_eq!(client.ask(&["DISCARD"]).await, "+OK");
    assert_eq!(client.ask(&["EXISTS", "a"]).await, ":1");
    // So does one whose key is too long.
    client.ask(&["MULTI"]).await;
    queue(&mut client, &["SET", "b", "1"]).await;
    queue(&mut client, &["SET", &"k".repeat(5000), "1"]).await;
    let said = client.ask(&["EXEC"]).await;
    assert!(said.starts_with("*2 +OK -ERR ") && said.contains("4096"), "{said}");
    assert_eq!(client.ask(&["EXISTS", "b"]).await, ":1");
    server.stop().await;
}

/// A large value, which came by another door, is there and keeps its name and its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_is_there_but_not_told() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let size = 5 << 20;
    let put = Put { key: "big".into(), ..Put::default() };
    let piece = Ok(bytes::Bytes::from(vec![7; size]));
    let pieces = Box::pin(futures::stream::iter([piece]));
    server.kv.write(&carts(), put, Some(size as u64), pieces).await.unwrap();
    assert_eq!(client.ask(&["STRLEN", "big"]).await, format!(":{size}"));
    assert_eq!(client.ask(&["EXISTS", "big"]).await, ":1");
    let refused =
        [&["GET", "big"][..], &["APPEND", "big", "x"], &["GETDEL", "big"], &["RENAME", "big", "b"]];
    for words in refused {
        assert!(client.ask(words).await.starts_with("-ERR the value of"), "{words:?}");
    }
    assert_eq!(client.ask(&["EXPIRE", "big", "100"]).await, ":1");
    assert_eq!(client.ask(&["TTL", "big"]).await, ":100");
    drop(server.kv.read(&carts(), b"big", At::Durable).await.unwrap());
    assert_eq!(client.ask(&["SET", "big", "small"]).await, "+OK");
    assert_eq!(client.ask(&["GET", "big"]).await, "$5 small");
    server.stop().await;
}

/// REDIS-3: a command that fails half way leaves nothing behind, alone, in a pipeline or in a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn redis_3_a_command_that_fails_half_way_changes_nothing() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.ask(&["MSET", "a", "1", "b", "2"]).await;
    let long = "k".repeat(4097);
    assert!(client.ask(&["MSET", "a", "3", &long, "3"]).await.starts_with("-ERR "));
    assert!(client.ask(&["DEL", "a", &long]).await.starts_with("-ERR "));
    assert_eq!(client.ask(&["MGET", "a", "b"]).await, "*2 $1 1 $1 2");
    // Those before it and after it in a pipeline are done.
    let pipeline =
        [&["INCR", "a"][..], &["MSET", "b", "9", &long, "9"], &["INCR", "a"], &["MGET", "a", "b"]];
    client.send(&pipeline.map(command).concat()).await;
    let mut next = async || String::from_utf8(client.answer().await.unwrap()).unwrap();
    assert_eq!(next().await, ":2\r\n");
    assert!(next().await.starts_with("-ERR "));
    assert_eq!(next().await, ":3\r\n");
    assert_eq!(next().await, "*2\r\n$1\r\n3\r\n$1\r\n2\r\n");
    for words in [&["MULTI"][..], &["INCR", "a"], &["MSET", "b", "9", &long, "9"], &["EXEC"]] {
        client.send(&command(words)).await;
    }
    let mut last = Vec::new();
    for _ in 0..4 {
        last = client.answer().await.unwrap();
    }
    assert!(last.starts_with(b"-ERR "));
    assert_eq!(client.ask(&["MGET", "a", "b"]).await, "*2 $1 3 $1 2");
    server.stop().await;
}

/// Many clients that pipeline changes of the same keys: none is lost, though they come between each other.
#[tokio::test(flavor = "multi_thread")]
async fn redis_3_pipelines_of_many_clients_lose_nothing() {
    let server = Server::start().await;
    let mut tasks = Vec::new();
    for _ in 0..6 {
        let mut redis = server.client().await;
        tasks.push(tokio::spawn(async move {
            for _ in 0..10 {
                let bytes: Vec<u8> = (0..60)
                    .flat_map(|number| command(&["INCR", ["x", "y", "z"][number % 3]]))
                    .collect();
                redis.send(&bytes).await;
                for _ in 0..60 {
                    assert!(redis.answer().await.unwrap().starts_with(b":"));
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let mut client = server.client().await;
    assert_eq!(client.ask(&["MGET", "x", "y", "z"]).await, "*3 $4 1200 $4 1200 $4 1200");
    server.stop().await;
}

/// What is over is not there, also before it was removed and in a transaction on an older state.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_not_there() {
    let (clock, env) = Shifted::env();
    let server = Box::pin(Server::on(env)).await;
    let mut client = server.client().await;
    assert_eq!(client.ask(&["SET", "a", "1", "PX", "60000"]).await, "+OK");
    assert_eq!(client.ask(&["SET", "a", "2", "NX"]).await, "$-1");
    clock.forward(Duration::from_secs(61));
    assert_eq!(client.ask(&["GET", "a"]).await, "$-1");
    assert_eq!(client.ask(&["TTL", "a"]).await, ":-2");
    assert_eq!(client.ask(&["INCR", "a"]).await, ":1");
    assert_eq!(client.ask(&["TTL", "a"]).await, ":-1");
    assert_eq!(client.ask(&["EXPIRE", "a", "-1"]).await, ":1");
    assert_eq!(client.ask(&["EXISTS", "a"]).await, ":0");
    server.stop().await;
}
