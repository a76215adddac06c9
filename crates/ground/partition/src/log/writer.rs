use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use super::core::{Core, Handle};
use super::slot::{FRAME_BYTES, Slot, SlotState};
use crate::{Epoch, Error, PartitionId, Seq};

/// What one append may have at most.
const APPEND_BYTES_MAX: usize = 64 << 20;

/// Called with what happens to a writer: on the log's own thread, in order. It must be quick.
pub type Listener = Arc<dyn Fn(Event) + Send + Sync>;

/// What happened to a writer.
#[derive(Clone, Debug)]
pub enum Event {
    /// More frames are durable and acknowledged.
    Durable(WriterStatus),
    /// It takes nothing more. Comes once, and nothing after it.
    Closed(WriterStatus),
}

/// Where a writer stands.
#[derive(Clone, Debug)]
pub struct WriterStatus {
    /// Why it takes nothing more.
    pub closed: Option<Error>,
    /// Bytes of payload that were appended and are not acknowledged.
    pub buffered_bytes: u64,
    /// The last frame that is durable and acknowledged.
    pub last_durable_id: u64,
    /// The last sequence number in it; none before the first frame of this writer.
    pub last_durable_seq: Option<Seq>,
    /// Appends that are not acknowledged.
    pub buffered_appends: u64,
}

/// Appends to one partition's part of the log. Clones are the same writer.
#[derive(Clone)]
pub struct Writer {
    slot: Arc<Slot>,
    handle: Arc<Handle>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("partition", &self.slot.partition)
            .field("epoch", &self.slot.epoch)
            .finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn new(slot: Arc<Slot>, handle: Arc<Handle>) -> Self {
        Self { slot, handle }
    }

    fn core(&self) -> &Core {
        &self.handle.core
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> PartitionId {
        self.slot.partition
    }

    /// The ownership under which it writes.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.slot.epoch
    }

    /// Appends `payload`, which holds the commits `first_seq` to `last_seq`. Does not wait for the disk.
    /// Appends up to the next freeze share a frame; the payload of one is in one frame.
    ///
    /// # Errors
    /// Nothing was appended then. [`Error::Busy`]: too much is buffered. [`Error::Full`]: no space is
    /// left on the disk. Any other: the writer is closed, and this is why.
    pub fn append(&self, payload: &[u8], first_seq: Seq, last_seq: Seq) -> Result<(), Error> {
        self.append_with(first_seq, last_seq, |buffer| buffer.extend_from_slice(payload))
    }

    /// Whether an append would be taken now.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Busy`]: not now. Any other: the log has ended, and this is why.
    pub fn admit(&self) -> Result<(), Error> {
        self.core().admit()
    }

    /// [`Writer::append`] of what `encode` puts behind what is in the buffer.
    ///
    /// # Errors
    /// As there.
    pub fn append_with(
        &self,
        first_seq: Seq,
        last_seq: Seq,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Error> {
        let core = self.core();
        core.admit()?;
        let mut state = self.slot.state();
        if let Some(why) = state.closed.as_ref().or(state.refused.as_ref()) {
            return Err(why.clone());
        }
        let last = state.last_seq;
        if first_seq > last_seq || first_seq < last {
            let why = format!("commits {first_seq} to {last_seq} cannot follow {last} in the log");
            return Err(Error::Invalid { why });
        }
        if state.buffer.bytes.len() >= FRAME_BYTES {
            state.freeze();
        }
        let before = state.buffer.bytes.len();
        encode(&mut state.buffer.bytes);
        let size = state.buffer.bytes.len().saturating_sub(before);
        if size > APPEND_BYTES_MAX {
            state.buffer.bytes.truncate(before);
            let (what, limit, unit) = ("an append to the log", APPEND_BYTES_MAX, "bytes");
            return Err(Error::TooLarge { what, size, limit, unit });
        }
        if size == 0 {
            return Ok(());
        }
        let first = state.buffer.seqs.map_or(first_seq, |(first, _)| first);
        state.buffer.seqs = Some((first, last_seq));
        state.buffer.appends += 1;
        state.last_seq = last_seq;
        core.buffered.fetch_add(size as u64, Ordering::Relaxed);
        self.queue(state);
        Ok(())
    }

    /// Hands the slot to the driver, which wants its lock first thing: so it is free by then.
    fn queue(&self, mut state: MutexGuard<'_, SlotState>) {
        let queued = std::mem::replace(&mut state.queued, true);
        drop(state);
        if !queued {
            self.core().push(&self.slot);
        }
    }

    /// Freezes what was appended: it lies in frames up to the id that is returned, and what is appended
    /// later in higher ones. The future ends when that frame is durable and acknowledged; dropping it
    /// changes nothing. With nothing to freeze it is the id of the last frame; of a closed writer the
    /// future says why it is closed.
    pub fn flush(&self) -> (u64, Flush) {
        let mut state = self.slot.state();
        if state.closed.is_some() {
            // What was not frozen before has no frame, and never will.
            return (state.last_id, Flush(Wait::new(self, u64::MAX, Stage::Durable)));
        }
        state.freeze();
        let last_id = state.last_id;
        if !state.frozen.is_empty() {
            self.queue(state);
        }
        (last_id, Flush(Wait::new(self, last_id, Stage::Durable)))
    }

    /// Ends when frame `id` is in the bucket, and the gate was open after that. Without a shipper it does
    /// not end before the log does.
    #[must_use]
    pub fn shipped(&self, id: u64) -> Flush {
        Flush(Wait::new(self, id, Stage::Shipped))
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> WriterStatus {
        self.slot.state().status()
    }

    /// Calls `listener` with every event from now on; at once when it is closed already.
    pub fn subscribe(&self, listener: Listener) {
        let mut state = self.slot.state();
        if state.closed_told {
            let status = state.status();
            drop(state);
            listener(Event::Closed(status));
            return;
        }
        Arc::make_mut(&mut state.listeners).push(listener);
    }

    /// Frames up to `through_id` are in the view: they are not needed for replay any more.
    pub fn release(&self, through_id: u64) {
        self.core().release(self.slot.partition, through_id);
    }

    /// Bytes of the log after frame `id`, give or take a few frames.
    #[must_use]
    pub fn bytes_since(&self, id: u64) -> u64 {
        let state = self.slot.state();
        let buffered = state.pending_bytes + state.buffer.bytes.len() as u64;
        buffered + self.slot.part.state().bytes_since(id)
    }

    /// Age of the oldest frame in the log after frame `id`; zero when there is none.
    #[must_use]
    pub fn age_since(&self, id: u64) -> Duration {
        let oldest = self.slot.part.state().oldest_since(id);
        let now = self.core().env.clock.monotonic();
        oldest.map_or(Duration::ZERO, |oldest| now.saturating_sub(oldest))
    }

    /// Refuses what comes later, waits until all is durable and acknowledged, and closes this writer
    /// alone.
    ///
    /// # Errors
    /// Why something was not acknowledged.
    pub async fn close(&self) -> Result<(), Error> {
        let why = Error::Closed {
            what: format!("the log of partition {:?}", self.slot.partition),
            why: "its writer was closed".to_owned(),
        };
        let (_, flush) = {
            let flush = self.flush();
            self.slot.state().refused = Some(why.clone());
            flush
        };
        let flushed = flush.await;
        self.core().retire(&self.slot, &why);
        flushed
    }
}

/// Ends when a frame is as safe as was asked for.
#[derive(Debug)]
pub struct Flush(Wait);

impl Future for Flush {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(context)
    }
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Durable,
    Shipped,
}

#[derive(Debug)]
struct Wait {
    writer: Writer,
    id: u64,
    stage: Stage,
    key: Option<u64>,
}

impl Wait {
    fn new(writer: &Writer, id: u64, stage: Stage) -> Self {
        Self { writer: writer.clone(), id, stage, key: None }
    }

    fn poll(&mut self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        let core = &self.writer.handle.core;
        let mut state = self.writer.slot.state();
        let reached = match self.stage {
            Stage::Durable => state.told_id,
            Stage::Shipped => state.shipped_id,
        };
        if reached >= self.id {
            return Poll::Ready(Ok(()));
        }
        if let Some(why) = &state.closed {
            return Poll::Ready(Err(why.clone()));
        }
        let new = self.key.is_none();
        match self.stage {
            Stage::Durable => state.waiters.put(self.id, &mut self.key, context.waker()),
            Stage::Shipped => {
                state.ship_waiters.put(self.id, &mut self.key, context.waker());
                if new {
                    core.ship_waiting.fetch_add(1, Ordering::Relaxed);
                    core.ship.notify_one();
                }
            }
        }
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut state = self.writer.slot.state();
        match self.stage {
            Stage::Durable => drop(state.waiters.remove(self.id, key)),
            Stage::Shipped => {
                if state.ship_waiters.remove(self.id, key) {
                    self.writer.core().ship_waiting.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
    }
}
