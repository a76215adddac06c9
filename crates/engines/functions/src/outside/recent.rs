//! Whose connections are kept for the next request: those of a project's latest origins, for there are as many as names.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Origins of a project whose connections are kept at a time.
const ORIGINS_MAX: usize = 32;

/// The origins that were asked a short time ago, and when.
#[derive(Default)]
pub(super) struct Recent {
    asked: Mutex<BTreeMap<String, Duration>>,
}

impl Recent {
    /// Whether the connection to an origin that is asked now is kept for `idle`.
    pub(super) fn keeps(&self, origin: String, now: Duration, idle: Duration) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= ORIGINS_MAX && !asked.contains_key(&origin) {
            asked.retain(|_, at| now.saturating_sub(*at) < idle);
            if asked.len() >= ORIGINS_MAX {
                return false;
            }
        }
        asked.insert(origin, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_kept_of_some_origins_at_a_time() {
        let (recent, idle) = (Recent::default(), Duration::from_secs(4));
        let keeps = |number: usize, second| {
            recent.keeps(format!("https://{number}.example"), Duration::from_secs(second), idle)
        };
        assert!((0..ORIGINS_MAX).all(|number| keeps(number, 0)));
        assert!(!keeps(ORIGINS_MAX, 3), "there are too many");
        assert!(keeps(7, 3));
        assert!((50..49 + ORIGINS_MAX).all(|number| keeps(number, 4)), "those of before are gone");
        assert!(!keeps(ORIGINS_MAX, 4));
        assert!(keeps(7, 6), "which was asked since");
    }
}
