//! Where scans are. The protocol has numbers for that, and a position is a key: so the door remembers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cairn_env::Rng;
use cairn_kv::Namespace;

use crate::limits::SCANS_MAX;

struct Position {
    namespace: Namespace,
    last: Bytes,
    /// The one that led here.
    before: u64,
}

/// Positions of scans, by numbers that nobody guesses. They are this process's own and end with it.
pub(crate) struct Scans {
    rng: Arc<dyn Rng>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    positions: BTreeMap<u64, Position>,
    /// The oldest first; some are gone already.
    order: VecDeque<u64>,
}

impl Scans {
    pub(crate) fn new(rng: Arc<dyn Rng>) -> Self {
        Self { rng, known: Mutex::default() }
    }

    /// A number for the position behind `last`, to which the number `before` led; 0 for none.
    pub(crate) fn put(&self, namespace: &Namespace, last: &Bytes, before: u64) -> u64 {
        // Many clients read it as a signed number; 0 is the beginning.
        let cursor = (self.rng.next_u64() >> 1).max(1);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        while known.positions.len() >= SCANS_MAX || known.order.len() >= 2 * SCANS_MAX {
            let Some(oldest) = known.order.pop_front() else { break };
            known.positions.remove(&oldest);
        }
        known.order.push_back(cursor);
        let (namespace, last) = (namespace.clone(), last.clone());
        known.positions.insert(cursor, Position { namespace, last, before });
        cursor
    }

    /// The position of a number, when it is one of this namespace. It can be asked for again: a client
    /// that lost the answer does so.
    pub(crate) fn take(&self, namespace: &Namespace, cursor: u64) -> Option<Bytes> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found =
            known.positions.get_mut(&cursor).filter(|found| found.namespace == *namespace)?;
        let (last, before) = (found.last.clone(), std::mem::take(&mut found.before));
        // Who has this one needs the one before no more.
        known.positions.remove(&before);
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    use cairn_env::SeededRng;

    use super::*;

    /// REDIS-4.
    #[test]
    fn redis_4_a_cursor_is_its_namespaces_and_scans_are_bounded() {
        let of = |name: &str| Namespace {
            project: "main".parse().unwrap(),
            name: name.parse().unwrap(),
        };
        let scans = Scans::new(Arc::new(SeededRng::new(1)));
        let first = scans.put(&of("a"), &Bytes::from_static(b"k"), 0);
        assert_eq!(scans.take(&of("a"), first).unwrap(), "k");
        assert_eq!(scans.take(&of("b"), first), None);
        for _ in 0..SCANS_MAX {
            scans.put(&of("b"), &Bytes::from_static(b"l"), 0);
        }
        assert_eq!(scans.take(&of("a"), first), None);
        assert_eq!(scans.known.lock().unwrap().positions.len(), SCANS_MAX);
    }
}
