//! A clock that a test puts forward.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cairn_env::{Clock, Env, SystemClock};

#[derive(Default)]
pub(crate) struct Shifted {
    real: SystemClock,
    by_ns: AtomicU64,
}

impl Shifted {
    pub(crate) fn env() -> (Arc<Self>, Env) {
        let clock = Arc::new(Self::default());
        let env = Env { clock: Arc::clone(&clock) as _, ..Env::real() };
        (clock, env)
    }

    pub(crate) fn forward(&self, by: Duration) {
        let ns = u64::try_from(by.as_nanos()).unwrap();
        self.by_ns.fetch_add(ns, Ordering::Relaxed);
    }

    fn by(&self) -> Duration {
        Duration::from_nanos(self.by_ns.load(Ordering::Relaxed))
    }
}

#[async_trait]
impl Clock for Shifted {
    fn wall_ns(&self) -> i64 {
        self.real.wall_ns() + i64::try_from(self.by().as_nanos()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.real.monotonic() + self.by()
    }

    async fn sleep(&self, duration: Duration) {
        self.real.sleep(duration).await;
    }
}
