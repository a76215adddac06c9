use cairn_sim::{Counts, Plan, run};

/// Seeds run on every change. `cargo run -p cairn-sim -- --seeds 10000` runs more.
const SEEDS: u64 = 200;
const THREADS: u64 = 2;

/// Runs a share of the seeds.
fn share(first: u64) -> Counts {
    let mut counts = Counts::default();
    for seed in (first..SEEDS).step_by(usize::try_from(THREADS).unwrap()) {
        match run(Plan::of(seed)) {
            Ok(report) => counts.add(&report.counts),
            Err(failure) => panic!("{failure}"),
        }
    }
    counts
}

#[test]
fn no_seed_breaks_an_invariant() {
    let mut counts = Counts::default();
    let shares: Vec<_> =
        (0..THREADS).map(|first| std::thread::spawn(move || share(first))).collect();
    for share in shares {
        match share.join() {
            Ok(share) => counts.add(&share),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    // The simulation does what it is for.
    let Counts { published, removed, read, collected, packs_deleted, .. } = counts;
    assert!(published > SEEDS * 10, "{counts:?}");
    assert!(removed > SEEDS && read > SEEDS && collected > SEEDS, "{counts:?}");
    assert!(packs_deleted > SEEDS, "{counts:?}");
    assert!(counts.packs_rewritten > SEEDS && counts.packs_rescued > 0, "{counts:?}");
    assert!(counts.crashed > SEEDS && counts.refused > 0, "{counts:?}");
}

/// The answer of a catalog swap was lost, and others had built on it: a collection took it for
/// failed, and deleted the index run that it had just entered.
#[test]
fn a_swap_in_doubt_deletes_nothing() {
    for seed in [396] {
        if let Err(failure) = run(Plan::of(seed)) {
            panic!("{failure}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [1, 2, 3, 50, 51, 396] {
        let [first, second] = [run(Plan::of(seed)), run(Plan::of(seed))];
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first, second, "seed {seed}");
        assert!(first.requests > 100);
    }
    assert_ne!(run(Plan::of(1)).unwrap().trace, run(Plan::of(2)).unwrap().trace);
}
