//! Real nodes that crash and take over from each other.

use cairn_sim::partition::Counts;
use cairn_sim::partition::nodes::{Happened, run};

/// Seeds run on every change. `cargo run -p cairn-sim -- partition --nodes --seeds 10000` runs more.
const SEEDS: u64 = 36;

/// LOG-1, LOG-2: what was acknowledged is there at its level, whoever owns the partition by then.
#[test]
fn no_seed_breaks_a_promise() {
    let (mut counts, mut happened) = (Counts::default(), Happened::default());
    for seed in 0..SEEDS {
        match run(seed) {
            Ok((report, here)) => {
                counts.add(&report.counts);
                happened.add(&here);
            }
            Err(failure) => panic!("{failure}"),
        }
    }
    assert!(counts.committed > SEEDS * 50 && counts.read > SEEDS * 50, "{counts:?}");
    assert!(happened.takeovers > SEEDS && happened.kills > SEEDS * 3, "{happened:?}");
    assert!(happened.standstills > SEEDS, "{happened:?}");
}
