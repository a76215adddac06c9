//! Who may do what (ACCESS-1, ACCESS-2, ACCESS-5, ACCESS-9).

use std::time::Duration;

use cairn_audit::{Filter, Line, Outcome};
use futures::TryStreamExt as _;

use crate::support::Server;

#[tokio::test(flavor = "multi_thread")]
async fn access_1_a_stranger_is_told_how_to_come_in_and_nothing_else() {
    let server = Server::start().await;
    let mut client = server.stranger().await;
    for words in [&["GET", "a"][..], &["PING"], &["MULTI"], &["COMMAND"], &["NOPE"], &["SCAN", "0"]]
    {
        let said = client.ask(words).await;
        assert!(said.starts_with("-NOAUTH "), "{words:?}: {said}");
    }
    assert!(client.ask(&["HELLO", "3"]).await.starts_with("-NOAUTH "));
    let hello = client.ask(&["HELLO", "3", "AUTH", "carts", &server.root, "SETNAME", "me"]).await;
    assert!(hello.starts_with("%7 $6 server $5 cairn"), "{hello}");
    assert_eq!(client.ask(&["CLIENT", "GETNAME"]).await, "$2 me");
    assert_eq!(client.ask(&["GET", "a"]).await, "_");
    assert_eq!(client.ask(&["RESET"]).await, "+RESET");
    assert!(client.ask(&["GET", "a"]).await.starts_with("-NOAUTH "));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_2_a_credential_that_does_not_hold_lets_nobody_in() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let wrong = "cairn_00000000000000000000000000000000000000000000000000000000";
    for words in [
        &["AUTH", "carts", wrong][..],
        &["AUTH", "carts", "secret"],
        &["AUTH", "carts", "é\r\n"],
        &["HELLO", "2", "AUTH", "carts", wrong],
    ] {
        let said = client.ask(words).await;
        assert!(said.starts_with("-WRONGPASS "), "{words:?}: {said}");
        assert!(!said.contains("secret") && !said.contains(wrong), "{said}");
        // Who was somebody before is nobody now.
        assert!(client.ask(&["GET", "a"]).await.starts_with("-NOAUTH "));
    }
    // Nobody in particular may do nothing here.
    assert!(client.ask(&["AUTH", "carts", ""]).await.starts_with('-'));
    assert!(client.ask(&["GET", "a"]).await.starts_with("-NOAUTH "));
    assert!(client.ask(&["AUTH", &server.root]).await.starts_with("-ERR AUTH PROJECT/NAMESPACE"));
    assert!(client.ask(&["AUTH", "a/b/c", &server.root]).await.starts_with("-ERR the user is"));
    server.stop().await;
}

/// KV-2: a namespace's keys are reached through its grants alone.
#[tokio::test(flavor = "multi_thread")]
async fn access_1_a_reader_reads_and_a_writer_writes_their_namespace() {
    let server = Server::start().await;
    let (_, reader) = server.user("rita", &["reader @main/carts"]).await;
    let (_, writer) = server.user("walt", &["writer @main/carts"]).await;
    let mut writes = server.client_as("carts", &writer).await;
    assert_eq!(writes.ask(&["SET", "a", "1"]).await, "+OK");
    let mut reads = server.client_as("carts", &reader).await;
    assert_eq!(reads.ask(&["GET", "a"]).await, "$1 1");
    for words in
        [&["SET", "a", "2"][..], &["DEL", "a"], &["INCR", "a"], &["GETDEL", "a"], &["FLUSHDB"]]
    {
        let said = reads.ask(words).await;
        assert!(said.starts_with("-NOPERM "), "{words:?}: {said}");
    }
    // In a transaction too, and nothing of it is done.
    assert_eq!(reads.ask(&["MULTI"]).await, "+OK");
    assert_eq!(reads.ask(&["GET", "a"]).await, "+QUEUED");
    assert_eq!(reads.ask(&["SET", "a", "2"]).await, "+QUEUED");
    assert!(reads.ask(&["EXEC"]).await.starts_with("-NOPERM "));
    for token in [&reader, &writer] {
        let mut other = server.stranger().await;
        assert!(other.ask(&["AUTH", "other", token]).await.starts_with("-NOPERM "));
        assert!(other.ask(&["GET", "a"]).await.starts_with("-NOAUTH "));
    }
    let mut nowhere = server.client_as("nowhere", &server.root).await;
    assert!(nowhere.ask(&["GET", "a"]).await.contains("there is no namespace @main/nowhere"));
    assert_eq!(writes.ask(&["GET", "a"]).await, "$1 1");
    server.stop().await;
}

/// ACCESS-5: a connection of somebody whose token was revoked does nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn access_5_a_revoked_token_ends_what_its_connection_may() {
    let server = Server::start().await;
    let (id, token) = server.user("walt", &["writer @main/carts"]).await;
    let mut client = server.client_as("carts", &token).await;
    assert_eq!(client.ask(&["SET", "a", "1"]).await, "+OK");
    server.access.revoke_token(&id).await.unwrap();
    let begin = std::time::Instant::now();
    loop {
        let said = client.ask(&["GET", "a"]).await;
        if said.starts_with("-NOPERM") || said.starts_with("-WRONGPASS") {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "{said}");
    }
    server.stop().await;
}

/// ACCESS-9: the first use is recorded, those that follow are counted, and so is what they changed.
#[tokio::test(flavor = "multi_thread")]
async fn access_9_uses_are_recorded_and_counted() {
    let server = Server::start().await;
    let (_, writer) = server.user("walt", &["writer @main/carts"]).await;
    let mut client = server.client_as("carts", &writer).await;
    for _ in 0..20 {
        client.ask(&["INCR", "n"]).await;
    }
    client.ask(&["AUTH", "carts", "wrong"]).await;
    let (access, numbers) = (server.access.clone(), server.door.numbers());
    assert!(numbers.commands == 22 && numbers.errors == 1, "{numbers:?}");
    assert_eq!(numbers.connections, 1);
    server.stop().await;
    access.settle().await.unwrap();
    let log = access.audit().log().clone();
    let batches: Vec<_> =
        log.read(0, Filter::default()).await.unwrap().try_collect().await.unwrap();
    let lines = batches.into_iter().flat_map(|batch| batch.lines);
    let records = lines.filter_map(|line| match line {
        Line::Entry(entry) => Some(entry.record),
        Line::Gap(_) => None,
    });
    let ours: Vec<_> = records.filter(|record| record.door.to_string() == "redis").collect();
    let of = |outcome| ours.iter().filter(move |record| record.outcome == outcome);
    // To read, when it came in, and to write.
    assert_eq!(of(Outcome::Allowed).count(), 2, "{ours:#?}");
    assert!(
        of(Outcome::Changed).any(|record| record.detail.to_string().contains("20")),
        "{ours:#?}"
    );
    assert_eq!(of(Outcome::Refused).count(), 1, "{ours:#?}");
}
