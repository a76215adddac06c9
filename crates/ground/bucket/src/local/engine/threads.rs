//! The engine of threads: a bounded pool, started as it is needed.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use futures::{FutureExt as _, TryFutureExt as _};

use super::{Io, Job, blocking};

/// Threads of one pool. They wait for the disk, not for a CPU; a journal commits the more syncs at
/// once, the more wait together.
const THREADS_MAX: usize = 32;
/// How long a thread without work stays.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// The pool. The queue is bounded by the store's permits.
pub(in crate::local) struct Threads {
    pool: Arc<Pool>,
}

#[derive(Default)]
struct Pool {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // A panic in a job is a bug; its caller sees a worker that was lost.
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!("work on an I/O thread panicked");
                }
                state = self.state();
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let (next, wait) =
                self.wake.wait_timeout(state, IDLE_MAX).unwrap_or_else(PoisonError::into_inner);
            state = next;
            state.idle -= 1;
            if wait.timed_out() && state.jobs.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

impl Threads {
    pub(in crate::local) fn new() -> Self {
        Self { pool: Arc::default() }
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> BoxFuture<'static, io::Result<T>> {
        let (sender, receiver) = oneshot::channel();
        self.call(Box::new(move || drop(sender.send(work()))));
        receiver
            .map_err(|_| io::Error::other("an I/O thread stopped before it answered"))
            .map(|answer| answer.and_then(|answer| answer))
            .boxed()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Threads end when the queue is empty: what was asked for is done.
        self.pool.state().closed = true;
        self.pool.wake.notify_all();
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Threads")
    }
}

impl Io for Threads {
    fn name(&self) -> &'static str {
        "threads"
    }

    fn call(&self, job: Job) {
        let mut state = self.pool.state();
        state.jobs.push_back(job);
        let start = state.idle < state.jobs.len() && state.threads < THREADS_MAX;
        if !start {
            drop(state);
            self.pool.wake.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let pool = Arc::clone(&self.pool);
        let thread = thread::Builder::new().name(String::from("cairn-io"));
        if let Err(error) = thread.spawn(move || pool.work()) {
            tracing::warn!(%error, "cannot start an I/O thread");
            let mut state = self.pool.state();
            state.threads -= 1;
            if state.threads == 0 {
                // Nobody is left to do it: drop the work, so that its callers hear of it.
                state.jobs.clear();
            }
        }
    }

    fn fused(&self) -> bool {
        true
    }

    fn read(
        &self,
        file: Arc<OwnedFd>,
        at: u64,
        len: usize,
    ) -> BoxFuture<'static, io::Result<Bytes>> {
        self.run(move || blocking::read(&file, at, len))
    }

    fn write(
        &self,
        file: Arc<OwnedFd>,
        at: u64,
        parts: Vec<Bytes>,
        sync: bool,
    ) -> BoxFuture<'static, io::Result<()>> {
        self.run(move || {
            blocking::write(&file, at, &parts)?;
            if sync { Ok(rustix::fs::fsync(&file)?) } else { Ok(()) }
        })
    }

    fn sync(&self, file: Arc<OwnedFd>) -> BoxFuture<'static, io::Result<()>> {
        self.run(move || Ok(rustix::fs::fsync(&file)?))
    }
}

/// Runs one piece of work on a thread of its own, for opening.
pub(in crate::local) fn once(work: impl FnOnce() + Send + 'static) {
    let thread = thread::Builder::new().name(String::from("cairn-open"));
    if let Err(error) = thread.spawn(work) {
        tracing::warn!(%error, "cannot start a thread");
    }
}
