#![allow(clippy::disallowed_methods, reason = "this is the seam that the rest goes through")]

use std::future::Future;
use std::pin::Pin;

use futures::FutureExt as _;
use futures::channel::oneshot;

/// A boxed task.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;
/// Boxed work for a CPU.
pub type Work = Box<dyn FnOnce() + Send>;

/// Starts tasks and CPU work.
pub trait Spawn: Send + Sync + 'static {
    /// Runs `task` in the background until it ends or the runtime stops.
    fn task(&self, task: Task);
    /// Runs work that computes or blocks where it does not hold up tasks. It has one of a few places,
    /// so it ends by itself: work that waits for a task may hold the very place that the task needs.
    fn work(&self, work: Work);
    /// Runs work that waits for tasks or for a client on a thread of its own.
    ///
    /// # Errors
    /// [`Lost`] when the system has no thread left; the work is dropped.
    fn thread(&self, work: Work) -> Result<(), Lost>;
}

impl dyn Spawn {
    /// Runs `work` off the async threads and waits for what it returns. The work goes on when the
    /// future is dropped.
    ///
    /// # Errors
    /// [`Lost`] when the work panicked or the runtime is shutting down.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, Lost>> + Send + 'static {
        let (sender, receiver) = oneshot::channel();
        self.work(Box::new(move || {
            // The receiver may have gone away: then nobody wants the answer.
            drop(sender.send(work()));
        }));
        receiver.map(|answer| answer.map_err(|_| Lost))
    }

    /// Runs `work` as a task of its own and waits for what it returns. The work goes on to its end when
    /// the future is dropped: who goes away does not cut it in two.
    ///
    /// # Errors
    /// [`Lost`] when the work panicked or the runtime is shutting down.
    pub fn to_its_end<T, W>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, Lost>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.task(Box::pin(async move {
            // The receiver may have gone away: then nobody wants the answer.
            drop(sender.send(work.await));
        }));
        receiver.map(|answer| answer.map_err(|_| Lost))
    }
}

/// The work behind [`Spawn::work`] went away without an answer: it panicked, or the runtime stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a background worker stopped before it answered")
    }
}

impl std::error::Error for Lost {}

/// Tokio's runtime and its pool of blocking threads.
#[derive(Debug)]
pub struct Pool;

impl Spawn for Pool {
    fn task(&self, task: Task) {
        drop(tokio::spawn(task));
    }

    fn work(&self, work: Work) {
        drop(tokio::task::spawn_blocking(work));
    }

    fn thread(&self, work: Work) -> Result<(), Lost> {
        let runtime = tokio::runtime::Handle::current();
        let run = move || {
            let _within = runtime.enter();
            work();
        };
        let started = std::thread::Builder::new().name("cairn-work".to_owned()).spawn(run);
        started.map(drop).map_err(|_| Lost)
    }
}

/// Tasks on tokio, work in place: for simulation on one thread.
#[derive(Debug)]
pub struct InPlace;

impl Spawn for InPlace {
    fn task(&self, task: Task) {
        drop(tokio::spawn(task));
    }

    fn work(&self, work: Work) {
        work();
    }

    fn thread(&self, work: Work) -> Result<(), Lost> {
        work();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::{Env, Lost};

    #[test]
    fn work_goes_on_to_its_end_though_nobody_waits() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let spawn = Env::simulated(1).spawn;
            let done = Arc::new(AtomicBool::new(false));
            let ending = Arc::clone(&done);
            let (go, gone) = futures::channel::oneshot::channel::<()>();
            drop(spawn.to_its_end(async move {
                gone.await.unwrap_or_default();
                ending.store(true, Ordering::Relaxed);
            }));
            assert!(!done.load(Ordering::Relaxed));
            drop(go);
            assert_eq!(spawn.to_its_end(async { 7 }).await, Ok(7));
            assert!(done.load(Ordering::Relaxed));
            let lost: Result<(), Lost> = spawn.to_its_end(async { panic!("on purpose") }).await;
            assert_eq!(lost, Err(Lost));
        });
    }
}
