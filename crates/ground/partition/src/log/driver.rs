//! The loop around the engine: a thread where the disk blocks, else a task that lets others in between
//! the steps.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cairn_env::Env;

use super::core::{Core, Work};
use super::engine::{Engine, Next};
use crate::Error;

/// How often a full disk is tried again.
const FULL_RETRY: Duration = Duration::from_secs(1);
/// The longest that a group waits for more.
const LINGER_MAX: Duration = Duration::from_millis(1);
/// The longest that the thread stays awake for the next append: to sleep and be woken takes about as
/// long as a sync does where disks are fast.
const AWAKE_MAX: Duration = Duration::from_micros(200);
/// The longest that a simulated step takes.
const STEP_MAX_US: u64 = 2000;

/// Starts it. It ends when the last handle is dropped, or after a close.
pub(super) fn start(engine: Engine, env: &Env) -> Result<(), Error> {
    if !engine.core().disk.blocks() {
        env.spawn.task(Box::pin(run_async(engine)));
        return Ok(());
    }
    env.spawn.thread(Box::new(move || run(engine))).map_err(|lost| Error::Storage {
        what: "start the log's thread",
        why: lost.to_string(),
        kind: cairn_base::ErrorKind::Exhausted,
    })
}

fn run(mut engine: Engine) {
    let (mut next, mut gap) = (Next::Now, Duration::MAX);
    loop {
        let core = engine.core();
        let mut work = match next {
            Next::Now => core.take().unwrap_or_default(),
            Next::Wait => rest(core, &mut gap),
            Next::Retry => core.wait(Some(FULL_RETRY)),
            Next::End => break,
        };
        if !work.slots.is_empty() && linger(&engine) {
            let more = core.take().unwrap_or_default();
            work.slots.extend(more.slots);
            work.abandoned |= more.abandoned;
        }
        let abandoned = work.abandoned;
        if engine.begin(work) {
            engine.write();
            engine.sync();
        }
        next = engine.settle(abandoned);
    }
    end(engine);
}

/// Waits for work. Where the last append came soon after the one before, as from one client that goes on
/// when it is told, the thread stays awake for the next one, and lets others run meanwhile. `gap` is how
/// long appends were waited for the last time.
fn rest(core: &Core, gap: &mut Duration) -> Work {
    let clock = &core.env.clock;
    let begin = clock.monotonic();
    let passed = || clock.monotonic().saturating_sub(begin);
    if *gap < AWAKE_MAX {
        while !core.has_appends() && passed() < AWAKE_MAX {
            std::thread::yield_now();
        }
    }
    let work = core.wait(None);
    if !work.slots.is_empty() {
        *gap = passed();
    }
    work
}

/// Those who were just acknowledged will mostly append again: the group is worth a moment in which they
/// do, a part of what a sync costs. Whether time passed.
fn linger(engine: &Engine) -> bool {
    let (core, (bytes, sync)) = (engine.core(), engine.last());
    let patience = (sync / 4).min(LINGER_MAX);
    let fewer = || core.buffered.load(Ordering::Relaxed) < bytes;
    let begin = core.env.clock.monotonic();
    let mut waited = false;
    while fewer() && core.env.clock.monotonic().saturating_sub(begin) < patience {
        std::thread::yield_now();
        waited = true;
    }
    waited
}

async fn run_async(mut engine: Engine) {
    let mut next = Next::Now;
    loop {
        let core = engine.core();
        let work: Work = match next {
            Next::Now => core.take().unwrap_or_default(),
            Next::Wait => core.wait_async(None).await,
            Next::Retry => core.wait_async(Some(FULL_RETRY)).await,
            Next::End => break,
        };
        let abandoned = work.abandoned;
        if engine.begin(work) {
            step(&engine).await;
            engine.write();
            step(&engine).await;
            engine.sync();
            step(&engine).await;
        }
        next = engine.settle(abandoned);
    }
    end(engine);
}

async fn step(engine: &Engine) {
    let env = &engine.core().env;
    env.clock.sleep(Duration::from_micros(env.rng.next_u64() % STEP_MAX_US)).await;
}

/// Lets the directory go and says how it ended.
fn end(engine: Engine) {
    let core = std::sync::Arc::clone(engine.core());
    drop(engine);
    let how = core.state().failed.clone();
    let what = "the log of this node".to_owned();
    let why = "it was closed".to_owned();
    core.poison(how.clone().unwrap_or(Error::Closed { what, why }));
    let retired = std::mem::take(&mut core.state().retired);
    retired.iter().for_each(|slot| slot.tell_closed());
    core.disk.close();
    core.ended.send_replace(Some(how.map_or(Ok(()), Err)));
}
