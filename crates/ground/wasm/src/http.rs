//! Functions that answer HTTP requests.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::handler::{
    ExpirationError, HandlerState, Instance, InstantiationError, ProxyHandler, ProxyPre,
    ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};

use crate::code::{Code, Entry};
use crate::error::Failure;
use crate::guest::{Fate, Guest, World};
use crate::limits::Limits;
use crate::meter::Over;
use crate::places::Places;
use crate::runtime::Runtime;

/// How long it is waited for how an instance ended that gave no answer.
const END_WAIT: Duration = Duration::from_millis(100);

/// The body of a request or of an answer.
pub type Body = wasmtime_wasi_http::WasiBody;

/// Compiled code that answers requests, with its limits and its world. Cheap to clone.
#[derive(Clone)]
pub struct HttpFunction {
    handler: ProxyHandler<State>,
    places: Places,
}

impl HttpFunction {
    /// Ready for requests.
    ///
    /// # Errors
    /// [`Failure::Kind`] for code of another kind.
    pub fn new(code: &Code, limits: Limits, world: World) -> Result<Self, Failure> {
        let Entry::Http(pre) = &code.entry else {
            return Err(Failure::Kind { is: "is a command", asked: "answer a request" });
        };
        let places = Places::new(&limits);
        let (runtime, pre) = (code.runtime.clone(), Arc::clone(pre));
        let handler = ProxyHandler::new(State { runtime, pre, limits, world });
        Ok(Self { handler, places })
    }

    /// Answers a request. The answer's body is made while it is read, and keeps its place until it is dropped.
    ///
    /// # Errors
    /// [`Failure`]: no answer was begun. What fails later breaks the body.
    pub async fn handle(
        &self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Failure> {
        let place = self.places.take().await?;
        let told = Told::default();
        let answered = self.handler.handle(Arc::clone(&told), request).await;
        match answered {
            Ok(response) => Ok(response.map(|body| kept(body, place))),
            Err(error) => Err(self.failure(&error, &told).await),
        }
    }

    /// Why a request has no answer. The engine tells who waits before it says how the instance ended.
    async fn failure(&self, error: &wasmtime::Error, told: &Told) -> Failure {
        let State { limits, runtime, .. } = self.handler.state();
        if error.is::<ExpirationError>() {
            return Failure::Wall { limit_ms: limits.wall_ms };
        }
        if let Some(error) = error.downcast_ref::<InstantiationError<Told>>() {
            return of(&error.error, limits, &Fate::default());
        }
        let Some(fate) = told.get() else { return of(error, limits, &Fate::default()) };
        let ended = tokio::select! {
            biased;
            ended = fate.ended() => ended,
            () = runtime.env().clock.sleep(END_WAIT) => Ok(()),
        };
        ended.err().unwrap_or_else(|| of(error, limits, fate))
    }
}

/// What the error of a guest says.
pub(crate) fn of(error: &wasmtime::Error, limits: &Limits, fate: &Fate) -> Failure {
    if error.is::<Over>() {
        return Failure::Cpu { limit_ms: limits.cpu_ms };
    }
    if fate.out_of_time() {
        return Failure::Wall { limit_ms: limits.wall_ms };
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return Failure::Full;
    }
    if fate.refused_memory() {
        return Failure::Memory { limit_bytes: limits.memory_bytes };
    }
    if let Some(trap) = error.downcast_ref::<wasmtime::Trap>() {
        let backtrace = error.downcast_ref::<wasmtime::WasmBacktrace>();
        let backtrace = backtrace.map(ToString::to_string).unwrap_or_default();
        return Failure::Trap { message: trap.to_string(), backtrace };
    }
    Failure::NoAnswer { detail: format!("{error:#}") }
}

/// A body that keeps its place.
fn kept(body: Body, place: OwnedSemaphorePermit) -> Body {
    body.map_frame(move |frame| {
        let _place = &place;
        frame
    })
    .boxed_unsync()
}

/// What an instance tells about itself to who has called it.
type Told = Arc<OnceLock<Arc<Fate>>>;

/// How instances of one function are made.
struct State {
    runtime: Runtime,
    pre: Arc<ProxyPre<Guest>>,
    limits: Limits,
    world: World,
}

impl HandlerState for State {
    type StoreData = Guest;
    type WorkerExpiration = Expiry;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Guest, Expiry, Worker>> {
        let fate = Arc::<Fate>::default();
        let mut store = Guest::store(&self.runtime, &self.limits, &self.world, &fate, |_| {});
        let proxy = self.pre.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy,
            view: Guest::http,
            expiration: Expiry::new(&self.limits, &fate),
            state: Worker { limits: self.limits.clone(), fate },
        })
    }
}

/// When an instance is dropped.
struct Expiry {
    idle: Duration,
    wall: Duration,
    sleep: Pin<Box<tokio::time::Sleep>>,
    fate: Arc<Fate>,
}

impl Expiry {
    fn new(limits: &Limits, fate: &Arc<Fate>) -> Self {
        let sleep = Box::pin(tokio::time::sleep(limits.wall()));
        Self { idle: limits.idle(), wall: limits.wall(), sleep, fate: Arc::clone(fate) }
    }
}

impl WorkerExpiration for Expiry {
    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        status: WorkerStatus,
        since: Instant,
    ) -> Poll<()> {
        let most = match status {
            WorkerStatus::Idle => self.idle,
            WorkerStatus::Requests | WorkerStatus::PostReturn => self.wall,
        };
        let until = (since + most).into();
        if self.sleep.deadline() != until {
            self.sleep.as_mut().reset(until);
        }
        let over = self.sleep.as_mut().poll(context);
        if over.is_ready() && status != WorkerStatus::Idle {
            self.fate.expire();
        }
        over
    }
}

/// One instance.
struct Worker {
    limits: Limits,
    fate: Arc<Fate>,
}

impl WorkerState for Worker {
    type StoreData = Guest;
    type RequestData = Told;

    fn should_accept_request(&self, at_once: usize, before: usize) -> ShouldAccept {
        let reuse = &self.limits.reuse;
        if before >= reuse.requests as usize {
            ShouldAccept::Never
        } else if at_once >= reuse.at_once as usize {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        mut store: StoreContextMut<'_, Guest>,
        told: Told,
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        let guest = store.data_mut();
        guest.meter.restart();
        guest.budget.refill(self.limits.log_bytes);
        // It is new: nothing was told before.
        drop(told.set(Arc::clone(&self.fate)));
        Box::pin(tokio::time::sleep(self.limits.wall()))
    }

    fn drop(&self, store: Store<Guest>, result: Result<(), wasmtime::Error>) {
        drop(store);
        self.fate.end(result.map_err(|error| of(&error, &self.limits, &self.fate)));
    }
}

/// A body that comes from a client.
pub fn streamed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let broken = |error: B::Error| {
        wasmtime_wasi_http::Error::InternalError(Some(format!(
            "the client's body broke off: {error}"
        )))
    };
    body.map_err(broken).boxed_unsync()
}

/// A body of bytes that are there.
#[must_use]
pub fn whole(bytes: Bytes) -> Body {
    http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}
