//! The node's log: one for all of its partitions, and one sync for all that is appended at a time.
//!
//! A [`Writer`] appends to one partition's part of it. Appends go to a buffer; the log's driver makes a
//! **frame** of each buffer that has something, a **group** of all frames, writes the group, syncs it
//! once, asks the [`Gate`], and only then acknowledges. Meanwhile the next group collects.
//!
//! # Who owns the state, what is durable when, what survives a crash
//!
//! The directory behind the [`Disk`] does; one process at a time has it. It has a [`LifeId`], made with
//! it. What was acknowledged survives any crash. What was not is there whole or not at all, frame by
//! frame: the last group, which a crash may tear, is cut at the next opening, and any other damage is an
//! error with file and offset. A write or sync that fails ends the log for good: what the disk holds then
//! is not known, and the next opening finds out.
//!
//! Segments are written full of zeros before they are used, and used again when every partition has
//! released what they hold and it is shipped. When space is missing for a new one, nothing is lost:
//! appends are refused until there is some.
//!
//! # Order of things
//!
//! - LOG-1: the gate is asked after the sync and before the acknowledgement. While it is closed, groups
//!   are written and wait.
//! - Listeners hear of a frame before those who wait for it, and each thing once, in order.
//! - A writer of a greater epoch closes the one before; one of a lesser epoch is refused.
//!
//! Bytes: see `codec.rs`; what is shipped: `object.rs`.

mod codec;
mod copy;
mod core;
mod disk;
mod driver;
mod engine;
pub(crate) mod fuzzing;
mod load;
mod object;
mod part;
mod read;
mod replay;
mod scan;
mod ship;
mod shipped;
mod slot;
mod store;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use cairn_env::Env;

use crate::{Epoch, Error, PartitionId};

pub(crate) use copy::Copy;
pub use disk::{Disk, RealDisk, SimDisk};
pub(crate) use object::prefix;
pub use replay::{Frame, Replay};
pub use ship::{ShipOptions, Shipper};
pub use shipped::{Shipped, ShippedEnd, ShippedReplay};
pub use writer::{Event, Flush, Listener, Writer, WriterStatus};

use self::core::{Core, Handle};
use engine::Engine;
use slot::Slot;

/// Identity of one log directory, made with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LifeId(pub [u8; 16]);

impl fmt::Debug for LifeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// How a log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Bytes of a segment; a larger group gets a larger one. A multiple of 512, at least 4096.
    pub segment_bytes: u64,
    /// Segments that are kept to be used again at most.
    pub spares_max: usize,
    /// Above so many bytes of segments, [`Log::laggards`] names who holds the oldest.
    pub local_bytes_max: u64,
    /// Bytes of payload that may wait for their acknowledgement, give or take one append of each writer.
    pub buffered_bytes_max: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            spares_max: 4,
            local_bytes_max: 1 << 30,
            buffered_bytes_max: 256 << 20,
        }
    }
}

/// Whether this node may still acknowledge (LOG-1): its lease is good now.
pub trait Gate: Send + Sync {
    /// Asked after each sync, right before the acknowledgement. It must be quick.
    fn open(&self) -> bool;
}

/// Counts since the log was opened, and how it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Bytes of frames that were synced.
    pub appended_bytes: u64,
    /// Groups that were synced.
    pub groups: u64,
    /// Frames in them.
    pub frames: u64,
    /// Syncs for groups.
    pub syncs: u64,
    /// What they took.
    pub sync_time: Duration,
    /// Bytes of payload that are not acknowledged.
    pub buffered_bytes: u64,
    /// Bytes of the segments in use.
    pub local_bytes: u64,
    /// Segments in use.
    pub segments: usize,
    /// Bytes of groups that are not in the bucket; 0 without a shipper.
    pub unshipped_bytes: u64,
    /// Age of the oldest group that is not in the bucket.
    pub unshipped_age: Option<Duration>,
}

/// Frames of one partition and epoch that are in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The partition.
    pub partition: PartitionId,
    /// The ownership under which they were written.
    pub epoch: Epoch,
    /// The first id that is not released.
    pub first_id: u64,
    /// The last id.
    pub last_id: u64,
}

/// The log of a node, shared by its partitions. Clones are the same log; it ends with the last of them,
/// of its writers and of their futures.
#[derive(Clone, Debug)]
pub struct Log {
    handle: Arc<Handle>,
}

impl Log {
    /// Opens the log on `disk`, or begins one on an empty disk. Reads and verifies all of it, a piece at
    /// a time. A group at the end that a crash tore is cut.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with file and offset; [`Error::Full`]; [`Error::Storage`]; [`Error::Invalid`]
    /// for options that make no sense.
    pub async fn open(disk: Arc<dyn Disk>, options: LogOptions, env: &Env) -> Result<Self, Error> {
        if options.segment_bytes < 4096
            || !options.segment_bytes.is_multiple_of(codec::SECTOR_BYTES as u64)
        {
            let why = format!(
                "segments of the log have a multiple of 512 bytes, at least 4096, not {}",
                options.segment_bytes
            );
            return Err(Error::Invalid { why });
        }
        let scan = {
            let (disk, options, env) = (Arc::clone(&disk), options.clone(), env.clone());
            move || scan::scan(&disk, &options, &env)
        };
        let found = env.spawn.run(scan).await.map_err(|lost| Error::Storage {
            what: "open the log",
            why: lost.to_string(),
            kind: cairn_base::ErrorKind::Retry,
        })??;
        let core = Core::new((disk, options, env.clone()), found.life, found.state);
        let core = Arc::new(core);
        driver::start(Engine::new(Arc::clone(&core)), env)?;
        Ok(Self { handle: Arc::new(Handle { core }) })
    }

    fn core(&self) -> &Arc<Core> {
        &self.handle.core
    }

    /// Whose log it is.
    #[must_use]
    pub fn life(&self) -> LifeId {
        self.core().life
    }

    /// A writer for a partition, whose frames continue with `after_id + 1`. It closes the partition's
    /// writer of a lesser epoch, whose appends that are not acknowledged then are in doubt: close that
    /// one first, then replay, then make this one.
    ///
    /// # Errors
    /// [`Error::Fenced`]: a greater epoch has written. [`Error::Invalid`]: the epoch has frames after
    /// `after_id` already. [`Error::Busy`]: frames of the writer before are being written; replay them
    /// too. Any other: the log is closed, and this is why.
    pub fn writer(
        &self,
        partition: PartitionId,
        epoch: Epoch,
        after_id: u64,
    ) -> Result<Writer, Error> {
        let core = self.core();
        if let Some(why) = core.closed() {
            return Err(why);
        }
        let fenced = |epoch| Error::Fenced { name: format!("partition {partition:?}"), epoch };
        let _one_at_a_time = core.making();
        let (part, before) = {
            let mut state = core.state();
            let before = state.slots.get(&partition).and_then(Weak::upgrade);
            (Arc::clone(state.part(partition)), before)
        };
        if epoch < part.state().epoch_max {
            return Err(fenced(epoch));
        }
        if let Some(before) = before.filter(|before| before.is_open() || before.is_taken()) {
            if before.epoch < epoch {
                core.retire(&before, &fenced(before.epoch));
            }
            if before.epoch == epoch || before.is_taken() {
                let why = format!("the writer before of partition {partition:?} has not ended");
                return Err(Error::Busy { why });
            }
        }
        {
            let mut part = part.state();
            if let Some((_, last)) = part.epochs.get(&epoch).filter(|(_, last)| *last > after_id) {
                let why = format!("epoch {} has frame {last} in the log already", epoch.0);
                return Err(Error::Invalid { why });
            }
            part.epoch_max = epoch;
        }
        let mut state = core.state();
        let prior = state.segments.back().map_or(0, core::Segment::last_group);
        let slot = Arc::new(Slot::new((partition, epoch), part, after_id, prior));
        if state.shipping.as_ref().is_some_and(|shipping| shipping.group >= prior) {
            slot.state().shipped_id = after_id;
        }
        state.slots.insert(partition, Arc::downgrade(&slot));
        drop(state);
        Ok(Writer::new(slot, Arc::clone(&self.handle)))
    }

    /// The frames of a partition after `after_id` that are in the log now, of those epochs that `epochs`
    /// lets through, in the order of their ids. Where a later epoch begins at an id, what an earlier one
    /// has from there on is left out: its owner did not see it. Nothing is recycled while it is read.
    pub fn replay(
        &self,
        partition: PartitionId,
        after_id: u64,
        epochs: impl Fn(Epoch) -> bool + Send + Sync + 'static,
    ) -> Replay {
        Replay::new(Arc::clone(&self.handle), partition, after_id, Arc::new(epochs))
    }

    /// What is in the log, by partition and epoch, without what was released.
    #[must_use]
    pub fn partitions(&self) -> Vec<Held> {
        let state = self.core().state();
        let mut found = Vec::new();
        for (partition, part) in &state.parts {
            let part = part.state();
            found.extend(part.epochs.iter().map(|(epoch, (first_id, last_id))| Held {
                partition: *partition,
                epoch: *epoch,
                first_id: *first_id,
                last_id: *last_id,
            }));
        }
        found
    }

    /// Frames of a partition up to `through_id` are not needed for replay any more: for partitions that
    /// have no writer here.
    pub fn release(&self, partition: PartitionId, through_id: u64) {
        self.core().release(partition, through_id);
    }

    /// Asks `gate` from now on, instead of the one before; none is open.
    pub fn gate(&self, gate: Arc<dyn Gate>) {
        self.core().set_gate(gate);
    }

    /// The gate may have opened: groups that wait for it are looked at again.
    pub fn gate_changed(&self) {
        self.core().change(|_| ());
    }

    /// Ends the log: all who wait and all who come get `why`. The first reason stays.
    pub fn poison(&self, why: Error) {
        self.core().poison(why);
    }

    /// Partitions that keep the oldest segment from being recycled, with the id up to which they should
    /// release; none while the log has at most [`LogOptions::local_bytes_max`].
    #[must_use]
    pub fn laggards(&self) -> Vec<(PartitionId, u64)> {
        let state = self.core().state();
        if state.local_bytes() <= self.core().options.local_bytes_max {
            return Vec::new();
        }
        let held = state.segments.front().map(|front| front.held.iter()).into_iter().flatten();
        let behind = held.filter(|(partition, held)| {
            let part = state.parts.get(partition);
            part.is_some_and(|part| part.state().released < held.last_id)
        });
        behind.map(|(partition, held)| (*partition, held.last_id)).collect()
    }

    /// Counts.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        let core = self.core();
        let now = core.env.clock.monotonic();
        let state = core.state();
        let oldest = state.shipping.as_ref().and_then(|shipping| shipping.marks.front());
        LogStats {
            buffered_bytes: core.buffered.load(Ordering::Relaxed),
            local_bytes: state.local_bytes(),
            segments: state.segments.len(),
            unshipped_bytes: state.shipping.as_ref().map_or(0, |shipping| shipping.unshipped_bytes),
            unshipped_age: oldest.map(|(_, at)| now.saturating_sub(*at)),
            ..state.stats.clone()
        }
    }

    /// Refuses what comes later, writes and syncs what is there, ships it if there is a shipper, and gives
    /// the directory free. Waits for the bucket as long as it takes: drop the future to wait no longer.
    ///
    /// # Errors
    /// Why something was not acknowledged.
    pub async fn close(&self) -> Result<(), Error> {
        let core = self.core();
        let mut ended = core.ended.subscribe();
        core.change(|state| state.closing = true);
        core.ship.notify_one();
        let ended = ended.wait_for(Option::is_some).await;
        ended.ok().and_then(|ended| ended.clone()).unwrap_or(Ok(()))
    }
}
