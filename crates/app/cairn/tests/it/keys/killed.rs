//! Nodes that are killed at any moment, again and again.

use std::thread::ScopedJoinHandle;
use std::time::Duration;

use cairn_testkit::store::{Kind, Server};

use super::DATA;
use super::client::Client;
use super::history::check;
use super::work::{CLIENTS, Worker, World, everything, history, pause};
use crate::lab::Lab;
use crate::running_node::Node;
use crate::tree::Rng;

/// How long nodes are killed, in seconds, where this variable does not say.
const SECONDS: &str = "CAIRN_KEYS_SECONDS";
const SECONDS_DEFAULT: u64 = 12;

fn seconds() -> Duration {
    let seconds = std::env::var(SECONDS).ok().map(|text| text.parse().unwrap());
    Duration::from_secs(seconds.unwrap_or(SECONDS_DEFAULT))
}

/// LOG-2, LOG-4: a node that is killed and comes back on its disk has all that it acknowledged.
fn a_killed_node_loses_nothing(lab: &Lab, settings: &str, seed: u64) {
    let node = Node::start_with(lab, "127.0.0.1:0", DATA);
    let place = Client::of(&node, "s");
    place.insist("PUT", "", settings.as_bytes(), 201);
    let world = World::new();
    let places = [place.clone()];
    let mut falls = 0;
    let (node, mut notes) = std::thread::scope(|scope| {
        let mut node = node;
        let (world, places) = (&world, &places);
        scope.spawn(|| world.watch(places));
        let workers = Worker::all(scope, world, [places; CLIENTS], seed);
        let mut rng = Rng(seed);
        while world.now() < seconds() && !workers.iter().any(ScopedJoinHandle::is_finished) {
            pause(Duration::from_millis(100 + rng.next() % 1500));
            let asleep = Duration::from_millis(rng.next() % 300);
            node = node.restarted(lab, DATA, || pause(asleep));
            falls += 1;
        }
        (node, world.end(workers))
    });
    notes.add(world.last_words(&places));
    let told = history(&place);
    assert!(told.starts_with(&world.told()), "a watch told what is lost (LOG-4)");
    let state = check(&notes, &told);
    assert_eq!(everything(&place), state);
    // What is replayed, and read from the bucket, is the same.
    let node = node.restarted(lab, DATA, || ());
    assert_eq!(everything(&place), state);
    assert!(history(&place).starts_with(&told));
    assert_eq!(node.stop().code, Some(0));
    let (acknowledged, unknown) = (notes.acknowledged(), notes.unknown());
    println!(
        "{falls} kills, {} commits, {acknowledged} acknowledged, {unknown} unknown",
        told.len()
    );
    assert!(falls >= 3 && acknowledged >= 100, "{falls} kills, {acknowledged} acknowledged");
}

#[test]
fn on_a_directory() {
    a_killed_node_loses_nothing(&Lab::new(), "{}", 201);
}

#[test]
fn on_versitygw() {
    let server = Server::start(Kind::Versitygw).unwrap();
    a_killed_node_loses_nothing(&Lab::on(&server, "p"), "{}", 202);
}

#[test]
fn on_versitygw_at_level_bucket() {
    let server = Server::start(Kind::Versitygw).unwrap();
    a_killed_node_loses_nothing(&Lab::on(&server, "p"), r#"{"durable":"bucket"}"#, 203);
}
