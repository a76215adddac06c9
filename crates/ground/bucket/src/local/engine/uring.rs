//! The engine of rings: one `io_uring` on a thread of its own moves the bytes and syncs; opening,
//! renaming and listing go to the threads of the other engine.
//!
//! # Ownership
//!
//! An operation owns its file and its buffers from the moment it is queued until the kernel has
//! answered for the last time. Dropping the future only drops the wish for the answer. When the ring
//! cannot go on (its thread panics, the kernel refuses to enter), what is still in flight is leaked
//! rather than freed, because the kernel may still write to it.
//!
//! # Order
//!
//! A write that must be durable is two linked requests, write and fsync: the second begins when the
//! first has written everything, and is cancelled when it has not. A short write goes on with a new
//! pair; a failed fsync is the end of the operation and is never repeated.
//!
//! # Registered memory and files
//!
//! Reads of up to 64 KiB go to buffers that are registered with the ring, as long as there are some;
//! the bytes are handed out as they are, and the buffer comes back when they are dropped. Files are
//! not registered: an object is opened for one or a few requests, and registering costs as much as it
//! saves. The one file that is used all the time, the eventfd that wakes the ring, is.

#![allow(unsafe_code, reason = "requests carry pointers to the memory that they own")]

mod buffers;
mod ring;
mod slots;

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::{FutureExt as _, TryFutureExt as _};
use rustix::event::{EventfdFlags, eventfd};

use super::threads::Threads;
use super::{Io, Job};

/// One operation on its way to the ring.
enum Op {
    Read { file: Arc<OwnedFd>, at: u64, len: usize, reply: Reply<Bytes> },
    Write { file: Arc<OwnedFd>, at: u64, parts: Vec<Bytes>, sync: bool, reply: Reply<()> },
    Sync { file: Arc<OwnedFd>, reply: Reply<()> },
}

type Reply<T> = oneshot::Sender<io::Result<T>>;

/// What callers and the ring's thread share. The store's permits bound it.
struct Queue {
    ops: Mutex<VecDeque<Op>>,
    wake: OwnedFd,
    /// The ring waits, or is about to: whoever adds an operation must wake it.
    sleeping: AtomicBool,
    closed: AtomicBool,
}

impl Queue {
    fn ops(&self) -> MutexGuard<'_, VecDeque<Op>> {
        self.ops.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if self.sleeping.swap(false, Ordering::SeqCst) {
            // Only a counter at its limit refuses, and then the ring is awake.
            rustix::io::write(&self.wake, &1_u64.to_ne_bytes()).ok();
        }
    }
}

/// Tells callers, also when the ring's thread panics, that nobody works on the queue any more.
struct Closing(Arc<Queue>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        // Those who wait see their sender go away.
        self.0.ops().clear();
    }
}

/// The engine.
pub(in crate::local) struct Uring {
    queue: Arc<Queue>,
    threads: Threads,
    thread: Option<JoinHandle<()>>,
}

impl Uring {
    /// Starts a ring, or says why the kernel does not give one.
    pub(in crate::local) fn start() -> io::Result<Self> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC)?;
        let queue = Arc::new(Queue {
            ops: Mutex::default(),
            wake,
            sleeping: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        });
        let (sender, ready) = mpsc::sync_channel(1);
        let shared = Arc::clone(&queue);
        let thread = thread::Builder::new().name(String::from("cairn-ring")).spawn(move || {
            // A ring belongs to the thread that makes it.
            match ring::Ring::new(shared) {
                Ok(ring) => {
                    sender.send(Ok(())).ok();
                    ring.run();
                }
                Err(error) => drop(sender.send(Err(error))),
            }
        })?;
        ready.recv().unwrap_or_else(|_| Err(io::Error::other("the ring's thread panicked")))?;
        Ok(Self { queue, threads: Threads::new(), thread: Some(thread) })
    }

    fn send<T: Send + 'static>(
        &self,
        make: impl FnOnce(Reply<T>) -> Op,
    ) -> BoxFuture<'static, io::Result<T>> {
        let (sender, receiver) = oneshot::channel();
        let op = make(sender);
        let mut ops = self.queue.ops();
        // A closed ring takes nothing: the operation, and with it the sender, is dropped here.
        if !self.queue.closed.load(Ordering::Acquire) {
            ops.push_back(op);
            drop(ops);
            self.queue.wake();
        }
        receiver
            .map_err(|_| io::Error::other("the ring stopped before it answered"))
            .map(|answer| answer.and_then(|answer| answer))
            .boxed()
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        self.queue.closed.store(true, Ordering::Release);
        self.queue.sleeping.store(true, Ordering::SeqCst);
        self.queue.wake();
        // The ring finishes what it has; nobody waits for it here.
        drop(self.thread.take());
    }
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Uring")
    }
}

impl Io for Uring {
    fn name(&self) -> &'static str {
        "io_uring"
    }

    fn call(&self, job: Job) {
        self.threads.call(job);
    }

    fn fused(&self) -> bool {
        false
    }

    fn read(
        &self,
        file: Arc<OwnedFd>,
        at: u64,
        len: usize,
    ) -> BoxFuture<'static, io::Result<Bytes>> {
        self.send(|reply| Op::Read { file, at, len, reply })
    }

    fn write(
        &self,
        file: Arc<OwnedFd>,
        at: u64,
        parts: Vec<Bytes>,
        sync: bool,
    ) -> BoxFuture<'static, io::Result<()>> {
        self.send(|reply| Op::Write { file, at, parts, sync, reply })
    }

    fn sync(&self, file: Arc<OwnedFd>) -> BoxFuture<'static, io::Result<()>> {
        self.send(|reply| Op::Sync { file, reply })
    }
}

#[cfg(test)]
mod tests;
