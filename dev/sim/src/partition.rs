//! Deterministic simulation of a partition: clients at work on it, a record of what they asked and were
//! told, and checkers of that record.
//!
//! [`drive`] runs the clients on whatever a [`Cluster`] gives them: one partition in memory behind slow
//! and lossy answers ([`run`]), or real nodes that crash and take over from each other ([`nodes`]). The checkers know
//! nothing of how it is made:
//!
//! - [`keys`]: linearisable, key by key; what is in doubt may be made at any later time or never;
//! - [`commits`]: what was acknowledged is there, whole and in order (LOG-1), what was refused is not;
//! - [`transfers`]: serialisable, no money comes or goes, audits see one state;
//! - [`watches`]: every change once, in order, whole;
//! - [`owners`]: one writer per epoch.

mod client;
pub mod commits;
mod driver;
mod faults;
pub mod history;
pub mod keys;
pub mod nodes;
pub mod owners;
mod recorder;
pub mod transfers;
pub mod watches;
pub mod wgl;

use std::any::Any;
use std::fmt;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cairn_env::Env;
use cairn_partition::{MemoryStore, Name, Partitions as _, Settings};
use serde::{Deserialize, Serialize};

pub use driver::{ACCOUNTS, Alone, Cluster, KEYS, Load, Reached, START, drive};
pub use faults::{Lie, Unsure};
use history::{Answer, Broken, History};

use crate::block_on;

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// A number that is the same for the same history.
    pub trace: u64,
    /// What the clients did.
    pub counts: Counts,
}

/// What clients did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Operations.
    pub operations: u64,
    /// Commits that were acknowledged.
    pub committed: u64,
    /// Commits that were refused.
    pub refused: u64,
    /// Commits in doubt.
    pub doubts: u64,
    /// Reads and audits that were answered.
    pub read: u64,
    /// Changes that watchers were told.
    pub told: u64,
}

impl Counts {
    /// Adds those of another run.
    pub fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.committed += other.committed;
        self.refused += other.refused;
        self.doubts += other.doubts;
        self.read += other.read;
        self.told += other.told;
    }

    fn of(history: &History) -> Self {
        let count = |is: fn(&Answer) -> bool| {
            history.operations.iter().filter(|operation| is(&operation.answer)).count() as u64
        };
        let parts = history.watched.iter().flat_map(|watched| &watched.parts);
        Self {
            operations: history.operations.len() as u64,
            committed: count(|answer| matches!(answer, Answer::Committed(_))),
            refused: count(|answer| *answer == Answer::Refused),
            doubts: count(|answer| *answer == Answer::Doubt),
            read: count(|answer| matches!(answer, Answer::Found(_) | Answer::Accounts(..))),
            told: parts.map(|part| part.changes.len() as u64).sum(),
        }
    }
}

/// What finds that a run could not be brought to an end that can be checked.
pub const THE_RUN: &str = "the run itself";

/// A broken promise, with the command that shows it again.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// Whether it was on real nodes.
    pub nodes: bool,
    /// What is wrong.
    pub broken: Broken,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, nodes, broken } = self;
        let nodes = if *nodes { "--nodes " } else { "" };
        let again = format!("cargo run -p cairn-sim -- partition {nodes}--seed {seed}");
        write!(f, "{broken}\nto see it again: {again}")
    }
}

impl std::error::Error for Failure {}

/// Runs every checker.
///
/// # Errors
/// The first thing that must not be.
pub fn check(history: &History) -> Result<(), Broken> {
    owners::check(history)?;
    watches::check(history)?;
    commits::check(history)?;
    transfers::check(history)?;
    keys::check(history)
}

/// Runs one seed on a partition in memory behind slow and lossy answers, and checks everything.
///
/// # Errors
/// [`Failure`]: a promise is broken, or something panicked.
pub fn run(seed: u64) -> Result<Report, Failure> {
    let failure = |broken| Failure { seed, nodes: false, broken };
    let history = record(seed, None).map_err(failure)?;
    check(&history).map_err(failure)?;
    Ok(Report { trace: trace(&history), counts: Counts::of(&history) })
}

/// The history of a seed on a partition in memory, which may lie.
///
/// # Errors
/// When it cannot be taken down to its end, or something panicked.
pub fn record(seed: u64, lie: Option<Lie>) -> Result<History, Broken> {
    let broken = |detail| Broken { checker: THE_RUN.into(), detail };
    let ran = catch_unwind(AssertUnwindSafe(|| block_on(in_memory(seed, lie))));
    ran.map_err(|panic| panicked(&*panic))?.map_err(|error| broken(error.to_string()))
}

pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Broken {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    let detail = format!("a panic: {}", text.unwrap_or_default());
    Broken { checker: THE_RUN.into(), detail }
}

async fn in_memory(seed: u64, lie: Option<Lie>) -> Result<History, cairn_partition::Error> {
    let env = Env::simulated(seed);
    let store = MemoryStore::new(&env);
    let partition = store.create(&Name::new("simulated")?, Settings::default()).await?;
    let unsure = Unsure::new(Arc::clone(&partition), &env, seed, lie);
    let mut history = drive(&Alone(Arc::new(unsure)), &env, Load::of(seed), || ()).await?;
    // A lying watch is compared with what happened.
    if lie.is_some() {
        let changes = partition.changes(cairn_partition::Seq(0), std::time::Duration::ZERO).await?;
        history.truth = changes.changes;
    }
    Ok(history)
}

/// A number that is the same for the same history.
#[must_use]
pub fn trace(history: &History) -> u64 {
    trace_of(history)
}

pub(crate) fn trace_of(history: &impl fmt::Debug) -> u64 {
    struct Hash(u64);
    impl fmt::Write for Hash {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            for byte in text.bytes() {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
            Ok(())
        }
    }
    let mut hash = Hash(0xcbf2_9ce4_8422_2325);
    // A hash takes everything.
    write!(hash, "{history:?}").unwrap_or_default();
    hash.0
}
