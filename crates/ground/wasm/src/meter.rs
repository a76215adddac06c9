//! Time on the processor: guests are interrupted at ticks, let others run, and are charged for what they
//! computed in between.
//!
//! WASM-2 A guest that computes without end is stopped within two ticks of its limit, and lets others run at
//! every tick. It is charged for at most a tick at a time, and for no more than its thread ran: who waits
//! is not charged for waiting. What is one instruction, such as a fill of its memory, and calls of the host
//! are not interrupted.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::ThreadId;
use std::time::Duration;

use cairn_env::Env;
use rustix::time::{ClockId, clock_gettime};
use wasmtime::{Engine, EngineWeak, StoreContextMut, UpdateDeadline};

use crate::error::Error;
use crate::guest::Guest;

/// How often guests are interrupted.
pub const TICK: Duration = Duration::from_millis(2);
/// Rounds of others' turns that a guest stands back for which computes for longer than a tick. An answer takes
/// some turns, and would wait for the guest at each.
const ROUNDS: u32 = 4;
/// Ticks that are gone on with though nothing runs: whoever calls again and again wakes no thread each time.
const IDLE_TICKS: u32 = 50;
/// How soon the thread notices that its engine is gone.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Advances an engine's epoch while anything runs on it.
pub(crate) struct Ticker {
    live: AtomicUsize,
    asleep: AtomicBool,
    turn: Mutex<()>,
    wake: Condvar,
}

/// As long as it is there, time passes for guests.
pub(crate) struct Running(Arc<Ticker>);

impl Ticker {
    pub(crate) fn start(engine: &Engine, env: &Env) -> Result<Arc<Self>, Error> {
        let ticker = Arc::new(Self {
            live: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            turn: Mutex::default(),
            wake: Condvar::new(),
        });
        let (runs, engine) = (Arc::clone(&ticker), engine.weak());
        let started = env.spawn.thread(Box::new(move || runs.run(&engine)));
        let detail = "there is no thread left for its clock".to_owned();
        started.map_err(|_| Error::Engine { detail })?;
        Ok(ticker)
    }

    fn run(&self, engine: &EngineWeak) {
        let mut idle = 0;
        loop {
            std::thread::sleep(TICK);
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
            drop(engine);
            idle = if self.live.load(Ordering::Relaxed) == 0 { idle + 1 } else { 0 };
            if idle > IDLE_TICKS {
                self.rest();
                idle = 0;
            }
        }
    }

    /// Waits until something runs.
    fn rest(&self) {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Said before it is looked: who begins after the look sees it.
        self.asleep.store(true, Ordering::SeqCst);
        if self.live.load(Ordering::SeqCst) == 0 {
            let waited = self.wake.wait_timeout(turn, LOOK_EVERY);
            turn = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.asleep.store(false, Ordering::SeqCst);
        drop(turn);
    }

    pub(crate) fn running(self: &Arc<Self>) -> Running {
        self.live.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            self.wake.notify_one();
        }
        Running(Arc::clone(self))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A guest has used up its time.
#[derive(Debug)]
pub(crate) struct Over;

impl std::fmt::Display for Over {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("its time on the processor is over")
    }
}

impl std::error::Error for Over {}

/// What one instance has computed since its call began.
pub(crate) struct Meter {
    used: Duration,
    max: Duration,
    seen: Option<(ThreadId, Duration)>,
}

impl Meter {
    pub(crate) fn new(cpu_ms: u64) -> Self {
        Self { used: Duration::ZERO, max: Duration::from_millis(cpu_ms), seen: None }
    }

    /// A call begins on an instance that has seen others.
    pub(crate) fn restart(&mut self) {
        self.used = Duration::ZERO;
    }

    /// Charges for the tick that was interrupted. Whether there is time left.
    fn charge(&mut self) -> bool {
        let (thread, ran) = (std::thread::current().id(), thread_ran());
        let since = match self.seen {
            Some((before, at)) if before == thread => ran.saturating_sub(at),
            _ => TICK,
        };
        self.seen = Some((thread, ran));
        self.used += since.min(TICK);
        self.used <= self.max
    }
}

/// How long this thread has run.
fn thread_ran() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

/// At each tick that finds the guest computing.
pub(crate) fn interrupted(
    mut store: StoreContextMut<'_, Guest>,
) -> wasmtime::Result<UpdateDeadline> {
    let meter = &mut store.data_mut().meter;
    if !meter.charge() {
        return Err(wasmtime::Error::new(Over));
    }
    let rounds = if meter.used > TICK { ROUNDS } else { 1 };
    let others = async move {
        for _ in 0..rounds {
            tokio::task::yield_now().await;
        }
    };
    Ok(UpdateDeadline::YieldCustom(1, Box::pin(others)))
}
