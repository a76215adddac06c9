//! Functions that are programs.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use wasmtime_wasi::I32Exit;

use crate::code::{Code, Entry};
use crate::error::Failure;
use crate::fate::{self, Fate};
use crate::files::{Called, File, Stdin};
use crate::guest::{Guest, World};
use crate::limits::Limits;
use crate::outside::Chain;
use crate::places::Places;
use crate::program::Program;
use crate::runtime::Runtime;
use crate::sink::{Sink, Take};

/// A run of a program.
#[derive(Clone, Default)]
pub struct Call {
    /// Its arguments, the program's name first.
    pub arguments: Vec<String>,
    /// Its inputs; the first one is its standard input too.
    pub inputs: Vec<Arc<dyn File>>,
    /// Environment variables beside those of its world.
    pub environment: Vec<(String, String)>,
    /// Who has asked whom for it.
    pub chain: Chain,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("arguments", &self.arguments).finish_non_exhaustive()
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// Its standard output.
    pub output: Bytes,
    /// Its exit code.
    pub exit: i32,
}

/// Compiled code that is a program, with its limits and its world. Cheap to clone.
#[derive(Clone)]
pub struct Command {
    runtime: Runtime,
    program: Arc<Program>,
    limits: Limits,
    world: World,
    places: Places,
}

impl Command {
    /// Ready to be run.
    ///
    /// # Errors
    /// [`Failure::Kind`] for code of another kind.
    pub fn new(code: &Code, limits: Limits, world: World) -> Result<Self, Failure> {
        let Entry::Command(program) = &code.entry else {
            return Err(Failure::Kind { is: "answers HTTP requests", asked: "run as a command" });
        };
        let (runtime, places) = (code.runtime.clone(), Places::new(&limits));
        let program = Arc::clone(program);
        Ok(Self { runtime, program, limits, world, places })
    }

    /// Runs it to its end. Its standard error goes to the logs.
    ///
    /// # Errors
    /// [`Failure`]; an exit code is none.
    pub async fn run(&self, call: Call) -> Result<Done, Failure> {
        let (limits, clock) = (&self.limits, &self.runtime.env().clock);
        let _place = self.places.take(&**clock, limits).await?;
        let output = Output::new(limits.output_bytes);
        let fate = Arc::<Fate>::default();
        let mut store = Guest::store(&self.runtime, limits, &self.world, &fate, |wasi| {
            if let Some(input) = call.inputs.first() {
                wasi.stdin(Stdin::of(input));
            }
            wasi.stdout(Sink(output.clone())).args(&call.arguments).envs(&call.environment);
        });
        let written = AtomicU64::new(0);
        let environment = [self.world.environment.clone(), call.environment].concat();
        let (arguments, inputs, output_file) = (call.arguments, call.inputs, output.clone());
        let called = Called { arguments, environment, inputs, output: output_file, written };
        let called = Arc::new(called);
        store.data_mut().called = Some(Arc::clone(&called));
        store.data_mut().outbound.asked_by(call.chain, true);
        let ran = self.program.run(&mut store, &called);
        let ended = tokio::select! {
            biased;
            ended = ran => ended,
            () = clock.sleep(limits.wall()) => {
                return Err(Failure::Wall { limit_ms: limits.wall_ms });
            }
        };
        store.data_mut().end_answer();
        drop(store);
        let Some(written) = output.taken() else {
            return Err(Failure::Output { limit_bytes: limits.output_bytes });
        };
        let exit = match ended {
            Ok(Ok(())) => 0,
            Ok(Err(())) => 1,
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(exit) => exit.0,
                None => return Err(fate::failure(&error, limits, &fate)),
            },
        };
        Ok(Done { output: written, exit })
    }
}

/// What a program writes to its standard output; once there is too much, nothing is kept any more.
#[derive(Clone)]
pub(crate) struct Output {
    kept: Arc<Mutex<Option<BytesMut>>>,
    max: u64,
}

impl Output {
    fn new(max: u64) -> Self {
        Self { kept: Arc::new(Mutex::new(Some(BytesMut::new()))), max }
    }

    fn kept(&self) -> MutexGuard<'_, Option<BytesMut>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self) -> Option<Bytes> {
        self.kept().take().map(BytesMut::freeze)
    }
}

impl Take for Output {
    const ENDS: bool = true;

    fn take(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut kept = self.kept();
        let room = kept.as_ref().map_or(0, |kept| self.max.saturating_sub(kept.len() as u64));
        if bytes.len() as u64 > room {
            *kept = None;
            return Err(std::io::Error::other("the output is too long"));
        }
        if let Some(kept) = kept.as_mut() {
            kept.extend_from_slice(bytes);
        }
        Ok(())
    }
}
