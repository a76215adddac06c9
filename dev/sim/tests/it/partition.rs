//! Clients on a partition that keeps its promises, and on some that do not.

use std::borrow::Cow;
use std::collections::BTreeSet;

use cairn_sim::partition::{Counts, Lie, check, record, run, trace};

/// Seeds run on every change. `cargo run -p cairn-sim -- partition --seeds 10000` runs more.
const SEEDS: u64 = 150;
/// Seeds among which a lie is to be seen.
const LYING_SEEDS: u64 = 30;

#[test]
fn no_seed_breaks_a_promise() {
    let mut counts = Counts::default();
    for seed in 0..SEEDS {
        match run(seed) {
            Ok(report) => counts.add(&report.counts),
            Err(failure) => panic!("{failure}"),
        }
    }
    assert!(counts.committed > SEEDS * 50 && counts.read > SEEDS * 50, "{counts:?}");
    assert!(counts.refused > SEEDS * 5 && counts.doubts > SEEDS * 5, "{counts:?}");
    assert!(counts.told > SEEDS * 50, "{counts:?}");
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let mut traces = BTreeSet::new();
    for seed in 0..20 {
        let [first, second] = [record(seed, None).unwrap(), record(seed, None).unwrap()];
        assert_eq!(first.operations, second.operations, "seed {seed}");
        assert_eq!(trace(&first), trace(&second), "seed {seed}");
        traces.insert(trace(&first));
    }
    assert_eq!(traces.len(), 20);
}

/// The checkers that see through a lie, over all seeds.
fn caught(lie: Lie) -> BTreeSet<Cow<'static, str>> {
    let checked = |seed| check(&record(seed, Some(lie)).unwrap());
    (0..LYING_SEEDS).filter_map(|seed| checked(seed).err().map(|broken| broken.checker)).collect()
}

#[test]
fn every_lie_is_seen() {
    let (keys, commits) = ("linearisable per key", "acknowledged commits");
    let (transfers, watches) = ("serialisable transfers", "watch without gap");
    for (lie, checkers) in [
        (Lie::StaleRead, [keys].as_slice()),
        (Lie::StaleScan, &[transfers]),
        (Lie::LostCommit, &[commits]),
        (Lie::TornCommit, &[commits]),
        (Lie::DoubleCommit, &[commits]),
        (Lie::NoConditions, &[keys]),
        (Lie::NoConflicts, &[transfers]),
        (Lie::RefusedIsMade, &[commits]),
        (Lie::SkippedChange, &[watches]),
        (Lie::DoubleChange, &[watches]),
    ] {
        let caught = caught(lie);
        for checker in checkers {
            assert!(caught.contains(*checker), "{lie:?} was seen by {caught:?} only");
        }
    }
}
