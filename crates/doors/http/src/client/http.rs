//! Requests: addresses, credentials, retries, errors, counting.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cairn_base::{ErrorKind, ProjectName};
use cairn_datasets::{Error, Project};
use cairn_egress::reasons;
use cairn_env::Env;
use futures::{Stream, StreamExt as _};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, Semaphore};
use url::Url;

use super::header;
use super::trust::Trust;
use crate::place::ErrorBody;

/// Requests under way at a time.
const IN_FLIGHT_MAX: usize = 16;
/// How often one request is sent.
const ATTEMPTS_MAX: u32 = 5;
/// The first pause between attempts; it doubles.
const PAUSE: Duration = Duration::from_millis(100);
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long an answer may stand still. A publication proves that all chunks are there, so it may
/// take its time.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// How long a body in pieces may take with its answer.
const UPLOAD_MAX: Duration = Duration::from_secs(6 * 3600);
/// The most bytes of an answer that is JSON.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The most bytes of an error that are shown.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// Projects whose key is remembered.
const PROJECTS_MAX: usize = 256;

/// Bytes of bodies on the wire.
#[derive(Debug, Default)]
pub struct Wire {
    up: AtomicU64,
    down: AtomicU64,
    requests: AtomicU64,
}

impl Wire {
    /// Bytes of request bodies sent.
    #[must_use]
    pub fn up(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }

    /// Bytes of response bodies received.
    #[must_use]
    pub fn down(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    /// Requests sent.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// A node over HTTP. Cheap to clone; all clones share connections and counters.
#[derive(Clone)]
pub struct Node {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    base: Url,
    token: Option<String>,
    client: reqwest::Client,
    trust: Trust,
    /// Waits for an answer for as long as a body is on its way; made when it is needed.
    patient: OnceLock<reqwest::Client>,
    env: Env,
    wire: Wire,
    in_flight: Semaphore,
    projects: Mutex<Vec<(ProjectName, Project)>>,
}

/// Whether a request may be sent again when its answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    /// It changes nothing, or the same twice.
    Yes,
    /// Only when it certainly had no effect.
    Unsent,
}

/// A request whose address is encoded already.
pub(super) struct Asked<'a> {
    pub(super) method: Method,
    /// Below the node's address, without a slash before.
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) headers: &'a [(&'a str, String)],
    pub(super) body: Option<(&'static str, Bytes)>,
    pub(super) again: Again,
}

impl Node {
    /// A node at `url`, such as `http://127.0.0.1:7400`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an address that is none.
    pub fn new(url: &str, token: Option<&str>, env: &Env) -> Result<Self, Error> {
        Self::with_trust(url, token, &Trust::default(), env)
    }

    /// The same, with certificates of its own.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an address or a certificate that is none.
    pub fn with_trust(
        url: &str,
        token: Option<&str>,
        trust: &Trust,
        env: &Env,
    ) -> Result<Self, Error> {
        let bad = |why: String| Error::Invalid { detail: format!("{url:?} is no node: {why}") };
        let mut base = Url::parse(url).map_err(|error| bad(error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(bad("an address begins with http:// or https://".to_owned()));
        }
        if !base.path().ends_with('/') {
            let path = format!("{}/", base.path());
            base.set_path(&path);
        }
        let builder = builder(trust).map_err(bad)?;
        let client = builder.read_timeout(SILENCE_MAX).build();
        let client = client.map_err(|error| bad(reasons(&error)))?;
        Ok(Self {
            shared: Arc::new(Shared {
                base,
                token: token.map(str::to_owned),
                client,
                trust: trust.clone(),
                patient: OnceLock::new(),
                env: env.clone(),
                wire: Wire::default(),
                in_flight: Semaphore::new(IN_FLIGHT_MAX),
                projects: Mutex::default(),
            }),
        })
    }

    /// What went over the wire.
    #[must_use]
    pub fn wire(&self) -> &Wire {
        &self.shared.wire
    }

    /// Where the node is.
    #[must_use]
    pub fn url(&self) -> &str {
        self.shared.base.as_str()
    }

    pub(super) fn env_ref(&self) -> &Env {
        &self.shared.env
    }

    /// The key of a project, asked for once.
    pub(super) async fn project_key(&self, project: &ProjectName) -> Result<Project, Error> {
        let mut known = self.shared.projects.lock().await;
        if let Some((_, found)) = known.iter().find(|(name, _)| name == project) {
            return Ok(found.clone());
        }
        let path = ["api", "v1", "projects", project.as_str(), "key"];
        let key: crate::api::ProjectKey = self.get(&path, &[]).await?;
        let found = Project { key: read_key(&key.key)?, bucket_id: key.bucket_id };
        known.truncate(PROJECTS_MAX - 1);
        known.push((project.clone(), found.clone()));
        Ok(found)
    }

    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, Error> {
        let response = self.send(Method::GET, path, query, None, Again::Yes).await?;
        self.json(response).await
    }

    /// Sends JSON and reads JSON.
    pub(super) async fn call<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &B,
        again: Again,
    ) -> Result<T, Error> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Error::Invalid { detail: format!("a request is no JSON: {error}") })?;
        let body = Some(("application/json", Bytes::from(body)));
        let response = self.send(method, path, &[], body, again).await?;
        self.json(response).await
    }

    pub(super) async fn json<T: DeserializeOwned>(&self, response: Response) -> Result<T, Error> {
        let body = self.whole(response, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&body)
            .map_err(|error| strange(&format!("its JSON is not what it should be: {error}")))
    }

    /// A whole answer of at most `max` bytes.
    pub(super) async fn whole(&self, response: Response, max: usize) -> Result<Bytes, Error> {
        let mut pieces = Box::pin(self.pieces(response));
        let mut all = BytesMut::new();
        while let Some(piece) = pieces.next().await {
            all.extend_from_slice(&piece?);
            if all.len() > max {
                return Err(strange(&format!("its answer is longer than {max} bytes")));
            }
        }
        Ok(all.freeze())
    }

    /// An answer in pieces.
    pub(super) fn pieces(
        &self,
        response: Response,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
        let node = self.clone();
        response.bytes_stream().map(move |piece| match piece {
            Ok(piece) => {
                node.shared.wire.down.fetch_add(piece.len() as u64, Ordering::Relaxed);
                Ok(piece)
            }
            Err(error) => Err(node.broken(&error)),
        })
    }

    /// Sends a request and waits for the head of its answer, which is a success.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<(&'static str, Bytes)>,
        again: Again,
    ) -> Result<Response, Error> {
        let sent = body.as_ref().map_or(0, |(_, body)| body.len() as u64);
        let request = || self.request(method.clone(), path, query, body.clone());
        self.attempt(again, sent, request).await
    }

    /// The same for an address that is encoded already, with headers.
    pub(super) async fn ask(&self, asked: &Asked<'_>) -> Result<Response, Error> {
        let sent = asked.body.as_ref().map_or(0, |(_, body)| body.len() as u64);
        self.attempt(asked.again, sent, || self.encoded(asked)).await
    }

    /// The same once, for an answer that may go on for as long as it likes.
    pub(super) async fn ask_once(&self, asked: &Asked<'_>) -> Result<Response, Error> {
        self.shared.wire.requests.fetch_add(1, Ordering::Relaxed);
        let response = self.encoded(asked)?.send().await.map_err(|error| self.broken(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    /// Sends a request with a body that comes in pieces, once.
    pub(super) async fn send_pieces(
        &self,
        asked: &Asked<'_>,
        body: reqwest::Body,
        size: Option<u64>,
    ) -> Result<Response, Error> {
        let _place = self.shared.in_flight.acquire().await.map_err(|_| cairn_env::Lost)?;
        self.shared.wire.requests.fetch_add(1, Ordering::Relaxed);
        let mut request = self.encoded_by(self.patient()?, asked)?.timeout(UPLOAD_MAX);
        if let Some(size) = size {
            request = request.header(reqwest::header::CONTENT_LENGTH, size);
        }
        let sent = request.body(body).send().await;
        let response = sent.map_err(|error| self.broken(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    fn patient(&self) -> Result<&reqwest::Client, Error> {
        if let Some(client) = self.shared.patient.get() {
            return Ok(client);
        }
        let bad =
            |why: String| Error::Invalid { detail: format!("no requests can be made: {why}") };
        let made = builder(&self.shared.trust).map_err(bad)?.build();
        let made = made.map_err(|error| bad(reasons(&error)))?;
        Ok(self.shared.patient.get_or_init(|| made))
    }

    async fn attempt(
        &self,
        again: Again,
        sent_bytes: u64,
        request: impl Fn() -> Result<RequestBuilder, Error>,
    ) -> Result<Response, Error> {
        let _place = self.shared.in_flight.acquire().await.map_err(|_| cairn_env::Lost)?;
        let mut pause = PAUSE;
        for attempt in 1.. {
            self.shared.wire.requests.fetch_add(1, Ordering::Relaxed);
            let failed = match request()?.send().await {
                Ok(response) if response.status().is_success() => {
                    self.shared.wire.up.fetch_add(sent_bytes, Ordering::Relaxed);
                    return Ok(response);
                }
                Ok(response) => {
                    let status = response.status();
                    let refused = self.refused(response).await;
                    if !matches!(
                        status,
                        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
                    ) {
                        return Err(refused);
                    }
                    refused
                }
                Err(error) if error.is_builder() => return Err(self.broken(&error)),
                Err(error) if error.is_connect() || again == Again::Yes => self.broken(&error),
                Err(error) => return Err(self.broken(&error)),
            };
            if attempt >= ATTEMPTS_MAX {
                return Err(failed);
            }
            tracing::debug!(%failed, attempt, "trying again");
            self.shared.env.clock.sleep(pause).await;
            pause *= 2;
        }
        unreachable!("the loop ends by returning")
    }

    /// Sends a request once and waits for the head of its answer, which is a success and may go on
    /// for as long as it likes.
    pub(super) async fn open(
        &self,
        method: Method,
        path: &[&str],
        headers: &[(&str, &str)],
    ) -> Result<Response, Error> {
        let mut request = self.request(method, path, &[], None)?;
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.shared.wire.requests.fetch_add(1, Ordering::Relaxed);
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(response).await)
    }

    fn encoded(&self, asked: &Asked<'_>) -> Result<RequestBuilder, Error> {
        self.encoded_by(&self.shared.client, asked)
    }

    fn encoded_by(
        &self,
        client: &reqwest::Client,
        asked: &Asked<'_>,
    ) -> Result<RequestBuilder, Error> {
        let mut url = self.shared.base.clone();
        let path = format!("{}{}", url.path(), asked.path);
        url.set_path(&path);
        url.set_query(Some(asked.query).filter(|query| !query.is_empty()));
        let mut request = client.request(asked.method.clone(), url);
        if let Some(token) = &self.shared.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in asked.headers {
            let (name, value) = header::sent(name, value)?;
            request = request.header(name, value);
        }
        if let Some((media_type, body)) = &asked.body {
            let body = body.clone();
            request = request.header(reqwest::header::CONTENT_TYPE, *media_type).body(body);
        }
        Ok(request)
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<(&'static str, Bytes)>,
    ) -> Result<RequestBuilder, Error> {
        let mut url = self.shared.base.clone();
        url.path_segments_mut()
            .map_err(|()| Error::Invalid { detail: "the node's address has no path".to_owned() })?
            .pop_if_empty()
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.shared.client.request(method, url);
        if let Some(token) = &self.shared.token {
            request = request.bearer_auth(token);
        }
        if let Some((media_type, body)) = body {
            request = request.header(reqwest::header::CONTENT_TYPE, media_type).body(body);
        }
        Ok(request)
    }

    /// What a node that answered with an error said.
    async fn refused(&self, response: Response) -> Error {
        let status = response.status();
        let said = self.whole(response, REFUSAL_BYTES_MAX).await.unwrap_or_default();
        match serde_json::from_slice::<ErrorBody>(&said) {
            Ok(body) => {
                let kind = ErrorKind::parse(&body.error.kind).unwrap_or(kind_of(status));
                Error::Remote { kind, message: body.error.message }
            }
            Err(_) => {
                let message = format!("{} answered {status}; is it a Cairn node?", self.url());
                Error::Remote { kind: kind_of(status), message }
            }
        }
    }

    /// A connection that was not there, or broke; or a request that none can be made of.
    fn broken(&self, error: &reqwest::Error) -> Error {
        let (url, why) = (self.url().trim_end_matches('/'), reasons(error));
        if error.is_builder() {
            return Error::Invalid { detail: format!("{url} cannot be asked so: {why}") };
        }
        let message = if error.is_connect() {
            format!("cannot reach {url}: {why}; is the node running? start one with `cairn up`")
        } else {
            format!("the connection to {url} broke: {why}")
        };
        Error::Remote { kind: ErrorKind::Closed, message }
    }
}

/// What all requests have in common.
fn builder(trust: &Trust) -> Result<reqwest::ClientBuilder, String> {
    Ok(trust
        .apply(reqwest::Client::builder())?
        .connect_timeout(CONNECT_MAX)
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(IN_FLIGHT_MAX)
        .tcp_nodelay(true)
        .user_agent(concat!("cairn/", env!("CARGO_PKG_VERSION"))))
}

pub(super) fn strange(what: &str) -> Error {
    let message = format!("the node answered strangely: {what}; are both of one version?");
    Error::Remote { kind: ErrorKind::Internal, message }
}

pub(super) fn read_key(text: &str) -> Result<cairn_chunk::ChunkKey, Error> {
    let mut key = [0; cairn_chunk::ID_BYTES];
    hex::decode_to_slice(text, &mut key)
        .map_err(|_| strange("a project's key is not 64 hexadecimal digits"))?;
    Ok(cairn_chunk::ChunkKey::new(key))
}

fn kind_of(status: StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 | 403 => ErrorKind::Denied,
        404 | 410 => ErrorKind::NotFound,
        409 | 412 => ErrorKind::Conflict,
        413 | 507 => ErrorKind::Exhausted,
        429 | 503 => ErrorKind::Retry,
        400..=499 => ErrorKind::Invalid,
        _ => ErrorKind::Internal,
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.shared.base)
    }
}
