//! Deterministic simulation of functions: schedules, calls that are done later, triggers and plans, on real nodes that end
//! at any await of theirs.
//!
//! The real engine runs with real WebAssembly on real nodes of [`crate::partition::nodes`], each with a disk and a way to
//! the bucket of its own. One seed decides whether there is one node, which comes back on its disk, or two, which take over
//! from each other, and all that happens to them: processes end and lose what was not synced or the whole disk, close in
//! good order, or are cut off from the bucket. Meanwhile callers call, carts are changed, plans are asked for, schedules
//! tick, and a function is deployed. Each function writes down that it begins and that it ends, with all that it was given;
//! it rests in between, so that ends of nodes come in the middle of it. Then all is calm, what was asked for comes to its
//! end, and the checkers look at it:
//!
//! - [`schedules`]: FUNCTIONS-6, runs one after the other, each to its end, no tick left out but as the schedule says;
//! - [`calls`]: FUNCTIONS-7, each call that was acknowledged is done, one for each key, and told the same each time;
//! - [`triggers`]: FUNCTIONS-10, each change is told, in order;
//! - [`plans`]: FUNCTIONS-8, plans make what they should, by runs that are done once.
//!
//! That a release which was acknowledged is compiled (FUNCTIONS-3) is seen where the function is deployed.
//!
//! A guest's own run is deterministic too: it is not interrupted by a clock, its rests are on the paused time, and it asks
//! for nothing random. Its code is compiled before the run begins, for the compiler has threads, so a node never compiles
//! again what it runs. A seed is the same twice inside of [`crate::entropy::seeded`], in a process of its own.
//!
//! Absent on purpose: routes and requests, workers in processes of their own, wall clocks that jump. Datasets, grants, and
//! what functions write down are in memory that no node loses.

pub mod again;
mod beside;
pub mod calls;
mod cluster;
mod fate;
mod guests;
pub mod history;
pub mod plans;
pub mod schedules;
pub mod triggers;
mod work;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use cairn_env::{Env, Rng as _, SeededRng};
use cairn_functions::Outcome;
use cairn_partition::{Change, Seq};
use futures::future::{join_all, try_join, try_join_all, try_join3};
use serde::{Deserialize, Serialize};

use crate::block_on;
use crate::partition::history::Broken;
use crate::partition::{THE_RUN, panicked, trace_of};
use crate::trees::below;
use cluster::{CARTS, Cluster, HEARER, WORKER, dataset, function, namespace, project};
use fate::Run;
use history::{History, Scheduled, Triggered};

pub use cluster::Kind;

/// For how long things happen, at the least and at the most, in milliseconds.
const TROUBLE_MS: [usize; 2] = [60_000, 200_000];
/// How often it is looked whether all machines run again.
const SAFE_LOOK_MS: u64 = 500;
/// How long all is calm before the end is looked at: what was missed is done.
const CALM_MS: u64 = 40_000;
/// The same where another node may have to take over before that.
const CALM_OF_TWO_MS: u64 = 130_000;
/// How long a trigger is waited for at the end.
const TOLD_MAX_MS: u64 = 900_000;
/// How long a run may take.
const RUN_MAX: Duration = Duration::from_secs(3 * 3600);

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// A number that is the same for the same history.
    pub trace: u64,
    /// What happened.
    pub counts: Counts,
}

/// What happened in runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Processes that ended.
    pub kills: u64,
    /// Runs of functions that were begun.
    pub begun: u64,
    /// Those that did not come to their end.
    pub cut: u64,
    /// Runs of schedules that went well.
    pub ticks: u64,
    /// Calls that were acknowledged.
    pub calls: u64,
    /// Changes that were to be told.
    pub changes: u64,
    /// Plans that were acknowledged.
    pub plans: u64,
    /// Runs of plans that were not done because they had been done before.
    pub reused: u64,
}

impl Counts {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.kills += other.kills;
        self.begun += other.begun;
        self.cut += other.cut;
        self.ticks += other.ticks;
        self.calls += other.calls;
        self.changes += other.changes;
        self.plans += other.plans;
        self.reused += other.reused;
    }

    fn of(history: &History, kills: u64) -> Self {
        let begun = history.effects.iter().filter(|effect| !effect.end).count() as u64;
        let ended = history.effects.len() as u64 - begun;
        let runs = history.schedules.iter().flat_map(|schedule| &schedule.runs);
        let steps = history.plans.iter().flat_map(|plan| &plan.info.steps);
        Self {
            kills,
            begun,
            cut: begun - ended.min(begun),
            ticks: runs.filter(|run| run.outcome == Outcome::Ok).count() as u64,
            calls: history.calls.len() as u64,
            changes: history.triggers.iter().map(|trigger| trigger.truth.len() as u64).sum(),
            plans: history.plans.len() as u64,
            reused: steps.map(|step| u64::from(step.reused)).sum(),
        }
    }
}

/// A broken promise, with the command that shows it again.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What is wrong.
    pub broken: Broken,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, broken } = self;
        write!(f, "{broken}\nto see it again: cargo run -p cairn-sim -- functions --seed {seed}")
    }
}

impl std::error::Error for Failure {}

/// Runs every checker.
///
/// # Errors
/// The first thing that must not be.
pub fn check(history: &History) -> Result<(), Broken> {
    schedules::check(history)?;
    calls::check(history)?;
    triggers::check(history)?;
    plans::check(history)
}

/// Runs one seed, and checks everything.
///
/// # Errors
/// [`Failure`]: a promise is broken, or something panicked.
pub fn run(seed: u64) -> Result<Report, Failure> {
    let failure = |broken| Failure { seed, broken };
    let (history, kills) = record(seed, false).map_err(failure)?;
    check(&history).map_err(failure)?;
    Ok(Report { trace: trace_of(&history), counts: Counts::of(&history, kills) })
}

/// Compiles what functions run, which is once for a process: before anything follows from a seed.
pub fn prepare() {
    guests::ready();
}

/// The history of a seed, and how many processes ended in it.
///
/// # Errors
/// When it cannot be taken down to its end, or something panicked.
pub fn record(seed: u64, verbose: bool) -> Result<(History, u64), Broken> {
    prepare();
    let ran = catch_unwind(AssertUnwindSafe(|| block_on(simulated(seed, verbose))));
    let broken = |detail| Broken { checker: THE_RUN.into(), detail };
    ran.map_err(|panic| panicked(&*panic))?.map_err(broken)
}

async fn simulated(seed: u64, verbose: bool) -> Result<(History, u64), String> {
    let world = Env::simulated(seed);
    let rng = SeededRng::new(seed ^ 0xbb67_ae85_84ca_a73b);
    let mut cluster = Cluster::new(Kind::of(seed), &world, &rng).await?;
    cluster.verbose = verbose;
    let limit = world.clock.sleep(RUN_MAX);
    tokio::select! {
        biased;
        history = lived(&cluster, &rng) => Ok((history?, cluster.kills())),
        () = limit => Err("it does not come to an end".to_owned()),
    }
}

async fn lived(cluster: &Cluster, rng: &SeededRng) -> Result<History, String> {
    cluster.begin().await?;
    let run = &Run::default();
    let (schedules, totals) = work::prepare(cluster, rng).await?;
    let seeds: Vec<u64> = cluster.machines.iter().map(|_| rng.next_u64()).collect();
    let fates = cluster.machines.iter().zip(seeds);
    let fates = fates.map(|(machine, seed)| fate::suffer(cluster, machine, seed, run));
    let [least, most] = TROUBLE_MS;
    let trouble_ms = (least + below(rng, most - least)) as u64;
    let callers = 1 + below(rng, 3);
    let callers = (0..u32::try_from(callers).unwrap_or(1)).map(|number| (number, rng.next_u64()));
    let callers = callers.map(|(number, seed)| work::call(cluster, number, seed, run));
    let (changer, planner) = (rng.next_u64(), rng.next_u64());
    let (moods, late) = (rng.next_u64(), rng.next_u64());
    let trouble = async {
        cluster.sleep_ms(trouble_ms).await;
        cluster.say("all", "is calm from now on");
        run.calm.set(true);
        while run.safe.get() < cluster.machines.len() {
            cluster.sleep_ms(SAFE_LOOK_MS).await;
        }
        let alone = cluster.kind == Kind::Alone;
        cluster.sleep_ms(if alone { CALM_MS } else { CALM_OF_TWO_MS }).await;
        Ok(())
    };
    let beside = try_join3(
        work::change(cluster, changer, run),
        work::late(cluster, late),
        fate::moods(cluster, moods, run),
    );
    let working = try_join3(
        try_join_all(callers),
        work::plan(cluster, &totals, planner, run),
        try_join(beside, trouble),
    );
    let lived = async {
        let (calls, (plans, lost), _) = working.await?;
        let calls = calls.into_iter().flatten().collect();
        let history = History { calls, plans, lost, schedules, ..History::default() };
        let history = looked(cluster, history, run).await;
        run.done.set(true);
        history
    };
    let fates = async { join_all(fates).await.into_iter().collect::<Result<(), String>>() };
    let (history, ()) = Box::pin(try_join(lived, fates)).await?;
    Ok(history)
}

/// Looks at the end of it.
async fn looked(cluster: &Cluster, mut history: History, run: &Run) -> Result<History, String> {
    history.triggers.push(told(cluster).await?);
    for schedule in &mut history.schedules {
        remembered(cluster, schedule).await?;
    }
    history.looked_ms = cluster.now_ms();
    history.effects = cluster.effects().await?;
    [history.unrest, history.cut_off] = cluster.unrest();
    history.moods = run.moods.borrow().clone();
    Ok(history)
}

async fn remembered(cluster: &Cluster, schedule: &mut Scheduled) -> Result<(), String> {
    let key = &(function(WORKER), dataset(&schedule.name));
    let look = cluster.ask(|engine| async move {
        let runs = engine.functions.runs(key).await?;
        Ok(runs)
    });
    let mut runs = look.await?;
    runs.reverse();
    schedule.runs = runs;
    Ok(())
}

/// What the trigger was to tell, once it has, or has not for a long time.
async fn told(cluster: &Cluster) -> Result<Triggered, String> {
    let truth: Vec<Change> = cluster
        .ask(|engine| async move {
            let last = engine.kv.status(&namespace(CARTS)).await?.durable_seq;
            let (mut all, mut upto) = (Vec::new(), Seq(0));
            let range = cairn_partition::KeyRange::all();
            let mut follow = engine.kv.follow(&namespace(CARTS), range, Some(Seq(0))).await?;
            while upto < last {
                let part = follow.next(Duration::ZERO).await?;
                upto = part.upto;
                all.extend(part.changes);
            }
            Ok(all)
        })
        .await?;
    let last = truth.last().map_or(0, |change| change.seq.0);
    let since = cluster.now_ms();
    let mut told = 0;
    while told < last && cluster.now_ms() < since + TOLD_MAX_MS {
        let all = cluster.ask(|engine| async move { engine.functions.triggers(&project()).await });
        let ours = |name: &str, of: &str| (name, of) == (work::NEWS, HEARER);
        let all = all.await?;
        told = all.iter().find(|one| ours(&one.name, &one.function)).map_or(0, |one| one.told);
        cluster.sleep_ms(1000).await;
    }
    Ok(Triggered { name: work::NEWS.to_owned(), truth, told })
}
