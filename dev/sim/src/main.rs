//! `cargo run -p cairn-sim -- [--seed N] [--seeds COUNT] [--steps N] [--verbose]`

use cairn_sim::{Plan, STEPS};
use clap::Parser;

/// Runs the datasets engine on a faulty bucket, seed by seed.
#[derive(Parser)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds, one after the other.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Operations of each actor in each epoch.
    #[arg(long, default_value_t = STEPS)]
    steps: u32,
    /// Print what happens.
    #[arg(long)]
    verbose: bool,
    /// Go on after a failure.
    #[arg(long)]
    keep_going: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let (mut requests, mut failed) = (0, 0);
    let mut counts = cairn_sim::Counts::default();
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.seeds) {
        let plan = Plan { seed, steps: arguments.steps, verbose: arguments.verbose };
        match cairn_sim::run(plan) {
            Ok(report) => {
                requests += report.requests;
                counts.add(&report.counts);
                if arguments.seeds == 1 {
                    println!("seed {seed}: trace {:016x}", report.trace);
                }
            }
            Err(failure) if arguments.keep_going => {
                failed += 1;
                println!("seed {seed}: {failure}");
            }
            Err(failure) => return Err(failure.into()),
        }
    }
    println!("{} seeds, {failed} failed, {requests} requests, {counts:?}", arguments.seeds);
    anyhow::ensure!(failed == 0, "{failed} seeds failed");
    Ok(())
}
