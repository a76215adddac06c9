//! Real nodes on one bucket: each with a disk, a clock and a way to the bucket of its own, each of which
//! fails, while clients are at work on one partition that the nodes take from each other.
//!
//! One seed decides what kind of life the nodes have ([`Kind`]) and what happens to each of them:
//! processes end and come back on the same disk, with or without what was not synced; others take over
//! from them, and the old disk comes back later or never; the bucket stands still for one node for
//! longer than its lease holds while its disk goes on; clocks run at different rates, and wall clocks
//! jump. A process that was killed does nothing more: its tasks are dropped, its clock never ends a
//! wait, its disk and its way to the bucket take nothing.

pub mod apart;
mod fate;
pub(crate) mod machine;
pub(crate) mod process;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cairn_bucket::Memory;
use cairn_env::{Env, Rng as _, SeededRng};
use cairn_partition::limits::HISTORY_MAX;
use cairn_partition::{Durable, Error, Name, Partitions as _, Settings};
use futures::future::{join, join_all};
use serde::{Deserialize, Serialize};

use super::driver::{Cluster, Load, Reached, drive};
use super::history::{Broken, History, Moment, Owner};
use super::{Counts, Failure, Report, panicked};
use crate::block_on;
use crate::trees::{below, one_in};
use machine::{Machine, Process};
use process::Remote;

/// How long a client looks for the owner before it does something else.
const LOOK_MAX: Duration = Duration::from_secs(20);
/// How long a run may take.
const RUN_MAX: Duration = Duration::from_secs(1800);
/// How long one node is waited for.
const OPEN_MAX: Duration = Duration::from_secs(8);

/// What kind of life nodes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One node, which always comes back on its disk: what it acknowledged is there.
    Alone,
    /// Several, which take over from each other; what is acknowledged is in the bucket.
    Bucket,
    /// Several, which take over from each other; what is acknowledged is in the log, and may be lost with
    /// its owner unless it asked for more.
    Log,
}

impl Kind {
    /// The kind of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        match seed % 4 {
            0 => Self::Alone,
            3 => Self::Log,
            _ => Self::Bucket,
        }
    }

    fn settings(self) -> Settings {
        let durable = if self == Self::Bucket { Durable::Bucket } else { Durable::Log };
        let history_ms = u64::try_from(HISTORY_MAX.as_millis()).unwrap_or(u64::MAX);
        Settings { durable, history_ms }
    }
}

/// Runs one seed on real nodes, and checks everything. What it comes to follows from the seed inside of
/// [`crate::entropy::seeded`].
///
/// # Errors
/// [`Failure`]: a promise is broken, or something panicked.
pub fn run(seed: u64) -> Result<(Report, Happened), Failure> {
    let failure = |broken| Failure { seed, nodes: true, broken };
    let (history, happened) = record(seed, false).map_err(failure)?;
    check(Kind::of(seed), &history).map_err(failure)?;
    let trace = super::trace(&history) ^ happened.trace;
    Ok((Report { trace, counts: Counts::of(&history) }, happened))
}

/// Runs the checkers that hold for a kind. Where what was acknowledged may be lost, so may what was
/// read and told.
fn check(kind: Kind, history: &History) -> Result<(), Broken> {
    if kind != Kind::Log {
        return super::check(history);
    }
    super::commits::check(history)?;
    super::transfers::check(history)
}

/// What happened to the nodes of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// A number that is the same when the nodes asked the same of the bucket.
    pub trace: u64,
    /// Ownerships that clients met.
    pub ownerships: u64,
    /// Of these, those on another node than the one before.
    pub takeovers: u64,
    /// Processes that ended.
    pub kills: u64,
    /// Times in which the bucket stood still for a node.
    pub standstills: u64,
}

impl Happened {
    /// Adds that of another run.
    pub fn add(&mut self, other: &Self) {
        self.ownerships += other.ownerships;
        self.takeovers += other.takeovers;
        self.kills += other.kills;
        self.standstills += other.standstills;
    }
}

/// The history of a seed on real nodes.
///
/// # Errors
/// When it cannot be taken down to its end, or something panicked.
pub fn record(seed: u64, verbose: bool) -> Result<(History, Happened), Broken> {
    let ran = catch_unwind(AssertUnwindSafe(|| block_on(on_nodes(seed, verbose))));
    let broken = |detail| Broken { checker: super::THE_RUN.into(), detail };
    ran.map_err(|panic| panicked(&*panic))?.map_err(broken)
}

async fn on_nodes(seed: u64, verbose: bool) -> Result<(History, Happened), String> {
    let world = Env::simulated(seed);
    let rng = SeededRng::new(seed ^ 0x6a09_e667_f3bc_c908);
    let kind = Kind::of(seed);
    let mut nodes = Nodes::new(kind, &world, &rng).map_err(|error| error.to_string())?;
    nodes.verbose = verbose;
    let nodes = nodes;
    for machine in &nodes.machines {
        machine.start().await?;
    }
    let first = nodes.machines[0].process().ok_or("the first node does not run")?;
    let made = first.node.create(&nodes.name, kind.settings()).await;
    made.map_err(|error| format!("the partition was not made: {error}"))?;
    let seeds: Vec<u64> = nodes.machines.iter().map(|_| rng.next_u64()).collect();
    let progress = fate::Run::default();
    let fates = nodes.machines.iter().zip(seeds);
    let fates =
        join_all(fates.map(|(machine, seed)| fate::suffer(&nodes, machine, seed, &progress)));
    let rest_ms = [60, 300, 1000][below(&rng, 3)];
    let load = Load { steps: 100, rest_ms, ..Load::of(seed) };
    let driven = async {
        let over = || progress.over.store(true, Ordering::Relaxed);
        let history = drive(&nodes, &world, load, over).await;
        over();
        progress.done.store(true, Ordering::Relaxed);
        history
    };
    let limit = world.clock.sleep(RUN_MAX);
    let whole = join(driven, fates);
    let (history, fates) = tokio::select! {
        biased;
        whole = whole => whole,
        () = limit => return Err("it does not come to an end".to_owned()),
    };
    fates.into_iter().collect::<Result<Vec<()>, String>>()?;
    let mut history = history.map_err(|error| format!("the end cannot be read: {error}"))?;
    if kind == Kind::Log {
        // Any takeover may lose what its owner had acknowledged.
        history.losses.push(Moment::MAX);
    }
    Ok((history, nodes.happened()))
}

/// The nodes, and what clients know of them.
pub(super) struct Nodes {
    kind: Kind,
    world: Env,
    name: Name,
    machines: Vec<Machine>,
    rng: SeededRng,
    /// The machine that answered last.
    last: AtomicU32,
    /// Ownerships, with the machines that had them.
    owners: Mutex<BTreeMap<u64, u32>>,
    kills: AtomicU64,
    standstills: AtomicU64,
    verbose: bool,
}

impl Nodes {
    fn say(&self, machine: &Machine, what: impl std::fmt::Display) {
        if self.verbose {
            let now = self.world.clock.monotonic().as_secs_f64();
            println!("{now:>12.3} node {}: {what}", machine.number);
        }
    }

    fn new(kind: Kind, world: &Env, rng: &SeededRng) -> Result<Self, Error> {
        let store = Arc::new(Memory::new(world));
        let count = if kind == Kind::Alone { 1 } else { 2 + below(rng, 2) };
        let numbers = 0..u32::try_from(count).unwrap_or(1);
        Ok(Self {
            kind,
            world: world.clone(),
            name: Name::new("kv/main/simulated")?,
            machines: numbers.map(|number| Machine::new(number, world, &store, rng)).collect(),
            rng: SeededRng::new(rng.next_u64()),
            last: AtomicU32::new(0),
            owners: Mutex::default(),
            kills: AtomicU64::new(0),
            standstills: AtomicU64::new(0),
            verbose: false,
        })
    }

    fn happened(&self) -> Happened {
        let owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let machines: Vec<u32> = owners.values().copied().collect();
        let traces = self.machines.iter().flat_map(Machine::traces);
        Happened {
            trace: traces.fold(0, |all, one| all.rotate_left(7) ^ one),
            ownerships: owners.len() as u64,
            takeovers: machines.windows(2).filter(|pair| pair[0] != pair[1]).count() as u64,
            kills: self.kills.load(Ordering::Relaxed),
            standstills: self.standstills.load(Ordering::Relaxed),
        }
    }

    /// Which machine a client asks.
    fn choose(&self) -> &Machine {
        let last = usize::try_from(self.last.load(Ordering::Relaxed)).unwrap_or(0);
        let other = one_in(&self.rng, 4);
        let at = if other { below(&self.rng, self.machines.len()) } else { last };
        &self.machines[at]
    }

    async fn ask(&self, machine: &Machine, process: Process) -> Option<Reached> {
        let Process { node, life, .. } = process;
        let open = async {
            let partition = node.open(&self.name).await?;
            Ok((partition, node.epoch(&self.name)))
        };
        let over = self.world.clock.sleep(OPEN_MAX);
        let opened = tokio::select! {
            biased;
            opened = life.answer(open) => opened,
            () = over => return None,
        };
        match opened {
            Ok((partition, Some(epoch))) => {
                let owner = Owner { epoch: epoch.0, node: machine.number };
                self.last.store(machine.number, Ordering::Relaxed);
                let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
                if owners.insert(epoch.0, machine.number).is_none() {
                    self.say(machine, format!("owns it in epoch {}", epoch.0));
                }
                let partition = Arc::new(Remote::new(partition, life, &self.world));
                Some(Reached { owner, partition })
            }
            Ok((_, None)) => None,
            Err(error) => {
                self.say(machine, format!("does not open it: {error}"));
                self.check(machine, &error);
                None
            }
        }
    }

    /// Some errors must not be.
    fn check(&self, machine: &Machine, error: &Error) {
        let wrong = matches!(error, Error::Corrupt { .. } | Error::Missing { .. });
        assert!(!wrong, "node {} does not open it: {error}", machine.number);
    }
}

#[async_trait]
impl Cluster for Nodes {
    async fn reach(&self, _: u32) -> Result<Reached, Error> {
        let begun = self.world.clock.monotonic();
        while self.world.clock.monotonic().saturating_sub(begun) < LOOK_MAX {
            let machine = self.choose();
            if let Some(process) = machine.process()
                && let Some(reached) = self.ask(machine, process).await
            {
                return Ok(reached);
            }
            let next = self.machines[below(&self.rng, self.machines.len())].number;
            self.last.store(next, Ordering::Relaxed);
            self.world.clock.sleep(Duration::from_millis(50)).await;
        }
        Err(Error::Busy { why: "nobody owns it just now".to_owned() })
    }
}
