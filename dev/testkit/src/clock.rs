//! A clock that a test puts forward.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cairn_env::{Clock, Env, SystemClock};

/// The process's clock, which a test can put forward. Nobody who sleeps wakes for it.
#[derive(Default)]
pub struct Shifted {
    real: SystemClock,
    by_ns: AtomicU64,
    hurried: AtomicBool,
}

impl Shifted {
    /// The process's own environment with such a clock.
    #[must_use]
    pub fn env() -> (Arc<Self>, Env) {
        let clock = Arc::new(Self::default());
        let env = Env { clock: Arc::clone(&clock) as _, ..Env::real() };
        (clock, env)
    }

    /// Puts it forward.
    ///
    /// # Panics
    /// Beyond 584 years.
    pub fn forward(&self, by: Duration) {
        let ns = u64::try_from(by.as_nanos()).expect("a test takes less than 584 years");
        self.by_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// From now on every wait puts the clock forward and is over: for what tries again after a while.
    pub fn hurry(&self) {
        self.hurried.store(true, Ordering::Relaxed);
    }

    fn by_ns(&self) -> u64 {
        self.by_ns.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Clock for Shifted {
    fn wall_ns(&self) -> i64 {
        self.real.wall_ns().saturating_add_unsigned(self.by_ns())
    }

    fn monotonic(&self) -> Duration {
        self.real.monotonic() + Duration::from_nanos(self.by_ns())
    }

    async fn sleep(&self, duration: Duration) {
        if self.hurried.load(Ordering::Relaxed) {
            self.forward(duration);
            tokio::task::yield_now().await;
        } else {
            self.real.sleep(duration).await;
        }
    }
}
