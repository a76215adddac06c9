//! Two nodes on one bucket, each with a disk of its own, that both want the same namespace.

use std::time::{Duration, Instant};

use cairn_testkit::store::{Kind, Server};

use super::client::Client;
use super::history::check;
use super::work::{Worker, World, everything, history, pause};
use crate::lab::Lab;
use crate::process::until;
use crate::running_node::Node;

/// What the lease of a busy node and the difference of clocks come to, and time to notice.
const TAKEN_OVER_MAX: Duration = Duration::from_secs(15 + 1 + 6);
/// A lease, and then some.
const STOPPED: Duration = Duration::from_secs(20);

/// How long it takes until a node answers for the namespace.
fn taken_over(place: &Client) -> Duration {
    let start = Instant::now();
    until("a takeover", || {
        let answer = place.ask("GET", "", "", b"").ok()?;
        (answer.status == 200).then_some(())
    });
    start.elapsed()
}

/// LOG-1: of two nodes one owns a namespace. The other says so, and where the owner is, until the owner
/// is gone or silent for as long as its lease holds. One that was silent and comes back acknowledges
/// and tells nothing of its own any more; it serves what it is asked for later.
fn one_of_two_answers(lab: &Lab, seed: u64) {
    let first = Node::start_with(lab, "127.0.0.1:0", "--data-dir first");
    let second = first.beside_with(lab, "--data-dir second");
    let places = [Client::of(&first, "s"), Client::of(&second, "s")];
    places[0].insist("PUT", "", br#"{"durable":"bucket"}"#, 201);

    let refused = places[1].ask("PUT", "/keys/k", "", b"v").unwrap();
    assert_eq!(refused.status, 421, "{}", refused.text());
    assert_eq!(refused.header("x-cairn-owner"), Some(first.url.as_str()), "{refused:?}");
    println!("{}", refused.text());

    let world = World::new();
    let (first, mut notes) = std::thread::scope(|scope| {
        let world = &world;
        scope.spawn(|| world.watch(&places));
        let (both, other) = (&places[..], &places[1..]);
        let workers = Worker::all(scope, world, [both, both, other, both], seed);
        pause(Duration::from_secs(3));
        first.signal("STOP");
        let stopped = Instant::now();
        let took = taken_over(&places[1]);
        println!("taken over {took:?} after the owner was stopped");
        pause(STOPPED.saturating_sub(stopped.elapsed()));
        first.signal("CONT");
        pause(Duration::from_secs(3));
        assert!(took < TAKEN_OVER_MAX, "{took:?}");
        // The one that came back knows who owns it now.
        let refused = places[0].insist("PUT", "/keys/k", b"v", 421);
        assert_eq!(refused.header("x-cairn-owner"), Some(second.url.as_str()), "{refused:?}");
        // And takes it back when that one dies.
        second.kill();
        let took = taken_over(&places[0]);
        println!("taken over {took:?} after the owner was killed");
        assert!(took < TAKEN_OVER_MAX, "{took:?}");
        pause(Duration::from_secs(1));
        (first, world.end(workers))
    });
    notes.add(world.last_words(&places[..1]));
    let told = history(&places[0]);
    assert!(told.starts_with(&world.told()), "a watch told what is lost (LOG-4)");
    let state = check(&notes, &told);
    assert_eq!(everything(&places[0]), state);
    // Who stops gives everything back: another one goes on at once.
    let third = first.beside_with(lab, "--data-dir third");
    assert_eq!(first.stop().code, Some(0));
    let place = Client::of(&third, "s");
    let took = taken_over(&place);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(everything(&place), state);
    assert!(history(&place).starts_with(&told));
    let (acknowledged, unknown) = (notes.acknowledged(), notes.unknown());
    println!("{} commits, {acknowledged} acknowledged, {unknown} unknown", told.len());
}

#[test]
fn on_a_directory() {
    one_of_two_answers(&Lab::new(), 211);
}

#[test]
fn on_versitygw() {
    let server = Server::start(Kind::Versitygw).unwrap();
    one_of_two_answers(&Lab::on(&server, "p"), 212);
}
