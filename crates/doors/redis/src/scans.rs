//! Where scans are. The protocol has numbers for that, and a position is a key: so the door remembers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cairn_env::Rng;
use cairn_kv::Namespace;

use crate::limits::SCANS_MAX;

/// Positions of scans, by numbers that nobody guesses. They are this process's own and end with it.
pub(crate) struct Scans {
    rng: Arc<dyn Rng>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    positions: HashMap<u64, (Namespace, Bytes)>,
    /// The oldest first.
    order: VecDeque<u64>,
}

impl Scans {
    pub(crate) fn new(rng: Arc<dyn Rng>) -> Self {
        Self { rng, known: Mutex::default() }
    }

    /// A number for the position behind `last`.
    pub(crate) fn put(&self, namespace: &Namespace, last: &Bytes) -> u64 {
        // Many clients read it as a signed number; 0 is the beginning.
        let cursor = (self.rng.next_u64() >> 1).max(1);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.order.len() >= SCANS_MAX
            && let Some(oldest) = known.order.pop_front()
        {
            known.positions.remove(&oldest);
        }
        known.order.push_back(cursor);
        known.positions.insert(cursor, (namespace.clone(), last.clone()));
        cursor
    }

    /// The position of a number, when it is one of this namespace. It can be asked for again: a client
    /// that lost the answer does so.
    pub(crate) fn take(&self, namespace: &Namespace, cursor: u64) -> Option<Bytes> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, last) = known.positions.get(&cursor)?;
        (of == namespace).then(|| last.clone())
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
        let first = scans.put(&of("a"), &Bytes::from_static(b"k"));
        assert_eq!(scans.take(&of("a"), first).unwrap(), "k");
        assert_eq!(scans.take(&of("b"), first), None);
        for _ in 0..SCANS_MAX {
            scans.put(&of("b"), &Bytes::from_static(b"l"));
        }
        assert_eq!(scans.take(&of("a"), first), None);
        assert_eq!(scans.known.lock().unwrap().positions.len(), SCANS_MAX);
    }
}
