//! What was shipped of a partition's log, as the log of a tree that is only read.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use slatedb::wal::{WalError, WalFileRange, WalIterator, WalReader, WalRows};
use tokio::sync::Mutex;

use super::Place;
use crate::log::Shipped;
use crate::node::inherit::{Chain, Logs, Part, as_shipped};
use crate::node::records::{Owned, Owner, life_id};
use crate::node::snapshot::Snapshots;
use crate::view::wal::{Frames as _, decoded_rows, wal_error};
use crate::{Epoch, Error, Name, PartitionId, Seq};

/// The log of one ownership, and of those before it.
pub(super) struct ShippedWal {
    place: Place,
    snapshots: Snapshots,
    name: Name,
    id: PartitionId,
    epoch: Epoch,
    /// Somebody else owns it, and may have undone what was shipped last: it is to be read anew.
    moved: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    logs: Logs,
    trail: Vec<Owned>,
    /// The last batch of the tree in each frame that was read.
    read: BTreeMap<u64, Seq>,
}

impl ShippedWal {
    pub(super) fn new(place: Place, name: Name, id: PartitionId, epoch: Epoch) -> Self {
        let snapshots = place.snapshots();
        let (moved, known) = (AtomicBool::new(false), Mutex::default());
        Self { place, snapshots, name, id, epoch, moved, known }
    }

    pub(super) fn has_moved(&self) -> bool {
        self.moved.load(Ordering::Acquire)
    }

    /// The record, while its owner is the one that it was.
    async fn owner(&self) -> Result<Owner, Error> {
        let found = self.place.records.read::<Owner>(&Owner::key(&self.name)).await?;
        let is_it = |owner: &Owner| {
            owner.is_there()
                && owner.epoch == self.epoch
                && owner.id().is_ok_and(|id| id == self.id)
        };
        found.map(|found| found.record).filter(is_it).ok_or_else(|| {
            self.moved.store(true, Ordering::Release);
            Error::Busy { why: format!("{} has another owner", self.name) }
        })
    }

    /// Looks how far the log goes now.
    async fn look(&self) -> Result<u64, Error> {
        let owner = self.owner().await?;
        let mut known = self.known.lock().await;
        let mut logs = Logs::new();
        for Owned { life, .. } in &owner.trail {
            let log = match known.logs.get(life) {
                Some(log) => log.again().await?,
                None => {
                    let (bucket, seal) = (&self.place.records.bucket, &self.place.seal);
                    Shipped::open(bucket.clone(), Arc::clone(seal), life_id(life)?).await?
                }
            };
            logs.insert(life.clone(), Arc::new(log));
        }
        known.trail = as_shipped(&owner.trail, self.id, &logs);
        known.logs = logs;
        Ok(known.trail.iter().filter_map(|owned| owned.through).max().unwrap_or(0))
    }

    /// The frames after one, to before another.
    async fn frames(self: &Arc<Self>, after: u64, end: u64) -> Result<Replay, Error> {
        let seq = self.seq(after).await?;
        let mut known = self.known.lock().await;
        known.read = known.read.split_off(&after);
        let logs = &known.logs;
        let part = |owned: &Owned, reached| {
            let epoch = owned.epoch;
            let replay = logs[&owned.life].replay(self.id, reached, move |found| found == epoch);
            Part::Shipped(replay)
        };
        let frames = Chain::of(&known.trail, (after, seq), part);
        Ok(Replay { wal: Arc::clone(self), frames, end })
    }

    /// The last batch that the tree has with all frames to one.
    async fn seq(&self, after: u64) -> Result<Seq, Error> {
        if let Some(seq) = self.known.lock().await.read.get(&after) {
            return Ok(*seq);
        }
        let manifest = self.snapshots.manifest(self.id).await?;
        let manifest = manifest.filter(|found| found.replay_after_wal_id() == after);
        let moved = || Error::Busy { why: format!("the view of {} has moved on", self.name) };
        manifest.map(|found| Seq(found.last_l0_seq())).ok_or_else(moved)
    }
}

/// The tree's handle of it.
pub(super) struct Handle(pub(super) Arc<ShippedWal>);

#[async_trait]
impl WalReader for Handle {
    async fn iterator(&self, range: WalFileRange) -> Result<Box<dyn WalIterator>, WalError> {
        let after = match range.0 {
            Bound::Included(first) => first.saturating_sub(1),
            Bound::Excluded(after) => after,
            Bound::Unbounded => 0,
        };
        let end = match range.1 {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => end,
            Bound::Unbounded => u64::MAX,
        };
        Ok(Box::new(self.0.frames(after, end).await.map_err(wal_error)?))
    }

    async fn last_wal_file_id(&self, after: u64) -> Result<u64, WalError> {
        self.0.look().await.map(|last| last.max(after)).map_err(wal_error)
    }
}

struct Replay {
    wal: Arc<ShippedWal>,
    frames: Chain,
    end: u64,
}

#[async_trait]
impl WalIterator for Replay {
    async fn next(&mut self) -> Result<Option<WalRows>, WalError> {
        let Some(frame) = self.frames.next().await.map_err(wal_error)? else { return Ok(None) };
        if frame.id >= self.end {
            return Ok(None);
        }
        self.wal.known.lock().await.read.insert(frame.id, frame.last_seq);
        decoded_rows(&frame).map(Some)
    }
}
