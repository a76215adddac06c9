//! Deleted ranges whose versions are still in the tree.

use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::{KeyRange, Seq};

/// Deleted ranges that may wait for being swept, at most.
pub(super) const RANGES_MAX: usize = 4096;

/// Each hides the versions of its keys that are older than it.
#[derive(Default)]
pub(super) struct Ranges(RwLock<Vec<(Seq, KeyRange)>>);

impl Ranges {
    pub(super) fn new(ranges: Vec<(Seq, KeyRange)>) -> Self {
        Self(RwLock::new(ranges))
    }

    pub(super) fn add(&self, seq: Seq, range: KeyRange) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push((seq, range));
    }

    pub(super) fn remove(&self, seq: Seq, range: &KeyRange) {
        let mut ranges = self.0.write().unwrap_or_else(PoisonError::into_inner);
        ranges.retain(|(at, one)| *at != seq || one != range);
    }

    pub(super) fn len(&self) -> usize {
        self.read().len()
    }

    /// The oldest one, when it is at or before `through`.
    pub(super) fn oldest(&self, through: Seq) -> Option<(Seq, KeyRange)> {
        self.read().first().filter(|(seq, _)| *seq <= through).cloned()
    }

    /// Whether a version of `key` is hidden from who reads the state `at`.
    pub(super) fn hide(&self, key: &[u8], version: Seq, at: Seq) -> bool {
        let ranges = self.read();
        let later = ranges.partition_point(|(seq, _)| *seq <= version);
        let mut later = ranges.iter().skip(later).take_while(|(seq, _)| *seq <= at);
        later.any(|(_, range)| range.contains(key))
    }

    fn read(&self) -> RwLockReadGuard<'_, Vec<(Seq, KeyRange)>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
