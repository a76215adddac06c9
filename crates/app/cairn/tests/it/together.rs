//! Several processes on one bucket at once (BLOCKS-1, BLOCKS-4).

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::lab::Lab;
use crate::tree::{Rng, Tree};

#[test]
fn pushes_to_one_tag_all_count() {
    let lab = Lab::new();
    let trees: Vec<Tree> = (0..4).map(|seed| Tree::random(&mut Rng(110 + seed), 30)).collect();
    for (index, tree) in trees.iter().enumerate() {
        tree.write(&lab.path(&format!("src{index}")));
    }
    let pushes: Vec<_> =
        (0..4).map(|index| lab.start(&format!("--json push src{index} d:same"))).collect();
    let mut roots: Vec<String> = Vec::new();
    for push in pushes {
        let ended = push.end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let pushed: serde_json::Value = serde_json::from_str(&ended.lines[0]).unwrap();
        roots.push(pushed["version"]["root"].as_str().unwrap().to_owned());
    }
    let log = lab.json("log d:same");
    let mut logged: Vec<&str> = log.iter().map(|line| line["root"].as_str().unwrap()).collect();
    // Clocks do not decide who was last, the swap of the tag does.
    let current = log.iter().find(|line| line["current"] == true).unwrap();
    let newest = roots.iter().position(|root| current["root"] == root.as_str()).unwrap();
    lab.assert_version("d:same", &trees[newest]);
    logged.sort_unstable();
    roots.sort_unstable();
    assert_eq!(logged, roots, "each push is in the history once");
    lab.verify();
}

#[test]
fn collections_at_once_do_each_thing_once() {
    let lab = Lab::new();
    let mut rng = Rng(121);
    let (kept, gone) = (Tree::random(&mut rng, 60), Tree::random(&mut rng, 60));
    kept.write(&lab.path("kept"));
    gone.write(&lab.path("gone"));
    lab.ok("push kept d:kept");
    lab.ok("push gone d:gone");
    lab.ok("rm d:gone");
    let mut deleted = 0;
    for _ in 0..3 {
        let both = [lab.start("--json gc --grace 0s"), lab.start("--json gc --grace 0s")];
        for gc in both {
            let ended = gc.end();
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            let collected: serde_json::Value = serde_json::from_str(&ended.lines[0]).unwrap();
            deleted += collected["packs_deleted"].as_u64().unwrap();
        }
    }
    assert!(deleted >= 1, "what was removed is gone from the bucket");
    lab.verify();
    lab.assert_version("d:kept", &kept);
    let report = &lab.json("gc --dry-run")[0];
    assert_eq!(report["chunks"], report["chunks_live"], "nothing is left to collect");
}

const PUSHERS: usize = 4;
const FOR: Duration = Duration::from_secs(8);

/// What was acknowledged and stays.
type Shelf = Mutex<Vec<(String, Tree)>>;

fn push_for_a_while(lab: &Lab, index: usize, shelf: &Shelf, until: Instant) {
    let mut rng = Rng(130 + index as u64);
    let mut tree = Tree::random(&mut rng, 30);
    let src = format!("src{index}");
    tree.write(&lab.path(&src));
    for round in 0.. {
        let reference = format!("p{index}:v{round}");
        lab.ok(&format!("push {src} {reference} all:latest"));
        if round % 3 == 2 {
            // So that there is something to collect.
            lab.ok(&format!("rm {reference}"));
        } else {
            shelf.lock().unwrap().push((reference, tree.clone()));
        }
        if Instant::now() > until {
            return;
        }
        let before = tree.clone();
        tree.change(&mut rng);
        tree.write_over(&before, &lab.path(&src));
    }
}

fn read_for_a_while(lab: &Lab, shelf: &Shelf, until: Instant) {
    let mut rng = Rng(140);
    while Instant::now() < until {
        let chosen = {
            let shelf = shelf.lock().unwrap();
            (!shelf.is_empty()).then(|| shelf[rng.below(shelf.len())].clone())
        };
        match chosen {
            Some((reference, tree)) => lab.assert_version(&reference, &tree),
            None => drop(lab.ok("ls")),
        }
    }
}

#[test]
fn pushers_readers_and_a_collector_get_along() {
    let (lab, shelf) = (Lab::new(), Shelf::default());
    lab.ok("init");
    let until = Instant::now() + FOR;
    std::thread::scope(|scope| {
        for index in 0..PUSHERS {
            let (lab, shelf) = (&lab, &shelf);
            scope.spawn(move || push_for_a_while(lab, index, shelf, until));
        }
        scope.spawn(|| read_for_a_while(&lab, &shelf, until));
        scope.spawn(|| {
            while Instant::now() < until {
                lab.ok("gc --grace 0s");
            }
        });
    });
    lab.verify();
    let shelf = shelf.into_inner().unwrap();
    assert!(shelf.len() >= PUSHERS);
    for (reference, tree) in &shelf {
        lab.assert_version(reference, tree);
    }
}
