//! How long the other side of a connection is waited for when it is slow.

use std::time::Duration;

/// Bytes a second that a client sends or takes at least; one that is slower is waited for as one that
/// stands still.
pub const PACE_BYTES_MIN: u64 = 2048;

/// The time a client has left. Waiting for it spends, and bytes that come or go earn: a client that
/// keeps the pace of [`PACE_BYTES_MIN`] a second is waited for without end, and one that moves a byte
/// now and then no longer than one that moves nothing.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    left: Duration,
    max: Duration,
}

impl Patience {
    /// All of `max` is left.
    #[must_use]
    pub fn new(max: Duration) -> Self {
        Self { left: max, max }
    }

    /// How long the next bytes may take.
    #[must_use]
    pub fn left(&self) -> Duration {
        self.left
    }

    /// Some bytes moved, after waiting for them.
    pub fn got(&mut self, bytes: usize, waited: Duration) {
        self.left = self.left.saturating_sub(waited).saturating_add(earned(bytes)).min(self.max);
    }
}

/// The time in which a client has to move so many bytes.
#[must_use]
pub fn earned(bytes: usize) -> Duration {
    let ns = (bytes as u64).saturating_mul(1_000_000_000 / PACE_BYTES_MIN);
    Duration::from_nanos(ns)
}
