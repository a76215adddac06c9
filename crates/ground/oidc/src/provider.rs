//! What is known of providers: their metadata and keys, fetched and kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cairn_access::{Bearers, Error, Provider, Vouched};
use cairn_env::Env;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::claims::{self, Wanted};
use crate::keys::Keys;

/// How long one request to a provider may take.
const REQUEST_MAX: Duration = Duration::from_secs(10);
/// The most bytes of one of its answers.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// For how long metadata and keys are used before they are fetched again.
const KEEP: Duration = Duration::from_secs(600);
/// Keys are fetched for an unknown key id no more often than this.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// The most providers that something is kept of.
const KEPT_MAX: usize = 64;

/// The metadata of a provider that is used (Discovery 1.0, section 3).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) issuer: String,
    pub(crate) authorization_endpoint: String,
    pub(crate) token_endpoint: String,
    pub(crate) jwks_uri: String,
    /// RFC 9207: a browser comes back with the issuer.
    #[serde(default)]
    pub(crate) authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    pub(crate) userinfo_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) device_authorization_endpoint: Option<String>,
}

/// What was fetched of one provider.
struct Known {
    metadata: Arc<Metadata>,
    keys: Arc<Keys>,
    at: Duration,
}

/// A client of identity providers. Cheap to clone.
#[derive(Clone)]
pub struct Oidc {
    shared: Arc<Shared>,
}

struct Shared {
    http: reqwest::Client,
    env: Env,
    known: Mutex<BTreeMap<String, Known>>,
    /// One fetch at a time, so that many requests cause one.
    fetching: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Oidc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Oidc")
    }
}

/// A provider does not answer as it should.
pub(crate) fn down(provider: &Provider, detail: impl Into<String>) -> Error {
    Error::ProviderDown { name: provider.name.clone(), detail: detail.into() }
}

impl Oidc {
    /// A client that trusts the system's authorities. Nothing is sent yet.
    ///
    /// # Errors
    /// [`reqwest::Error`] when TLS cannot be set up.
    pub fn new(env: &Env) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .timeout(REQUEST_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("cairn/", env!("CARGO_PKG_VERSION")))
            .build()?;
        let (known, fetching) = (Mutex::default(), tokio::sync::Mutex::default());
        Ok(Self { shared: Arc::new(Shared { http, env: env.clone(), known, fetching }) })
    }

    pub(crate) fn env(&self) -> &Env {
        &self.shared.env
    }

    pub(crate) fn now_s(&self) -> i64 {
        self.shared.env.clock.wall_ns().div_euclid(1_000_000_000)
    }

    pub(crate) async fn metadata(&self, provider: &Provider) -> Result<Arc<Metadata>, Error> {
        Ok(self.known(provider, KEEP).await?.0)
    }

    /// What is known of a provider, no older than `age`.
    async fn known(
        &self,
        provider: &Provider,
        age: Duration,
    ) -> Result<(Arc<Metadata>, Arc<Keys>), Error> {
        let asked_at = self.shared.env.clock.monotonic();
        let fresh = || {
            let now = self.shared.env.clock.monotonic();
            let known = self.shared.known.lock().unwrap_or_else(PoisonError::into_inner);
            let known = known.get(&provider.issuer)?;
            let young = now.saturating_sub(known.at) <= age || known.at >= asked_at;
            young.then(|| (Arc::clone(&known.metadata), Arc::clone(&known.keys)))
        };
        if let Some(known) = fresh() {
            return Ok(known);
        }
        let _turn = self.shared.fetching.lock().await;
        // Another one may have fetched it while we waited.
        if let Some(known) = fresh() {
            return Ok(known);
        }
        let at = self.shared.env.clock.monotonic();
        let address = format!("{}/.well-known/openid-configuration", provider.issuer);
        let metadata: Metadata = self.get(provider, &address).await?;
        if metadata.issuer.trim_end_matches('/') != provider.issuer {
            let detail = "its metadata names another issuer; give the issuer as it names itself";
            return Err(down(provider, detail));
        }
        let set = self.get(provider, &metadata.jwks_uri).await?;
        let (metadata, keys) = (Arc::new(metadata), Arc::new(Keys::read(set)));
        let mut known = self.shared.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT_MAX {
            known.clear();
        }
        let kept = Known { metadata: Arc::clone(&metadata), keys: Arc::clone(&keys), at };
        known.insert(provider.issuer.clone(), kept);
        Ok((metadata, keys))
    }

    /// The keys of a provider that has one for this header, fetched again when none is known.
    async fn keys_for(
        &self,
        provider: &Provider,
        header: &jsonwebtoken::Header,
    ) -> Result<Arc<Keys>, Error> {
        let (_, keys) = self.known(provider, KEEP).await?;
        if keys.find(header).is_some() {
            return Ok(keys);
        }
        Ok(self.known(provider, ASK_AGAIN).await?.1)
    }

    /// What a provider's token claims, when it is for this cluster and of this time (OIDC-1, OIDC-2).
    pub(crate) async fn check(
        &self,
        provider: &Provider,
        token: &str,
        wanted: Wanted<'_>,
    ) -> Result<Map<String, Value>, Error> {
        let header = claims::header(token)?;
        let keys = self.keys_for(provider, &header).await?;
        let key = keys
            .find(&header)
            .ok_or_else(|| claims::refused("no key of its provider made the signature"))?;
        let claims = key.verify(token, header.alg)?;
        claims::check(provider, &claims, wanted, self.now_s())?;
        Ok(claims)
    }

    async fn get<T: DeserializeOwned>(&self, provider: &Provider, url: &str) -> Result<T, Error> {
        let request = self.request(provider, reqwest::Method::GET, url)?;
        self.read(provider, url, request).await
    }

    /// Sends a request whose answer is JSON.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        provider: &Provider,
        url: &str,
        request: reqwest::RequestBuilder,
    ) -> Result<T, Error> {
        let (status, body) = self.answer(provider, request).await?;
        if status != 200 {
            return Err(down(provider, format!("it answered {url} with {status}")));
        }
        serde_json::from_slice(&body)
            .map_err(|error| down(provider, format!("what it answered {url} is refused: {error}")))
    }

    /// A request to an address that the provider named: not to a less safe one than the issuer's.
    pub(crate) fn request(
        &self,
        provider: &Provider,
        method: reqwest::Method,
        url: &str,
    ) -> Result<reqwest::RequestBuilder, Error> {
        let safe = url.starts_with("https://")
            || (provider.issuer.starts_with("http://") && url.starts_with("http://"));
        if !safe {
            return Err(down(provider, "it names an address that is not https://"));
        }
        Ok(self.shared.http.request(method, url))
    }

    /// Sends a request; the status and the whole answer, within bounds (OIDC-3).
    pub(crate) async fn answer(
        &self,
        provider: &Provider,
        request: reqwest::RequestBuilder,
    ) -> Result<(u16, Vec<u8>), Error> {
        let failed = |error: reqwest::Error| down(provider, reasons(&error));
        let mut response = request.send().await.map_err(failed)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(down(provider, "its answer is too long"));
            }
            body.extend_from_slice(&piece);
        }
        Ok((status, body))
    }
}

/// An error with its causes, without the address, which may hold a code.
fn reasons(error: &reqwest::Error) -> String {
    use std::error::Error as _;
    let mut text =
        if error.is_timeout() { "it took too long" } else { "it cannot be reached" }.to_owned();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[async_trait]
impl Bearers for Oidc {
    async fn verify(&self, providers: &[Provider], token: &str) -> Result<Vouched, Error> {
        let issuer = claims::issuer(token)?;
        let issuer = issuer.trim_end_matches('/');
        let mut last = claims::refused("no identity provider of this cluster issued it");
        for provider in providers {
            if provider.issuer != issuer {
                continue;
            }
            let checked = self.check(provider, token, Wanted::Bearer).await;
            match checked.and_then(|claims| claims::vouched(provider, &claims)) {
                Ok(vouched) => return Ok(vouched),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}
