//! Deterministic simulation: datasets on a faulty bucket, and partitions.
//!
//! The real code (`Datasets`, `Blocks`, sessions, refs, collection) runs on a current-thread runtime
//! with paused time over one memory bucket behind `cairn_bucket::Faulty`, plain or encrypted. Several
//! actors, each a process with a handle of its own, push, copy, remove, read, verify and collect at the
//! same time, in their own process or as clients of a node, which may be dishonest. At any await any of
//! them may crash, stand still for a while, or go away and leave its node behind. One seed decides
//! everything.
//!
//! [`check`] holds the checkers. Each names the invariant that it found broken:
//!
//! - BUCKET-1 what was acknowledged is visible until it is removed, superseded or expired;
//! - BLOCKS-1 every version of every ref reads back whole, byte for byte;
//! - BUCKET-3 damaged reads give errors or right bytes, never wrong ones;
//! - BLOCKS-4 once all is quiet, collections leave nothing that no ref reaches;
//! - DATASETS-2 what a client forges is refused.
//!
//! [`partition`] simulates partitions in the same way, with checkers of its own, and [`functions`] what functions do on nodes.
//!
//! Absent on purpose: real processes and real disks; what the network of a node does.

#![deny(unsafe_code)]

mod actor;
pub mod check;
pub mod entropy;
pub mod functions;
mod model;
mod node;
pub mod partition;
mod trees;
mod world;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use model::Counts;
pub use trees::{Built, Files, Numbers, Pool, build, names_of};
pub use world::{Handle, World, calm, datasets, target};

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// Operations of each actor in each epoch.
    pub steps: u32,
    /// Print what happens.
    pub verbose: bool,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self { seed, steps: STEPS, verbose: false }
    }
}

/// Operations of each actor in each epoch, unless told otherwise.
pub const STEPS: u32 = 6;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// A number that is the same for the same sequence of requests.
    pub trace: u64,
    /// Requests to the bucket.
    pub requests: u64,
    /// What the actors did.
    pub counts: Counts,
}

/// A broken invariant, with the command that shows it again.
#[derive(Debug)]
pub struct Failure {
    seed: u64,
    detail: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, detail } = self;
        write!(f, "{detail}\nto see it again: cargo run -p cairn-sim -- --seed {seed}")
    }
}

impl std::error::Error for Failure {}

/// Runs one seed to its end and checks everything.
///
/// # Errors
/// [`Failure`]: an invariant is broken, or something panicked.
pub fn run(plan: Plan) -> Result<Report, Failure> {
    let failure = |detail| Failure { seed: plan.seed, detail };
    let ran = catch_unwind(AssertUnwindSafe(|| block_on(world::run(plan))));
    match ran {
        Ok(report) => report.map_err(failure),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
            Err(failure(format!("a panic: {}", text.unwrap_or_default())))
        }
    }
}

/// Runs a future in a world with paused time.
///
/// # Panics
/// When the runtime cannot be made, or the future panics.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a current-thread runtime needs nothing but memory");
    runtime.block_on(future)
}
