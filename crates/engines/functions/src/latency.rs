//! How long calls take: of each function lately, and of all since the node started.
//!
//! Of a function it is counted in spans of five minutes, of which the one that goes on and the one before are kept, each as
//! a histogram whose buckets grow by a quarter of a power of two: what is told is too long by a quarter at most.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A span.
const SPAN: Duration = Duration::from_secs(5 * 60);
/// Shorter calls are counted as this long: 2⁶ microseconds.
const SHORTEST: u32 = 6;
/// Longer ones than 2³¹ microseconds, 36 minutes, as that long.
const LONGEST: u32 = 31;
/// Buckets of each power of two, as a power of two.
const PARTS: u32 = 2;
const BUCKETS: usize = (((LONGEST - SHORTEST) << PARTS) + 1) as usize;
/// Upper ends of the buckets of all calls, in milliseconds.
pub const ENDS_MS: [u64; 10] = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000];

/// How long calls took: so many of a hundred took this long at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Calls that were measured.
    pub calls: u64,
    /// 50 of a hundred, in microseconds.
    pub p50_us: u64,
    /// 95 of them.
    pub p95_us: u64,
    /// 99 of them.
    pub p99_us: u64,
}

/// How long calls of one function took lately. It takes memory from the first call on.
#[derive(Default)]
pub(crate) struct Lately {
    kept: Mutex<Option<Box<Spans>>>,
}

struct Spans {
    /// The number of the span that goes on.
    now: u64,
    /// That, and the one before.
    counts: [[u32; BUCKETS]; 2],
}

/// The bucket of a duration.
fn bucket(took: Duration) -> usize {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).clamp(1 << SHORTEST, 1 << LONGEST);
    let octave = us.ilog2();
    let part = (us >> (octave - PARTS)) & ((1 << PARTS) - 1);
    (((octave - SHORTEST) << PARTS) as usize) + usize::try_from(part).unwrap_or(0)
}

/// Where a bucket ends, in microseconds.
fn end(bucket: usize) -> u64 {
    let octave = u32::try_from(bucket >> PARTS).unwrap_or(0);
    let part = bucket & ((1 << PARTS) - 1);
    ((1 << PARTS) + part as u64 + 1) << (octave + SHORTEST - PARTS)
}

impl Lately {
    /// A call took so long, at this time since whenever.
    pub(crate) fn add(&self, took: Duration, now: Duration) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let spans = kept.get_or_insert_with(|| Box::new(Spans::new()));
        spans.turn(now);
        let count = &mut spans.counts[0][bucket(took)];
        *count = count.saturating_add(1);
    }

    /// How long they took in the last five to ten minutes; none when there were none.
    pub(crate) fn told(&self, now: Duration) -> Option<Latency> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let spans = kept.as_mut()?;
        spans.turn(now);
        spans.told()
    }
}

impl Spans {
    fn new() -> Self {
        Self { now: 0, counts: [[0; BUCKETS]; 2] }
    }

    /// Forgets what was before the last span but one.
    fn turn(&mut self, now: Duration) {
        let now = now.as_secs() / SPAN.as_secs();
        self.counts = match now.saturating_sub(self.now) {
            0 => return,
            1 => [[0; BUCKETS], self.counts[0]],
            _ => [[0; BUCKETS]; 2],
        };
        self.now = now;
    }

    fn told(&self) -> Option<Latency> {
        let count = |at: usize| u64::from(self.counts[0][at]) + u64::from(self.counts[1][at]);
        let calls: u64 = (0..BUCKETS).map(count).sum();
        let below = |percent: u64| {
            let mut left = (calls * percent).div_ceil(100);
            (0..BUCKETS).find(|at| {
                left = left.saturating_sub(count(*at));
                left == 0
            })
        };
        let told = |percent| below(percent).map_or(0, end);
        (calls > 0).then(|| Latency { calls, p50_us: told(50), p95_us: told(95), p99_us: told(99) })
    }
}

/// How long all calls took on this node since it started.
#[derive(Default)]
pub(crate) struct Durations {
    /// One more than there are ends: the last has no end.
    counts: [AtomicU64; ENDS_MS.len() + 1],
    micros: AtomicU64,
}

impl Durations {
    pub(crate) fn add(&self, took: Duration) {
        let at = ENDS_MS.iter().position(|end| took <= Duration::from_millis(*end));
        self.counts[at.unwrap_or(ENDS_MS.len())].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// The counts of the buckets, and the sum of all.
    pub(crate) fn told(&self) -> ([u64; ENDS_MS.len() + 1], Duration) {
        let counts = std::array::from_fn(|at| self.counts[at].load(Ordering::Relaxed));
        (counts, Duration::from_micros(self.micros.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_too_long_by_a_quarter_at_most() {
        let mut us = 64;
        while us < 1 << LONGEST {
            let told = end(bucket(Duration::from_micros(us)));
            assert!(told > us && told <= us + us / 4 + 1, "{us} is told as {told}");
            us += 1 + us / 37;
        }
        for (us, told) in [(0, 80), (1, 80), (u64::MAX, end(BUCKETS - 1))] {
            assert_eq!(end(bucket(Duration::from_micros(us))), told);
        }
    }

    #[test]
    fn percentiles_are_of_the_last_minutes() {
        let (lately, ms) = (Lately::default(), Duration::from_millis);
        assert_eq!(lately.told(SPAN), None);
        for took in 1..=100 {
            lately.add(ms(took), SPAN * 7);
        }
        let told = lately.told(SPAN * 8).unwrap();
        assert_eq!(told.calls, 100);
        for (told, true_ms) in [(told.p50_us, 50), (told.p95_us, 95), (told.p99_us, 99)] {
            assert!((true_ms * 1000..true_ms * 1250).contains(&told), "{told} of {true_ms} ms");
        }
        lately.add(Duration::from_secs(3), SPAN * 8);
        assert_eq!(lately.told(SPAN * 8).unwrap().calls, 101);
        let told = lately.told(SPAN * 9).unwrap();
        assert_eq!((told.calls, told.p50_us), (1, told.p99_us));
        assert_eq!(lately.told(SPAN * 10), None);
    }

    #[test]
    fn all_calls_are_counted_by_how_long_they_took() {
        let durations = Durations::default();
        for ms in [0, 1, 2, 31_000] {
            durations.add(Duration::from_millis(ms));
        }
        let (counts, sum) = durations.told();
        assert_eq!((counts[0], counts[1], counts[10]), (2, 1, 1));
        assert_eq!(sum, Duration::from_millis(31_003));
    }
}
