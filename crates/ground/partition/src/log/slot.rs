//! One writer: its buffer, and who waits for what is in it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::part::Part;
use super::writer::{Event, Listener, WriterStatus};
use crate::{Epoch, Error, PartitionId, Seq};

/// A buffer of so many bytes becomes a frame though nobody asked for it.
pub(super) const FRAME_BYTES: usize = 4 << 20;

/// A partition's writer.
pub(super) struct Slot {
    pub(super) partition: PartitionId,
    pub(super) epoch: Epoch,
    pub(super) part: Arc<Part>,
    /// Frames that the driver has taken and not written.
    pub(super) taken: AtomicU64,
    state: Mutex<SlotState>,
}

pub(super) struct SlotState {
    /// What becomes the next frame.
    pub(super) buffer: Buffer,
    /// What is a frame already, and waits for its group.
    pub(super) frozen: VecDeque<Frozen>,
    /// The last id that was given.
    pub(super) last_id: u64,
    pub(super) last_seq: Seq,
    /// Bytes and appends that were frozen and are not acknowledged.
    pub(super) pending_bytes: u64,
    pub(super) pending_appends: u64,
    /// It waits for the driver already.
    pub(super) queued: bool,
    pub(super) durable_id: u64,
    pub(super) durable_seq: Option<Seq>,
    /// To here, listeners know.
    pub(super) told_id: u64,
    /// To here, frames are in the bucket, and the gate was open then.
    pub(super) shipped_id: u64,
    /// Frames before its first one are shipped when this group is.
    pub(super) prior: (u64, u64),
    /// It closes: nothing more is taken, and what is there goes on.
    pub(super) refused: Option<Error>,
    pub(super) closed: Option<Error>,
    pub(super) closed_told: bool,
    pub(super) waiters: Waiters,
    pub(super) ship_waiters: Waiters,
    pub(super) listeners: Arc<Vec<Listener>>,
}

/// Appends that share a frame.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    pub(super) bytes: Vec<u8>,
    pub(super) seqs: Option<(Seq, Seq)>,
    pub(super) appends: u64,
}

/// A frame that waits for its group.
#[derive(Debug)]
pub(super) struct Frozen {
    pub(super) id: u64,
    pub(super) first_seq: Seq,
    pub(super) last_seq: Seq,
    pub(super) payload: Vec<u8>,
    pub(super) appends: u64,
}

/// Tasks that wait for an id.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    wakers: BTreeMap<(u64, u64), Waker>,
    next: u64,
}

impl Waiters {
    /// Puts a waiter in, or its newer waker.
    pub(super) fn put(&mut self, id: u64, key: &mut Option<u64>, waker: &Waker) {
        let number = *key.get_or_insert_with(|| {
            self.next += 1;
            self.next
        });
        match self.wakers.get_mut(&(id, number)) {
            Some(known) => known.clone_from(waker),
            None => {
                self.wakers.insert((id, number), waker.clone());
            }
        }
    }

    pub(super) fn remove(&mut self, id: u64, key: u64) -> bool {
        self.wakers.remove(&(id, key)).is_some()
    }

    /// Takes out who waits for `id` or less.
    fn take(&mut self, id: u64, woken: &mut Vec<Waker>) -> usize {
        let before = woken.len();
        if id == u64::MAX {
            woken.extend(std::mem::take(&mut self.wakers).into_values());
        } else {
            let later = self.wakers.split_off(&(id + 1, 0));
            woken.extend(std::mem::replace(&mut self.wakers, later).into_values());
        }
        woken.len() - before
    }
}

impl Slot {
    pub(super) fn new(
        (partition, epoch): (PartitionId, Epoch),
        part: Arc<Part>,
        after_id: u64,
        prior_group: u64,
    ) -> Self {
        let state = SlotState {
            buffer: Buffer::default(),
            frozen: VecDeque::new(),
            last_id: after_id,
            last_seq: Seq(0),
            pending_bytes: 0,
            pending_appends: 0,
            queued: false,
            durable_id: after_id,
            durable_seq: None,
            told_id: after_id,
            shipped_id: 0,
            prior: (prior_group, after_id),
            refused: None,
            closed: None,
            closed_told: false,
            waiters: Waiters::default(),
            ship_waiters: Waiters::default(),
            listeners: Arc::default(),
        };
        Self { partition, epoch, part, taken: AtomicU64::new(0), state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_open(&self) -> bool {
        self.state().closed.is_none()
    }

    /// Whether frames of it are being written.
    pub(super) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed) > 0
    }

    /// The frames to `id` and of so many bytes are durable. Tells the listeners, then collects the
    /// waiters.
    pub(super) fn acknowledge(&self, done: &Acked, woken: &mut Vec<Waker>) {
        let (status, listeners) = {
            let mut state = self.state();
            if state.closed.is_some() {
                return;
            }
            state.durable_id = done.id;
            state.durable_seq = Some(done.last_seq);
            state.pending_bytes -= done.bytes;
            state.pending_appends -= done.appends;
            (state.status(), Arc::clone(&state.listeners))
        };
        for listener in listeners.iter() {
            listener(Event::Durable(status.clone()));
        }
        let mut state = self.state();
        state.told_id = done.id;
        state.waiters.take(done.id, woken);
    }

    /// Frames to `id` are in the bucket. Returns how many waiters that frees.
    pub(super) fn shipped(&self, id: u64, woken: &mut Vec<Waker>) -> usize {
        let mut state = self.state();
        state.shipped_id = state.shipped_id.max(id);
        let id = state.shipped_id;
        state.ship_waiters.take(id, woken)
    }

    /// Refuses everything from now on; the first reason stays. Returns how many waited for the bucket.
    pub(super) fn fail(&self, why: &Error, woken: &mut Vec<Waker>) -> usize {
        let mut state = self.state();
        state.closed.get_or_insert_with(|| why.clone());
        state.waiters.take(u64::MAX, woken);
        state.ship_waiters.take(u64::MAX, woken)
    }

    /// Tells the listeners that it is closed, once. Nothing is told after it.
    pub(super) fn tell_closed(&self) {
        let (status, listeners) = {
            let mut state = self.state();
            if state.closed_told || state.closed.is_none() {
                return;
            }
            state.closed_told = true;
            state.buffer = Buffer::default();
            state.frozen.clear();
            (state.status(), std::mem::take(&mut state.listeners))
        };
        for listener in listeners.iter() {
            listener(Event::Closed(status.clone()));
        }
    }
}

/// What was acknowledged of one slot in one group.
#[derive(Debug)]
pub(super) struct Acked {
    pub(super) id: u64,
    pub(super) last_seq: Seq,
    pub(super) bytes: u64,
    pub(super) appends: u64,
}

impl SlotState {
    /// Makes a frame of the buffer, if something is in it.
    pub(super) fn freeze(&mut self) {
        let Some((first_seq, last_seq)) = self.buffer.seqs else { return };
        let Buffer { bytes: payload, appends, .. } = std::mem::take(&mut self.buffer);
        self.last_id += 1;
        self.pending_bytes += payload.len() as u64;
        self.pending_appends += appends;
        self.frozen.push_back(Frozen { id: self.last_id, first_seq, last_seq, payload, appends });
    }

    pub(super) fn status(&self) -> WriterStatus {
        WriterStatus {
            closed: self.closed.clone(),
            buffered_bytes: self.pending_bytes + self.buffer.bytes.len() as u64,
            last_durable_id: self.durable_id,
            last_durable_seq: self.durable_seq,
            buffered_appends: self.pending_appends + self.buffer.appends,
        }
    }
}
