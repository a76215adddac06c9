//! Real nodes that crash and take over from each other.

use cairn_sim::partition::Counts;
use cairn_sim::partition::nodes::{Happened, run};

/// Seeds run on every change. `cargo run -p cairn-sim -- partition --nodes --seeds 10000` runs more.
const SEEDS: u64 = 36;
/// What the tree says when it gives up.
const UNFINISHED: &str = "invalid DB state error";

/// LOG-1, LOG-2: what was acknowledged is there at its level, whoever owns the partition by then.
#[test]
fn no_seed_breaks_a_promise() {
    let mut unfinished = 0;
    let (mut counts, mut happened) = (Counts::default(), Happened::default());
    for seed in 0..SEEDS {
        match run(seed) {
            Ok((report, here)) => {
                counts.add(&report.counts);
                happened.add(&here);
            }
            // The tree now and then closes with "invalid DB state error" and is not opened again: the
            // run has no end that could be checked. What was checked must hold.
            Err(failure) if failure.broken.detail.contains(UNFINISHED) => unfinished += 1,
            Err(failure) => panic!("{failure}"),
        }
    }
    assert!(unfinished <= SEEDS / 10, "{unfinished} runs had no end");
    assert!(counts.committed > SEEDS * 50 && counts.read > SEEDS * 50, "{counts:?}");
    assert!(happened.takeovers > SEEDS && happened.kills > SEEDS * 3, "{happened:?}");
    assert!(happened.standstills > SEEDS, "{happened:?}");
}
