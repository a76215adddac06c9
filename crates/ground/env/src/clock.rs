#![allow(clippy::disallowed_methods, reason = "this is the seam that the rest goes through")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

/// Time. Wall time is for people and for ages of hours; order and deadlines use `monotonic`.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since 1970-01-01 UTC. May jump.
    fn wall_ns(&self) -> i64;
    /// Time since some fixed moment of this process. Never goes back.
    fn monotonic(&self) -> Duration;
    /// Waits. Cancel safe.
    async fn sleep(&self, duration: Duration);
}

/// The process's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn wall_ns(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Tokio's clock, which simulation pauses. Wall time begins at 2020-01-01.
#[derive(Debug)]
pub struct TokioClock {
    start: tokio::time::Instant,
}

const SIMULATION_BEGINS_NS: i64 = 1_577_836_800_000_000_000;

impl Default for TokioClock {
    fn default() -> Self {
        Self { start: tokio::time::Instant::now() }
    }
}

#[async_trait]
impl Clock for TokioClock {
    fn wall_ns(&self) -> i64 {
        let since = i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX);
        SIMULATION_BEGINS_NS.saturating_add(since)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
