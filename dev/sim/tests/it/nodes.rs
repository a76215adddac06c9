//! Real nodes that crash and take over from each other.

use std::path::Path;

use cairn_sim::partition::Counts;
use cairn_sim::partition::nodes::{Happened, apart};

/// Seeds run on every change. `cargo run -p cairn-sim -- partition --nodes --seeds 10000` runs more.
const SEEDS: u64 = 1000;
const PROGRAM: &str = env!("CARGO_BIN_EXE_cairn-sim");

/// LOG-1, LOG-2: what was acknowledged is there at its level, whoever owns the partition by then.
#[test]
fn no_seed_breaks_a_promise() {
    let (mut counts, mut happened) = (Counts::default(), Happened::default());
    for ran in apart::run(Path::new(PROGRAM), 0..SEEDS) {
        let (report, here) = ran.unwrap_or_else(|failure| panic!("{failure}"));
        counts.add(&report.counts);
        happened.add(&here);
    }
    assert!(counts.committed > SEEDS * 50 && counts.read > SEEDS * 50, "{counts:?}");
    assert!(happened.takeovers > SEEDS && happened.kills > SEEDS * 3, "{happened:?}");
    assert!(happened.standstills > SEEDS, "{happened:?}");
}

/// A seed decides everything: what the clients were told, and what the nodes asked of the bucket.
#[test]
fn a_seed_is_the_same_twice() {
    let traces = || {
        let ran = apart::run(Path::new(PROGRAM), 0..8).into_iter();
        ran.map(|ran| {
            ran.map_or_else(
                |failure| (0, failure.to_string()),
                |(report, _)| (report.trace, String::new()),
            )
        })
    };
    let first: Vec<(u64, String)> = traces().collect();
    assert!(first.iter().any(|(trace, _)| *trace != 0), "{first:?}");
    assert_eq!(first, traces().collect::<Vec<_>>());
}
