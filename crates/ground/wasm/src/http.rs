//! Functions that answer HTTP requests.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::handler::{
    ExpirationError, HandlerState, Instance, InstantiationError, ProxyHandler, ProxyPre,
    ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};

use crate::body::Body;
use crate::code::{Code, Entry};
use crate::error::Failure;
use crate::fate::{self, Fate, Late};
use crate::guest::{Guest, World};
use crate::limits::Limits;
use crate::outside::Chain;
use crate::places::Places;
use crate::runtime::Runtime;

/// How long it is waited for how an instance ended that gave no answer.
const END_WAIT: Duration = Duration::from_millis(100);

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
        let State { runtime, limits, .. } = self.handler.state();
        let place = Arc::new(self.places.take(&*runtime.env().clock, limits).await?);
        let chain = request.extensions().get::<Chain>().copied().unwrap_or_default();
        let told = Arc::new(Ticket { instance: OnceLock::new(), chain, place });
        let answered = self.handler.handle(Arc::clone(&told), request).await;
        match answered {
            Ok(response) => {
                Ok(response.map(|body| Answer { body, told, has_ended: false }.boxed_unsync()))
            }
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
            return fate::failure(&error.error, limits, &Fate::default());
        }
        let Some((fate, _)) = told.instance.get() else {
            return fate::failure(error, limits, &Fate::default());
        };
        let ended = tokio::select! {
            biased;
            ended = fate.ended() => ended,
            () = runtime.env().clock.sleep(END_WAIT) => Ok(()),
        };
        ended.err().unwrap_or_else(|| fate::failure(error, limits, fate))
    }
}

/// What goes to the instance with a request, and is there until the answer is read or dropped. It keeps the place for
/// as long as the instance works on it, also when whoever has sent it is gone.
struct Ticket {
    /// What the instance tells about itself, once it has the request, and what it waits for when that is of 0.3.
    instance: OnceLock<(Arc<Fate>, Option<Arc<Answers>>)>,
    chain: Chain,
    place: Arc<OwnedSemaphorePermit>,
}

/// The body of an answer. One that ends because its instance did is broken off: who reads it is not to take it for whole.
struct Answer {
    body: Body,
    told: Told,
    has_ended: bool,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = wasmtime_wasi_http::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if !matches!(polled, Poll::Ready(None)) {
            return polled;
        }
        self.has_ended = true;
        let broke = self.told.instance.get().and_then(|(fate, _)| fate.broke());
        let error = |why| wasmtime_wasi_http::Error::InternalError(Some(why));
        Poll::Ready(broke.map(|why| Err(error(why))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some((_, Some(answers))) = self.instance.get() {
            answers.end();
        }
    }
}

type Told = Arc<Ticket>;

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
        let (fate, answers) = (Arc::<Fate>::default(), Arc::<Answers>::default());
        let mut store = Guest::store(&self.runtime, &self.limits, &self.world, &fate, |_| {});
        // Code may run for it that waits.
        let clock = &self.runtime.env().clock;
        let proxy = tokio::select! {
            biased;
            made = self.pre.instantiate_async(&mut store) => made?,
            () = clock.sleep(self.limits.wall()) => return Err(wasmtime::Error::new(Late)),
        };
        let streams = matches!(*self.pre, ProxyPre::P3(_));
        let limits = self.limits.clone();
        Ok(Instance {
            store,
            proxy,
            view: Guest::http,
            expiration: Expiry::new(&self.limits, &fate, &answers),
            state: Worker { limits, fate, answers, streams, place: Mutex::default() },
        })
    }
}

/// The answers of one instance that are not read to their end.
///
/// In `wasi:http` 0.3 an answer has a body and trailers that somebody else may make, also when the function has nothing
/// left to do: they pass the instance, which has to last for so long. In 0.2 nothing does that it has not passed on.
#[derive(Default)]
struct Answers(Mutex<Pending>);

#[derive(Default)]
struct Pending {
    count: usize,
    /// Whether the instance has answered as often as it may.
    is_last: bool,
    /// Of the instance.
    waker: Option<Waker>,
}

impl Answers {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        let mut pending = self.pending();
        pending.count -= 1;
        let waker = pending.waker.take();
        drop(pending);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// When an instance is dropped.
struct Expiry {
    idle: Duration,
    wall: Duration,
    sleep: Pin<Box<tokio::time::Sleep>>,
    fate: Arc<Fate>,
    answers: Arc<Answers>,
}

impl Expiry {
    fn new(limits: &Limits, fate: &Arc<Fate>, answers: &Arc<Answers>) -> Self {
        let sleep = Box::pin(tokio::time::sleep(limits.wall()));
        let (fate, answers) = (Arc::clone(fate), Arc::clone(answers));
        Self { idle: limits.idle(), wall: limits.wall(), sleep, fate, answers }
    }

    /// How long an instance is left alone that has nothing to do.
    fn rest(&self, context: &Context<'_>) -> Duration {
        let mut pending = self.answers.pending();
        pending.waker = Some(context.waker().clone());
        match (pending.count, pending.is_last) {
            (1.., _) => self.wall,
            (0, true) => Duration::ZERO,
            (0, false) => self.idle,
        }
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
            WorkerStatus::Idle => self.rest(context),
            WorkerStatus::Requests | WorkerStatus::PostReturn => self.wall,
        };
        let until: tokio::time::Instant = (since + most).into();
        // One that rings too early is cheaper than one that is set anew for each request.
        if self.sleep.deadline() > until {
            self.sleep.as_mut().reset(until);
        }
        while self.sleep.as_mut().poll(context).is_ready() {
            if self.sleep.deadline() >= until {
                if status != WorkerStatus::Idle {
                    self.fate.expire();
                }
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(until);
        }
        Poll::Pending
    }
}

/// One instance.
struct Worker {
    limits: Limits,
    fate: Arc<Fate>,
    answers: Arc<Answers>,
    /// Whether it speaks `wasi:http` 0.3.
    streams: bool,
    /// The place of an instance that answers one request: until it is dropped.
    place: Mutex<Option<Arc<OwnedSemaphorePermit>>>,
}

impl WorkerState for Worker {
    type StoreData = Guest;
    type RequestData = Told;

    fn should_accept_request(&self, at_once: usize, before: usize) -> ShouldAccept {
        let reuse = &self.limits.reuse;
        let is_last = before >= reuse.requests as usize;
        let mut pending = self.answers.pending();
        pending.is_last = is_last;
        if is_last && pending.count == 0 {
            ShouldAccept::Never
        } else if is_last || at_once.max(pending.count) >= reuse.at_once as usize {
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
        guest.outbound.refill(self.limits.requests);
        guest.outbound.asked_by(told.chain, self.limits.reuse.at_once <= 1);
        // It is new: nothing was told before.
        let answers = self.streams.then(|| Arc::clone(&self.answers));
        self.answers.pending().count += usize::from(self.streams);
        drop(told.instance.set((Arc::clone(&self.fate), answers)));
        let (place, wall) = (Arc::clone(&told.place), self.limits.wall());
        if self.limits.reuse.requests == 1 {
            let mut kept = self.place.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = Some(Arc::clone(&place));
        }
        // It is dropped when the request is answered.
        let expires = tokio::time::sleep(wall);
        Box::pin(async move {
            let _place = place;
            expires.await;
        })
    }

    fn drop(&self, store: Store<Guest>, result: Result<(), wasmtime::Error>) {
        // First that, for answers that end with the store look at it.
        self.fate.end(result.map_err(|error| fate::failure(&error, &self.limits, &self.fate)));
        drop(store);
    }
}
