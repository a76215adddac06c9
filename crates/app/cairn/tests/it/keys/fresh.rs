//! A node whose disk is gone: another one goes on with what is in the bucket.

use std::time::Duration;

use cairn_testkit::store::{Kind, Server};

use super::client::Client;
use super::history::{Notes, check};
use super::work::{CLIENTS, Worker, World, everything, history, pause};
use crate::lab::Lab;
use crate::process::until;
use crate::running_node::Node;

/// What is acknowledged is in the bucket after so long: a second, and what a put takes on a busy machine.
const SHIPPED_WITHIN: Duration = Duration::from_secs(4);

/// Lets clients work, kills the node at once, takes its disk away, and starts one on a fresh disk. What
/// clients heard until the end, when that was, and where the namespace is now.
fn on_a_fresh_disk(lab: &Lab, settings: &str, seed: u64) -> (Notes, Duration, Client, Node) {
    let node = Node::start_with(lab, "127.0.0.1:0", "--data-dir first");
    let places = [Client::of(&node, "s")];
    places[0].insist("PUT", "", settings.as_bytes(), 201);
    let world = World::new();
    let (node, notes, end) = std::thread::scope(|scope| {
        let (world, places) = (&world, &places);
        let workers = Worker::all(scope, world, [places; CLIENTS], seed);
        pause(SHIPPED_WITHIN + Duration::from_secs(3));
        let end = world.now();
        let node = node.restarted(lab, "--data-dir second", || {
            std::fs::remove_dir_all(lab.path("first")).unwrap();
        });
        (node, world.end(workers), end)
    });
    let place = places[0].clone();
    until("a takeover", || (place.ask("GET", "", "", b"").ok()?.status == 200).then_some(()));
    (notes, end, place, node)
}

/// LOG-2 at level `bucket`.
fn level_bucket_loses_nothing(lab: &Lab, seed: u64) {
    let (notes, _, place, node) = on_a_fresh_disk(lab, r#"{"durable":"bucket"}"#, seed);
    let told = history(&place);
    assert_eq!(everything(&place), check(&notes, &told));
    assert_eq!(node.stop().code, Some(0));
    let (acknowledged, unknown) = (notes.acknowledged(), notes.unknown());
    println!("{acknowledged} acknowledged, {unknown} unknown, {} there", told.len());
    assert!(acknowledged > 50);
}

/// LOG-2, LOG-3 at level `log`: what is lost is the end of the log alone, no older than what shipping
/// takes, and whoever looks at the namespace is told.
fn level_log_loses_the_end_by_name(lab: &Lab, seed: u64) {
    let (mut notes, end, place, node) = on_a_fresh_disk(lab, "{}", seed);
    let said = place.insist("GET", "", b"", 200).json();
    let lost = &said["lost"];
    assert!(lost["log"].as_str().is_some_and(|log| log.len() == 32), "{said}");
    let told = history(&place);
    let gone = notes.lost(&told);
    for asked in &gone {
        let age = end.saturating_sub(asked.ended);
        assert!(age < SHIPPED_WITHIN, "{asked:?} was acknowledged {age:?} before the end");
    }
    assert_eq!(everything(&place), check(&notes, &told));
    println!("{} acknowledged, and {} lost: {lost}", notes.acknowledged(), gone.len());
    // It is said for as long as the namespace is there, and in the owner's messages.
    let node = node.restarted(lab, "--data-dir second", || ());
    assert_eq!(place.insist("GET", "", b"", 200).json()["lost"], *lost);
    let shown = lab.through(&node).ok("kv status s");
    assert!(shown.contains("may be lost"), "{shown}");
    assert_eq!(node.stop().code, Some(0));
}

#[test]
fn level_bucket_on_a_directory() {
    level_bucket_loses_nothing(&Lab::new(), 221);
}

#[test]
fn level_log_on_versitygw() {
    let server = Server::start(Kind::Versitygw).unwrap();
    level_log_loses_the_end_by_name(&Lab::on(&server, "p"), 222);
}
