//! How instances end, and what is said of it to those whose calls they had.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::error::Failure;
use crate::limits::Limits;
use crate::meter::Over;

/// What happened to an instance, for those whose calls it had.
pub(crate) struct Fate {
    refused_memory: AtomicBool,
    out_of_time: AtomicBool,
    ended: watch::Sender<Option<Result<(), Failure>>>,
}

impl Default for Fate {
    fn default() -> Self {
        let (refused_memory, out_of_time) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { refused_memory, out_of_time, ended: watch::Sender::new(None) }
    }
}

impl Fate {
    /// It was refused memory.
    pub(crate) fn refuse_memory(&self) {
        self.refused_memory.store(true, Ordering::Relaxed);
    }

    /// It is dropped, for it took too long.
    pub(crate) fn expire(&self) {
        self.out_of_time.store(true, Ordering::Relaxed);
    }

    /// It is over.
    pub(crate) fn end(&self, how: Result<(), Failure>) {
        self.ended.send_replace(Some(how));
    }

    /// Why it ended in the middle of what it did, when it did.
    pub(crate) fn broke(&self) -> Option<String> {
        let failed = self.ended.borrow().as_ref().and_then(|how| how.as_ref().err().cloned());
        match failed {
            Some(failure) => Some(failure.to_string()),
            None if self.out_of_time.load(Ordering::Relaxed) => Some(Late.to_string()),
            None => None,
        }
    }

    /// How it ended, once it has.
    pub(crate) async fn ended(&self) -> Result<(), Failure> {
        let mut ended = self.ended.subscribe();
        let ended = ended.wait_for(Option::is_some).await;
        ended.ok().and_then(|how| how.clone()).unwrap_or(Ok(()))
    }
}

/// It took too long.
#[derive(Debug, thiserror::Error)]
#[error("it took too long")]
pub(crate) struct Late;

/// The longest text of a guest that is told to its callers, in bytes.
const TOLD_BYTES_MAX: usize = 1024;

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(TOLD_BYTES_MAX));
    text
}

/// Why a call failed whose instance had this error and this fate.
pub(crate) fn failure(error: &wasmtime::Error, limits: &Limits, fate: &Fate) -> Failure {
    if error.is::<Over>() {
        return Failure::Cpu { limit_ms: limits.cpu_ms };
    }
    if fate.out_of_time.load(Ordering::Relaxed) || error.is::<Late>() {
        return Failure::Wall { limit_ms: limits.wall_ms };
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return Failure::Full;
    }
    if fate.refused_memory.load(Ordering::Relaxed) {
        return Failure::Memory { limit_bytes: limits.memory_bytes };
    }
    if let Some(trap) = error.downcast_ref::<wasmtime::Trap>() {
        let backtrace = error.downcast_ref::<wasmtime::WasmBacktrace>();
        let backtrace = backtrace.map(ToString::to_string).unwrap_or_default();
        return Failure::Trap { message: trap.to_string(), backtrace };
    }
    // The whole of it tells of the inside of the function, and goes to who may not know that.
    Failure::NoAnswer { detail: cut(error.root_cause().to_string()) }
}
