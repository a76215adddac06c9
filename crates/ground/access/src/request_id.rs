use std::sync::atomic::{AtomicU64, Ordering};

use cairn_env::Rng;

/// Ids of requests: a random number for this process, and a count. They name lines of a log and are no
/// secret; asking the system for randomness each time would cost more than the rest of some answers.
#[derive(Debug)]
pub struct RequestIds {
    process: u64,
    count: AtomicU64,
}

impl RequestIds {
    /// The ids of a door.
    #[must_use]
    pub fn new(rng: &dyn Rng) -> Self {
        Self { process: rng.next_u64(), count: AtomicU64::new(0) }
    }

    /// The next id: 16 hexadecimal digits.
    pub fn next(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        // An odd factor is a permutation of all numbers: none comes twice.
        let id = self.process.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        format!("{id:016x}")
    }
}
