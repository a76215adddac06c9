//! Requests of guests to others: `wasi:http/outgoing-handler`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cairn_env::Clock;
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Semaphore;
use wasmtime_wasi_http::{
    Error as HttpError, RequestOptions, Result as HttpResult, WasiBody, WasiHttpHooks,
};

use crate::body::{Body, Kept};
use crate::logs::{Budget, Stream};

/// Requests of one instance that are under way at a time; more are refused, for one that waited could wait for
/// itself.
const AT_ONCE_MAX: usize = 16;

/// How a request came to be, as an extension of it: what a guest is asked and sends has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Guests that have asked each other before it.
    pub depth: u32,
}

/// Sends the requests of a guest, whoever it is, to where it may send them.
#[async_trait]
pub trait Outside: Send + Sync + 'static {
    /// The answer to a request, whose body may still be on its way.
    ///
    /// # Errors
    /// [`OutsideError`].
    async fn send(
        &self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, OutsideError>;
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum OutsideError {
    /// The guest may not send it. It is told in the guest's log why not.
    #[error("{0}")]
    Denied(String),
    /// No request can be sent there.
    #[error("{0}")]
    Address(String),
    /// As many are under way as may.
    #[error("too many requests are under way: {0}")]
    Busy(String),
    /// No connection.
    #[error("no connection: {0}")]
    Connection(String),
    /// It took too long.
    #[error("no answer in time")]
    Late,
    /// The answer is none.
    #[error("no answer: {0}")]
    Broken(String),
}

impl From<OutsideError> for HttpError {
    fn from(error: OutsideError) -> Self {
        match error {
            OutsideError::Denied(_) => Self::HttpRequestDenied,
            OutsideError::Address(_) => Self::HttpRequestUriInvalid,
            OutsideError::Busy(_) => Self::ConnectionLimitReached,
            OutsideError::Connection(_) => Self::ConnectionRefused,
            OutsideError::Late => Self::HttpResponseTimeout,
            OutsideError::Broken(why) => Self::InternalError(Some(why)),
        }
    }
}

/// The requests of one instance.
pub(crate) struct Outbound {
    outside: Arc<dyn Outside>,
    clock: Arc<dyn Clock>,
    budget: Arc<Budget>,
    places: Arc<Semaphore>,
    left: u32,
    chain: Chain,
}

impl Outbound {
    pub(crate) fn new(
        outside: &Arc<dyn Outside>,
        clock: &Arc<dyn Clock>,
        budget: &Arc<Budget>,
        requests: u32,
    ) -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE_MAX));
        let (outside, clock, budget) = (Arc::clone(outside), Arc::clone(clock), Arc::clone(budget));
        Self { outside, clock, budget, places, left: requests, chain: Chain::default() }
    }

    /// A call begins on an instance that has seen others.
    pub(crate) fn refill(&mut self, requests: u32) {
        self.left = requests;
    }

    /// It was asked by this chain. Of the calls that an instance does at a time the longest counts.
    pub(crate) fn asked_by(&mut self, chain: Chain, alone: bool) {
        let depth = if alone { 0 } else { self.chain.depth };
        self.chain.depth = depth.max(chain.depth);
    }

    /// One request more, whose answer is read as fast as it comes.
    pub(crate) fn sent(
        &mut self,
        mut request: http::Request<Body>,
        waits: RequestOptions,
    ) -> impl Future<Output = Result<http::Response<Body>, OutsideError>> + Send + use<> {
        request.extensions_mut().insert(Chain { depth: self.chain.depth + 1 });
        let counted = self.left.checked_sub(1);
        self.left = counted.unwrap_or(0);
        let place = Arc::clone(&self.places).try_acquire_owned();
        let (outside, clock) = (Arc::clone(&self.outside), Arc::clone(&self.clock));
        let budget = Arc::clone(&self.budget);
        async move {
            let sent = async {
                let busy = |why: String| OutsideError::Busy(why);
                let many = "the call has sent as many as limits.requests allows";
                counted.ok_or_else(|| busy(many.to_owned()))?;
                let place = place.map_err(|_| {
                    busy(format!("one instance has at most {AT_ONCE_MAX} under way"))
                })?;
                let answered = answered(&outside, &clock, request, waits).await?;
                Ok(answered.map(|body| Kept::new(body, place).boxed_unsync()))
            };
            sent.await.inspect_err(|error: &OutsideError| {
                budget.line(
                    Stream::Stderr,
                    format!("cairn: a request was not sent: {error}").as_bytes(),
                );
            })
        }
    }
}

async fn answered(
    outside: &Arc<dyn Outside>,
    clock: &Arc<dyn Clock>,
    request: http::Request<Body>,
    waits: RequestOptions,
) -> Result<http::Response<Body>, OutsideError> {
    let sent = outside.send(request);
    let most = match (waits.connect_timeout, waits.first_byte_timeout) {
        (None, None) => return sent.await,
        // How long the connection took is not told apart.
        (connect, first) => {
            connect.unwrap_or(Duration::ZERO).saturating_add(first.unwrap_or(Duration::MAX))
        }
    };
    tokio::select! {
        biased;
        answered = sent => answered,
        () = clock.sleep(most) => Err(OutsideError::Late),
    }
}

type Io = Box<dyn Future<Output = HttpResult<()>> + Send>;

impl WasiHttpHooks for Outbound {
    /// The address says it.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = HttpResult<(http::Response<WasiBody>, Io)>> + Send> {
        let sent = self.sent(request, options.unwrap_or_default());
        Box::new(async move {
            let response = sent.await?;
            let io: Io = Box::new(std::future::ready(Ok(())));
            Ok((response, io))
        })
    }
}
