use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;

use bytes::Bytes;
use io_uring::{opcode, squeue, types};

use super::buffers::{BUFFER_BYTES, Buffers, Registered};
use super::{Op, Reply};

/// The most that one request moves; the kernel itself stops a little below 2 GiB.
const REQUEST_BYTES_MAX: usize = 1 << 30;
/// Slices that one request takes; the kernel's limit is 1024.
const SLICES_MAX: usize = 512;
/// Answers of "again" that one operation takes before it fails.
const AGAIN_MAX: u32 = 1000;

const EINTR: i32 = 4;
const EAGAIN: i32 = 11;
const ECANCELED: i32 = 125;

/// What one request of an operation was for; the low bits of its user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Move,
    Sync,
}

impl Step {
    pub(super) fn user_data(self, slot: usize) -> u64 {
        (slot as u64) << 1 | u64::from(self == Self::Sync)
    }

    pub(super) fn parse(user_data: u64) -> (usize, Self) {
        let step = if user_data & 1 == 1 { Self::Sync } else { Self::Move };
        (usize::try_from(user_data >> 1).unwrap_or(usize::MAX), step)
    }
}

/// Memory that the kernel reads into.
enum Buffer {
    Registered(Registered),
    Heap(Vec<u8>),
}

/// The layout of `iovec`.
#[repr(C)]
struct Slice {
    base: *const u8,
    len: usize,
}

enum Work {
    Read { len: usize, buffer: Buffer, reply: Reply<Bytes> },
    Write { parts: Vec<Bytes>, len: usize, slices: Vec<Slice>, sync: bool, reply: Reply<()> },
    Sync { synced: bool, reply: Reply<()> },
}

/// An operation that the kernel works on. Nothing in it may be dropped or moved in memory (the heap
/// parts, not the struct) while `in_flight` is above zero.
pub(super) struct Slot {
    file: Arc<OwnedFd>,
    at: u64,
    done: usize,
    pub(super) in_flight: u32,
    again: u32,
    failed: Option<io::Error>,
    work: Work,
}

impl Slot {
    pub(super) fn new(op: Op, buffers: Option<&Arc<Buffers>>) -> Self {
        let (file, at, work) = match op {
            Op::Read { file, at, len, reply } => {
                let registered = buffers.filter(|_| len <= BUFFER_BYTES).and_then(Buffers::take);
                let buffer = registered
                    .map_or_else(|| Buffer::Heap(Vec::with_capacity(len)), Buffer::Registered);
                (file, at, Work::Read { len, buffer, reply })
            }
            Op::Write { file, at, parts, sync, reply } => {
                let len = parts.iter().map(Bytes::len).sum();
                (file, at, Work::Write { parts, len, slices: Vec::new(), sync, reply })
            }
            Op::Sync { file, reply } => (file, 0, Work::Sync { synced: false, reply }),
        };
        Self { file, at, done: 0, in_flight: 0, again: 0, failed: None, work }
    }

    /// The next requests, linked when there are two. Their pointers are good as long as this slot is.
    pub(super) fn requests(&mut self, slot: usize) -> Vec<squeue::Entry> {
        let fd = types::Fd(self.file.as_raw_fd());
        let at = self.at + self.done as u64;
        let sync_entry = || opcode::Fsync::new(fd).build().user_data(Step::Sync.user_data(slot));
        let entries = match &mut self.work {
            Work::Sync { .. } => vec![sync_entry()],
            Work::Write { parts, len, slices, sync, .. } => {
                if self.done == *len {
                    vec![sync_entry()]
                } else {
                    *slices = slices_from(parts, self.done);
                    let count = u32::try_from(slices.len()).unwrap_or(u32::MAX);
                    let write = opcode::Writev::new(fd, slices.as_ptr().cast(), count).offset(at);
                    let write = write.build().user_data(Step::Move.user_data(slot));
                    // Slices that do not fit into this request need another one before the sync.
                    let whole = slices.iter().map(|slice| slice.len).sum::<usize>() + self.done;
                    if *sync && whole == *len {
                        vec![write.flags(squeue::Flags::IO_LINK), sync_entry()]
                    } else {
                        vec![write]
                    }
                }
            }
            Work::Read { len, buffer, .. } => {
                let rest = u32::try_from((*len - self.done).min(REQUEST_BYTES_MAX));
                let rest = rest.unwrap_or(u32::MAX);
                let read = match buffer {
                    Buffer::Registered(buffer) => {
                        let pointer = buffer.pointer().wrapping_add(self.done);
                        opcode::ReadFixed::new(fd, pointer, rest, buffer.index).offset(at).build()
                    }
                    Buffer::Heap(buffer) => {
                        let pointer = buffer.as_mut_ptr().wrapping_add(self.done);
                        opcode::Read::new(fd, pointer, rest).offset(at).build()
                    }
                };
                vec![read.user_data(Step::Move.user_data(slot))]
            }
        };
        self.in_flight += u32::try_from(entries.len()).unwrap_or(0);
        entries
    }

    /// Takes the kernel's answer to one request.
    pub(super) fn answered(&mut self, step: Step, result: i32) {
        self.in_flight -= 1;
        match (step, u32::try_from(result)) {
            (Step::Sync, Ok(_)) => {
                // All bytes were there, else the link would have been broken.
                match &mut self.work {
                    Work::Write { sync, .. } => *sync = false,
                    Work::Sync { synced, .. } => *synced = true,
                    Work::Read { .. } => {}
                }
            }
            (Step::Move, Ok(0)) => self.fail(match self.work {
                Work::Read { .. } => io::ErrorKind::UnexpectedEof.into(),
                _ => io::ErrorKind::WriteZero.into(),
            }),
            (Step::Move, Ok(count)) => self.done += count as usize,
            // It never began, because the write before it was short or failed.
            (Step::Sync, Err(_)) if result == -ECANCELED => {}
            (Step::Move, Err(_)) if matches!(-result, EINTR | EAGAIN | ECANCELED) => {
                self.again += 1;
                if self.again > AGAIN_MAX {
                    self.fail(io::Error::from_raw_os_error(-result));
                }
            }
            (_, Err(_)) => self.fail(io::Error::from_raw_os_error(-result)),
        }
    }

    fn fail(&mut self, error: io::Error) {
        if self.failed.is_none() {
            self.failed = Some(error);
        }
    }

    /// Whether nothing is left to ask the kernel for.
    pub(super) fn is_finished(&self) -> bool {
        let work_done = match &self.work {
            Work::Read { len, .. } => self.done == *len,
            Work::Write { len, sync, .. } => self.done == *len && !sync,
            Work::Sync { synced, .. } => *synced,
        };
        self.in_flight == 0 && (self.failed.is_some() || work_done)
    }

    /// Answers whoever asked, if still there.
    pub(super) fn finish(self) {
        let failed = self.failed;
        let outcome = || failed.map_or(Ok(()), Err);
        match self.work {
            Work::Sync { reply, .. } | Work::Write { reply, .. } => drop(reply.send(outcome())),
            Work::Read { len, buffer, reply } => {
                let bytes = outcome().map(|()| match buffer {
                    Buffer::Registered(mut buffer) => {
                        buffer.len = len;
                        Bytes::from_owner(buffer)
                    }
                    Buffer::Heap(mut buffer) => {
                        // SAFETY: the kernel has written `done == len` bytes from the start, and
                        // `len` is the capacity that was asked for.
                        unsafe { buffer.set_len(len) };
                        Bytes::from(buffer)
                    }
                });
                drop(reply.send(bytes));
            }
        }
    }
}

/// The slices behind the first `done` bytes.
fn slices_from(parts: &[Bytes], mut done: usize) -> Vec<Slice> {
    let mut slices = Vec::with_capacity(parts.len().min(SLICES_MAX));
    let mut room = REQUEST_BYTES_MAX;
    for part in parts {
        let skip = done.min(part.len());
        done -= skip;
        let rest = part.get(skip..).unwrap_or_default();
        let len = rest.len().min(room);
        if len > 0 {
            slices.push(Slice { base: rest.as_ptr(), len });
            room -= len;
        }
        if slices.len() == SLICES_MAX || room == 0 {
            break;
        }
    }
    slices
}

/// The slots by index. When it is dropped with operations in flight, they are leaked.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
}

impl Slots {
    pub(super) fn insert(&mut self, slot: Slot) -> usize {
        if let Some(index) = self.free.pop()
            && let Some(place) = self.slots.get_mut(index)
        {
            *place = Some(slot);
            return index;
        }
        self.slots.push(Some(slot));
        self.slots.len() - 1
    }

    pub(super) fn get(&mut self, index: usize) -> Option<&mut Slot> {
        self.slots.get_mut(index)?.as_mut()
    }

    pub(super) fn take(&mut self, index: usize) -> Option<Slot> {
        let slot = self.slots.get_mut(index)?.take()?;
        self.free.push(index);
        Some(slot)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.slots.len() == self.free.len()
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        for slot in self.slots.drain(..).flatten() {
            if slot.in_flight > 0 {
                // The kernel may still write to its buffers.
                std::mem::forget(slot);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(slices: &[Slice]) -> Vec<Vec<u8>> {
        let read = |slice: &Slice| {
            // SAFETY: the parts outlive this call.
            unsafe { std::slice::from_raw_parts(slice.base, slice.len) }.to_vec()
        };
        slices.iter().map(read).collect()
    }

    #[test]
    fn slices_begin_where_the_last_write_ended() {
        let parts = [Bytes::from_static(b"abc"), Bytes::from_static(b"de")];
        assert_eq!(text(&slices_from(&parts, 0)), [b"abc".to_vec(), b"de".to_vec()]);
        assert_eq!(text(&slices_from(&parts, 2)), [b"c".to_vec(), b"de".to_vec()]);
        assert_eq!(text(&slices_from(&parts, 3)), [b"de".to_vec()]);
        assert_eq!(text(&slices_from(&parts, 5)), Vec::<Vec<u8>>::new());
        let many = vec![Bytes::from_static(b"x"); 2 * SLICES_MAX];
        assert_eq!(slices_from(&many, 0).len(), SLICES_MAX);
    }

    fn write(parts: Vec<Bytes>) -> (Slot, futures::channel::oneshot::Receiver<io::Result<()>>) {
        let file = Arc::new(OwnedFd::from(tempfile::tempfile().unwrap()));
        let (reply, answer) = futures::channel::oneshot::channel();
        (Slot::new(Op::Write { file, at: 0, parts, sync: true, reply }, None), answer)
    }

    #[test]
    fn a_short_write_goes_on_and_syncs_once_at_the_end() {
        let (mut slot, mut answer) = write(vec![Bytes::from_static(b"abcdef")]);
        assert_eq!(slot.requests(0).len(), 2);
        slot.answered(Step::Move, 4);
        slot.answered(Step::Sync, -ECANCELED);
        assert!(!slot.is_finished());
        assert_eq!(slot.requests(0).len(), 2);
        slot.answered(Step::Move, 2);
        slot.answered(Step::Sync, 0);
        assert!(slot.is_finished());
        slot.finish();
        answer.try_recv().unwrap().unwrap().unwrap();
    }

    #[test]
    fn a_failed_sync_is_the_end() {
        let (mut slot, mut answer) = write(vec![Bytes::from_static(b"abcdef")]);
        slot.requests(0);
        slot.answered(Step::Move, 6);
        slot.answered(Step::Sync, -5);
        assert!(slot.is_finished(), "a failed sync must not be repeated");
        slot.finish();
        assert_eq!(answer.try_recv().unwrap().unwrap().unwrap_err().raw_os_error(), Some(5));
    }

    #[test]
    fn a_full_disk_and_endless_again_are_errors() {
        let (mut slot, mut answer) = write(vec![Bytes::from_static(b"abcdef")]);
        slot.requests(0);
        slot.answered(Step::Move, -28);
        slot.answered(Step::Sync, -ECANCELED);
        assert!(slot.is_finished());
        slot.finish();
        let error = answer.try_recv().unwrap().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);

        let (mut slot, _answer) = write(vec![Bytes::from_static(b"abcdef")]);
        let mut rounds = 0;
        while !slot.is_finished() {
            slot.requests(0);
            slot.answered(Step::Move, -EAGAIN);
            slot.answered(Step::Sync, -ECANCELED);
            rounds += 1;
            assert!(rounds <= AGAIN_MAX + 1);
        }
        assert!(rounds > 1);
    }
}
