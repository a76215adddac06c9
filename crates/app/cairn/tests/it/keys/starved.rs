//! Disks that are full, and buckets that take nothing for a while.

use std::time::Duration;

use cairn_testkit::store::{Kind, Server};

use super::DATA;
use super::client::Client;
use super::cut::Image;
use super::history::{Outcome, check};
use super::work::{CLIENTS, Worker, World, everything, history, pause};
use crate::lab::Lab;
use crate::mount::{Mount, run};
use crate::running_node::Node;

const MIB: usize = 1 << 20;
/// Longer than a lease holds.
const GONE: Duration = Duration::from_secs(22);
/// When the lease is over for certain.
const LEASE: Duration = Duration::from_secs(16);

/// LOG-1, LOG-2: a bucket that takes nothing costs no change that was acknowledged. Every request is
/// answered. When the lease could not be renewed nothing is acknowledged any more, and when the bucket
/// is back the node goes on by itself.
fn a_bucket_goes_and_comes_back(lab: &Lab, seed: u64, go: impl FnOnce(), come: impl FnOnce()) {
    let node = Node::start_with(lab, "127.0.0.1:0", DATA);
    let places = [Client::of(&node, "s")];
    places[0].insist("PUT", "", b"{}", 201);
    let world = World::new();
    let (notes, silent) = std::thread::scope(|scope| {
        let (world, places) = (&world, &places);
        scope.spawn(|| world.watch(places));
        let workers = Worker::all(scope, world, [places; CLIENTS], seed);
        pause(Duration::from_secs(2));
        go();
        let gone = world.now();
        pause(GONE);
        let silent = gone + LEASE..world.now();
        come();
        let last = world.last_words(places);
        pause(Duration::from_secs(2));
        let mut notes = world.end(workers);
        notes.add(last);
        (notes, silent)
    });
    let done = notes.asked.iter().filter(|asked| matches!(asked.outcome, Outcome::Done(_)));
    let during: Vec<_> = done.filter(|asked| silent.contains(&asked.ended)).collect();
    assert!(during.is_empty(), "acknowledged without a lease: {during:?}");
    let read = notes.got.iter().filter(|got| silent.contains(&got.ended)).count();
    assert_eq!(read, 0, "answered without a lease");
    let told = history(&places[0]);
    assert!(told.starts_with(&world.told()), "a watch told what is lost (LOG-4)");
    let state = check(&notes, &told);
    assert_eq!(everything(&places[0]), state);
    assert_eq!(node.stop().code, Some(0));
    println!("{} acknowledged, {} unknown", notes.acknowledged(), notes.unknown());
    assert!(notes.acknowledged() > 100);
}

#[test]
fn versitygw_goes_and_comes_back() {
    let server = Server::start(Kind::Versitygw).unwrap();
    let lab = Lab::on(&server, "p");
    let server = std::cell::RefCell::new(server);
    let (go, come) = (|| server.borrow_mut().kill(), || server.borrow_mut().restart().unwrap());
    a_bucket_goes_and_comes_back(&lab, 241, go, come);
}

/// The filesystem refuses to write, and reading goes on.
#[test]
fn a_directory_is_read_only_for_a_while() {
    let image = Image::new(&["mkfs.ext4", "-q", "-F"]);
    let Some(_mount) = image.mount() else { return };
    let bucket = image.at().join("bucket");
    let lab = Lab::with_bucket(bucket.clone());
    let immutable = |how: &str| run("chattr", &["-R", "-f", how, bucket.to_str().unwrap()]);
    a_bucket_goes_and_comes_back(&lab, 242, || immutable("+i"), || immutable("-i"));
}

/// LOG-2: a log that finds no room refuses changes by name and loses nothing, reads go on, and it goes
/// on by itself when there is room.
#[test]
fn a_full_disk_refuses_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("small");
    let size = ["-t", "tmpfs", "-o", "size=40M", "tmpfs"];
    let Some(mount) = Mount::new(&at, &size) else { return };
    let lab = Lab::new();
    let node = Node::start_with(&lab, "127.0.0.1:0", &format!("--data-dir {}", at.display()));
    let places = [Client::of(&node, "s")];
    places[0].insist("PUT", "", b"{}", 201);
    // Whatever is left.
    let ballast = mount.path().join("ballast");
    let filled = std::fs::write(&ballast, vec![7; 40 * MIB]);
    assert!(filled.is_err(), "the disk is not full");
    let value = "x".repeat(MIB);
    let put = |number| {
        let below = format!("/keys/big/{number}");
        places[0].ask("PUT", &below, "", value.as_bytes()).unwrap()
    };
    // The log has taken it, and it may be made yet, when there is room.
    let first = (0..64).map(put).find(|put| put.status != 200).unwrap();
    assert_eq!(first.status, 504, "{}", first.text());
    let refused = put(64);
    assert_eq!(refused.status, 507, "{}", refused.text());
    assert!(refused.text().contains("no space is left"), "{}", refused.text());
    assert_eq!(places[0].ask("GET", "/keys/big/0", "", b"").unwrap().body.len(), MIB);
    std::fs::remove_file(&ballast).unwrap();
    places[0].insist("PUT", "/keys/big/64", b"room", 200);
    let before = everything(&places[0]);
    let node = node.restarted(&lab, &format!("--data-dir {}", at.display()), || ());
    assert_eq!(everything(&places[0]), before);
    assert_eq!(node.stop().code, Some(0));
}
