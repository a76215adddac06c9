//! What handles, writers, the driver and the shipper share.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use cairn_env::Env;
use tokio::sync::{Notify, watch};

use super::disk::Disk;
use super::part::Part;
use super::slot::Slot;
use super::{Gate, LifeId, LogOptions, LogStats};
use crate::{Error, PartitionId};

/// The shared state. Locks are taken in this order: a slot, this, a part.
pub(super) struct Core {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: LogOptions,
    pub(super) env: Env,
    pub(super) life: LifeId,
    /// Bytes of payload that are not acknowledged.
    pub(super) buffered: AtomicU64,
    /// Nothing is taken; [`State`] says why.
    refusing: AtomicBool,
    state: Mutex<State>,
    bell: Condvar,
    bell_async: Notify,
    gate: Mutex<Option<Arc<dyn Gate>>>,
    making: Mutex<()>,
    /// Rings for the shipper.
    pub(super) ship: Notify,
    /// How many wait for the bucket.
    pub(super) ship_waiting: AtomicUsize,
    /// How the driver ended.
    pub(super) ended: watch::Sender<Option<Result<(), Error>>>,
}

#[derive(Default)]
pub(super) struct State {
    /// Writers that have something for the next group.
    dirty: Vec<Arc<Slot>>,
    /// Something else changed.
    chores: bool,
    sleeping: bool,
    /// The last handle is gone.
    abandoned: bool,
    pub(super) closing: bool,
    pub(super) failed: Option<Error>,
    /// Why there is no segment for the next group.
    pub(super) full: Option<Error>,
    pub(super) slots: BTreeMap<PartitionId, Weak<Slot>>,
    pub(super) parts: BTreeMap<PartitionId, Arc<Part>>,
    /// The segments in order; groups are written to the last one.
    pub(super) segments: VecDeque<Segment>,
    pub(super) spares: Vec<Spare>,
    pub(super) spare_next: u64,
    pub(super) spare_making: bool,
    pins: BTreeMap<u64, u64>,
    pin_next: u64,
    pub(super) shipping: Option<Shipping>,
    /// What is in the bucket, and waits for the gate.
    pub(super) confirmed: Vec<Confirmed>,
    /// Writers that are closed, and whose listeners do not know.
    pub(super) retired: Vec<Arc<Slot>>,
    pub(super) stats: LogStats,
}

/// One segment in use.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) first_group: u64,
    /// The group that comes next, here or in the next segment.
    pub(super) next_group: u64,
    /// Where the next group begins.
    pub(super) used: u64,
    pub(super) held: BTreeMap<PartitionId, Held>,
}

/// What a segment has of one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// The greatest id.
    pub(super) last_id: u64,
    /// Where the groups with its frames begin and end.
    pub(super) from: u64,
    pub(super) to: u64,
}

/// A file that may become a segment.
#[derive(Clone, Debug)]
pub(super) struct Spare {
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// How far the bucket is.
#[derive(Debug, Default)]
pub(super) struct Shipping {
    /// The last group that is there.
    pub(super) group: u64,
    /// Bytes of groups that are not.
    pub(super) unshipped_bytes: u64,
    /// When groups were made that are not there, one entry for a few.
    pub(super) marks: VecDeque<(u64, Duration)>,
}

/// Frames that are in the bucket, to be acknowledged.
#[derive(Debug)]
pub(super) struct Confirmed {
    pub(super) group: u64,
    pub(super) frames: Vec<(PartitionId, crate::Epoch, u64)>,
}

/// What the driver is to do.
#[derive(Default)]
pub(super) struct Work {
    pub(super) slots: Vec<Arc<Slot>>,
    pub(super) abandoned: bool,
}

/// As long as one of these is there, the driver runs.
pub(super) struct Handle {
    pub(super) core: Arc<Core>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.change(|state| state.abandoned = true);
        self.core.ship.notify_one();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("life", &self.core.life).finish_non_exhaustive()
    }
}

/// Keeps segments from being recycled while they are read.
pub(super) struct Pin {
    core: Arc<Core>,
    token: u64,
}

impl Pin {
    /// Segments before `number` are not read any more.
    pub(super) fn advance(&self, number: u64) {
        self.core.change(|state| {
            state.pins.insert(self.token, number);
        });
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.core.change(|state| {
            state.pins.remove(&self.token);
        });
    }
}

impl Segment {
    pub(super) fn last_group(&self) -> u64 {
        self.next_group - 1
    }
}

impl State {
    /// Whether the last handle is gone.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// The lowest segment that somebody reads.
    pub(super) fn pinned(&self) -> u64 {
        self.pins.values().copied().min().unwrap_or(u64::MAX)
    }

    pub(super) fn part(&mut self, partition: PartitionId) -> &Arc<Part> {
        self.parts.entry(partition).or_default()
    }

    pub(super) fn local_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn refusal(&self) -> Option<Error> {
        let closed = || Error::Closed {
            what: "the log of this node".to_owned(),
            why: "it was closed".to_owned(),
        };
        let failed = self.failed.clone();
        failed.or_else(|| self.closing.then(closed)).or_else(|| self.full.clone())
    }
}

impl Core {
    pub(super) fn new(
        (disk, options, env): (Arc<dyn Disk>, LogOptions, Env),
        life: LifeId,
        state: State,
    ) -> Self {
        Self {
            disk,
            options,
            env,
            life,
            buffered: AtomicU64::new(0),
            refusing: AtomicBool::new(false),
            state: Mutex::new(state),
            bell: Condvar::new(),
            bell_async: Notify::new(),
            gate: Mutex::new(None),
            making: Mutex::new(()),
            ship: Notify::new(),
            ship_waiting: AtomicUsize::new(0),
            ended: watch::Sender::new(None),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Held while a writer is made. Taken before all other locks.
    pub(super) fn making(&self) -> MutexGuard<'_, ()> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, and makes the driver look.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        state.chores = true;
        self.refusing.store(state.refusal().is_some(), Ordering::Release);
        self.ring(state);
        changed
    }

    /// There is no segment for the next group, and this is why; or there is.
    pub(super) fn set_full(&self, full: Option<Error>) {
        let mut state = self.state();
        state.full = full;
        self.refusing.store(state.refusal().is_some(), Ordering::Release);
    }

    /// Wakes the driver, which wants the lock first thing: so it is free by then.
    fn ring(&self, mut state: MutexGuard<'_, State>) {
        let sleeping = std::mem::take(&mut state.sleeping);
        drop(state);
        if sleeping {
            self.bell.notify_one();
            self.bell_async.notify_one();
        }
    }

    /// Whether an append may be taken.
    pub(super) fn admit(&self) -> Result<(), Error> {
        if self.refusing.load(Ordering::Acquire)
            && let Some(why) = self.state().refusal()
        {
            return Err(why);
        }
        if self.buffered.load(Ordering::Relaxed) >= self.options.buffered_bytes_max {
            let why = "the disk is behind: as much is buffered for the log as may be".to_owned();
            return Err(Error::Busy { why });
        }
        Ok(())
    }

    /// Why no writer can be made.
    pub(super) fn closed(&self) -> Option<Error> {
        let state = self.state();
        state.refusal().filter(|_| state.failed.is_some() || state.closing)
    }

    /// A writer has something for the next group.
    pub(super) fn push(&self, slot: &Arc<Slot>) {
        let mut state = self.state();
        state.dirty.push(Arc::clone(slot));
        self.ring(state);
    }

    /// Whether a writer has something for the next group.
    pub(super) fn has_appends(&self) -> bool {
        self.buffered.load(Ordering::Relaxed) > 0 && !self.state().dirty.is_empty()
    }

    /// What there is to do, if there is something.
    pub(super) fn take(&self) -> Option<Work> {
        Self::take_from(&mut self.state())
    }

    fn take_from(state: &mut State) -> Option<Work> {
        if state.dirty.is_empty() && !state.chores && !state.abandoned {
            state.sleeping = true;
            return None;
        }
        (state.chores, state.sleeping) = (false, false);
        Some(Work { slots: std::mem::take(&mut state.dirty), abandoned: state.abandoned })
    }

    /// Waits for something to do, at most so long. Blocks.
    pub(super) fn wait(&self, patience: Option<Duration>) -> Work {
        let mut state = self.state();
        loop {
            if let Some(work) = Self::take_from(&mut state) {
                return work;
            }
            let Some(patience) = patience else {
                state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = self.bell.wait_timeout(state, patience);
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if timeout.timed_out() {
                return Self::take_from(&mut state).unwrap_or_default();
            }
        }
    }

    /// [`Core::wait`] for a task.
    pub(super) async fn wait_async(&self, patience: Option<Duration>) -> Work {
        loop {
            if let Some(work) = self.take() {
                return work;
            }
            let Some(patience) = patience else {
                self.bell_async.notified().await;
                continue;
            };
            tokio::select! {
                biased;
                () = self.bell_async.notified() => {}
                () = self.env.clock.sleep(patience) => return self.take().unwrap_or_default(),
            }
        }
    }

    pub(super) fn set_gate(&self, gate: Arc<dyn Gate>) {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = Some(gate);
        self.change(|_| ());
    }

    /// Whether something may be acknowledged now.
    pub(super) fn gate_open(&self) -> bool {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).clone();
        gate.is_none_or(|gate| gate.open())
    }

    /// Fails everything for good; the first reason stays. Nothing is acknowledged after it returned.
    pub(super) fn poison(&self, why: Error) {
        let slots = self.change(|state| {
            state.failed.get_or_insert(why);
            state.slots.values().filter_map(Weak::upgrade).collect::<Vec<_>>()
        });
        let Some(why) = self.state().failed.clone() else { return };
        self.fail(&slots, &why);
        self.ship.notify_one();
    }

    /// Wakes all who wait for these writers; the driver tells their listeners.
    fn fail(&self, slots: &[Arc<Slot>], why: &Error) {
        let mut woken = Vec::new();
        for slot in slots {
            let waited = slot.fail(why, &mut woken);
            self.ship_waiting.fetch_sub(waited, Ordering::Relaxed);
        }
        self.change(|state| state.retired.extend(slots.iter().cloned()));
        woken.into_iter().for_each(Waker::wake);
    }

    /// Closes one writer.
    pub(super) fn retire(&self, slot: &Arc<Slot>, why: &Error) {
        self.fail(std::slice::from_ref(slot), why);
    }

    pub(super) fn release(&self, partition: PartitionId, through_id: u64) {
        let mut state = self.state();
        if let Some(part) = state.parts.get(&partition) {
            part.state().release(through_id);
        }
        if state.front_is_free() {
            state.chores = true;
            self.ring(state);
        }
    }

    /// Keeps all segments from `number` on.
    pub(super) fn pin(self: &Arc<Self>, state: &mut State, number: u64) -> Pin {
        state.pin_next += 1;
        state.pins.insert(state.pin_next, number);
        Pin { core: Arc::clone(self), token: state.pin_next }
    }
}
