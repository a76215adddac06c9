//! Two nodes on one real S3 server, one of them killed at any moment, again and again (BUCKET-2,
//! BLOCKS-1, BLOCKS-4, DATASETS-1, DATASETS-2): what a kill costs its clients is a retry.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cairn_testkit::store::{Kind, Server};
use serde_json::Value;

use crate::lab::Lab;
use crate::process::Ended;
use crate::running_node::Node;
use crate::tree::{Rng, Tree};

/// How long pushes go on, in seconds, where this variable does not say.
const SECONDS: &str = "CAIRN_HUBS_SECONDS";
const SECONDS_DEFAULT: u64 = 20;
const PUSHERS: u64 = 3;
/// Pushes of one pusher to the same tags: fewer than what a history keeps, of all of them together.
const ERA: usize = 40;
/// How often a command is tried: each time through a hub that may just have died.
const TRIES: usize = 40;
/// What a client says whose hub died or asks for patience: try again.
const LATER: i32 = 6;

/// One of two hubs, behind an address that stays.
struct Hub {
    node: Mutex<Option<Node>>,
    lab: Lab,
}

impl Hub {
    fn new(direct: &Lab, node: Node) -> Self {
        let lab = direct.through(&node);
        Self { node: Mutex::new(Some(node)), lab }
    }

    /// Kills it as `kill -9` does, and starts it again where it was.
    fn fall(&self, direct: &Lab, asleep: Duration) {
        let mut node = self.node.lock().unwrap();
        let fallen = node.take().unwrap();
        *node = Some(fallen.killed(direct, || pause(asleep)));
    }
}

fn pause(time: Duration) {
    // tidy: foreign process
    std::thread::sleep(time);
}

/// What all threads see.
struct World {
    direct: Lab,
    hubs: [Hub; 2],
    until: Instant,
    over: AtomicBool,
    retries: AtomicU32,
    /// Acknowledged, and not removed.
    shelf: Mutex<Vec<(String, Tree)>>,
    /// Histories that somebody saw: the tag, and what `log` said, the newest first.
    seen: Mutex<Vec<(String, Vec<Value>)>>,
}

impl World {
    /// Runs a command through one hub or the other until it is done. `Err` has the end of an attempt
    /// with another code than those that ask for a retry, and whether one was cut off before.
    fn attempt(&self, rng: &mut Rng, words: &str) -> Result<Ended, (Ended, bool)> {
        for try_number in 0..TRIES {
            let ended = self.hubs[rng.below(2)].lab.run(words);
            match ended.code {
                Some(0) => return Ok(ended),
                Some(LATER) => {
                    self.retries.fetch_add(1, Ordering::Relaxed);
                    pause(Duration::from_millis(50));
                }
                _ => return Err((ended, try_number > 0)),
            }
        }
        panic!("cairn {words}: it was tried {TRIES} times");
    }

    #[track_caller]
    fn done(&self, rng: &mut Rng, words: &str) -> Ended {
        match self.attempt(rng, words) {
            Ok(ended) => ended,
            Err((ended, _)) => panic!("cairn {words}: {:?} {}", ended.code, ended.stderr),
        }
    }

    /// Removes a tag. That it is gone already counts when the answer of an attempt was lost.
    fn remove(&self, rng: &mut Rng, reference: &str) {
        match self.attempt(rng, &format!("rm {reference}")) {
            Ok(_) | Err((Ended { code: Some(3), .. }, true)) => {}
            Err((ended, _)) => panic!("rm {reference}: {:?} {}", ended.code, ended.stderr),
        }
    }

    fn log(&self, rng: &mut Rng, tag: &str) -> Vec<Value> {
        let ended = self.done(rng, &format!("--json log {tag}"));
        let versions = ended.lines.iter().map(|line| serde_json::from_str(line).unwrap());
        let history = versions.map(|mut version: Value| {
            // It is the newest one only for a while.
            version.as_object_mut().unwrap().remove("current");
            version
        });
        history.collect()
    }
}

/// Pushes a tree that changes, and moves tags. What it pushed in each era, in order.
fn push(world: &World, index: u64) -> Vec<Vec<String>> {
    let mut rng = Rng(900 + index);
    let mut tree = Tree::random(&mut rng, 25);
    let src = format!("src{index}");
    tree.write(&world.direct.path(&src));
    let mut eras: Vec<Vec<String>> = Vec::new();
    for round in 0.. {
        let era = round / ERA;
        let (own, all) = (format!("p{index}:e{era}"), format!("all:e{era}"));
        let version = format!("p{index}:v{round}");
        let ended = world.done(&mut rng, &format!("--json push {src} {version} {own} {all}"));
        let pushed: Value = serde_json::from_str(&ended.lines[0]).unwrap();
        let root = pushed["version"]["root"].as_str().unwrap().to_owned();
        eras.resize(era + 1, Vec::new());
        eras[era].push(root);
        match round % 4 {
            // So that there is something to collect.
            3 => world.remove(&mut rng, &version),
            2 => {
                let stable = format!("p{index}:stable{round}");
                world.done(&mut rng, &format!("tag {version} {stable}"));
                world.shelf.lock().unwrap().push((stable, tree.clone()));
            }
            _ => world.shelf.lock().unwrap().push((version, tree.clone())),
        }
        let log = world.log(&mut rng, &all);
        world.seen.lock().unwrap().push((all, log));
        if Instant::now() > world.until {
            break;
        }
        let before = tree.clone();
        tree.change(&mut rng);
        tree.write_over(&before, &world.direct.path(&src));
    }
    eras
}

fn read(world: &World) {
    let mut rng = Rng(950);
    while !world.over.load(Ordering::Relaxed) {
        let chosen = {
            let shelf = world.shelf.lock().unwrap();
            (!shelf.is_empty()).then(|| shelf[rng.below(shelf.len())].clone())
        };
        let Some((reference, tree)) = chosen else {
            pause(Duration::from_millis(20));
            continue;
        };
        let to = format!("read{}", rng.next());
        world.done(&mut rng, &format!("pull {reference} {to}"));
        Tree::read(&world.direct.path(&to)).assert_same(&tree, &reference);
        std::fs::remove_dir_all(world.direct.path(&to)).unwrap();
    }
}

fn collect(world: &World) {
    let mut rng = Rng(951);
    while !world.over.load(Ordering::Relaxed) {
        world.done(&mut rng, "gc --grace 0s");
    }
}

/// Lets hubs fall, one at a time. How often.
fn kill(world: &World) -> u32 {
    let mut rng = Rng(952);
    let mut falls = 0;
    while !world.over.load(Ordering::Relaxed) {
        pause(Duration::from_millis(200 + rng.next() % 1200));
        let asleep = Duration::from_millis(rng.next() % 300);
        world.hubs[rng.below(2)].fall(&world.direct, asleep);
        falls += 1;
    }
    falls
}

/// The roots of a history, the oldest first, one that follows itself once: its pusher tried again.
fn roots(log: &[Value]) -> Vec<&str> {
    let mut roots: Vec<&str> =
        log.iter().rev().map(|version| version["root"].as_str().unwrap()).collect();
    roots.dedup();
    roots
}

/// Whether all of `part` are in `whole`, in this order.
fn in_order(part: &[String], whole: &[&str]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|wanted| rest.any(|root| root == wanted))
}

#[test]
fn a_killed_hub_costs_a_retry() {
    let seconds = std::env::var(SECONDS).ok().map(|text| text.parse().unwrap());
    let server = Server::start(Kind::Versitygw).unwrap();
    let direct = Lab::on(&server, "p");
    let first = Node::start(&direct);
    let second = first.beside(&direct);
    let world = World {
        hubs: [Hub::new(&direct, first), Hub::new(&direct, second)],
        until: Instant::now() + Duration::from_secs(seconds.unwrap_or(SECONDS_DEFAULT)),
        over: AtomicBool::new(false),
        retries: AtomicU32::new(0),
        shelf: Mutex::default(),
        seen: Mutex::default(),
        direct,
    };
    let (falls, pushed) = std::thread::scope(|scope| {
        let world = &world;
        let killer = scope.spawn(move || kill(world));
        let others = [scope.spawn(move || read(world)), scope.spawn(move || collect(world))];
        let pushers: Vec<_> =
            (0..PUSHERS).map(|index| scope.spawn(move || push(world, index))).collect();
        let pushed: Vec<_> = pushers.into_iter().map(|pusher| pusher.join().unwrap()).collect();
        world.over.store(true, Ordering::Relaxed);
        others.into_iter().for_each(|other| other.join().unwrap());
        (killer.join().unwrap(), pushed)
    });
    histories_are_linear(&world, &pushed);
    // Nothing acknowledged is lost, whichever hub is asked.
    let shelf = world.shelf.lock().unwrap();
    for (index, (reference, tree)) in shelf.iter().enumerate() {
        world.hubs[index % 2].lab.assert_version(reference, tree);
    }
    world.direct.ok("gc --grace 0s");
    world.direct.verify();
    let count: usize = pushed.iter().flatten().map(Vec::len).sum();
    let retries = world.retries.load(Ordering::Relaxed);
    println!("{count} pushes, {falls} kills, {retries} retries, {} versions kept", shelf.len());
    assert!(falls >= 5 && count >= 10, "{falls} kills, {count} pushes");
}

/// What anybody saw of a history is how it began, and each push is in it, in its pusher's order.
fn histories_are_linear(world: &World, pushed: &[Vec<Vec<String>>]) {
    let mut rng = Rng(953);
    for (tag, seen) in world.seen.lock().unwrap().iter() {
        let last = world.log(&mut rng, tag);
        assert!(last.ends_with(seen), "{tag}: what was seen is not how it went on");
    }
    for (index, eras) in pushed.iter().enumerate() {
        for (era, pushed) in eras.iter().enumerate() {
            let own = world.log(&mut rng, &format!("p{index}:e{era}"));
            let mut once = pushed.clone();
            once.dedup();
            assert_eq!(roots(&own), once, "p{index}:e{era} is what its pusher pushed");
            let all = world.log(&mut rng, &format!("all:e{era}"));
            assert!(in_order(&once, &roots(&all)), "all:e{era} has what p{index} pushed, in order");
        }
    }
}
