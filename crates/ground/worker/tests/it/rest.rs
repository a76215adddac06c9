//! Workers that nobody calls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cairn_env::{Clock, Env};
use cairn_wasm::{Failure, Limits};
use tokio::sync::Notify;

use crate::lab::{Ground, code, get, rust, workers_in};

/// The machine's clock, and what was skipped of time.
#[derive(Default)]
struct Skipping {
    skipped: Mutex<Duration>,
    /// How often somebody began to wait.
    waits: AtomicU64,
    changed: Notify,
}

impl Skipping {
    fn skip(&self, time: Duration) {
        *self.skipped.lock().unwrap() += time;
        self.changed.notify_waiters();
    }

    fn waits(&self) -> u64 {
        self.waits.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Clock for Skipping {
    fn wall_ns(&self) -> i64 {
        Env::real().clock.wall_ns()
    }

    fn monotonic(&self) -> Duration {
        Env::real().clock.monotonic() + *self.skipped.lock().unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.monotonic() + duration;
        self.waits.fetch_add(1, Ordering::SeqCst);
        loop {
            let changed = self.changed.notified();
            let left = until.saturating_sub(self.monotonic());
            if left.is_zero() {
                return;
            }
            drop(tokio::time::timeout(left, changed).await);
        }
    }
}

async fn until(what: impl Fn() -> bool) {
    let true_at_last = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), true_at_last).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_nobody_calls_for_five_minutes_ends() {
    let clock = Arc::new(Skipping::default());
    let workers = workers_in(&Env { clock: Arc::clone(&clock) as _, ..Env::real() });
    let (code, ground) = (code(rust("proxy")).await, Arc::new(Ground::default()));
    let upstream = [("UPSTREAM", "http://example.org")];
    let limits = Limits { wall_ms: 100_000_000, ..Limits::default() };
    let proxy = workers.function("main", &code, limits, ground.world(&upstream));
    assert_eq!(get(&proxy, "/x").await.unwrap().0, 203);

    clock.skip(Duration::from_secs(200));
    assert_eq!(get(&proxy, "/x").await.unwrap().0, 203);
    assert_eq!(workers.numbers().starts, 1, "it is the same one");
    clock.skip(Duration::from_secs(400));
    until(|| workers.numbers().workers == 0).await;

    let waiting = tokio::spawn(async move { get(&proxy, "/wait").await });
    ground.waits.notified().await;
    let before = clock.waits();
    clock.skip(Duration::from_secs(400));
    until(|| clock.waits() > before).await;
    assert_eq!(workers.numbers().workers, 1, "it was looked at, and has a call");
    waiting.abort();
    let numbers = workers.numbers();
    assert_eq!((numbers.starts, numbers.crashes, numbers.lost_calls), (2, 0, 0), "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_projects_those_that_call_have_workers() {
    const WORKERS_MAX: usize = 64;
    let (workers, code) = (workers_in(&Env::real()), code(rust("proxy")).await);
    let ground = Arc::new(Ground::default());
    let upstream = [("UPSTREAM", "http://example.org")];
    let of = |number: usize| {
        let project = format!("p{number:02}");
        workers.function(&project, &code, Limits::default(), ground.world(&upstream))
    };
    let mut waiting = Vec::new();
    for number in 0..WORKERS_MAX - 1 {
        let function = of(number);
        waiting.push(tokio::spawn(async move { get(&function, "/wait").await }));
        ground.waits.notified().await;
    }
    let (last, next) = (of(WORKERS_MAX - 1), of(WORKERS_MAX));
    assert_eq!(get(&last, "/x").await.unwrap().0, 203);
    assert_eq!(get(&next, "/x").await.unwrap().0, 203, "the one that rests ends for it");
    assert_eq!(workers.processes().len(), WORKERS_MAX);
    assert!(workers.processes().iter().all(|(project, _)| project != "p63"));

    let next = tokio::spawn(async move { get(&next, "/wait").await });
    ground.waits.notified().await;
    assert_eq!(get(&last, "/x").await, Err(Failure::Full), "all have calls");
    next.abort();
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}
