use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use io_uring::{IoUring, Probe, cqueue, opcode, squeue, types};

use super::buffers::Buffers;
use super::slots::{Slot, Slots, Step};
use super::{Closing, Queue};

/// Requests that wait to be submitted at once.
const SUBMISSION_ENTRIES: u32 = 256;
/// Answers that wait to be taken: two for each permit of the store, and room.
const COMPLETION_ENTRIES: u32 = 2048;
/// Kernel threads for requests that block, which every sync does. The default is four for each CPU,
/// too few to let a journal commit many syncs at once.
const KERNEL_WORKERS_MAX: u32 = 32;
/// The user data of the read that wakes the ring.
const WAKE: u64 = u64::MAX;
/// The place of the eventfd among the registered files.
const WAKE_FILE: u32 = 0;

/// The ring and what it works on. Lives on one thread.
pub(super) struct Ring {
    // Dropped in this order: the ring first, so that nothing is in flight without it.
    ring: IoUring,
    slots: Slots,
    /// Requests for which the submission queue had no room yet, pairs kept together.
    backlog: VecDeque<Vec<squeue::Entry>>,
    buffers: Option<Arc<Buffers>>,
    /// What the eventfd is read into. A read is always under way, also when the ring goes away, so
    /// these eight bytes are never freed.
    wake_count: &'static mut [u8; 8],
    wake_armed: bool,
    queue: Arc<Queue>,
}

impl Ring {
    pub(super) fn new(queue: Arc<Queue>) -> io::Result<Self> {
        let ring = build()?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let needed = [
            opcode::Read::CODE,
            opcode::ReadFixed::CODE,
            opcode::Writev::CODE,
            opcode::Fsync::CODE,
        ];
        if !needed.into_iter().all(|code| probe.is_supported(code)) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the kernel's ring is too old"));
        }
        ring.submitter().register_files(&[queue.wake.as_raw_fd()])?;
        // Before Linux 5.15 the limit cannot be set: fewer syncs share a journal commit.
        let mut workers = [KERNEL_WORKERS_MAX, KERNEL_WORKERS_MAX];
        if let Err(error) = ring.submitter().register_iowq_max_workers(&mut workers) {
            tracing::debug!(%error, "the ring keeps its default number of kernel threads");
        }
        let buffers = register_buffers(&ring);
        let (slots, backlog) = (Slots::default(), VecDeque::new());
        let (wake_count, wake_armed) = (Box::leak(Box::new([0; 8])), false);
        Ok(Self { ring, slots, backlog, buffers, wake_count, wake_armed, queue })
    }

    /// Works until the engine is closed and everything is answered.
    pub(super) fn run(mut self) {
        let _closing = Closing(Arc::clone(&self.queue));
        if let Err(error) = self.work() {
            tracing::error!(%error, "the I/O ring stopped");
        }
    }

    fn work(&mut self) -> io::Result<()> {
        loop {
            self.take_operations();
            self.arm_wake();
            self.push_backlog();
            let closed = self.queue.closed.load(Ordering::Acquire);
            if closed && self.slots.is_idle() && self.queue.ops().is_empty() {
                return Ok(());
            }
            self.wait()?;
            self.take_answers();
        }
    }

    /// Turns everything that is queued into requests: one submission for all of it.
    fn take_operations(&mut self) {
        let ops = std::mem::take(&mut *self.queue.ops());
        for op in ops {
            let index = self.slots.insert(Slot::new(op, self.buffers.as_ref()));
            self.advance(index);
        }
    }

    /// Asks for the next step of an operation, or finishes it.
    fn advance(&mut self, index: usize) {
        let Some(slot) = self.slots.get(index) else { return };
        if slot.is_finished() {
            if let Some(slot) = self.slots.take(index) {
                slot.finish();
            }
            return;
        }
        let requests = slot.requests(index);
        self.backlog.push_back(requests);
    }

    fn arm_wake(&mut self) {
        if self.wake_armed {
            return;
        }
        let file = types::Fixed(WAKE_FILE);
        let read = opcode::Read::new(file, self.wake_count.as_mut_ptr(), 8).build().user_data(WAKE);
        self.backlog.push_back(vec![read]);
        self.wake_armed = true;
    }

    /// Moves requests to the submission queue as far as there is room.
    fn push_backlog(&mut self) {
        let mut submission = self.ring.submission();
        while let Some(requests) = self.backlog.pop_front() {
            // SAFETY: what the requests point to is owned by their slot, or is `wake_count`; both
            // stay until the kernel has answered, or are leaked.
            let pushed = unsafe { submission.push_multiple(&requests) };
            if pushed.is_err() {
                self.backlog.push_front(requests);
                return;
            }
        }
    }

    /// Submits, and waits for an answer unless there is something else to do.
    fn wait(&mut self) -> io::Result<()> {
        self.queue.sleeping.store(true, Ordering::SeqCst);
        let busy = !self.backlog.is_empty() || !self.queue.ops().is_empty();
        let wanted = usize::from(!busy);
        let entered = self.ring.submitter().submit_and_wait(wanted);
        self.queue.sleeping.store(false, Ordering::SeqCst);
        match entered {
            Ok(_) => Ok(()),
            // Interrupted, or no room for answers before some are taken.
            Err(error) if matches!(error.raw_os_error(), Some(4 | 11 | 16)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn take_answers(&mut self) {
        let answers: Vec<cqueue::Entry> = self.ring.completion().collect();
        for answer in answers {
            if answer.user_data() == WAKE {
                self.wake_armed = false;
                continue;
            }
            let (index, step) = Step::parse(answer.user_data());
            let Some(slot) = self.slots.get(index) else { continue };
            slot.answered(step, answer.result());
            if slot.in_flight == 0 {
                self.advance(index);
            }
        }
    }
}

/// The newest kind of ring that the kernel gives.
fn build() -> io::Result<IoUring> {
    let newest = IoUring::builder()
        .setup_cqsize(COMPLETION_ENTRIES)
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(SUBMISSION_ENTRIES);
    // Before Linux 6.1 these flags are unknown.
    newest
        .or_else(|_| IoUring::builder().setup_cqsize(COMPLETION_ENTRIES).build(SUBMISSION_ENTRIES))
}

/// Registers the buffers; without them reads go to fresh memory.
fn register_buffers(ring: &IoUring) -> Option<Arc<Buffers>> {
    let (buffers, places) = Buffers::new();
    let mut slices = Vec::with_capacity(places.len());
    for (pointer, len) in places {
        // SAFETY: the memory belongs to `buffers`, and nobody else looks at it before it is taken.
        slices.push(IoSliceMut::new(unsafe { std::slice::from_raw_parts_mut(pointer, len) }));
    }
    // SAFETY: `IoSliceMut` has the layout of `iovec`. The memory stays in place until the pool and
    // all that was taken from it are gone, and no request uses it after the ring has stopped.
    let registered = unsafe {
        let places = std::slice::from_raw_parts(slices.as_ptr().cast(), slices.len());
        ring.submitter().register_buffers(places)
    };
    match registered {
        Ok(()) => Some(buffers),
        Err(error) => {
            tracing::debug!(%error, "the ring has no registered buffers");
            None
        }
    }
}
