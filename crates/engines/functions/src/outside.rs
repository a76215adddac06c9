//! Where a function sends requests: to what its release names, and nowhere else (FUNCTIONS-5).

mod recent;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cairn_base::ProjectName;
use cairn_egress::{Egress, NoTls, Reach, Refused, Waits};
use cairn_env::{Clock, Env};
use cairn_wasm::{Body, Kept, Outside, OutsideError, streamed};
use http::header::{CONNECTION, HOST, HeaderValue};
use http_body::Body as _;
use http_body_util::BodyDataStream;
use tokio::sync::Semaphore;
use url::{Host, Url};

use self::recent::Recent;
use crate::inside::Inside;

/// Origins that one release names.
pub(crate) const ORIGINS_MAX: usize = 100;
/// Requests of the functions of a project that are under way at a time on a node.
const REQUESTS_MAX: usize = 256;

/// How long a connection is waited for.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long a connection is kept for another request: shorter than servers do, who close it while one is on its way.
const IDLE_WAIT: Duration = Duration::from_secs(4);

/// What sends the requests of functions; `private` lets them go to addresses of this machine and its networks.
///
/// # Errors
/// [`NoTls`].
pub fn egress(private: bool, env: &Env) -> Result<Egress, NoTls> {
    let reach = Reach { private, option: "--functions-to-private" };
    let waits = Waits { connect: CONNECT_WAIT, all: None, idle: Some(IDLE_WAIT) };
    Egress::new(reach, waits, env)
}

/// `SCHEME://HOST[:PORT]`, where the host may be `*.` and a name, for all below that, or `*` for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    scheme: String,
    host: Which,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    All,
    Below(String),
    One(String),
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("{text:?} is no origin: {why}");
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("write https://HOST"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if !matches!(scheme, "http" | "https") || rest.contains(['/', '?', '#', '@', '\\']) {
            return Err(wrong("write http:// or https://, a host, and a port if it is another"));
        }
        let below = rest.strip_prefix("*.");
        let all = rest == "*" || rest.starts_with("*:");
        let name =
            if all { rest.replacen('*', "all", 1) } else { below.unwrap_or(rest).to_owned() };
        if name.contains('*') {
            return Err(wrong("a * stands alone, or for what is below a name"));
        }
        let url = Url::parse(&format!("{scheme}://{name}")).map_err(|e| wrong(&e.to_string()))?;
        let host = match url.host() {
            Some(_) if all => Which::All,
            Some(Host::Domain(name)) if below.is_some() => Which::Below(format!(".{name}")),
            Some(host) if below.is_none() => Which::One(host.to_string()),
            _ => return Err(wrong("there is nothing below its host")),
        };
        let port = url.port_or_known_default().ok_or_else(|| wrong("it has no port"))?;
        Ok(Self { scheme: scheme.to_owned(), host, port })
    }
}

impl Origin {
    fn has(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let named = match &self.host {
            Which::All => true,
            Which::Below(name) => host.ends_with(name.as_str()),
            Which::One(name) => host == name,
        };
        named && url.scheme() == self.scheme && url.port_or_known_default() == Some(self.port)
    }
}

/// What all functions of a node send requests with. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sender {
    egress: Egress,
    clock: Arc<dyn Clock>,
    projects: Arc<Mutex<BTreeMap<ProjectName, Share>>>,
}

/// What the functions of one project send with.
#[derive(Clone)]
struct Share {
    egress: Egress,
    clock: Arc<dyn Clock>,
    recent: Arc<Recent>,
    places: Arc<Semaphore>,
}

impl Sender {
    pub(crate) fn new(egress: Egress, env: &Env) -> Self {
        Self { egress, clock: Arc::clone(&env.clock), projects: Arc::default() }
    }

    /// For a function of a project that may ask these.
    pub(crate) fn to(
        &self,
        project: &ProjectName,
        origins: &[String],
        inside: Inside,
    ) -> Result<FunctionOutside, String> {
        let origins: Vec<Origin> =
            origins.iter().map(|origin| origin.parse()).collect::<Result<_, _>>()?;
        let mut projects = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
        let share = match projects.get(project) {
            Some(share) => share.clone(),
            // One that asks nobody needs no share.
            None if origins.is_empty() => self.share(self.egress.clone()),
            None => {
                let share = self.share(self.egress.apart().map_err(|error| error.to_string())?);
                projects.entry(project.clone()).or_insert(share).clone()
            }
        };
        Ok(FunctionOutside { share, origins, inside })
    }

    fn share(&self, egress: Egress) -> Share {
        let (clock, places) = (Arc::clone(&self.clock), Arc::new(Semaphore::new(REQUESTS_MAX)));
        Share { egress, clock, recent: Arc::default(), places }
    }
}

impl Share {
    /// Whether the connection is kept for another request to where this one goes.
    fn keeps(&self, url: &Url) -> bool {
        let origin = url.origin().ascii_serialization();
        self.recent.keeps(origin, self.clock.monotonic(), IDLE_WAIT)
    }
}

/// The requests of one function.
pub(crate) struct FunctionOutside {
    share: Share,
    origins: Vec<Origin>,
    inside: Inside,
}

impl FunctionOutside {
    fn is_named(&self, url: &Url) -> bool {
        self.origins.iter().any(|origin| origin.has(url))
    }

    /// Where a request goes, when it may.
    fn allowed(&self, request: &http::Request<Body>) -> Result<Url, OutsideError> {
        let text = request.uri().to_string();
        // What is not among its origins is told as that, wherever it is.
        let url = match Url::parse(&text) {
            Ok(url) if !self.is_named(&url) => url,
            _ => self.share.egress.look_at(&text).map_err(denied)?,
        };
        let named = !url.username().is_empty() || url.password().is_some();
        if named || request.method() == http::Method::CONNECT {
            let why = "an address has no user, and nothing is tunnelled";
            return Err(OutsideError::Address(why.to_owned()));
        }
        if !self.is_named(&url) {
            let origin = url.origin().ascii_serialization();
            let why = format!("{origin} is not among what it may ask (--outbound {origin})");
            return Err(OutsideError::Denied(why));
        }
        Ok(url)
    }
}

#[async_trait]
impl Outside for FunctionOutside {
    async fn send(
        &self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, OutsideError> {
        if let Some(function) = self.inside.named(request.uri()) {
            return self.inside.send(function?, request).await;
        }
        let url = self.allowed(&request)?;
        let place = Arc::clone(&self.share.places).try_acquire_owned().map_err(|_| {
            OutsideError::Busy(format!(
                "the functions of this project have {REQUESTS_MAX} under way"
            ))
        })?;
        let (mut parts, body) = request.into_parts();
        parts.headers.remove(HOST);
        if !self.share.keeps(&url) {
            parts.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let client = self.share.egress.client();
        let mut sent = client.request(parts.method, url).headers(parts.headers);
        if !body.is_end_stream() {
            sent = sent.body(reqwest::Body::wrap_stream(BodyDataStream::new(body)));
        }
        let response = sent.send().await.map_err(|error| failed(&error))?;
        let response = http::Response::<reqwest::Body>::from(response);
        Ok(response.map(|body| streamed(Kept::new(body, place))))
    }
}

fn denied(refused: Refused) -> OutsideError {
    match refused {
        Refused::Address { .. } => OutsideError::Address(refused.to_string()),
        Refused::Private { .. } => OutsideError::Denied(refused.to_string()),
    }
}

fn failed(error: &reqwest::Error) -> OutsideError {
    let why = cairn_egress::reasons(error);
    match cairn_egress::refused(error) {
        Some(refused) => denied(refused.clone()),
        None if error.is_timeout() => OutsideError::Late,
        None if error.is_connect() => OutsideError::Connection(why),
        None => OutsideError::Broken(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(origin: &str, url: &str) -> bool {
        origin.parse::<Origin>().unwrap().has(&Url::parse(url).unwrap())
    }

    #[test]
    fn functions_5_an_origin_is_for_its_own_requests() {
        for (origin, url) in [
            ("https://a.example.org", "https://a.example.org/x?y"),
            ("https://a.example.org/", "https://A.Example.org:443/"),
            ("http://a.example.org:8080", "http://a.example.org:8080/"),
            ("https://*.example.org", "https://a.example.org/"),
            ("https://*.example.org", "https://a.b.example.org/"),
            ("https://*", "https://anybody.example/"),
            ("http://*:81", "http://anybody.example:81/"),
            ("http://127.0.0.1:80", "http://127.1/"),
            ("http://[::1]", "http://[0::1]/"),
            ("https://bücher.example", "https://xn--bcher-kva.example/"),
        ] {
            assert!(has(origin, url), "{origin} {url}");
        }
        for (origin, url) in [
            ("https://a.example.org", "http://a.example.org/"),
            ("https://a.example.org", "https://a.example.org:444/"),
            ("https://a.example.org", "https://b.a.example.org/"),
            ("https://a.example.org", "https://a.example.org./"),
            ("https://*.example.org", "https://example.org/"),
            ("https://*.example.org", "https://badexample.org/"),
            ("https://a.example.org", "https://a.example.org.evil.example/"),
            ("https://a.example.org", "https://a.example.org@evil.example/"),
            ("https://*", "http://anybody.example/"),
            ("https://*", "https://anybody.example:444/"),
        ] {
            assert!(!has(origin, url), "{origin} {url}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for wrong in [
            "",
            "example.org",
            "ftp://example.org",
            "https://",
            "https://user@example.org",
            "https://example.org/path",
            "https://example.org?x",
            "https://*.*.example.org",
            "https://a.*.example.org",
            "https://a*.example.org",
            "https://**",
            "https://*.127.0.0.1",
            "https://example.org:99999",
        ] {
            assert!(wrong.parse::<Origin>().is_err(), "{wrong}");
        }
    }
}
