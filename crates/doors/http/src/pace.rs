//! How long a client is waited for that is slow.

use std::time::Duration;

use crate::limits::PACE_BYTES_MIN;

/// The time a client has left. Waiting for it spends, and bytes that come or go earn: a client that
/// keeps the pace of [`PACE_BYTES_MIN`] a second is waited for without end, and one that moves a byte
/// now and then no longer than one that moves nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    left: Duration,
    max: Duration,
}

impl Patience {
    /// All of `max` is left.
    pub(crate) fn new(max: Duration) -> Self {
        Self { left: max, max }
    }

    /// How long the next bytes may take.
    pub(crate) fn left(&self) -> Duration {
        self.left
    }

    /// Some bytes moved, after waiting for them.
    pub(crate) fn got(&mut self, bytes: usize, waited: Duration) {
        self.left = self.left.saturating_sub(waited).saturating_add(earned(bytes)).min(self.max);
    }
}

/// The time in which a client has to move so many bytes.
pub(crate) fn earned(bytes: usize) -> Duration {
    let ns = (bytes as u64).saturating_mul(1_000_000_000 / PACE_BYTES_MIN);
    Duration::from_nanos(ns)
}
