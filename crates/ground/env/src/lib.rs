//! The seams to the outside that are not storage: time, randomness, tasks and CPU work.
//!
//! Everything above asks an [`Env`] instead of the process. [`Env::real`] runs on tokio's
//! multi-threaded runtime and its blocking pool; connections run on lanes, threads that they never
//! leave ([`Spawn::lane`]). [`Env::simulated`] gives time that only moves when
//! every task waits (tokio's paused clock), randomness from one seed and CPU work done in place, so
//! that one seed decides a whole run.
//!
//! Nothing here is durable; nothing survives a crash.

#![forbid(unsafe_code)]

mod clock;
mod finish;
mod pace;
mod rng;
mod spawn;

use std::sync::Arc;

pub use clock::{Clock, SystemClock, TokioClock};
pub use finish::Finish;
pub use pace::{PACE_BYTES_MIN, Patience, earned};
pub use rng::{OsRng, Rng, SeededRng};
pub use spawn::{InPlace, Lost, Pool, Spawn, Task, Work};

/// Clock, randomness and tasks, cheap to clone and pass on.
#[derive(Clone)]
pub struct Env {
    /// Wall and monotonic time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes fit for keys.
    pub rng: Arc<dyn Rng>,
    /// Tasks and CPU work.
    pub spawn: Arc<dyn Spawn>,
}

impl Env {
    /// The process's own clock, randomness and threads.
    #[must_use]
    pub fn real() -> Self {
        Self {
            clock: Arc::new(SystemClock::default()),
            rng: Arc::new(OsRng),
            spawn: Arc::new(Pool::default()),
        }
    }

    /// A world that `seed` decides. Call within a current-thread tokio runtime with paused time.
    #[must_use]
    pub fn simulated(seed: u64) -> Self {
        Self {
            clock: Arc::new(TokioClock::default()),
            rng: Arc::new(SeededRng::new(seed)),
            spawn: Arc::new(InPlace),
        }
    }
}

impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Env")
    }
}
