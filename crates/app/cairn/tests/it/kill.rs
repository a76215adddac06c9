//! kill -9 at random moments (BUCKET-1, DATASETS-3, BLOCKS-4).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::lab::Lab;
use crate::process::{Ended, files_below, until};
use crate::tree::{Rng, Tree};

const MIB: usize = 1 << 20;

/// Chooses moments so that about half of the processes are killed before they are done, however fast
/// the machine is.
struct Axe {
    usual: Duration,
    rng: Rng,
}

impl Axe {
    fn fall(&mut self, lab: &Lab, words: &str) -> Ended {
        let time = self.usual.mul_f64(self.rng.part() * 2.0);
        let ended = lab.start(words).kill_after(time);
        if ended.code.is_none() {
            self.usual = self.usual.mul_f64(1.1);
        } else {
            assert_eq!(ended.code, Some(0), "cairn {words}: {}", ended.stderr);
            self.usual = self.usual.mul_f64(0.9);
        }
        ended
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

#[test]
fn killed_pushes_lose_nothing_acknowledged() {
    let lab = Lab::new();
    let mut tree = Tree::random(&mut Rng(11), 100);
    tree.write(&lab.path("src"));
    let usual = timed(|| drop(lab.ok("push src d:v0 d:latest")));
    let mut axe = Axe { usual, rng: Rng(12) };
    let mut pushed = BTreeMap::from([("v0".to_owned(), tree.clone())]);
    let mut acknowledged = vec!["v0".to_owned()];
    for round in 1..=30 {
        let before = tree.clone();
        tree.change(&mut axe.rng);
        tree.write_over(&before, &lab.path("src"));
        let tag = format!("v{round}");
        let ended = axe.fall(&lab, &format!("push src d:{tag} d:latest"));
        pushed.insert(tag.clone(), tree.clone());
        if ended.is_acknowledged() {
            acknowledged.push(tag);
        }
        if round % 6 == 0 {
            lab.verify();
        }
    }
    let tags = lab.tags("d");
    for tag in &acknowledged {
        assert!(tags.contains(tag), "{tag} was acknowledged and is lost");
    }
    // What was not acknowledged may be there, but then it is whole.
    for tag in tags.iter().filter(|tag| *tag != "latest") {
        lab.assert_version(&format!("d:{tag}"), &pushed[tag]);
    }
    lab.ok("push src d:latest");
    lab.assert_version("d:latest", &tree);
    lab.verify();
    println!("{} of 31 pushes were acknowledged, {} are there", acknowledged.len(), tags.len() - 1);
}

#[test]
fn a_killed_push_goes_on_where_it_was() {
    let lab = Lab::new();
    let tree = Tree::noise(&mut Rng(21), &[40 * MIB; 5]);
    tree.write(&lab.path("src"));
    let push = lab.start("--json push src d:v1");
    // The first part is known to others once an index run of it stands in the catalog.
    until("the registration of a part", || {
        let catalog = std::fs::read(lab.bucket().join("catalog")).ok()?;
        String::from_utf8_lossy(&catalog).contains("\"entries\"").then_some(())
    });
    push.kill();
    let packs = files_below(&lab.bucket().join("packs")).len();
    assert!(packs < 12, "it had written all {packs} packs before it could be killed");
    lab.verify();
    assert!(lab.run("ls d").code != Some(0), "an unfinished push is seen");
    let pushed = lab.json("push src d:v1");
    let stored = pushed[0]["stored_bytes"].as_u64().unwrap();
    assert!(stored < 110 * MIB as u64, "{stored} bytes were stored again");
    lab.assert_version("d:v1", &tree);
    lab.verify();
}

#[test]
fn killed_pulls_leave_whole_files_and_nothing_else() {
    let lab = Lab::new();
    let mut rng = Rng(31);
    let first = Tree::random(&mut rng, 250);
    let mut second = first.clone();
    for _ in 0..6 {
        second.change(&mut rng);
    }
    first.write(&lab.path("src"));
    lab.ok("push src d:one");
    second.write_over(&first, &lab.path("src"));
    lab.ok("push src d:two");
    let usual = timed(|| drop(lab.ok("pull d:one warm")));
    let mut axe = Axe { usual, rng };
    let to = lab.path("to");
    for (tag, tree) in [("one", &first), ("two", &second), ("one", &first)] {
        for _ in 0..5 {
            axe.fall(&lab, &format!("pull d:{tag} to --delete"));
            Tree::read(&to).assert_whole(&[&first, &second]);
        }
        lab.ok(&format!("pull d:{tag} to --delete"));
        Tree::read(&to).assert_same(tree, tag);
    }
}

#[test]
fn killed_collections_lose_nothing() {
    let lab = Lab::new();
    let mut tree = Tree::random(&mut Rng(41), 100);
    tree.write(&lab.path("src"));
    lab.ok("push src d:v0");
    let usual = timed(|| drop(lab.ok("gc --grace 0s")));
    let mut axe = Axe { usual, rng: Rng(42) };
    let mut kept = BTreeMap::from([("v0".to_owned(), tree.clone())]);
    for round in 1..=20 {
        let before = tree.clone();
        tree.change(&mut axe.rng);
        tree.write_over(&before, &lab.path("src"));
        let tag = format!("v{round}");
        lab.ok(&format!("push src d:{tag}"));
        kept.insert(tag, tree.clone());
        if round % 2 == 0 {
            // So that there is something to collect, and to copy out of half empty packs.
            let gone = kept.keys().nth(axe.rng.below(kept.len())).unwrap().clone();
            kept.remove(&gone);
            lab.ok(&format!("rm d:{gone}"));
        }
        for _ in 0..2 {
            axe.fall(&lab, "gc --grace 0s");
        }
        if round % 5 == 0 {
            lab.verify();
        }
    }
    lab.ok("gc --grace 0s");
    lab.verify();
    for (tag, tree) in &kept {
        lab.assert_version(&format!("d:{tag}"), tree);
    }
}
