//! Keys over gRPC: streams of changes, and streams of commits.

use std::time::Duration;

use cairn_env::Env;
use cairn_grpc::limits::{KV_PART_BYTES, WRITES_UNDER_WAY_MAX};
use cairn_grpc::proto::kv::v1::change::What;
use cairn_grpc::proto::kv::v1::condition::Expected;
use cairn_grpc::proto::kv::v1::write_response::Outcome;
use cairn_grpc::proto::kv::v1::{
    CommitRequest, GetNamespaceRequest, KeyRange, Namespace, Op, WatchRequest, WatchResponse,
    WriteRequest, WriteResponse,
};
use futures::channel::mpsc;
use futures::{SinkExt as _, StreamExt as _, TryStreamExt as _};
use tonic::{Code, Streaming};

use crate::kv::{bytes, condition, delete, put};
use crate::support::{Server, carts, soon};

fn commit(ops: Vec<Op>) -> CommitRequest {
    CommitRequest { namespace: Some(carts()), ops, ..CommitRequest::default() }
}

fn write(id: u64, ops: Vec<Op>) -> WriteRequest {
    WriteRequest { id, namespace: Some(carts()), ops, ..WriteRequest::default() }
}

fn watch(after: Option<u64>) -> WatchRequest {
    WatchRequest { namespace: Some(carts()), range: None, after }
}

/// What a watch tells as `SEQ KEY`, to the position.
async fn told(watched: &mut Streaming<WatchResponse>, to: u64) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    loop {
        let part = soon(watched.message()).await.unwrap().unwrap();
        for change in part.changes {
            let key = match change.what.unwrap() {
                What::Put(entry) => entry.key,
                What::Deleted(gone) => gone.key,
                What::RangeDeleted(range) => range.from.unwrap(),
            };
            found.push((change.seq, String::from_utf8(key.to_vec()).unwrap()));
        }
        if part.position >= to {
            return found;
        }
    }
}

/// KV-3: every commit is told once and in order, also to who comes back again and again.
#[tokio::test(flavor = "multi_thread")]
async fn kv_3_a_watch_has_no_gaps_however_often_it_breaks() {
    let server = Server::start().await;
    let mut client = server.with_carts().await;
    let mut from_now = client.watch(watch(None)).await.unwrap().into_inner();
    let first = from_now.message().await.unwrap().unwrap();
    assert_eq!((first.position, first.changes.len()), (0, 0));
    let mut expected = Vec::new();
    for seq in 1..=60_u64 {
        let keys: Vec<String> = (0..1 + seq % 3).map(|part| format!("{seq}/{part}")).collect();
        client.commit(commit(keys.iter().map(|key| put(key, "v")).collect())).await.unwrap();
        expected.extend(keys.into_iter().map(|key| (seq, key)));
    }
    assert_eq!(told(&mut from_now, 60).await, expected);
    let (mut found, mut after) = (Vec::new(), 0);
    while after < 60 {
        let mut watched = client.watch(watch(Some(after))).await.unwrap().into_inner();
        let to = after + 7;
        found.extend(told(&mut watched, to.min(60)).await);
        after = found.last().map_or(0, |last: &(u64, String)| last.0);
    }
    assert_eq!(found, expected);
    let range = Some(KeyRange { prefix: Some(bytes("7/")), ..KeyRange::default() });
    let mut watched =
        client.watch(WatchRequest { range, ..watch(Some(0)) }).await.unwrap().into_inner();
    assert_eq!(told(&mut watched, 60).await, [(7, "7/0".to_owned()), (7, "7/1".to_owned())]);
    let refused = client.watch(watch(Some(99))).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
}

/// KV-3: a commit that needs many messages is told whole, and no position is within it.
#[tokio::test(flavor = "multi_thread")]
async fn kv_3_a_large_commit_is_told_in_parts() {
    let server = Server::start().await;
    let mut client = server.with_carts().await;
    let value = "v".repeat(KV_PART_BYTES / 2);
    client.commit(commit(vec![put("small", "v")])).await.unwrap();
    let ops = (0..9).map(|number| put(&number.to_string(), &value)).collect();
    client.commit(commit(ops)).await.unwrap();
    let mut watched = client.watch(watch(Some(0))).await.unwrap().into_inner();
    let (mut keys, mut positions) = (0, Vec::new());
    while positions.last() != Some(&2) {
        let part = soon(watched.message()).await.unwrap().unwrap();
        assert!(part.changes.len() <= 3, "{}", part.changes.len());
        keys += part.changes.len();
        positions.push(part.position);
    }
    assert_eq!(keys, 10);
    assert!(positions.len() > 4 && positions[1..positions.len() - 1].iter().all(|at| *at == 1));
}

fn seqs(answers: &[WriteResponse]) -> Vec<(u64, Option<u64>)> {
    let seq = |answer: &WriteResponse| match answer.outcome.as_ref().unwrap() {
        Outcome::Seq(seq) => Some(*seq),
        Outcome::Error(_) => None,
    };
    answers.iter().map(|answer| (answer.id, seq(answer))).collect()
}

/// GRPC-5: more commits than may be under way are all made in their order, and answered in it; an
/// error is the answer of its own commit.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_5_commits_of_a_stream_are_made_and_answered_in_order() {
    let server = Server::start().await;
    let mut client = server.with_carts().await;
    let count = 2 * WRITES_UNDER_WAY_MAX as u64;
    let messages = futures::stream::iter(0..count).map(|id| {
        let message = write(id, vec![put("counter", &id.to_string()), delete("never")]);
        match id % 100 {
            // Namespaces after the first may be left out.
            1 => WriteRequest { namespace: None, ..message },
            50 => WriteRequest {
                conditions: vec![condition("counter", Expected::Absent(true))],
                ..message
            },
            51 => WriteRequest { ops: vec![put("", "no key")], ..message },
            52 => WriteRequest { ops: vec![Op { op: None }], ..message },
            53 => {
                let name = "other".to_owned();
                let namespace = Some(Namespace { project: String::new(), name });
                WriteRequest { namespace, ..message }
            }
            _ => message,
        }
    });
    let answers = client.write(messages).await.unwrap().into_inner();
    let answers: Vec<WriteResponse> = soon(answers.try_collect()).await.unwrap();
    let mut next = 0;
    let expected: Vec<_> = (0..count)
        .map(|id| {
            let refused = (50..54).contains(&(id % 100));
            next += u64::from(!refused);
            (id, (!refused).then_some(next))
        })
        .collect();
    assert_eq!(seqs(&answers), expected);
    let error = |id: usize| match answers[id].outcome.clone().unwrap() {
        Outcome::Error(error) => error,
        Outcome::Seq(seq) => panic!("{id} is commit {seq}"),
    };
    let unmet = error(50);
    assert_eq!((unmet.code, unmet.reason.as_str()), (i32::from(Code::Aborted), "CONFLICT"));
    assert_eq!(unmet.found, Some(50));
    for id in [51, 52, 53] {
        let invalid = error(id);
        assert_eq!(invalid.code, i32::from(Code::InvalidArgument), "{invalid:?}");
        assert!(!invalid.message.is_empty());
    }
    let last = server.kv.get(&name(), b"counter", cairn_kv::At::Durable).await.unwrap().unwrap();
    assert_eq!((last.value, last.seq.0), (bytes(&(count - 1).to_string()), next));
}

fn name() -> cairn_kv::Namespace {
    cairn_kv::Namespace { project: "main".parse().unwrap(), name: "carts".parse().unwrap() }
}

/// GRPC-5: a client that goes away in the middle leaves whole commits, and all that it had an answer for.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_5_a_stream_that_is_cut_off_leaves_whole_commits() {
    for cut in [1, 7, 40] {
        let server = Server::start().await;
        let mut client = server.with_carts().await;
        let (mut sender, messages) = mpsc::channel(0);
        let pair = |id: u64| vec![put("left", &id.to_string()), put("right", &id.to_string())];
        let (all, sent) = futures::channel::oneshot::channel();
        Env::real().spawn.task(Box::pin(async move {
            let mut id = 0;
            while id < 2000 && sender.send(write(id, pair(id))).await.is_ok() {
                id += 1;
            }
            all.send(id).unwrap();
            // The client goes away; it does not end its side.
            futures::future::pending::<()>().await;
        }));
        let mut answers = client.write(messages).await.unwrap().into_inner();
        let mut answered = 0;
        for id in 0..cut {
            let answer = soon(answers.message()).await.unwrap().unwrap();
            assert_eq!(answer.id, id);
            let Some(Outcome::Seq(seq)) = answer.outcome else { panic!("{answer:?}") };
            answered = seq;
        }
        drop((answers, client));
        let sent: u64 = soon(sent).await.unwrap();
        let seq = server.kv.status(&name()).await.unwrap().seq.0;
        assert_eq!(answered, cut);
        assert!((answered..=sent + 1).contains(&seq), "{answered} {seq} {sent}");
        let read = async |key: &[u8]| {
            server
                .kv
                .get(&name(), key, cairn_kv::At::Seq(cairn_kv::Seq(seq)))
                .await
                .unwrap()
                .unwrap()
        };
        let (left, right) = (read(b"left").await, read(b"right").await);
        assert_eq!((left.value, left.seq), (right.value, right.seq));
    }
}

/// GRPC-1: a client may rest between commits for as long as it likes, and not within one.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_1_a_stream_of_commits_may_rest_between_messages() {
    let wait = Duration::from_millis(100);
    let server = Server::with(wait).await;
    let mut client = server.with_carts().await;
    let (mut sender, messages) = mpsc::channel(1);
    sender.send(write(1, vec![put("a", "1")])).await.unwrap();
    let mut answers = client.write(messages).await.unwrap().into_inner();
    assert_eq!(soon(answers.message()).await.unwrap().unwrap().id, 1);
    Env::real().clock.sleep(5 * wait).await;
    sender.send(write(2, vec![put("a", "2")])).await.unwrap();
    assert_eq!(soon(answers.message()).await.unwrap().unwrap().id, 2);
    drop(sender);
    assert_eq!(soon(answers.message()).await.unwrap(), None);
    let mut empty = client.write(futures::stream::empty()).await.unwrap().into_inner();
    let empty = empty.message().await.unwrap_err();
    assert_eq!(empty.code(), Code::InvalidArgument, "{empty}");
    // A client may wait for the answer before it sends, but not for ever.
    let (mut sender, messages) = mpsc::channel(1);
    let mut answers = soon(client.write(messages)).await.unwrap().into_inner();
    sender.send(write(3, vec![put("a", "3")])).await.unwrap();
    assert_eq!(soon(answers.message()).await.unwrap().unwrap().id, 3);
    let (_silent, messages) = mpsc::channel(1);
    let mut answers = soon(client.write(messages)).await.unwrap().into_inner();
    let stalled = soon(answers.message()).await.unwrap_err();
    assert_eq!(stalled.code(), Code::DeadlineExceeded, "{stalled}");
}

/// GRPC-4, ACCESS-5: watches and streams of commits end when their token is revoked, though nothing
/// happens; and when the node stops, after what was under way is answered.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_4_streams_of_keys_end_with_their_permission_and_with_the_node() {
    let server = Server::start().await;
    server.with_carts().await;
    let (token, shown) = server.user("writer", &["writer carts"]).await;
    for (who, code) in [(&shown, Code::Unauthenticated), (&server.root, Code::Unavailable)] {
        let mut client = server.keys_as(Some(who)).await;
        let mut watched = client.watch(watch(None)).await.unwrap().into_inner();
        assert!(watched.message().await.unwrap().unwrap().changes.is_empty());
        let (mut sender, messages) = mpsc::channel(1);
        sender.send(write(1, vec![put("a", "1")])).await.unwrap();
        let mut answers = client.write(messages).await.unwrap().into_inner();
        assert_eq!(soon(answers.message()).await.unwrap().unwrap().id, 1);
        assert_eq!(told(&mut watched, 1).await.len(), 1);
        if code == Code::Unavailable {
            server.stop.send_replace(true);
        } else {
            server.access.revoke_token(&token).await.unwrap();
        }
        assert_eq!(soon(watched.message()).await.unwrap_err().code(), code);
        assert_eq!(soon(answers.message()).await.unwrap_err().code(), code);
        drop(sender);
    }
}

/// A node without keys says so, to who may ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_keys_says_so() {
    let server = Server::without_keys().await;
    let asked = || GetNamespaceRequest { namespace: Some(carts()) };
    let mut client = server.keys_as(Some(&server.root)).await;
    let refused = client.get_namespace(asked()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented, "{refused}");
    let mut nobody = server.keys_as(None).await;
    assert_eq!(nobody.get_namespace(asked()).await.unwrap_err().code(), Code::Unauthenticated);
}
