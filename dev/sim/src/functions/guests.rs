//! The WebAssembly that runs in a simulation: one module under several names, compiled once for a process.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use cairn_env::{Env, InPlace, Lost, Spawn, Task, Work};
use cairn_functions::Tiers;
use cairn_wasm::{Code, Options, Runtime};
use cairn_worker::{Program, Workers};

use crate::block_on;

/// What all functions run; it says what it does.
pub(super) const CODE: &str = include_str!("guest.wat");
/// Instances at a time, of all simulations of the process.
const INSTANCES_MAX: u32 = 256;

static SHARED: OnceLock<Shared> = OnceLock::new();

struct Shared {
    runtime: Runtime,
    /// As long as it is held, nothing is compiled again.
    _code: Code,
}

/// What releases run in. Called first outside of a runtime.
///
/// # Panics
/// When there is no engine, or the module is none.
pub(super) fn tiers(env: &Env) -> Tiers {
    let runtime = shared().runtime.clone();
    // No release asks for a process of its own.
    let none = Program { path: "none".into(), arguments: Vec::new() };
    Tiers { runtime, workers: Workers::new(none, env) }
}

fn shared() -> &'static Shared {
    SHARED.get_or_init(|| {
        let env = Env { spawn: Arc::new(Timeless(InPlace)), ..Env::simulated(0) };
        let options = Options { instances_max: INSTANCES_MAX, ..Options::default() };
        let runtime = Runtime::start(options, &env).expect("there is room for an engine");
        let made = cairn_functions::component(CODE.as_bytes());
        let (component, digest) = made.expect("the module is sound");
        let digest = blake3::Hash::from_hex(&digest).expect("it is a hash in hexadecimal");
        let code = block_on(runtime.code(*digest.as_bytes(), component));
        Shared { runtime, _code: code.expect("the module can be compiled") }
    })
}

/// Tasks and work in place, and no thread of its own: the engine's clock stands still, so that no guest is
/// interrupted where a machine was slow.
struct Timeless(InPlace);

impl Spawn for Timeless {
    fn task(&self, task: Task) {
        self.0.task(task);
    }

    fn work(&self, work: Work) {
        self.0.work(work);
    }

    fn thread(&self, work: Work) -> Result<(), Lost> {
        drop(work);
        Ok(())
    }

    fn lane(&self, task: Task) {
        self.0.lane(task);
    }
}

/// The code as people would upload it.
pub(super) fn upload() -> Bytes {
    Bytes::from_static(CODE.as_bytes())
}

/// Compiles what is to be run, before anything is random by a seed: the compiler has threads.
pub(super) fn ready() {
    shared();
}
