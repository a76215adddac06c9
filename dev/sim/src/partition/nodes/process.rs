//! What a process has around it: a clock of its own rate, tasks that end with it, and the answers that
//! its clients get while it lives.

use std::future::Future;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cairn_env::{Clock, Env, Lost, SeededRng, Spawn, Task, Work};
use cairn_partition::{
    AnyPartition, At, Changes, Commit, Committed, Entry, Error, Name, Page, Partition, Scan, Seq,
    Status,
};
use futures::future::{AbortHandle, abortable};
use tokio::sync::watch;

use crate::trees::below;

/// A request and its answer travel up to this long each.
const TRAVEL_MS_MAX: usize = 8;
const MILLION: u64 = 1_000_000;

/// Whether a process lives, and what ends with it.
pub(crate) struct Life {
    dead: watch::Sender<bool>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Life {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { dead: watch::Sender::new(false), tasks: Mutex::default() })
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.dead.borrow()
    }

    /// Nothing that belongs to it goes on.
    pub(crate) fn end(&self) {
        self.dead.send_replace(true);
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.drain(..).for_each(|task| task.abort());
    }

    pub(crate) async fn ended(&self) {
        // It cannot be dropped before it is over: whoever waits holds it.
        self.dead.subscribe().wait_for(|dead| *dead).await.map(drop).unwrap_or_default();
    }

    /// Waits for an answer, or for the end: then there is none.
    pub(crate) async fn answer<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.ended() => Err(Error::InDoubt { why: "the process ended".to_owned() }),
            answer = answer => answer,
        }
    }
}

/// A machine's clock: as fast as it is, and as wrong as it was made.
#[derive(Clone)]
pub(crate) struct Hands {
    /// Millionths by which it is faster than the world's.
    pub(crate) drift_ppm: i64,
    /// Nanoseconds by which its wall time differs.
    pub(crate) wall_off_ns: Arc<AtomicI64>,
}

struct ProcessClock {
    world: Arc<dyn Clock>,
    hands: Hands,
    life: Arc<Life>,
}

impl ProcessClock {
    fn rate_ppm(&self) -> u64 {
        MILLION.saturating_add_signed(self.hands.drift_ppm)
    }
}

fn scaled(time: Duration, by: u64, per: u64) -> Duration {
    let ns = time.as_nanos() * u128::from(by) / u128::from(per.max(1));
    Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

#[async_trait]
impl Clock for ProcessClock {
    fn wall_ns(&self) -> i64 {
        self.world.wall_ns().saturating_add(self.hands.wall_off_ns.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        scaled(self.world.monotonic(), self.rate_ppm(), MILLION)
    }

    async fn sleep(&self, duration: Duration) {
        if !self.life.is_over() {
            self.world.sleep(scaled(duration, MILLION, self.rate_ppm())).await;
        }
        if self.life.is_over() {
            std::future::pending::<()>().await;
        }
    }
}

struct ProcessSpawn {
    world: Arc<dyn Spawn>,
    life: Arc<Life>,
}

impl Spawn for ProcessSpawn {
    fn task(&self, task: Task) {
        if self.life.is_over() {
            return;
        }
        let (task, handle) = abortable(task);
        let mut tasks = self.life.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.push(handle);
        // Aborted or not, nobody waits for it.
        self.world.task(Box::pin(async move { task.await.unwrap_or_default() }));
    }

    fn lane(&self, task: Task) {
        self.task(task);
    }

    fn work(&self, work: Work) {
        if !self.life.is_over() {
            self.world.work(work);
        }
    }

    fn thread(&self, work: Work) -> Result<(), Lost> {
        if self.life.is_over() { Err(Lost) } else { self.world.thread(work) }
    }
}

/// The seams of one process.
pub(crate) fn env(world: &Env, life: &Arc<Life>, hands: Hands) -> Env {
    let (clock, spawn) = (Arc::clone(&world.clock), Arc::clone(&world.spawn));
    Env {
        clock: Arc::new(ProcessClock { world: clock, hands, life: Arc::clone(life) }),
        rng: Arc::new(SeededRng::new(world.rng.next_u64())),
        spawn: Arc::new(ProcessSpawn { world: spawn, life: Arc::clone(life) }),
    }
}

/// A partition of another process: requests and answers travel, and an answer that is still on its way
/// when the process ends is lost.
pub(crate) struct Remote {
    inner: AnyPartition,
    life: Arc<Life>,
    world: Env,
    rng: SeededRng,
}

impl Remote {
    pub(crate) fn new(inner: AnyPartition, life: Arc<Life>, world: &Env) -> Self {
        let rng = SeededRng::new(world.rng.next_u64());
        Self { inner, life, world: world.clone(), rng }
    }

    async fn travel(&self) {
        let ms = below(&self.rng, TRAVEL_MS_MAX) as u64;
        self.world.clock.sleep(Duration::from_millis(ms)).await;
    }

    async fn ask<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let whole = async {
            self.travel().await;
            let answer = answer.await;
            self.travel().await;
            answer
        };
        self.life.answer(whole).await
    }
}

#[async_trait]
impl Partition for Remote {
    fn name(&self) -> &Name {
        self.inner.name()
    }

    fn status(&self) -> Status {
        self.inner.status()
    }

    async fn get(&self, key: &[u8], at: At) -> Result<Option<Entry>, Error> {
        self.ask(self.inner.get(key, at)).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, Error> {
        self.ask(self.inner.scan(scan)).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        self.ask(self.inner.commit(commit)).await
    }

    async fn changes(&self, after: Seq, wait: Duration) -> Result<Changes, Error> {
        self.ask(self.inner.changes(after, wait)).await
    }

    async fn seq_at(&self, time_ms: u64) -> Result<Seq, Error> {
        self.ask(self.inner.seq_at(time_ms)).await
    }
}
