//! REDIS-1: whatever comes ends in answers, or in one error and the end of the connection.

use std::time::Duration;

use cairn_testkit::Shifted;
use proptest::prelude::*;

use crate::support::{Client, Server, command};

async fn ends(client: &mut Client) -> String {
    let mut all = String::new();
    while let Some(answer) = client.answer().await {
        all.push_str(&String::from_utf8_lossy(&answer));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_1_what_is_no_command_ends_the_connection_with_an_error() {
    let server = Server::start().await;
    for (bytes, says) in [
        (&b"*11\r\n"[..], "-ERR Protocol error: unauthenticated multibulk length\r\n"),
        (b"*1\r\n$99999\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n"),
        (b"*1\r\n*1\r\n*1\r\n", "-ERR Protocol error: expected '$'\r\n"),
        (b"POST / HTTP/1.1\r\nHost: here\r\n\r\n", ""),
        (&[b'x'; 20_000], "-ERR Protocol error: too big inline request\r\n"),
    ] {
        let mut client = server.stranger().await;
        client.send(bytes).await;
        assert_eq!(ends(&mut client).await, says);
    }
    let mut client = server.client().await;
    client.send(&command(&["SET", "a", "1"])).await;
    client.send(b"*1\r\n$99999999\r\n").await;
    assert_eq!(ends(&mut client).await, "+OK\r\n-ERR Protocol error: invalid bulk length\r\n");
    let mut client = server.client().await;
    client.send(b"get a\r\nquit\r\nget a\r\n").await;
    assert_eq!(ends(&mut client).await, "$1\r\n1\r\n+OK\r\n");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_1_what_is_over_a_limit_is_told_and_changes_nothing() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let (long, big) = ("k".repeat(4097), vec![0; (4 << 20) + 1]);
    assert!(client.ask(&["SET", &long, "1"]).await.contains("4096"));
    assert!(client.ask(&["GET", &long]).await.contains("4096"));
    assert!(client.ask(&[b"SET", &b"a"[..], &big]).await.contains("4194304"));
    assert_eq!(client.ask(&[b"SET", &b"a"[..], &big[..4 << 20]]).await, "+OK");
    assert!(client.ask(&["APPEND", "a", "x"]).await.contains("4194304"));
    assert!(client.ask(&["SETRANGE", "a", "9223372036854775807", "x"]).await.contains("4 MiB"));
    assert!(client.ask(&["EXPIRE", "a", "9223372036854775807"]).await.contains("invalid expire"));
    assert!(client.ask(&["SET", "a", "1", "EX", "0"]).await.contains("invalid expire"));
    assert!(client.ask(&["INCRBY", "n", "9223372036854775807"]).await.starts_with(":9223"));
    assert!(client.ask(&["INCR", "n"]).await.contains("overflow"));
    assert!(client.ask(&["DECRBY", "n", "-9223372036854775808"]).await.contains("overflow"));
    assert!(client.ask(&["SET", "", "1"]).await.starts_with("-ERR "));
    assert!(client.ask(&["SCAN", "77"]).await.contains("begin with 0"));
    assert!(client.ask(&["SCAN", "-1"]).await.contains("invalid cursor"));
    // Many large values at once are asked for in parts.
    for key in ["b", "c", "d", "e", "f", "g", "h", "i"] {
        client.ask(&[b"SET", key.as_bytes(), &big[..4 << 20]]).await;
    }
    let all = ["MGET", "a", "b", "c", "d", "e", "f", "g", "h", "i"];
    assert!(client.ask(&all).await.contains("ask for fewer keys"));
    assert_eq!(client.ask(&["STRLEN", "a"]).await, ":4194304");
    server.stop().await;
}

/// A client that sends all it has before it reads anything is answered, and one that never reads is sent away.
#[tokio::test(flavor = "multi_thread")]
async fn redis_1_much_may_be_sent_before_anything_is_read() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.ask(&["SET", "a", &"x".repeat(1000)]).await;
    let bytes = command(&["GET", "a"]).repeat(20_000);
    client.send(&bytes).await;
    for _ in 0..20_000 {
        assert_eq!(client.answer().await.unwrap().len(), 1009);
    }
    server.stop().await;
    let (clock, env) = Shifted::env();
    let server = Server::on(env).await;
    let mut client = server.client().await;
    client.ask(&["SET", "a", &"x".repeat(1 << 20)]).await;
    client.send(&command(&["GET", "a"]).repeat(64)).await;
    clock.hurry();
    let ended = tokio::time::timeout(Duration::from_secs(20), async {
        while server.door.numbers().connections > 0 {
            tokio::task::yield_now().await;
        }
    });
    ended.await.unwrap();
    server.stop().await;
}

/// REDIS-1: nobody is waited for without end.
#[tokio::test(flavor = "multi_thread")]
async fn redis_1_who_is_silent_is_sent_away() {
    let (clock, env) = Shifted::env();
    let server = Server::on(env).await;
    clock.hurry();
    // A stranger who says nothing, one who stops in the middle, and somebody known who does.
    let mut silent = server.stranger().await;
    let mut stops = server.stranger().await;
    stops.send(b"*2\r\n$4\r\nAU").await;
    for client in [&mut silent, &mut stops] {
        let ended = tokio::time::timeout(Duration::from_secs(20), ends(client)).await;
        assert_eq!(ended.unwrap(), "");
    }
    server.stop().await;
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    let names = [
        "GET",
        "SET",
        "MULTI",
        "EXEC",
        "WATCH",
        "DEL",
        "INCR",
        "EXPIRE",
        "SCAN",
        "KEYS",
        "MSET",
        "GETEX",
        "SETRANGE",
        "GETRANGE",
        "APPEND",
        "CLIENT",
        "COMMAND",
        "HELLO",
        "RENAME",
        "DELEX",
        "PEXPIREAT",
        "NX",
        "EX",
        "MATCH",
        "COUNT",
        "INFO",
        "a",
        "b",
        "",
        "*",
        "[",
        "-1",
        "0",
        "1",
        "9223372036854775807",
    ];
    prop_oneof![
        8 => proptest::sample::select(names.to_vec()).prop_map(|name| name.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// REDIS-1: every command is answered once, whatever its words are.
    #[test]
    fn redis_1_every_command_is_answered_once(
        commands in proptest::collection::vec(proptest::collection::vec(word(), 1..6), 1..60),
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let server = Server::start().await;
            let mut client = server.client().await;
            let bytes: Vec<u8> = commands.iter().flat_map(|words| command(words)).collect();
            client.send(&bytes).await;
            client.send(&command(&["ECHO", "the end"])).await;
            client.send(&command(&["QUIT"])).await;
            for _ in &commands {
                assert!(client.answer().await.is_some());
            }
            let last = client.answer().await.unwrap();
            assert!(last.ends_with(b"the end\r\n") || last.starts_with(b"-ERR 'echo' is not done"));
            assert_eq!(client.answer().await.unwrap(), b"+OK\r\n");
            assert_eq!(client.answer().await, None);
            drop(client);
            server.stop().await;
        });
    }
}
