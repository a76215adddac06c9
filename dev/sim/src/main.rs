//! `cargo run -p cairn-sim -- [--seed N] [--seeds COUNT] [--steps N] [--verbose]`,
//! `cargo run -p cairn-sim -- partition [--nodes] [--seed N] [--seeds COUNT] [--verbose]`, and
//! `cargo run -p cairn-sim -- functions [--seed N] [--seeds COUNT] [--verbose]`

use anyhow::Context as _;
use cairn_sim::partition::history::{Broken, History};
use cairn_sim::partition::nodes::apart;
use cairn_sim::{Plan, STEPS, entropy, functions, partition};
use clap::{Args, Parser, Subcommand};

/// Runs the datasets engine on a faulty bucket, or a partition, seed by seed.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    datasets: Datasets,
}

#[derive(Subcommand)]
enum What {
    /// Clients at work on a partition, and a check of all they were told.
    Partition(Partition),
    /// Schedules, calls, triggers and plans on nodes that end, and a check of all that came of them.
    Functions(Functions),
}

#[derive(Args)]
struct Functions {
    #[command(flatten)]
    seeds: Seeds,
    /// Tell what became of a seed in JSON.
    #[arg(long, conflicts_with_all = ["seeds", "verbose"])]
    json: bool,
}

#[derive(Args)]
struct Seeds {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds, one after the other.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Print what happens.
    #[arg(long)]
    verbose: bool,
    /// Go on after a failure.
    #[arg(long)]
    keep_going: bool,
}

#[derive(Args)]
struct Datasets {
    #[command(flatten)]
    seeds: Seeds,
    /// Operations of each actor in each epoch.
    #[arg(long, default_value_t = STEPS)]
    steps: u32,
}

#[derive(Args)]
struct Partition {
    #[command(flatten)]
    seeds: Seeds,
    /// On real nodes that crash and take over from each other.
    #[arg(long)]
    nodes: bool,
    /// Tell what became of a seed on nodes in JSON.
    #[arg(long, requires = "nodes", conflicts_with_all = ["seeds", "verbose"])]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match arguments.what {
        None => datasets(&arguments.datasets),
        Some(What::Partition(Partition { seeds, nodes: false, .. })) => partitions(&seeds),
        Some(What::Partition(Partition { seeds, json: true, .. })) => tell(seeds.seed),
        Some(What::Partition(Partition { seeds, .. })) => nodes(&seeds),
        Some(What::Functions(Functions { seeds, json: true })) => tell_functions(seeds.seed),
        Some(What::Functions(Functions { seeds, .. })) => on_functions(&seeds),
    }
}

fn datasets(arguments: &Datasets) -> anyhow::Result<()> {
    let (mut requests, mut counts) = (0, cairn_sim::Counts::default());
    let failed = arguments.seeds.run(|seed| {
        let plan = Plan { seed, steps: arguments.steps, verbose: arguments.seeds.verbose };
        let report = cairn_sim::run(plan)?;
        requests += report.requests;
        counts.add(&report.counts);
        Ok(report.trace)
    })?;
    let seeds = arguments.seeds.seeds;
    println!("{seeds} seeds, {failed} failed, {requests} requests, {counts:?}");
    anyhow::ensure!(failed == 0, "{failed} seeds failed");
    Ok(())
}

fn partitions(seeds: &Seeds) -> anyhow::Result<()> {
    let mut counts = partition::Counts::default();
    let failed = seeds.run(|seed| {
        if seeds.verbose {
            print(partition::record(seed, None))?;
        }
        let report = partition::run(seed)?;
        counts.add(&report.counts);
        Ok(report.trace)
    })?;
    println!("{} seeds, {failed} failed, {counts:?}", seeds.seeds);
    anyhow::ensure!(failed == 0, "{failed} seeds failed");
    Ok(())
}

fn nodes(seeds: &Seeds) -> anyhow::Result<()> {
    if seeds.verbose {
        let record = || partition::nodes::record(seeds.seed, true).map(|(history, _)| history);
        print(entropy::seeded(seeds.seed, record))?;
    }
    let (mut counts, mut happened) = Default::default();
    let mut results = apart::run(&std::env::current_exe()?, seeds.range()).into_iter();
    let failed = seeds.run(|_| {
        let (report, here) = results.next().context("a seed was not run")??;
        partition::Counts::add(&mut counts, &report.counts);
        partition::nodes::Happened::add(&mut happened, &here);
        Ok(report.trace)
    })?;
    println!("{} seeds, {failed} failed, {counts:?}, {happened:?}", seeds.seeds);
    anyhow::ensure!(failed == 0, "{failed} seeds failed");
    Ok(())
}

fn on_functions(seeds: &Seeds) -> anyhow::Result<()> {
    if seeds.verbose {
        functions::prepare();
        let recorded = entropy::seeded(seeds.seed, || functions::record(seeds.seed, true));
        let (history, _) = recorded.map_err(|broken| anyhow::anyhow!("{broken}"))?;
        history.effects.iter().for_each(|effect| println!("{effect:?}"));
    }
    let mut counts = functions::Counts::default();
    let mut results =
        apart::each(&std::env::current_exe()?, &["functions"], seeds.range()).into_iter();
    let failed = seeds.run(|seed| {
        let told: apart::Said<functions::Report> = results.next().context("a seed was not run")?;
        let report = told.map_err(|broken| functions::Failure { seed, broken })?;
        functions::Counts::add(&mut counts, &report.counts);
        Ok(report.trace)
    })?;
    println!("{} seeds, {failed} failed, {counts:?}", seeds.seeds);
    anyhow::ensure!(failed == 0, "{failed} seeds failed");
    Ok(())
}

fn tell_functions(seed: u64) -> anyhow::Result<()> {
    functions::prepare();
    let ran = entropy::seeded(seed, || functions::run(seed));
    let told: apart::Said<functions::Report> = ran.map_err(|failure| failure.broken);
    println!("{}", serde_json::to_string(&told)?);
    Ok(())
}

/// Runs a seed in this process, and says what came of it.
fn tell(seed: u64) -> anyhow::Result<()> {
    let ran = entropy::seeded(seed, || partition::nodes::run(seed));
    let told: apart::Told = ran.map_err(|failure| failure.broken);
    println!("{}", serde_json::to_string(&told)?);
    Ok(())
}

/// Prints what the clients of a seed did.
fn print(history: Result<History, Broken>) -> anyhow::Result<()> {
    let history = history.map_err(|broken| anyhow::anyhow!("{broken}"));
    for (number, operation) in history.context("the run did not end")?.numbered() {
        let partition::history::Operation { client, begun, ended, call, answer, .. } = operation;
        println!("{number:>5} client {client} {begun:>5}..{ended:<5} {call:?}: {answer:?}");
    }
    Ok(())
}

impl Seeds {
    fn range(&self) -> std::ops::Range<u64> {
        self.seed..self.seed.saturating_add(self.seeds)
    }

    /// Runs each seed; how many failed.
    fn run(&self, mut run: impl FnMut(u64) -> anyhow::Result<u64>) -> anyhow::Result<u64> {
        let mut failed = 0;
        for seed in self.range() {
            match run(seed) {
                Ok(trace) if self.seeds == 1 => println!("seed {seed}: trace {trace:016x}"),
                Ok(_) => {}
                Err(failure) if self.keep_going => {
                    failed += 1;
                    println!("seed {seed}: {failure}");
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(failed)
    }
}
