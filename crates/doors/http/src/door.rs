//! The door: what it serves, and the table of its routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::routing::any;
use bytes::Bytes;
use cairn_access::{Access, RequestIds};
use cairn_datasets::{Datasets, Edits, Uploads};
use cairn_env::Env;
use cairn_functions::Functions;
use cairn_kv::Kv;
use cairn_mesh::Authority;
use cairn_oidc::Oidc;
use tokio::sync::OwnedSemaphorePermit;

use crate::checks::{LastCollection, SelfChecks};
use crate::courier::Post;
use crate::error::Error;
use crate::guard;
use crate::limits::{CHUNK_STREAMS_MAX, KV_BODIES_KIB_MAX, PLACE_WAIT_MAX, WAITERS_MAX};
use crate::metrics::{Metric, Metrics, MoreMetrics};
use crate::options::Options;
use crate::route::{Permission, Route, RouteInfo};

/// What all requests share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Inner(Arc<Shared>);

struct Shared {
    datasets: Datasets,
    uploads: Uploads,
    edits: Edits,
    kv: Option<Kv>,
    functions: Option<Functions>,
    kv_bytes: Arc<tokio::sync::Semaphore>,
    self_checks: SelfChecks,
    more_metrics: MoreMetrics,
    web_urls: Vec<String>,
    last_collection: LastCollection,
    access: Access,
    authority: Option<Authority>,
    oidc: Oidc,
    options: Options,
    courier: Arc<Post>,
    metrics: Metrics,
    requests: Arc<tokio::sync::Semaphore>,
    waiters: tokio::sync::Semaphore,
    followers: Arc<tokio::sync::Semaphore>,
    closing: tokio::sync::watch::Sender<bool>,
    chunk_streams: Arc<tokio::sync::Semaphore>,
    connections: Arc<tokio::sync::Semaphore>,
    request_ids: RequestIds,
    routes: Vec<RouteInfo>,
    openapi: Bytes,
}

impl Inner {
    pub(crate) fn datasets(&self) -> &Datasets {
        &self.0.datasets
    }

    pub(crate) fn uploads(&self) -> &Uploads {
        &self.0.uploads
    }

    pub(crate) fn self_checks(&self) -> SelfChecks {
        Arc::clone(&self.0.self_checks)
    }

    /// What other doors of the process count.
    pub(crate) fn more_metrics(&self) -> Vec<Metric> {
        (self.0.more_metrics)()
    }

    /// Where functions are asked.
    pub(crate) fn web_urls(&self) -> &[String] {
        &self.0.web_urls
    }

    pub(crate) fn last_collection(&self) -> &LastCollection {
        &self.0.last_collection
    }

    pub(crate) fn edits(&self) -> &Edits {
        &self.0.edits
    }

    /// The namespaces of keys; routes to them are there only with it.
    pub(crate) fn kv(&self) -> Result<&Kv, Error> {
        let missing = || Error::Internal { detail: "this node keeps no keys".to_owned() };
        self.0.kv.as_ref().ok_or_else(missing)
    }

    /// The functions; routes to them are there only with it.
    pub(crate) fn functions(&self) -> Result<&Functions, Error> {
        let missing = || Error::Internal { detail: "this node runs no functions".to_owned() };
        self.0.functions.as_ref().ok_or_else(missing)
    }

    /// Room for bodies with values, in KiB.
    pub(crate) fn kv_bytes(&self) -> &Arc<tokio::sync::Semaphore> {
        &self.0.kv_bytes
    }

    pub(crate) fn access(&self) -> &Access {
        &self.0.access
    }

    pub(crate) fn oidc(&self) -> &Oidc {
        &self.0.oidc
    }

    pub(crate) fn authority(&self) -> Result<&Authority, Error> {
        self.0.authority.as_ref().ok_or_else(|| Error::invalid("this node has no authority"))
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// A place among the requests that are worked on; a full node is waited for for a moment (HTTP-2).
    pub(crate) async fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        let busy = || Error::Busy { max: self.options().requests_max };
        if let Ok(place) = Arc::clone(&self.0.requests).try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = self.0.waiters.try_acquire().map_err(|_| busy())?;
        tokio::select! {
            biased;
            place = Arc::clone(&self.0.requests).acquire_owned() => place.map_err(|_| busy()),
            () = self.env().clock.sleep(PLACE_WAIT_MAX) => Err(busy()),
        }
    }

    /// Who carries the events of hooks.
    pub(crate) fn courier(&self) -> &Arc<Post> {
        &self.0.courier
    }

    /// Places of those who follow a tag.
    pub(crate) fn followers(&self) -> &Arc<tokio::sync::Semaphore> {
        &self.0.followers
    }

    /// Turns `true` when the door closes: what lasts ends then.
    pub(crate) fn closing(&self) -> tokio::sync::watch::Receiver<bool> {
        self.0.closing.subscribe()
    }

    pub(crate) fn close(&self) {
        self.0.closing.send_replace(true);
    }

    pub(crate) fn connections(&self) -> &Arc<tokio::sync::Semaphore> {
        &self.0.connections
    }

    pub(crate) fn chunk_streams(&self) -> &Arc<tokio::sync::Semaphore> {
        &self.0.chunk_streams
    }

    /// The id of the next request.
    pub(crate) fn request_id(&self) -> String {
        self.0.request_ids.next()
    }

    pub(crate) fn openapi(&self) -> &Bytes {
        &self.0.openapi
    }

    pub(crate) fn env(&self) -> &Env {
        self.0.datasets.blocks().env()
    }
}

/// The HTTP door of a node: REST below `/api/v1`, files below `/fs`, and what an operator looks at.
#[derive(Clone)]
pub struct Door {
    inner: Inner,
    router: Router,
}

/// Puts a [`Door`] together.
pub struct DoorBuilder {
    datasets: Datasets,
    uploads: Uploads,
    kv: Option<Kv>,
    functions: Option<Functions>,
    access: Access,
    authority: Option<Authority>,
    oidc: Option<Oidc>,
    options: Options,
    routes: Vec<Route>,
    mounts: Vec<Mount>,
    self_checks: SelfChecks,
    more_metrics: MoreMetrics,
    web_urls: Vec<String>,
}

/// What another door answers on the same port.
#[derive(Clone)]
pub(crate) struct Mount {
    pub(crate) door: &'static str,
    pub(crate) pattern: &'static str,
    pub(crate) service: Router,
}

impl DoorBuilder {
    /// A door with all routes of this crate.
    #[must_use]
    pub fn new(datasets: Datasets, uploads: Uploads, access: Access) -> Self {
        let files = crate::fs::routes().into_iter().chain(crate::dav::routes());
        let routes = crate::rest::routes().into_iter().chain(files);
        let routes = routes.chain(crate::login::routes()).chain(crate::console::routes()).collect();
        let (options, mounts) = (Options::default(), Vec::new());
        let self_checks: SelfChecks = Arc::new(Vec::new);
        let more_metrics: MoreMetrics = Arc::new(Vec::new);
        let (authority, oidc, kv, functions) = (None, None, None, None);
        let web_urls = Vec::new();
        Self {
            datasets,
            uploads,
            kv,
            functions,
            access,
            authority,
            oidc,
            options,
            routes,
            mounts,
            self_checks,
            more_metrics,
            web_urls,
        }
    }

    /// Serves these namespaces of keys.
    #[must_use]
    pub fn kv(mut self, kv: Kv) -> Self {
        self.routes.extend(crate::rest::kv_routes());
        Self { kv: Some(kv), ..self }
    }

    /// Serves these functions.
    #[must_use]
    pub fn functions(mut self, functions: Functions) -> Self {
        self.routes.extend(crate::rest::function_routes());
        Self { functions: Some(functions), ..self }
    }

    /// Lets nodes join by this authority.
    #[must_use]
    pub fn authority(self, authority: Authority) -> Self {
        Self { authority: Some(authority), ..self }
    }

    /// Talks to identity providers with this client, which the access state uses too.
    #[must_use]
    pub fn oidc(self, oidc: Oidc) -> Self {
        Self { oidc: Some(oidc), ..self }
    }

    /// Adds what the process knows of itself to what the node tells of itself.
    #[must_use]
    pub fn self_checks(self, self_checks: SelfChecks) -> Self {
        Self { self_checks, ..self }
    }

    /// Adds what other doors of the process count to what `/metrics` tells.
    #[must_use]
    pub fn more_metrics(self, more_metrics: MoreMetrics) -> Self {
        Self { more_metrics, ..self }
    }

    /// Tells where the process answers for functions.
    #[must_use]
    pub fn web_urls(self, web_urls: Vec<String>) -> Self {
        Self { web_urls, ..self }
    }

    /// Sets what an operator may set.
    #[must_use]
    pub fn options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Lets the door `door` answer what fits `pattern`. Its service is handed a
    /// [`cairn_access::Origin`] in the extensions of each request, and asks
    /// [`cairn_access::Access::admit`] itself (ACCESS-1); requests keep a place until their answer
    /// begins, so what a service streams it bounds itself.
    #[must_use]
    pub fn mount(mut self, door: &'static str, pattern: &'static str, service: Router) -> Self {
        self.mounts.push(Mount { door, pattern, service });
        self
    }

    /// The door.
    ///
    /// # Errors
    /// [`Error::NoPermission`] when a route does not say what it takes to use it (ACCESS-1);
    /// [`Error::Route`] for two routes with one method and pattern.
    pub fn build(self) -> Result<Door, Error> {
        let mut table: BTreeMap<&'static str, BTreeMap<String, (Route, Permission)>> =
            BTreeMap::new();
        for route in &self.routes {
            let permission = route.check()?;
            let methods = table.entry(route.pattern).or_default();
            let method = route.method.to_string();
            if methods.insert(method.clone(), (route.clone(), permission)).is_some() {
                let reason = "there is one already";
                return Err(Error::Route { method, pattern: route.pattern, reason });
            }
        }
        let mut infos: Vec<RouteInfo> = self.routes.iter().map(Route::info).collect();
        infos.sort();
        let openapi = crate::openapi::document(&self.routes)?;
        let env = self.datasets.blocks().env().clone();
        let request_ids = RequestIds::new(env.rng.as_ref());
        let courier =
            Arc::new(Post::new(&env, self.options.hooks_to_private, self.functions.clone())?);
        let inner = Inner(Arc::new(Shared {
            courier,
            edits: Edits::new(self.datasets.clone()),
            kv: self.kv,
            functions: self.functions,
            kv_bytes: Arc::new(tokio::sync::Semaphore::new(KV_BODIES_KIB_MAX)),
            self_checks: self.self_checks,
            more_metrics: self.more_metrics,
            web_urls: self.web_urls,
            last_collection: LastCollection::default(),
            datasets: self.datasets,
            uploads: self.uploads,
            access: self.access,
            authority: self.authority,
            oidc: self.oidc.map_or_else(|| crate::login::client(&env), Ok)?,
            metrics: Metrics::default(),
            waiters: tokio::sync::Semaphore::new(WAITERS_MAX),
            requests: Arc::new(tokio::sync::Semaphore::new(self.options.requests_max)),
            connections: Arc::new(tokio::sync::Semaphore::new(self.options.connections_max)),
            followers: Arc::new(tokio::sync::Semaphore::new(self.options.followers_max)),
            closing: tokio::sync::watch::Sender::new(false),
            chunk_streams: Arc::new(tokio::sync::Semaphore::new(CHUNK_STREAMS_MAX)),
            options: self.options,
            request_ids,
            routes: infos,
            openapi: openapi.into(),
        }));
        let mut router = Router::new();
        for (pattern, methods) in table {
            let (inner, methods) = (inner.clone(), Arc::new(methods));
            let answer = move |request: Request| {
                let (inner, methods) = (inner.clone(), Arc::clone(&methods));
                async move { guard::answer(inner, pattern, &methods, request).await }
            };
            router = router.route(pattern, any(answer));
        }
        for mount in self.mounts {
            let inner = inner.clone();
            router = router.route(
                mount.pattern,
                any(move |request: Request| guard::mounted(inner, mount, request)),
            );
        }
        let fallback = inner.clone();
        let router = router.fallback(move |request: Request| {
            let inner = fallback.clone();
            async move { guard::nothing_there(inner, request).await }
        });
        Ok(Door { inner, router })
    }
}

impl Door {
    /// Everything as one axum router, guarded.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Every route and what it takes, in order.
    #[must_use]
    pub fn routes(&self) -> &[RouteInfo] {
        &self.inner.0.routes
    }

    /// Connections that are open, while [`Door::serve`] listens.
    #[must_use]
    pub fn connections(&self) -> usize {
        let max = self.inner.options().connections_max;
        max.saturating_sub(self.inner.connections().available_permits()).saturating_sub(1)
    }

    /// The OpenAPI document, as JSON.
    #[must_use]
    pub fn openapi(&self) -> &[u8] {
        self.inner.openapi()
    }

    /// Where the process tells what came of a collection that it made by itself.
    #[must_use]
    pub fn last_collection(&self) -> LastCollection {
        self.inner.last_collection().clone()
    }

    /// Who carries the events of hooks, for a [`cairn_datasets::HookRunner`].
    #[must_use]
    pub fn courier(&self) -> Arc<Post> {
        Arc::clone(self.inner.courier())
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }
}

/// The methods of a pattern, by name.
pub(crate) type Methods = BTreeMap<String, (Route, Permission)>;

/// What a pattern's `Allow` header says.
pub(crate) fn allowed(methods: &Methods) -> String {
    let mut names: Vec<&str> = methods.keys().map(String::as_str).collect();
    if names.contains(&"GET") && !names.contains(&"HEAD") {
        names.push("HEAD");
    }
    names.join(", ")
}

/// The route for a method; a HEAD is a GET whose body stays away.
pub(crate) fn route_for<'a>(
    methods: &'a Methods,
    method: &Method,
) -> Option<&'a (Route, Permission)> {
    methods
        .get(method.as_str())
        .or_else(|| if method == Method::HEAD { methods.get("GET") } else { None })
}
