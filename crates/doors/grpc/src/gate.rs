//! What every call goes through: the table of RPCs, who asks, and whether that one may (ACCESS-1).
//!
//! The credential is looked at before a message is read; what a call is about stands in its message,
//! so its handler hands that to [`Call`], and an answer of a call that was never decided is not sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use cairn_access::{Access, Action, Origin, Resource, Shown, Use, Visit};
use cairn_datasets::Uploads;
use cairn_env::{Env, Finish};
use cairn_kv::{Error as KvError, Seq};
use futures::FutureExt as _;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Code, Status};
use tracing::Instrument as _;

use crate::error::Error;
use crate::intake::{Intake, Room, taken_in};
use crate::limits::{KV_MESSAGES_BYTES_MAX, OPEN_MAX};
use crate::rpc::{self, Permission, Rpc, Scope};

/// What lets calls in. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) access: Access,
    pub(crate) uploads: Uploads,
    pub(crate) env: Env,
    pub(crate) body_wait: std::time::Duration,
    pub(crate) open: Arc<Semaphore>,
    /// Room for messages with values, in bytes.
    pub(crate) room: Arc<Semaphore>,
}

/// A message that says what it is about.
pub(crate) trait Asked {
    /// The resources of this scope.
    fn resources(&self, scope: Scope) -> Result<Vec<Resource>, Error>;

    /// The upload that it is about.
    fn upload(&self) -> Option<&str> {
        None
    }
}

/// What the gate puts into the extensions of a request.
#[derive(Clone)]
struct Entered {
    rpc: &'static Rpc,
    visit: Visit,
    uploads: Uploads,
    env: Env,
    decided: Arc<AtomicBool>,
    room: Option<Room>,
}

/// A call that was let in.
pub(crate) struct Call {
    entered: Entered,
    /// What was asked and granted, to be asked again.
    granted: Vec<(Action, Resource)>,
    /// Its use, where uses are counted.
    used: Option<Arc<Use>>,
    /// The room of its message, where it needed some.
    held: Option<OwnedSemaphorePermit>,
}

impl Gate {
    pub(crate) fn new(
        access: Access,
        uploads: Uploads,
        env: Env,
        wait: std::time::Duration,
    ) -> Self {
        let open = Arc::new(Semaphore::new(OPEN_MAX));
        let room = Arc::new(Semaphore::new(KV_MESSAGES_BYTES_MAX));
        Self { access, uploads, env, body_wait: wait, open, room }
    }

    async fn admit(&self, Asker { shown, origin }: Asker) -> Result<Visit, Error> {
        let unreadable = |error| Error::Access(self.access.refuse(&origin, error));
        let authorization = authorization(&shown).map_err(unreadable)?;
        // A session's cookie is a browser's, and no browser calls here.
        let shown = Shown { authorization, ..Shown::default() };
        Ok(self.access.admit(shown, origin).await?)
    }
}

/// What a request says of who sends it.
struct Asker {
    /// The first two headers that say who: one too many is enough to know.
    shown: [Option<HeaderValue>; 2],
    origin: Origin,
}

impl Asker {
    fn of(request: &Request) -> Self {
        let origin = request.extensions().get::<Origin>().cloned().unwrap_or_default();
        let mut shown = request.headers().get_all(header::AUTHORIZATION).iter().cloned();
        Self { shown: [shown.next(), shown.next()], origin }
    }
}

/// The one `Authorization` header.
fn authorization(shown: &[Option<HeaderValue>; 2]) -> Result<Option<&str>, cairn_access::Error> {
    let unreadable = |detail| cairn_access::Error::Header { detail };
    let [first, second] = shown;
    if second.is_some() {
        return Err(unreadable("there are two of them"));
    }
    let first = first.as_ref().map(HeaderValue::to_str).transpose();
    first.map_err(|_| unreadable("it holds bytes that are no text"))
}

/// Lets a call through to its handler, or not.
pub(crate) async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    if let Some((status, why)) = no_call(&request) {
        return (status, why).into_response();
    }
    let Some(rpc) = rpc::find(request.uri().path()) else {
        return Status::unimplemented("there is no such RPC; reflection lists what there is")
            .into_http();
    };
    let room = rpc.is_large().then(|| Room::new(&gate.room));
    let intake = Intake {
        clock: Arc::clone(&gate.env.clock),
        wait: gate.body_wait,
        rests: rpc.rests(),
        room: room.clone(),
    };
    let slowed = |request: Request| request.map(|body| taken_in(body, intake));
    let asker = Asker::of(&request);
    let answered = match rpc.permission {
        Permission::Open | Permission::Description => {
            match open(&gate, rpc.permission, asker).await {
                Ok(place) => Ok(held(next.run(slowed(request)).await, place)),
                Err(error) => Err(error),
            }
        }
        Permission::Needs(_) => match gate.admit(asker).await {
            Ok(visit) => Ok(decided(&gate, rpc, (visit, room), slowed(request), next).await),
            Err(error) => Err(error),
        },
    };
    answered.map_or_else(|error| Status::from(error).into_http(), |answer| said(rpc, answer))
}

/// Only what no web page can send without being asked is a call: a browser adds credentials to
/// requests that any page makes.
fn no_call(request: &Request) -> Option<(StatusCode, &'static str)> {
    if request.method() != Method::POST {
        return Some((StatusCode::METHOD_NOT_ALLOWED, "gRPC calls are POST\n"));
    }
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let rest = kind.and_then(|kind| kind.strip_prefix("application/grpc"));
    if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['+', ';'])) {
        return None;
    }
    let text = "this is a gRPC call; use a gRPC client, or the REST API below /api/v1\n";
    Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
}

/// A place among the calls that anybody may make.
async fn open(
    gate: &Gate,
    permission: Permission,
    asker: Asker,
) -> Result<OwnedSemaphorePermit, Error> {
    // Health does not ask the bucket who asks: it may be that which is not well.
    if permission == Permission::Description && asker.shown[0].is_some() {
        gate.admit(asker).await?;
    }
    let place = Arc::clone(&gate.open).try_acquire_owned();
    place.map_err(|_| Error::Busy { what: "calls of health and reflection", max: OPEN_MAX })
}

/// The answer keeps the place to its end.
fn held(response: Response, place: OwnedSemaphorePermit) -> Response {
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _held = &place;
            frame
        }))
    })
}

async fn decided(
    gate: &Gate,
    rpc: &'static Rpc,
    (visit, room): (Visit, Option<Room>),
    mut request: Request,
    next: Next,
) -> Response {
    let decided = Arc::new(AtomicBool::new(false));
    let entered = Entered {
        rpc,
        visit,
        uploads: gate.uploads.clone(),
        env: gate.env.clone(),
        decided: Arc::clone(&decided),
        room,
    };
    let span = tracing::info_span!("call", rpc = rpc.path, id = entered.visit.origin().request);
    request.extensions_mut().insert(entered);
    let response = next.run(request).instrument(span).await;
    let refused = Status::from_header_map(response.headers()).is_some();
    if refused || decided.load(Ordering::Acquire) {
        return response;
    }
    let detail = format!("{} answered without a decision", rpc.path);
    Status::from(Error::Internal { detail }).into_http()
}

/// A message over the bound is told with the bound and a next step.
fn said(rpc: &Rpc, response: Response) -> Response {
    let status = Status::from_header_map(response.headers());
    match status {
        Some(status) if is_too_large(&status) => {
            Status::from(Error::TooLarge { max: rpc.message_bytes_max() }).into_http()
        }
        _ => response,
    }
}

/// Whether a message was not read because of its length.
pub(crate) fn is_too_large(status: &Status) -> bool {
    status.code() == Code::OutOfRange && status.message().contains("message length too large")
}

impl Call {
    /// The call of a request whose messages are read later.
    pub(crate) fn of<T>(request: &tonic::Request<T>) -> Result<Self, Error> {
        let entered = request.extensions().get::<Entered>().cloned();
        let entered = entered
            .ok_or_else(|| Error::Internal { detail: "a call came past the gate".to_owned() })?;
        Ok(Self { entered, granted: Vec::new(), used: None, held: None })
    }

    /// The call of a request with one message, decided.
    pub(crate) fn admit<M: Asked>(request: tonic::Request<M>) -> Result<(Self, M), Error> {
        let mut call = Self::of(&request)?;
        let message = request.into_inner();
        call.held = call.room_of_next();
        call.decide(&message)?;
        Ok((call, message))
    }

    /// Asks every rule of the RPC about what the message names (ACCESS-1).
    pub(crate) fn decide<M: Asked>(&mut self, message: &M) -> Result<(), Error> {
        let Permission::Needs(rules) = self.entered.rpc.permission else { return Ok(()) };
        for rule in rules {
            let mut about = message.resources(rule.scope)?;
            if matches!(rule.scope, Scope::Upload | Scope::Targets)
                && let Some(upload) = message.upload()
            {
                about.extend(self.targets_of(upload)?);
            }
            for resource in about {
                self.ask(rule.action, &resource)?;
                self.granted.push((rule.action, resource));
            }
        }
        if self.granted.is_empty() {
            let detail = format!("{} is about nothing", self.entered.rpc.path);
            return Err(Error::Internal { detail });
        }
        self.entered.decided.store(true, Ordering::Release);
        Ok(())
    }

    /// Says that its messages are read, and decided on, while it is answered: nothing is told before.
    pub(crate) fn decides_later(&self) {
        self.entered.decided.store(true, Ordering::Release);
    }

    /// What an upload of the caller will change. Somebody without a name has none.
    fn targets_of(&self, upload: &str) -> Result<Vec<Resource>, Error> {
        let Some(owner) = self.entered.visit.caller().owner() else {
            return Ok(vec![Resource::Cluster]);
        };
        let id = crate::names::upload(upload)?;
        let targets = self.entered.uploads.targets(id, owner.as_str())?;
        let about = targets.into_iter().map(|target| target.dataset);
        Ok(about.map(|dataset| Resource::Dataset(dataset.project, dataset.name)).collect())
    }

    /// Asks all of it again on the state of now (ACCESS-5).
    pub(crate) async fn again(&mut self) -> Result<(), Error> {
        self.entered.visit = self.entered.visit.again().await?;
        let granted = std::mem::take(&mut self.granted);
        let asked = granted.iter().try_for_each(|(action, resource)| self.ask(*action, resource));
        self.granted = granted;
        asked
    }

    /// Whether the caller may do this: recorded, or counted where there is too much of it (ACCESS-9).
    fn ask(&mut self, action: Action, resource: &Resource) -> Result<(), Error> {
        let visit = &self.entered.visit;
        if self.entered.rpc.counted {
            self.used = Some(Arc::new(visit.authorize_counted(action, resource)?));
        } else {
            visit.authorize(action, resource)?;
        }
        Ok(())
    }

    /// The room of the next message of a call that reads messages itself.
    pub(crate) fn room_of_next(&self) -> Option<OwnedSemaphorePermit> {
        self.entered.room.as_ref().and_then(Room::of_next)
    }

    /// The room of the message that the call came with.
    pub(crate) fn held(&mut self) -> Option<OwnedSemaphorePermit> {
        self.held.take()
    }

    /// A change of keys: it is made to its end whether or not its client is still there, and what came of
    /// it is counted (ACCESS-9). Until then the message has its room.
    pub(crate) fn counted<T, W>(
        &self,
        held: Option<OwnedSemaphorePermit>,
        work: W,
        seq: fn(&T) -> Seq,
    ) -> Finish<Result<T, Error>>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, KvError>> + Send + 'static,
    {
        let used = self.used.clone();
        self.entered.env.finish(async move {
            let detail = "a change of keys is not counted";
            let used = used.ok_or_else(|| Error::Internal { detail: detail.to_owned() })?;
            let done = work.await;
            drop(held);
            match done {
                Ok(done) => {
                    used.changed(seq(&done).0)?;
                    Ok(done)
                }
                Err(error) => {
                    used.failed(&error.to_string())?;
                    Err(error.into())
                }
            }
        })
    }

    /// Who asks, and the state that it was decided on.
    pub(crate) fn visit(&self) -> &Visit {
        &self.entered.visit
    }

    /// Who asks, for what is written in somebody's name.
    pub(crate) fn by(&self) -> Result<String, Error> {
        let owner = self.entered.visit.caller().owner();
        let name = owner.map(ToString::to_string);
        name.ok_or_else(|| Error::Internal { detail: "an anonymous caller writes".to_owned() })
    }

    /// Makes a change, recorded before and after (ACCESS-6), to its end as
    /// [`Call::to_its_end`] does. `detail` says what was changed.
    pub(crate) fn change<T, E, W, D>(
        &self,
        work: W,
        detail: D,
    ) -> impl Future<Output = Result<T, Error>> + Send + use<T, E, W, D>
    where
        T: Send + 'static,
        E: Into<Error>,
        W: Future<Output = Result<T, E>> + Send + 'static,
        D: FnOnce(&T) -> String + Send + 'static,
    {
        let visit = self.visit().clone();
        let work = async move { work.await.map_err(Into::into) };
        let changed = self.to_its_end(async move { visit.change(work, detail).await });
        changed.map(|ended| ended.and_then(|done| done))
    }

    /// Runs work to its end whether or not its caller is still there: a client that goes away does not
    /// cut an upload in two.
    pub(crate) fn to_its_end<T, W>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, Error>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        self.entered.env.spawn.to_its_end(work).map(|done| done.map_err(Error::from))
    }
}
