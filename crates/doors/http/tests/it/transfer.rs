//! Push and pull through a node.

use std::sync::Arc;

use cairn_base::ErrorKind;
use cairn_bucket::Bucket;
use cairn_datasets::{Publication, PullOptions, Store, UPLOAD_IDLE_MAX, UPLOAD_KEEP_EVERY};
use cairn_env::Env;
use cairn_http::Options;
use cairn_testkit::Shifted;

use crate::support::{Server, picture, pull, push, target, tree};

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_comes_back_as_it_was_and_the_second_push_moves_nothing() {
    let server = Server::start().await;
    let token = server.user("ci", &["writer data"]).await;
    let work = tempfile::tempdir().unwrap();
    let source = work.path().join("source");
    tree(&source);
    let node = server.node(&token);
    let store: Arc<dyn Store> = Arc::new(node.clone());
    let pushed = push(&store, &source, &["data:v1", "data:latest"]).await.unwrap();
    assert_eq!(pushed.version.by, "ci", "HTTP-3: the author is who was authenticated");
    assert!(node.wire().up() > 3_000_000);

    let again = server.node(&token);
    let store: Arc<dyn Store> = Arc::new(again.clone());
    push(&store, &source, &["data:v2"]).await.unwrap();
    assert!(again.wire().up() < 20_000, "{} bytes went up again", again.wire().up());

    let puller = server.node(&token);
    let store: Arc<dyn Store> = Arc::new(puller.clone());
    let copy = work.path().join("copy");
    pull(&store, "data:v2", &copy).await.unwrap();
    assert_eq!(picture(&copy), picture(&source));
    assert!(puller.wire().down() > 3_000_000);
    let tags = store.tags(&target("data").dataset).await.unwrap();
    let names: Vec<_> = tags.iter().map(|tag| tag.tag.as_str()).collect();
    assert_eq!(names, ["latest", "v1", "v2"]);
    server.stop().await;
}

/// The second pull needs the chunks and pages that changed, in few requests.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_change_of_many_files_moves_little_in_few_requests() {
    let server = Server::start().await;
    let work = tempfile::tempdir().unwrap();
    let source = work.path().join("source");
    let file = |number: usize| source.join(format!("{}/{number}", number % 40));
    for number in 0..2000 {
        std::fs::create_dir_all(file(number).parent().unwrap()).unwrap();
        std::fs::write(file(number), format!("{number} ").repeat(20 + number % 7 * 8000)).unwrap();
    }
    server.fill(&source, "data:v1").await;
    for number in (0..2000).step_by(50) {
        std::fs::write(file(number), format!("changed {number} ").repeat(100)).unwrap();
    }
    server.fill(&source, "data:v2").await;

    let token = server.user("ci", &["reader data"]).await;
    let options = PullOptions { state_dir: Some(work.path().join("state")), ..Default::default() };
    let copy = work.path().join("copy");
    let mut wires = Vec::new();
    for version in ["data:v1", "data:v2"] {
        let node = server.node(&token);
        let store: Arc<dyn Store> = Arc::new(node.clone());
        cairn_datasets::pull(&store, &target(version), &copy, &options).await.unwrap();
        wires.push((node.wire().down(), node.wire().requests()));
    }
    assert_eq!(picture(&copy), picture(&source));
    let [(_, first), (bytes, requests)] = wires[..] else { unreachable!() };
    assert!(first < 100, "{first} requests for 2000 files");
    assert!(requests < 20, "{requests} requests for 40 files");
    assert!(bytes < 200_000, "{bytes} bytes for 40 changed files");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_copied_and_removed_in_the_callers_name() {
    let server = Server::start().await;
    let token = server.user("ci", &["writer data"]).await;
    let work = tempfile::tempdir().unwrap();
    std::fs::write(work.path().join("a"), "a").unwrap();
    server.fill(work.path(), "data:v1").await;
    let node = server.node(&token);
    let moved = node.copy_tag(&target("data:v1"), &target("data:prod"), "a liar").await.unwrap();
    assert_eq!(moved.by, "ci");
    let mut rules = node.rules(&target("data").dataset).await.unwrap();
    rules.history_keep = 3;
    node.set_rules(&target("data").dataset, &rules).await.unwrap();
    assert_eq!(node.rules(&target("data").dataset).await.unwrap(), rules);
    node.remove(&target("data:prod")).await.unwrap();
    let gone = node.tag(&target("data:prod")).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    assert_eq!(node.list(&"main".parse().unwrap()).await.unwrap().len(), 1);
    server.stop().await;
}

/// Defect 9 of the earlier system: a version whose blocks are missing was accepted.
#[tokio::test(flavor = "multi_thread")]
async fn publishing_what_was_not_sent_is_refused() {
    let server = Server::start().await;
    let token = server.user("ci", &["writer data"]).await;
    let node = server.node(&token);
    let upload = node.upload(&[target("data:v1")]).await.unwrap();
    let publication = Publication {
        root: cairn_chunk::ChunkId([9; 32]),
        totals: cairn_tree::Totals::default(),
        by: "ci".to_owned(),
        message: None,
        expires_ns: None,
    };
    let refused = upload.publish(&publication).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
    assert_eq!(node.tag(&target("data:v1")).await.unwrap_err().kind(), ErrorKind::NotFound);
    server.stop().await;
}

/// A push that sends nothing for long, because its source is slow, says so and keeps its upload; one
/// that is silent loses it to those who want a place.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_kept_outlives_its_silence() {
    let clock = Arc::new(Shifted::default());
    let env = Env { clock: clock.clone(), ..Env::real() };
    let server = Server::in_env(env.clone(), Bucket::memory(&env), Options::default()).await;
    let token = server.user("ci", &["writer data"]).await;
    let node = server.node(&token);
    let targets = [target("data:v1")];
    let open = || node.upload(&targets);
    let (kept, silent) = (open().await.unwrap(), open().await.unwrap());
    for _ in 0..10 {
        clock.forward(UPLOAD_KEEP_EVERY);
        kept.keep().await.unwrap();
        // A new upload looks for idle ones to take the place of.
        open().await.unwrap().abandon().await.unwrap();
    }
    assert!(UPLOAD_KEEP_EVERY * 10 > UPLOAD_IDLE_MAX);
    let ids = [cairn_chunk::ChunkId([1; 32])];
    assert_eq!(kept.claim(&ids).await.unwrap(), [true]);
    for lost in [silent.keep().await.unwrap_err(), silent.claim(&ids).await.unwrap_err()] {
        assert!(lost.to_string().contains("was idle for too long"), "{lost}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_not_there_is_said_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let env = cairn_env::Env::real();
    let node = cairn_http::client::Node::new(&url, None, &env).unwrap();
    let error = node.tag(&target("data:v1")).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot reach {url}: ")), "{error}");
    assert!(error.ends_with("is the node running? start one with `cairn up`"), "{error}");
}
