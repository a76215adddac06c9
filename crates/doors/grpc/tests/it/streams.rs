//! Streams that push, and streams that last.

use std::time::Duration;

use cairn_env::Env;
use cairn_grpc::proto::dataset::v1::{
    CopyTag, FollowRequest, LookupRequest, PublishRequest, publish_request::What,
};
use futures::StreamExt as _;
use futures::channel::mpsc;
use tonic::Code;

use crate::support::{Server, data, header, noise, push_messages, soon, tar, target};

/// A tar as bytes, packed in every way that is taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_tar_is_pushed_as_a_tree() {
    let server = Server::start().await;
    let big = noise(1_000_000, 4);
    let pushed = server.fill("data:v1", &[("d/big", &big), ("../out", b"x"), ("e", b"")]).await;
    assert_eq!((pushed.files_read, pushed.skipped), (2, 1));
    assert_eq!(pushed.skipped_first[0].path, "../out");
    assert!(pushed.skipped_first[0].why.contains("leaves"), "{:?}", pushed.skipped_first);
    // The same again is the same version.
    let again = server.fill("data:v1", &[("d/big", &big), ("e", b"")]).await;
    assert_eq!(again.version, pushed.version);
}

/// GRPC-3: what breaks off, in the client's hands or in the archive, is not published.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_3_a_push_that_breaks_off_publishes_nothing() {
    let server = Server::start().await;
    let mut client = server.datasets_as(Some(&server.root)).await;
    let archive = tar(&[("a", &noise(300_000, 1)), ("b", b"b")]);
    for (what, bytes) in [
        ("cut in a file", &archive[..100_000]),
        ("cut in a header", &archive[..100]),
        ("no archive", &noise(5_000, 2)[..]),
        ("a zip", b"PK\x03\x04 and so on"),
    ] {
        let messages = push_messages(&["data:v1"], bytes);
        let refused = client.push(futures::stream::iter(messages)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{what}: {refused}");
        assert!(refused.message().starts_with("the archive is refused"), "{what}: {refused}");
    }
    // All of the archive came, but not the end of the stream.
    let (mut sender, messages) = mpsc::channel(1000);
    for message in push_messages(&["data:v1"], &archive) {
        sender.try_send(message).unwrap();
    }
    let mut gone = server.datasets_as(Some(&server.root)).await;
    let (begun, began) = futures::channel::oneshot::channel::<()>();
    let mut begun = Some(begun);
    // The client goes away as soon as all of it was taken from it.
    let messages = messages.chain(futures::stream::poll_fn(move |_| {
        drop(begun.take());
        std::task::Poll::Pending
    }));
    drop(sender);
    let pushing = Box::pin(gone.push(messages));
    drop(futures::future::select(pushing, began).await);
    drop(gone);
    server.pushes_have_ended().await;
    let missing = LookupRequest { target: Some(target("data:v1")) };
    let found = client.lookup(missing).await.unwrap_err();
    assert_eq!(found.code(), Code::NotFound);
    // And nobody holds a place or the tag: the next push goes through.
    server.fill("data:v1", &[("a", b"a")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_have_a_header_and_then_data() {
    let server = Server::start().await;
    let mut client = server.datasets_as(Some(&server.root)).await;
    let long = vec!["data:v1"; 65];
    for (what, messages) in [
        ("nothing", vec![]),
        ("data first", vec![data(b"x")]),
        ("two headers", vec![header(&["data:v1"]), header(&["data:v1"])]),
        ("no target", vec![header(&[])]),
        ("many targets", vec![header(&long)]),
        ("two projects", push_messages(&["data:v1", "@other/data:v1"], &tar(&[]))),
    ] {
        let refused = client.push(futures::stream::iter(messages)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{what}: {refused}");
    }
}

/// Promised by the earlier system and never there: a stream that follows a tag.
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_is_followed() {
    let server = Server::start().await;
    let mut client = server.datasets_as(Some(&server.root)).await;
    let asked = FollowRequest { target: Some(target("data:v1")) };
    let mut stream = client.follow(asked.clone()).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().version, None);
    let first = server.fill("data:v1", &[("a", b"a")]).await.version;
    assert_eq!(stream.message().await.unwrap().unwrap().version, first);
    server.fill("data:other", &[("a", b"b")]).await;
    let copy = CopyTag { from: Some(target("data:other")), to: Some(target("data:v1")) };
    let moved = client.publish(PublishRequest { what: Some(What::Copy(copy)) }).await.unwrap();
    let told = stream.message().await.unwrap().unwrap();
    assert_eq!(told.version, moved.into_inner().version);
    let mut late = client.follow(asked).await.unwrap().into_inner();
    assert_eq!(late.message().await.unwrap().unwrap(), told);
    // A node that stops tells its followers, so that they go elsewhere.
    server.stop.send_replace(true);
    for stream in [&mut stream, &mut late] {
        assert_eq!(soon(stream.message()).await.unwrap_err().code(), Code::Unavailable);
    }
}

/// GRPC-4, ACCESS-5: a stream ends when its token is revoked, or its grant is taken, though nothing
/// happens to the tag.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_4_a_revoked_token_ends_its_streams() {
    let server = Server::start().await;
    server.fill("data:v1", &[("a", b"a")]).await;
    let (token, shown) = server.user("reader", &["reader data"]).await;
    let (_, other) = server.user("other", &["reader data"]).await;
    let asked = FollowRequest { target: Some(target("data:v1")) };
    let mut streams = Vec::new();
    for token in [&shown, &other] {
        let mut client = server.datasets_as(Some(token)).await;
        let mut stream = client.follow(asked.clone()).await.unwrap().into_inner();
        assert!(stream.message().await.unwrap().unwrap().version.is_some());
        streams.push((stream, client));
    }
    let clock = Env::real().clock;
    server.access.revoke_token(&token).await.unwrap();
    let snapshot = server.access.snapshot().await.unwrap();
    let grant = snapshot.grants().find(|grant| grant.subject.to_string() == "other");
    server.access.remove_grant(&grant.unwrap().id()).await.unwrap();
    let began = clock.monotonic();
    for ((mut stream, _client), code) in
        streams.into_iter().zip([Code::Unauthenticated, Code::PermissionDenied])
    {
        let ended = soon(stream.message()).await.unwrap_err();
        assert_eq!(ended.code(), code, "{ended}");
    }
    // A second is what is promised; a machine that is busy may take a few.
    assert!(clock.monotonic() - began < Duration::from_secs(5));
}

/// GRPC-4: a push whose token is revoked meanwhile publishes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_4_a_revoked_token_ends_its_push() {
    let server = Server::start().await;
    let (token, shown) = server.user("writer", &["writer data"]).await;
    let mut client = server.datasets_as(Some(&shown)).await;
    let archive = tar(&[("a", &noise(100_000, 1))]);
    let mut messages = push_messages(&["data:v1"], &archive);
    let last = messages.pop().unwrap();
    let access = server.access.clone();
    let end = futures::stream::once(async move {
        access.revoke_token(&token).await.unwrap();
        last
    });
    let refused =
        client.push(futures::stream::iter(messages).chain(end.boxed())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    server.pushes_have_ended().await;
    let mut root = server.datasets_as(Some(&server.root)).await;
    let asked = LookupRequest { target: Some(target("data:v1")) };
    assert_eq!(root.lookup(asked).await.unwrap_err().code(), Code::NotFound);
}
