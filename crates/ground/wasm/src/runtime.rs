use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cairn_env::Env;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::cache::{Cache, Digest};
use crate::code::{Code, WeakEntry};
use crate::error::Error;
use crate::guest::Guest;
use crate::limits::TABLE_ELEMENTS_MAX;
use crate::meter::{Running, Ticker};

/// The stack of a guest, in bytes.
const STACK_BYTES: usize = 512 << 10;
/// Its stack with that of the host's functions that it calls.
const FIBER_BYTES: usize = 1 << 20;
/// Core instances, memories and tables of one component.
const PARTS_MAX: u32 = 64;
/// Bytes of an instance's own state.
const INSTANCE_BYTES_MAX: usize = 10 << 20;
/// Bytes of a slot's memory that are cleared instead of given back.
const KEEP_RESIDENT_BYTES: usize = 64 << 10;
/// Bytes that guard a memory that is not of the pool.
const GUARD_BYTES: u64 = 64 << 10;
/// Bytes of compiled code that are kept.
const CACHE_BYTES_MAX: u64 = 8 << 30;
/// Compilations at a time; each uses as many threads as there are.
const COMPILATIONS_MAX: usize = 1;

/// Where components are compiled when that is not this process: what makes a compiler compute or allocate without end, or
/// brings it down, is then somebody else's end.
pub trait Compiler: Send + Sync + 'static {
    /// What [`precompile`] makes of a component, made elsewhere. It blocks until that is done.
    ///
    /// # Errors
    /// [`Error::Compile`] for what cannot be compiled, or not within the compiler's bounds; [`Error::Lost`] when there is
    /// no compiler just now.
    fn compile(&self, component: &[u8]) -> Result<Vec<u8>, Error>;
}

/// What a runtime is started with.
#[derive(Clone)]
pub struct Options {
    /// Where compiled code is kept; without it everything is compiled again after a start.
    pub cache: Option<PathBuf>,
    /// Bytes of it at most; what was not used for the longest time goes first, and is compiled again when it is called.
    pub cache_bytes_max: u64,
    /// What seals compiled code: a secret that is not in that directory.
    pub key: [u8; 32],
    /// What compiles; this process itself when there is none.
    pub compiler: Option<Arc<dyn Compiler>>,
    /// Instances at a time.
    pub instances_max: u32,
    /// Memory of one instance at most, in bytes.
    pub memory_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache: None,
            cache_bytes_max: CACHE_BYTES_MAX,
            key: [0; 32],
            compiler: None,
            instances_max: 1000,
            memory_bytes_max: 4 << 30,
        }
    }
}

/// An engine with what components may import. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    shared: Arc<Shared>,
}

struct Shared {
    engine: Engine,
    linker: Linker<Guest>,
    cache: Option<Cache>,
    compiler: Option<Arc<dyn Compiler>>,
    /// What is mapped now: functions with the same code share it.
    mapped: Mutex<BTreeMap<Digest, WeakEntry>>,
    ticker: Arc<Ticker>,
    compiling: Arc<tokio::sync::Semaphore>,
    env: Env,
}

impl Runtime {
    /// Starts an engine.
    ///
    /// # Errors
    /// [`Error::Engine`], [`Error::Cache`].
    pub fn start(options: Options, env: &Env) -> Result<Self, Error> {
        let failed = |error: wasmtime::Error| Error::Engine { detail: format!("{error:#}") };
        let (engine, pooled) = engine(&options).map_err(failed)?;
        let linker = linker(&engine).map_err(failed)?;
        let cache = options
            .cache
            .map(|dir| Cache::open(dir, options.key, options.cache_bytes_max))
            .transpose()?;
        let ticker = Ticker::start(&engine, env)?;
        let compiling = Arc::new(tokio::sync::Semaphore::new(COMPILATIONS_MAX));
        let env = env.clone();
        let mapped = Mutex::default();
        // Elsewhere it is compiled for a pool.
        let compiler = options.compiler.filter(|_| pooled);
        let shared = Shared { engine, linker, cache, compiler, mapped, ticker, compiling, env };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The code of the component with this hash, when this node has compiled it before.
    ///
    /// # Errors
    /// [`Error::Imports`], [`Error::World`]; [`Error::Lost`].
    pub async fn known(&self, digest: Digest) -> Result<Option<Code>, Error> {
        if let Some(entry) = self.mapped().get(&digest).and_then(WeakEntry::upgrade) {
            return Ok(Some(Code { runtime: self.clone(), digest, entry }));
        }
        let runtime = self.clone();
        let found = self.beside(move || runtime.found(&digest)).await?;
        found.map(|component| self.linked(digest, &component)).transpose()
    }

    /// The code of a component with this hash, compiled now, which takes seconds for a large one. One that was
    /// prepared ([`crate::prepare()`]).
    ///
    /// # Errors
    /// [`Error::Compile`], [`Error::Imports`], [`Error::World`]; [`Error::Cache`], [`Error::Lost`].
    pub async fn code(&self, digest: Digest, component: Bytes) -> Result<Code, Error> {
        let closed = |_| Error::Lost { detail: "the node stops".to_owned() };
        let turn = Arc::clone(&self.shared.compiling).acquire_owned().await.map_err(closed)?;
        let runtime = self.clone();
        // It goes on when nobody waits any more, and has its turn until it is over.
        let work = move || {
            let _turn = turn;
            runtime.compiled(&digest, &component)
        };
        let compiled = self.beside(work).await?;
        self.linked(digest, &compiled?)
    }

    /// The code that another process of this program compiled and let go of by [`Code::bytes`].
    ///
    /// # Safety
    /// They are bytes of [`Code::bytes`], as they were: whoever chooses others chooses what this process does.
    ///
    /// # Errors
    /// [`Error::Compile`] for what another version compiled, or for another machine; [`Error::Imports`], [`Error::World`].
    #[allow(unsafe_code, reason = "the contract of the engine's own function is passed on")]
    pub unsafe fn adopt(&self, digest: Digest, compiled: &[u8]) -> Result<Code, Error> {
        // SAFETY: the caller says that the engine made them.
        let component = unsafe { Component::deserialize(self.engine(), compiled) };
        self.linked(digest, &component.map_err(refused)?)
    }

    fn linked(&self, digest: Digest, component: &Component) -> Result<Code, Error> {
        let code = Code::of(self, digest, component)?;
        let mut mapped = self.mapped();
        mapped.retain(|_, entry| entry.upgrade().is_some());
        mapped.insert(digest, code.entry.downgrade());
        Ok(code)
    }

    fn mapped(&self) -> MutexGuard<'_, BTreeMap<Digest, WeakEntry>> {
        self.shared.mapped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Work on a thread of its own.
    pub(crate) async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let lost = |_| Error::Lost { detail: "its thread is gone".to_owned() };
        self.shared.env.spawn.run(work).await.map_err(lost)
    }

    fn found(&self, digest: &Digest) -> Option<Component> {
        self.shared.cache.as_ref()?.find(&self.shared.engine, digest)
    }

    /// What the compiler made, where that is kept.
    pub(crate) fn kept(&self, digest: &Digest) -> Option<Vec<u8>> {
        self.shared.cache.as_ref()?.read(&self.shared.engine, digest)
    }

    #[allow(unsafe_code, reason = "what was compiled is taken into the engine")]
    fn compiled(&self, digest: &Digest, component: &[u8]) -> Result<Component, Error> {
        let engine = &self.shared.engine;
        // Another one may have compiled it while this one waited for its turn.
        if let Some(found) = self.found(digest) {
            return Ok(found);
        }
        let compiled = match &self.shared.compiler {
            Some(compiler) => compiler.compile(component)?,
            None => engine.precompile_component(component).map_err(refused)?,
        };
        if let Some(cache) = &self.shared.cache
            && let Some(mapped) = cache.keep(engine, digest, &compiled)?
        {
            return Ok(mapped);
        }
        // SAFETY: the compiler has just made them.
        unsafe { Component::deserialize(engine, &compiled) }.map_err(refused)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    pub(crate) fn linker(&self) -> &Linker<Guest> {
        &self.shared.linker
    }

    pub(crate) fn env(&self) -> &Env {
        &self.shared.env
    }

    /// Lets time pass for guests.
    pub(crate) fn running(&self) -> Running {
        self.shared.ticker.running()
    }
}

/// Compiles a component that was prepared ([`crate::prepare()`]), to be run by this program on a machine like this one.
///
/// # Errors
/// [`Error::Compile`]; [`Error::Engine`].
pub fn precompile(component: &[u8]) -> Result<Vec<u8>, Error> {
    let failed = |error: wasmtime::Error| Error::Engine { detail: format!("{error:#}") };
    let mut config = config();
    let options = Options { instances_max: 1, ..Options::default() };
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(&options)));
    let engine = Engine::new(&config).map_err(failed)?;
    engine.precompile_component(component).map_err(refused)
}

fn refused(error: wasmtime::Error) -> Error {
    Error::Compile { detail: format!("{error:#}") }
}

/// An engine with a pool of places for instances, or where there is no room for its addresses, without one; and which.
fn engine(options: &Options) -> wasmtime::Result<(Engine, bool)> {
    let mut pooled = config();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(options)));
    Engine::new(&pooled).map(|engine| (engine, true)).or_else(|error| {
        tracing::warn!(
            error = %error.root_cause(),
            "functions begin more slowly: there is no room for a pool of instances, raise the limit of addresses (ulimit -v)"
        );
        let mut bare = config();
        bare.memory_reservation(0).memory_guard_size(GUARD_BYTES);
        Ok((Engine::new(&bare)?, false))
    })
}

fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        .async_stack_size(FIBER_BYTES)
        .memory_init_cow(true);
    config
}

fn pool(options: &Options) -> PoolingAllocationConfig {
    let instances = options.instances_max;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(4))
        .total_memories(instances.saturating_mul(2))
        .total_tables(instances.saturating_mul(4))
        .total_stacks(instances)
        .max_core_instances_per_component(PARTS_MAX)
        .max_memories_per_component(PARTS_MAX)
        .max_tables_per_component(PARTS_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(options.memory_bytes_max)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(KEEP_RESIDENT_BYTES);
    pool
}

/// What components may import.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_config::add_to_linker(&mut linker, Guest::config)?;
    crate::stores::add_to_linker(&mut linker)?;
    crate::logging::add_to_linker(&mut linker)?;
    crate::blobs::add_to_linker(&mut linker)?;
    crate::exchange::add_to_linker(&mut linker)?;
    // In place of the files of this machine.
    linker.allow_shadowing(true);
    crate::files::add_to_linker(&mut linker)?;
    linker.allow_shadowing(false);
    Ok(linker)
}
