//! Power that fails: filesystems on loop devices that stop at once, with nothing written back.

use std::path::PathBuf;
use std::time::Duration;

use cairn_testkit::store::{Kind, Server};

use super::client::Client;
use super::history::{Notes, check};
use super::work::{CLIENTS, Worker, World, everything, history, pause};
use crate::lab::Lab;
use crate::mount::{Mount, run};
use crate::process::until;
use crate::running_node::Node;
use crate::tree::Rng;

/// How often the power fails, where this variable does not say.
const CUTS: &str = "CAIRN_KEYS_CUTS";
const CUTS_DEFAULT: u32 = 4;

/// A filesystem in a file.
pub(super) struct Image {
    dir: tempfile::TempDir,
}

impl Image {
    pub(super) fn new(make: &[&str]) -> Self {
        let image = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::File::create(image.file()).unwrap().set_len(512 << 20).unwrap();
        let (program, args) = make.split_first().unwrap();
        run(program, &[args, &[image.file().to_str().unwrap()]].concat());
        image
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    pub(super) fn at(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    pub(super) fn mount(&self) -> Option<Mount> {
        Mount::new(&self.at(), &["-o", "loop", self.file().to_str().unwrap()])
    }
}

/// LOG-2: cuts the power of the disk that has the log while clients write, again and again. All that was
/// acknowledged before is there, and nothing by half.
fn cut_and_check(image: &Image, lab: &Lab, seed: u64) {
    let cuts = std::env::var(CUTS).map_or(CUTS_DEFAULT, |text| text.parse().unwrap());
    let mut mount = image.mount();
    if mount.is_none() {
        return;
    }
    let data = format!("--data-dir {}", image.at().join("data").display());
    let mut node = Node::start_with(lab, "127.0.0.1:0", &data);
    let places = [Client::of(&node, "s")];
    places[0].insist("PUT", "", b"{}", 201);
    let (world, mut rng) = (World::new(), Rng(seed));
    let mut notes = Notes::default();
    for round in 0..cuts {
        world.resume();
        let more = std::thread::scope(|scope| {
            let (world, places) = (&world, &places);
            let workers = Worker::all(scope, world, [places; CLIENTS], seed + u64::from(round));
            pause(Duration::from_millis(500 + rng.next() % 2500));
            mount.as_ref().unwrap().cut();
            // Nothing is acknowledged from here on that the disk has not.
            pause(Duration::from_millis(rng.next() % 300));
            world.end(workers)
        });
        notes.add(more);
        node = node.restarted(lab, &data, || {
            drop(mount.take());
            mount = image.mount();
        });
        until("an answer", || {
            (places[0].ask("GET", "", "", b"").ok()?.status == 200).then_some(())
        });
        let told = history(&places[0]);
        let state = check(&notes, &told);
        assert_eq!(everything(&places[0]), state);
        println!("cut {round}: {} acknowledged, {} unknown", notes.acknowledged(), notes.unknown());
    }
    assert_eq!(node.stop().code, Some(0));
    assert!(notes.acknowledged() > 100);
}

/// The log alone is on the disk that fails: what is in the bucket is no more than it had.
#[test]
fn of_the_log_on_ext4() {
    let server = Server::start(Kind::Versitygw).unwrap();
    cut_and_check(&Image::new(&["mkfs.ext4", "-q", "-F"]), &Lab::on(&server, "p"), 231);
}

/// Log and bucket are on the disk that fails.
#[test]
fn of_everything_on_xfs() {
    let image = Image::new(&["mkfs.xfs", "-q", "-f"]);
    let lab = Lab::with_bucket(image.at().join("bucket"));
    cut_and_check(&image, &lab, 232);
}
