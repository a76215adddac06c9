//! What the driver does, without waiting: groups are collected, placed, written, synced and, when the
//! gate is open, acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use super::codec::{
    FRAME_HEAD_BYTES, FrameHead, GROUP_HEAD_BYTES, GroupHead, Place, SECTOR_BYTES, SegmentHead,
    group_bytes, group_encode,
};
use super::core::{Confirmed, Core, Held, Segment, Shipping, Spare, Work};
use super::disk::{failed, is_full};
use super::slot::{Acked, Frozen, Slot};
use crate::Error;

/// A group takes no more writers in once it has so many bytes.
const GROUP_BYTES: usize = 8 << 20;

/// The driver's own state.
pub(super) struct Engine {
    core: Arc<Core>,
    /// Writers whose frames did not go into the last group.
    backlog: VecDeque<Arc<Slot>>,
    /// The frames of the group that is next.
    batch: Vec<(Arc<Slot>, Frozen)>,
    bytes: Vec<u8>,
    placed: Option<Placed>,
    /// Groups that are synced and not acknowledged.
    synced: VecDeque<Vec<(Arc<Slot>, Acked)>>,
    /// Bytes of payload in the last group, and what its sync took.
    last: (u64, Duration),
}

/// Where the next group goes.
struct Placed {
    name: String,
    place: Place,
    at: u64,
    head: GroupHead,
}

/// How the driver goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// At once.
    Now,
    /// When something happens.
    Wait,
    /// When something happens, or in a second.
    Retry,
    /// Not at all.
    End,
}

impl Engine {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            backlog: VecDeque::new(),
            batch: Vec::new(),
            bytes: Vec::new(),
            placed: None,
            synced: VecDeque::new(),
            last: (0, Duration::ZERO),
        }
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Bytes of payload in the last group, and what its sync took.
    pub(super) fn last(&self) -> (u64, Duration) {
        self.last
    }

    /// Freezes what writers have, and finds a place for a group of it. Whether there is one to write.
    pub(super) fn begin(&mut self, work: Work) -> bool {
        self.backlog.extend(work.slots);
        if work.abandoned || self.core.state().failed.is_some() {
            return false;
        }
        if self.batch.is_empty() {
            self.collect();
        }
        if self.batch.is_empty() {
            return false;
        }
        let placed = self.place();
        let full = match &placed {
            Err(error @ Error::Full { .. }) => Some(error.clone()),
            _ => None,
        };
        self.core.set_full(full.clone());
        match placed {
            Ok(placed) => self.placed = Some(placed),
            Err(_) if full.is_some() => {}
            Err(error) => self.core.poison(error),
        }
        self.placed.is_some()
    }

    fn collect(&mut self) {
        let mut bytes = 0;
        while bytes < GROUP_BYTES
            && let Some(slot) = self.backlog.pop_front()
        {
            let mut state = slot.state();
            if state.closed.is_some() {
                state.frozen.clear();
                state.queued = false;
                continue;
            }
            if state.frozen.is_empty() {
                state.freeze();
            }
            while bytes < GROUP_BYTES
                && let Some(len) = state.frozen.front().map(|frame| frame.payload.len())
                && let Some(frame) = state.frozen.pop_front()
            {
                bytes += FRAME_HEAD_BYTES + len;
                slot.taken.fetch_add(1, Ordering::Relaxed);
                self.batch.push((Arc::clone(&slot), frame));
            }
            let more = !state.frozen.is_empty() || state.buffer.seqs.is_some();
            state.queued = more;
            drop(state);
            if more {
                self.backlog.push_back(slot);
            }
        }
    }

    /// Finds room for the group, in a new segment if it must be, and encodes it.
    fn place(&mut self) -> Result<Placed, Error> {
        let need = group_bytes(self.batch.iter().map(|(_, frame)| frame.payload.len()));
        let fits = |segment: &Segment| segment.used + need <= segment.bytes;
        if !self.core.state().segments.back().is_some_and(fits) {
            self.new_segment(need)?;
        }
        let (name, segment, at, number) = {
            let state = self.core.state();
            let last = state.segments.back().expect("a log has a segment");
            (last.name.clone(), last.number, last.used, last.next_group)
        };
        let place = Place { life: self.core.life, segment };
        let frames = self.batch.iter().map(|(slot, frame)| {
            let head = FrameHead {
                partition: slot.partition,
                epoch: slot.epoch,
                id: frame.id,
                first_seq: frame.first_seq,
                last_seq: frame.last_seq,
                len: u32::try_from(frame.payload.len()).expect("appends are bounded"),
            };
            (head, frame.payload.as_slice())
        });
        let wall_ns = self.core.env.clock.wall_ns();
        let head = group_encode(&mut self.bytes, place, (number, wall_ns), frames);
        Ok(Placed { name, place, at, head })
    }

    /// Begins a segment with room for a group of `need` bytes.
    fn new_segment(&mut self, need: u64) -> Result<(), Error> {
        let core = &self.core;
        let disk = core.disk.as_ref();
        let bytes = core.options.segment_bytes.max(SECTOR_BYTES as u64 + need);
        let (spare, number, first_group) = {
            let mut state = core.state();
            let at = state.spares.iter().position(|spare| spare.bytes == bytes);
            let spare = at.map(|at| state.spares.swap_remove(at));
            let last = state.segments.back().map_or((0, 1), |last| (last.number, last.next_group));
            (spare, last.0 + 1, last.1)
        };
        let spare = match spare {
            Some(spare) => spare,
            None => make_spare(core, bytes)?,
        };
        let name = segment_name(number);
        let place = Place { life: core.life, segment: number };
        let head = SegmentHead { place, first_group, bytes }.encode();
        let begun = disk
            .write_at(&spare.name, 0, &head)
            .and_then(|()| disk.sync(&spare.name))
            .and_then(|()| disk.rename(&spare.name, &name))
            .and_then(|()| disk.sync_dir());
        begun.map_err(|error| match failed(disk, "begin a segment of the log", &name, &error) {
            // The space was there: on this disk even that is no promise, so the file is as good as lost.
            Error::Full { what } => {
                let kind = cairn_base::ErrorKind::Closed;
                Error::Storage { what: "begin a segment of the log", why: what, kind }
            }
            error => error,
        })?;
        let used = SECTOR_BYTES as u64;
        let held = Default::default();
        let segment =
            Segment { number, name, bytes, first_group, next_group: first_group, used, held };
        core.state().segments.push_back(segment);
        Ok(())
    }

    /// Writes the group. Nothing is retried: a failure is the end of the log.
    pub(super) fn write(&mut self) {
        let Some(placed) = &self.placed else { return };
        let disk = self.core.disk.as_ref();
        if let Err(error) = disk.write_at(&placed.name, placed.at, &self.bytes) {
            self.lost(&error);
        }
    }

    /// Syncs the group, which goes to those that wait for the gate.
    pub(super) fn sync(&mut self) {
        let Some(placed) = self.placed.take() else { return };
        let clock = &self.core.env.clock;
        let before = clock.monotonic();
        let synced = self.core.disk.sync(&placed.name);
        let after = clock.monotonic();
        if let Err(error) = synced {
            self.placed = Some(placed);
            return self.lost(&error);
        }
        let took = after.saturating_sub(before);
        self.last = (self.batch.iter().map(|(_, frame)| frame.payload.len() as u64).sum(), took);
        {
            let mut state = self.core.state();
            state.stats.syncs += 1;
            state.stats.sync_time += took;
        }
        self.written(&placed, after);
    }

    fn lost(&mut self, error: &std::io::Error) {
        let name = self.placed.take().map(|placed| placed.name).unwrap_or_default();
        let why = format!("{}: {error}", self.core.disk.describe(&name));
        let kind = cairn_base::ErrorKind::Closed;
        self.core.poison(Error::Storage { what: "write the log", why, kind });
    }

    /// Notes a group that is on disk.
    fn written(&mut self, placed: &Placed, now: Duration) {
        let (from, to) = (placed.at, placed.at + placed.head.bytes());
        let core = Arc::clone(&self.core);
        let mut state = core.state();
        let segment = state.segments.back_mut().expect("a log has a segment");
        assert!(segment.number == placed.place.segment && segment.used == from);
        (segment.used, segment.next_group) = (to, placed.head.number + 1);
        for (slot, frame) in &self.batch {
            note_frame(segment, slot.partition, frame.id, (from, to));
            let bytes = (FRAME_HEAD_BYTES + frame.payload.len()) as u64;
            slot.part.state().add(slot.epoch, frame.id, bytes, now);
            slot.taken.fetch_sub(1, Ordering::Relaxed);
        }
        state.stats.groups += 1;
        state.stats.frames += self.batch.len() as u64;
        state.stats.appended_bytes += u64::from(placed.head.body);
        if let Some(shipping) = state.shipping.as_mut() {
            shipping.add(placed.head.number, to - from, now);
            self.core.ship.notify_one();
        }
        drop(state);
        let acked = |(slot, frame): (Arc<Slot>, Frozen)| {
            let (bytes, appends) = (frame.payload.len() as u64, frame.appends);
            (slot, Acked { id: frame.id, last_seq: frame.last_seq, bytes, appends })
        };
        self.synced.push_back(self.batch.drain(..).map(acked).collect());
        if self.bytes.capacity() > GROUP_BYTES + GROUP_HEAD_BYTES {
            self.bytes = Vec::new();
        }
    }

    /// Acknowledges what the gate lets through, does what else is to be done, and says how to go on.
    pub(super) fn settle(&mut self, abandoned: bool) -> Next {
        if abandoned {
            return Next::End;
        }
        self.acknowledge();
        self.recycle();
        let retired = std::mem::take(&mut self.core.state().retired);
        retired.iter().for_each(|slot| slot.tell_closed());
        let state = self.core.state();
        let idle = self.batch.is_empty() && self.backlog.is_empty();
        match &state.failed {
            Some(_) if state.closing => return Next::End,
            Some(_) => {
                drop(state);
                (self.batch, self.backlog, self.synced) = Default::default();
                return Next::Wait;
            }
            None => {}
        }
        if state.full.is_some() && state.closing {
            let full = state.full.clone();
            drop(state);
            full.into_iter().for_each(|full| self.core.poison(full));
            return Next::Now;
        }
        match (state.full.is_some(), idle) {
            (true, _) => Next::Retry,
            (false, false) => Next::Now,
            (false, true) if !state.closing => Next::Wait,
            (false, true) => {
                drop(state);
                self.finish()
            }
        }
    }

    /// It closes, and all is on disk.
    fn finish(&mut self) -> Next {
        if self.core.take().map(|work| self.backlog.extend(work.slots)).is_some() {
            return Next::Now;
        }
        if !self.synced.is_empty() {
            let (what, why) = ("the log of this node".to_owned(), "its lease was over".to_owned());
            self.core.poison(Error::Closed { what, why });
            return Next::Now;
        }
        let state = self.core.state();
        let all = state.segments.back().map_or(0, Segment::last_group);
        let shipped = state.shipping.as_ref().is_none_or(|shipping| shipping.group >= all);
        if shipped && state.confirmed.is_empty() { Next::End } else { Next::Wait }
    }

    /// LOG-1: the gate is asked after the sync, for each group, right before it is acknowledged.
    fn acknowledge(&mut self) {
        let mut woken = Vec::new();
        while !self.synced.is_empty() && self.may_acknowledge() {
            let Some(group) = self.synced.pop_front() else { break };
            let bytes: u64 = group.iter().map(|(_, acked)| acked.bytes).sum();
            let mut frames = group.into_iter().peekable();
            while let Some((slot, mut acked)) = frames.next() {
                while let Some((_, more)) = frames.next_if(|(other, _)| Arc::ptr_eq(other, &slot)) {
                    (acked.id, acked.last_seq) = (more.id, more.last_seq);
                    acked.bytes += more.bytes;
                    acked.appends += more.appends;
                }
                slot.acknowledge(&acked, &mut woken);
            }
            self.core.buffered.fetch_sub(bytes, Ordering::Relaxed);
        }
        let confirmed = !self.core.state().confirmed.is_empty();
        if confirmed && self.synced.is_empty() && self.may_acknowledge() {
            let confirmed = std::mem::take(&mut self.core.state().confirmed);
            confirmed.iter().for_each(|done| self.confirm(done, &mut woken));
        }
        woken.into_iter().for_each(Waker::wake);
    }

    fn may_acknowledge(&self) -> bool {
        self.core.state().failed.is_none() && self.core.gate_open()
    }

    /// Frees those who wait for the bucket.
    fn confirm(&self, done: &Confirmed, woken: &mut Vec<Waker>) {
        let slots: Vec<Arc<Slot>> = {
            let state = self.core.state();
            state.slots.values().filter_map(std::sync::Weak::upgrade).collect()
        };
        for slot in slots {
            let (prior_group, prior_id) = slot.state().prior;
            let prior = (prior_group <= done.group).then_some(prior_id);
            let own = done.frames.iter().filter_map(|(partition, epoch, id)| {
                (*partition == slot.partition && *epoch == slot.epoch).then_some(*id)
            });
            if let Some(id) = own.chain(prior).max() {
                let freed = slot.shipped(id, woken);
                self.core.ship_waiting.fetch_sub(freed, Ordering::Relaxed);
            }
        }
    }

    /// Takes segments out whose frames nobody needs, oldest first, and makes a spare before one is needed.
    fn recycle(&mut self) {
        loop {
            let (segment, keep) = {
                let mut state = self.core.state();
                if !state.front_is_free() {
                    break;
                }
                let Some(segment) = state.segments.pop_front() else { break };
                state.forget_parts(&segment);
                let options = &self.core.options;
                let keep = segment.bytes == options.segment_bytes
                    && state.spares.len() < options.spares_max;
                (segment, keep)
            };
            let disk = self.core.disk.as_ref();
            let done = if keep {
                let name = spare_name(&mut self.core.state().spare_next);
                let renamed = disk.rename(&segment.name, &name);
                renamed.map(|()| Some(Spare { name, bytes: segment.bytes }))
            } else {
                disk.remove(&segment.name).map(|()| None)
            };
            match done.and_then(|spare| disk.sync_dir().map(|()| spare)) {
                Ok(spare) => self.core.state().spares.extend(spare),
                Err(error) => {
                    let what = "recycle a segment of the log";
                    self.core.poison(failed(disk, what, &segment.name, &error));
                    break;
                }
            }
        }
        self.prepare_spare();
    }

    /// Half a segment before it is needed, a spare is made beside the driver.
    fn prepare_spare(&self) {
        let core = &self.core;
        let bytes = core.options.segment_bytes;
        {
            let mut state = core.state();
            let half = state.segments.back().is_some_and(|last| last.used > last.bytes / 2);
            let wanted = half && !state.spare_making && state.spares.is_empty();
            if !wanted || !core.disk.blocks() || state.closing || state.full.is_some() {
                return;
            }
            state.spare_making = true;
        }
        let making = Arc::clone(core);
        core.env.spawn.work(Box::new(move || {
            let made = make_spare(&making, bytes);
            let mut state = making.state();
            state.spare_making = false;
            // When it is needed, it is tried again, and then the error counts.
            state.spares.extend(made.ok());
        }));
    }
}

impl super::core::State {
    /// Whether the oldest segment can be recycled.
    pub(super) fn front_is_free(&self) -> bool {
        let Some(front) = self.segments.front() else { return false };
        let shipped =
            self.shipping.as_ref().is_none_or(|shipping| shipping.group >= front.last_group());
        let released = front.held.iter().all(|(partition, held)| {
            self.parts.get(partition).is_none_or(|part| part.state().released >= held.last_id)
        });
        self.segments.len() > 1 && shipped && released && self.pinned() > front.number
    }

    /// Forgets partitions that have nothing more in the log and no writer.
    fn forget_parts(&mut self, gone: &Segment) {
        for partition in gone.held.keys() {
            let held = self.segments.iter().any(|segment| segment.held.contains_key(partition));
            let unused = |part: &Arc<_>| Arc::strong_count(part) == 1;
            if !held && self.parts.get(partition).is_some_and(unused) {
                self.parts.remove(partition);
                self.slots.remove(partition);
            }
        }
    }
}

impl Shipping {
    /// A group is on disk.
    fn add(&mut self, group: u64, bytes: u64, now: Duration) {
        const FEW: u32 = 1024;
        const SOON: Duration = Duration::from_millis(50);
        self.unshipped_bytes += bytes;
        let oldest = self.marks.front().map_or(now, |(_, at)| *at);
        let apart = SOON.max(now.saturating_sub(oldest) / FEW);
        match self.marks.back_mut() {
            Some((last, at)) if now.saturating_sub(*at) < apart => *last = group,
            _ => self.marks.push_back((group, now)),
        }
    }
}

/// A segment holds a frame.
pub(super) fn note_frame(
    segment: &mut Segment,
    partition: crate::PartitionId,
    id: u64,
    (from, to): (u64, u64),
) {
    let held = segment.held.entry(partition).or_insert(Held { last_id: id, from, to });
    held.last_id = held.last_id.max(id);
    held.to = to;
}

/// Makes a file that may become a segment. Its name need not last.
fn make_spare(core: &Core, bytes: u64) -> Result<Spare, Error> {
    let name = spare_name(&mut core.state().spare_next);
    let made = core.disk.create(&name, bytes);
    let disk = core.disk.as_ref();
    made.map_err(|error| match failed(disk, "make a segment of the log", &name, &error) {
        Error::Storage { why, .. } if is_full(&error) => Error::Full { what: why },
        error => error,
    })?;
    Ok(Spare { name, bytes })
}

/// The name of a segment's file.
pub(super) fn segment_name(number: u64) -> String {
    format!("segment-{number:020}")
}

/// A name for a spare file.
pub(super) fn spare_name(next: &mut u64) -> String {
    *next += 1;
    format!("spare-{:020}", *next)
}
