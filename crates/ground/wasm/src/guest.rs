//! What an instance holds on the host's side.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::blobs::{Blobs, Staged};
use crate::exchange::Exchange;
use crate::fate::Fate;
use crate::files::{Called, Files};
use crate::limits::{Limits, TABLE_ELEMENTS_MAX};
use crate::logs::{Budget, Logs, Pipe, PipeEnd, Stream};
use crate::meter::{Meter, Running, interrupted};
use crate::outside::{Outbound, Outside};
use crate::runtime::Runtime;
use crate::sink::Sink;
use crate::stores::Stores;

/// Handles of a component that may be open at a time.
const HANDLES_MAX: usize = 10_000;

/// What a function sees of the world besides what it is asked.
#[derive(Clone)]
pub struct World {
    /// Its environment variables, and what it is configured with.
    pub environment: Vec<(String, String)>,
    /// Where its stdout and stderr go.
    pub logs: Arc<dyn Logs>,
    /// What it may open.
    pub stores: Arc<dyn Stores>,
    /// What it may read as files.
    pub files: Arc<dyn Files>,
    /// What it may keep as objects.
    pub blobs: Arc<dyn Blobs>,
    /// Whom it may ask.
    pub outside: Arc<dyn Outside>,
}

/// The host's side of one instance.
pub(crate) struct Guest {
    wasi: WasiCtx,
    pub(crate) table: ResourceTable,
    pub(crate) stores: Arc<dyn Stores>,
    pub(crate) files: Arc<dyn Files>,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) staged: Staged,
    pub(crate) exchange: Exchange,
    /// What it was called with, when it is a program.
    pub(crate) called: Option<Arc<Called>>,
    config: WasiConfigVariables,
    http: WasiHttpCtx,
    pub(crate) outbound: Outbound,
    limiter: Limiter,
    pub(crate) meter: Meter,
    pub(crate) budget: Arc<Budget>,
    _ends: [PipeEnd; 2],
    _running: Running,
}

impl Guest {
    /// A store for one instance.
    pub(crate) fn store(
        runtime: &Runtime,
        limits: &Limits,
        world: &World,
        fate: &Arc<Fate>,
        with: impl FnOnce(&mut WasiCtxBuilder),
    ) -> Store<Self> {
        let budget = Budget::new(Arc::clone(&world.logs), limits.log_bytes);
        let clock = &runtime.env().clock;
        let outbound = Outbound::new(&world.outside, clock, &budget, limits.requests);
        let pipe = |stream| Pipe::new(stream, &budget);
        let (out, err) = (pipe(Stream::Stdout), pipe(Stream::Stderr));
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(Sink(out.clone())).stderr(Sink(err.clone()));
        for (name, value) in &world.environment {
            wasi.env(name, value);
        }
        with(&mut wasi);
        let guest = Self {
            wasi: wasi.build(),
            table: ResourceTable::new(),
            stores: Arc::clone(&world.stores),
            files: Arc::clone(&world.files),
            blobs: Arc::clone(&world.blobs),
            staged: Staged::new(limits.output_bytes),
            exchange: Exchange::new(runtime.env()),
            called: None,
            config: world.environment.iter().cloned().collect(),
            http: WasiHttpCtx::new(),
            outbound,
            limiter: Limiter::new(limits, fate),
            meter: Meter::new(limits.cpu_ms),
            budget,
            _ends: [PipeEnd(out), PipeEnd(err)],
            _running: runtime.running(),
        };
        let mut store = Store::new(runtime.engine(), guest);
        store.limiter(|guest| &mut guest.limiter);
        store.set_max_component_handles(HANDLES_MAX);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(interrupted);
        store
    }
}

impl Guest {
    /// Tells it something in its log.
    pub(crate) fn say(&self, what: &str) {
        self.budget.line(Stream::Stderr, format!("cairn: {what}").as_bytes());
    }

    /// Its environment variables, as `wasi:config` has them.
    pub(crate) fn config(&mut self) -> WasiConfig<'_> {
        WasiConfig::from(&self.config)
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outbound }
    }
}

/// Bounds what an instance holds.
struct Limiter {
    left: usize,
    fate: Arc<Fate>,
}

impl Limiter {
    fn new(limits: &Limits, fate: &Arc<Fate>) -> Self {
        let left = usize::try_from(limits.memory_bytes).unwrap_or(usize::MAX);
        Self { left, fate: Arc::clone(fate) }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        match self.left.checked_sub(desired.saturating_sub(current)) {
            Some(left) => {
                self.left = left;
                Ok(true)
            }
            None => {
                self.fate.refuse_memory();
                Ok(false)
            }
        }
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX && maximum.is_none_or(|maximum| desired <= maximum))
    }
}
