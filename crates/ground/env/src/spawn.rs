#![allow(clippy::disallowed_methods, reason = "this is the seam that the rest goes through")]

use std::future::Future;
use std::num::NonZero;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt as _;
use futures::channel::oneshot;
use tokio::runtime::Handle;

/// Lanes at most, however many processors there are.
const LANES_MAX: usize = 16;
/// Threads of one lane for what others block in, such as looking up a host's address.
const LANE_BLOCKING_MAX: usize = 4;

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
    /// Runs a task that lasts, such as a connection, on one of a few threads, which it never leaves:
    /// what it does by itself wakes no other thread. It must not compute for long.
    fn lane(&self, task: Task);
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

/// The runtime that this is used on first, its pool of blocking threads, and lanes beside it.
#[derive(Debug, Default)]
pub struct Pool {
    lanes: OnceLock<Lanes>,
}

impl Pool {
    /// What lanes ask for goes where everything else is.
    fn home(&self) -> Handle {
        self.lanes.get().map_or_else(Handle::current, |lanes| lanes.home.clone())
    }
}

impl Spawn for Pool {
    fn task(&self, task: Task) {
        drop(self.home().spawn(task));
    }

    fn lane(&self, task: Task) {
        let lanes = self.lanes.get_or_init(Lanes::start);
        drop(lanes.next().spawn(task));
    }

    fn work(&self, work: Work) {
        drop(self.home().spawn_blocking(work));
    }

    fn thread(&self, work: Work) -> Result<(), Lost> {
        let runtime = self.home();
        let run = move || {
            let _within = runtime.enter();
            work();
        };
        let started = std::thread::Builder::new().name("cairn-work".to_owned()).spawn(run);
        started.map(drop).map_err(|_| Lost)
    }
}

/// Threads with a runtime each, of one thread.
#[derive(Debug)]
struct Lanes {
    home: Handle,
    lanes: Vec<Lane>,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Lane {
    runtime: Handle,
    /// The thread ends when this is dropped.
    _end: oneshot::Sender<()>,
}

impl Lanes {
    fn start() -> Self {
        let count = std::thread::available_parallelism().map_or(1, NonZero::get).min(LANES_MAX);
        let lanes = (0..count).filter_map(|_| Lane::start().ok()).collect();
        Self { home: Handle::current(), lanes, turn: AtomicUsize::new(0) }
    }

    /// Each in turn.
    fn next(&self) -> &Handle {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let lane = turn.checked_rem(self.lanes.len()).and_then(|at| self.lanes.get(at));
        lane.map_or(&self.home, |lane| &lane.runtime)
    }
}

impl Lane {
    fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(LANE_BLOCKING_MAX)
            .enable_all()
            .build()?;
        let (end, ended) = oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        let run = move || runtime.block_on(ended).ok();
        std::thread::Builder::new().name("cairn-lane".to_owned()).spawn(run)?;
        Ok(Self { runtime: handle, _end: end })
    }
}

/// Tasks on tokio, work in place: for simulation on one thread.
#[derive(Debug)]
pub struct InPlace;

impl Spawn for InPlace {
    fn task(&self, task: Task) {
        drop(tokio::spawn(task));
    }

    fn lane(&self, task: Task) {
        self.task(task);
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
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;
    use crate::Env;

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

    async fn thread_of(run: impl FnOnce(oneshot::Sender<thread::ThreadId>)) -> thread::ThreadId {
        let (sender, receiver) = oneshot::channel();
        run(sender);
        receiver.await.unwrap()
    }

    /// A task of a lane wakes up where it began, and what it asks for runs where everything else does.
    #[tokio::test]
    async fn a_lane_keeps_its_tasks_and_nothing_else() {
        let pool: Arc<dyn Spawn> = Arc::new(Pool::default());
        let home = thread::current().id();
        for _ in 0..2 * LANES_MAX {
            let (sender, receiver) = oneshot::channel();
            let inner = Arc::clone(&pool);
            pool.lane(Box::pin(async move {
                let began = thread::current().id();
                let task = thread_of(|told| {
                    inner.task(Box::pin(async move {
                        told.send(thread::current().id()).unwrap();
                    }));
                });
                let task = task.await;
                let worked = inner.run(|| thread::current().id()).await.unwrap();
                sender.send((began, task, worked, thread::current().id())).unwrap();
            }));
            let (began, task, worked, ended) = receiver.await.unwrap();
            assert_eq!(began, ended);
            assert_eq!(task, home, "the test's runtime has one thread");
            assert!(began != home && worked != home && worked != began);
        }
    }

    /// The threads of lanes end with the last handle.
    #[tokio::test]
    async fn lanes_end() {
        let pool = Pool::default();
        let (held, gone) = oneshot::channel::<()>();
        pool.lane(Box::pin(async move {
            let _held = held;
            std::future::pending::<()>().await;
        }));
        drop(pool);
        assert!(gone.await.is_err());
    }
}
