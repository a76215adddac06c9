//! What an instance holds on the host's side.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error as HttpError, RequestOptions, Result as HttpResult, WasiBody, WasiHttpCtx,
    WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use crate::error::Failure;
use crate::limits::Limits;
use crate::logs::{Budget, Logs, Pipe, PipeEnd, Stream};
use crate::meter::{Meter, Running, interrupted};
use crate::runtime::Runtime;

/// Handles of a component that may be open at a time.
const HANDLES_MAX: usize = 10_000;
/// Elements of all tables of an instance.
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// What a function sees of the world besides what it is asked.
#[derive(Clone)]
pub struct World {
    /// Its environment variables.
    pub environment: Vec<(String, String)>,
    /// Where its stdout and stderr go.
    pub logs: Arc<dyn Logs>,
}

/// The host's side of one instance.
pub(crate) struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    outbound: Outbound,
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
        let pipe = |stream| Pipe::new(stream, &budget);
        let (out, err) = (pipe(Stream::Stdout), pipe(Stream::Stderr));
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(out.clone()).stderr(err.clone());
        for (name, value) in &world.environment {
            wasi.env(name, value);
        }
        with(&mut wasi);
        let guest = Self {
            wasi: wasi.build(),
            table: ResourceTable::new(),
            http: WasiHttpCtx::new(),
            outbound: Outbound,
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

/// Requests to others: none is allowed.
struct Outbound;

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        _: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = HttpResult<()>> + Send>,
    ) -> Box<
        dyn Future<
                Output = HttpResult<(
                    http::Response<WasiBody>,
                    Box<dyn Future<Output = HttpResult<()>> + Send>,
                )>,
            > + Send,
    > {
        Box::new(std::future::ready(Err(HttpError::HttpRequestDenied)))
    }
}

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
    pub(crate) fn refused_memory(&self) -> bool {
        self.refused_memory.load(Ordering::Relaxed)
    }

    /// It is dropped, for it took too long.
    pub(crate) fn expire(&self) {
        self.out_of_time.store(true, Ordering::Relaxed);
    }

    pub(crate) fn out_of_time(&self) -> bool {
        self.out_of_time.load(Ordering::Relaxed)
    }

    /// It is over.
    pub(crate) fn end(&self, how: Result<(), Failure>) {
        self.ended.send_replace(Some(how));
    }

    /// How it ended, once it has.
    pub(crate) async fn ended(&self) -> Result<(), Failure> {
        let mut ended = self.ended.subscribe();
        let ended = ended.wait_for(Option::is_some).await;
        ended.ok().and_then(|how| how.clone()).unwrap_or(Ok(()))
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
                self.fate.refused_memory.store(true, Ordering::Relaxed);
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

    fn instances(&self) -> usize {
        1000
    }

    fn tables(&self) -> usize {
        1000
    }

    fn memories(&self) -> usize {
        1000
    }
}
