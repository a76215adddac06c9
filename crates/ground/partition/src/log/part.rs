//! What the log knows of one partition, whoever writes to it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Epoch;

/// Frames are counted together until they have so many bytes …
const EXTENT_BYTES: u64 = 256 * 1024;
/// … or the first of them is so old.
const EXTENT_AGE: Duration = Duration::from_secs(1);

/// One partition in the log.
#[derive(Debug, Default)]
pub(super) struct Part {
    state: Mutex<PartState>,
}

#[derive(Debug, Default)]
pub(super) struct PartState {
    /// The greatest that wrote.
    pub(super) epoch_max: Epoch,
    /// First and last id of each epoch in the log.
    pub(super) epochs: BTreeMap<Epoch, (u64, u64)>,
    /// Frames to this id are not needed for replay.
    pub(super) released: u64,
    extents: VecDeque<Extent>,
    bytes: u64,
}

/// A run of frames.
#[derive(Clone, Copy, Debug)]
struct Extent {
    last_id: u64,
    /// Bytes of all frames before it.
    before: u64,
    /// When the first of them was made.
    at: Duration,
}

impl Part {
    pub(super) fn state(&self) -> MutexGuard<'_, PartState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartState {
    /// A frame is in the log.
    pub(super) fn add(&mut self, epoch: Epoch, id: u64, bytes: u64, at: Duration) {
        self.epoch_max = self.epoch_max.max(epoch);
        let ids = self.epochs.entry(epoch).or_insert((id, id));
        ids.1 = ids.1.max(id);
        let before = self.bytes;
        self.bytes += bytes;
        match self.extents.back_mut() {
            Some(extent)
                if self.bytes - extent.before < EXTENT_BYTES
                    && at.saturating_sub(extent.at) < EXTENT_AGE =>
            {
                extent.last_id = extent.last_id.max(id);
            }
            _ => self.extents.push_back(Extent { last_id: id, before, at }),
        }
    }

    /// Frames to `id` are not needed any more.
    pub(super) fn release(&mut self, id: u64) {
        self.released = self.released.max(id);
        while self.extents.front().is_some_and(|extent| extent.last_id <= id) {
            self.extents.pop_front();
        }
        self.epochs.retain(|_, (first, last)| {
            *first = (*first).max(id.saturating_add(1));
            *last > id
        });
    }

    fn since(&self, id: u64) -> Option<&Extent> {
        let at = self.extents.partition_point(|extent| extent.last_id <= id);
        self.extents.get(at)
    }

    /// Bytes of the frames after `id`, and of a few before it.
    pub(super) fn bytes_since(&self, id: u64) -> u64 {
        self.since(id).map_or(0, |extent| self.bytes - extent.before)
    }

    /// When the oldest frame after `id` was made, or one a little before it.
    pub(super) fn oldest_since(&self, id: u64) -> Option<Duration> {
        self.since(id).map(|extent| extent.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_age_are_counted_from_an_id_on() {
        let mut part = PartState::default();
        let second = Duration::from_secs(1);
        for id in 1..=10u32 {
            part.add(Epoch(1 + u64::from(id) / 6), u64::from(id), 100, second * id);
        }
        assert_eq!(
            (part.bytes_since(0), part.bytes_since(4), part.bytes_since(10)),
            (1000, 600, 0)
        );
        assert_eq!((part.oldest_since(4), part.oldest_since(10)), (Some(second * 5), None));
        part.release(7);
        assert_eq!((part.bytes_since(0), part.oldest_since(0)), (300, Some(second * 8)));
        assert_eq!(part.epochs, BTreeMap::from([(Epoch(2), (8, 10))]));
        assert_eq!(part.epoch_max, Epoch(2));
    }
}
