//! Our clock in the shape that the tree asks for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use cairn_env::Env;
use chrono::{DateTime, Utc};
use slatedb_common::clock::{SystemClock, SystemClockTicker};

/// The clock of an [`Env`], which does not go back: the tree refuses reads and writes at a time before
/// its last, and wall clocks are set back, and differ between owners. It stands still until the wall
/// clock has caught up. Clones are the same clock.
#[derive(Clone)]
pub(crate) struct Clock {
    env: Env,
    last_ns: Arc<AtomicI64>,
}

impl Clock {
    pub(crate) fn new(env: &Env) -> Self {
        Self { env: env.clone(), last_ns: Arc::new(AtomicI64::new(i64::MIN)) }
    }

    /// It is this time at least, in milliseconds since 1970.
    pub(crate) fn pass(&self, ms: i64) {
        self.last_ns.fetch_max(ms.saturating_mul(1_000_000), Ordering::AcqRel);
    }

    fn now_ns(&self) -> i64 {
        let wall_ns = self.env.clock.wall_ns();
        self.last_ns.fetch_max(wall_ns, Ordering::AcqRel).max(wall_ns)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl SystemClock for Clock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_nanos(self.now_ns())
    }

    fn sleep<'a>(&'a self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.env.clock.sleep(duration)
    }

    fn ticker<'a>(&'a self, duration: Duration) -> SystemClockTicker<'a> {
        SystemClockTicker::new(self, duration)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_no_earlier_than_what_earlier_owners_wrote() {
        let env = Env::simulated(1);
        let clock = Clock::new(&env);
        let later = clock.now().timestamp_millis() + 5000;
        clock.pass(later);
        env.clock.sleep(Duration::from_secs(1)).await;
        assert_eq!(clock.clone().now().timestamp_millis(), later);
        env.clock.sleep(Duration::from_secs(5)).await;
        assert_eq!(clock.now().timestamp_millis(), later + 1000);
    }
}
