use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use cairn_base::ProjectName;
use cairn_env::Env;
use cairn_kv::Kv;
use cairn_wasm::{Body, Call, Done, Failure, Runtime};

use crate::error::Error;
use crate::live::{Hit, Live};
use crate::logs::Line;
use crate::model::{Auth, Function, Info, Release, RouteInfo, Settings, State};
use crate::registry::{Made, Registry};
use crate::routes::Pattern;
use crate::slot::{Callable, Ready, Slot};

/// How often a component is stored again that others removed meanwhile.
const STORES_MAX: u32 = 3;
/// How long a release is waited for at most.
pub const DECIDED_WAIT_MAX: Duration = Duration::from_secs(120);
/// How often it is looked at meanwhile.
const DECIDED_LOOK_EVERY: Duration = Duration::from_millis(20);
/// Releases that are being compiled, or wait for it with their component in memory.
const DECISIONS_MAX: usize = 2;
/// How soon a compilation is tried again that failed for no fault of its release.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The functions of a node. Cheap to clone.
#[derive(Clone)]
pub struct Functions {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Registry,
    runtime: Runtime,
    live: Arc<Live>,
    env: Env,
    /// Room for releases that are being compiled, each with its component in memory.
    deciding: tokio::sync::Semaphore,
}

/// The function that answers a request.
pub struct Match {
    /// It.
    pub function: Function,
    /// Its route.
    pub pattern: String,
    /// Who may use the route.
    pub auth: Auth,
    /// What the names in the route stand for.
    pub named: Vec<(String, String)>,
    slot: Option<Arc<Slot>>,
}

/// Why no function answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoMatch {
    /// No route is for its path.
    Path,
    /// Routes for its path are for these methods.
    Method(Vec<String>),
}

/// What a function did on this node since it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// It.
    pub function: Function,
    /// Calls that were begun.
    pub calls: u64,
    /// Those among them that did not end well.
    pub failures: u64,
}

impl Functions {
    /// The functions that are kept in `kv`'s partitions, run by `runtime`.
    #[must_use]
    pub fn new(kv: &Kv, runtime: Runtime, env: &Env) -> Self {
        let registry = Registry::new(kv, env);
        let shared = Arc::new_cyclic(|shared: &Weak<Shared>| {
            let (undecided, spawn) = (shared.clone(), Arc::clone(&env.spawn));
            let undecided = Box::new(move |function, number| {
                let shared = undecided.clone();
                spawn.task(Box::pin(async move { decide(shared, function, number).await }));
            });
            let live = Live::new(registry.clone(), env, undecided);
            let deciding = tokio::sync::Semaphore::new(DECISIONS_MAX);
            Shared { registry, runtime, live, env: env.clone(), deciding }
        });
        Self { shared }
    }

    /// The projects that have functions, as `kv` sees them.
    ///
    /// # Errors
    /// [`Error::Kept`].
    pub async fn projects(&self, kv: &Kv) -> Result<Vec<ProjectName>, Error> {
        let name = crate::rows::NAME.parse().expect("it is a name of a dataset");
        Ok(kv.projects_with(&name).await?)
    }

    /// Begins to serve the routes of a project.
    pub fn begin(&self, project: &ProjectName) {
        self.shared.live.begin(project);
    }

    /// Adds a release, which is compiled in the background and answers once it can; until then the one before does.
    /// Durable when this returns.
    ///
    /// # Errors
    /// [`Error::Code`] for what can be no function, [`Error::Invalid`] for settings; [`Error::Kept`].
    pub async fn deploy(
        &self,
        function: &Function,
        upload: Bytes,
        settings: &Settings,
        by: &str,
    ) -> Result<Release, Error> {
        settings.check()?;
        let lost = |_| Error::Code {
            kind: cairn_base::ErrorKind::Internal,
            message: "the upload was not looked at to its end".to_owned(),
        };
        let prepared = self.shared.env.spawn.run(move || cairn_wasm::prepare(&upload)).await;
        let component = prepared.map_err(lost)??.component;
        let digest = blake3::hash(&component).to_hex();
        let registry = &self.shared.registry;
        registry.ensure(&function.project).await?;
        self.shared.live.want(&function.project);
        for _ in 0..STORES_MAX {
            registry.keep_code(&function.project, &digest, &component).await?;
            let code = (digest.as_str(), component.len() as u64);
            let added = registry.add_release(function, code, settings, by).await?;
            // Its last release may have gone in between, and the component with it.
            if let Some(Made { what, seq }) = added {
                self.shared.live.seen(&function.project, seq).await?;
                return Ok(what);
            }
        }
        Err(Error::Contended { function: function.clone() })
    }

    /// A release once it is decided whether it can be run, or as it stands when `wait` is over
    /// ([`DECIDED_WAIT_MAX`] at most).
    ///
    /// # Errors
    /// [`Error::NoRelease`]; [`Error::Kept`].
    pub async fn decided(
        &self,
        function: &Function,
        number: u32,
        wait: Duration,
    ) -> Result<Release, Error> {
        let clock = &self.shared.env.clock;
        let until = clock.monotonic() + wait.min(DECIDED_WAIT_MAX);
        loop {
            let release = self.release(function, number).await?;
            if release.state != State::Compiling || clock.monotonic() >= until {
                return Ok(release);
            }
            clock.sleep(DECIDED_LOOK_EVERY).await;
        }
    }

    /// The functions of a project, by name.
    ///
    /// # Errors
    /// [`Error::Kept`].
    pub async fn list(&self, project: &ProjectName) -> Result<Vec<Info>, Error> {
        let registry = &self.shared.registry;
        let found = registry.rows(project, crate::rows::FUNCTIONS).await?;
        let infos = found.iter().map(|(key, value)| {
            let wrong = |error: cairn_base::name::Error| Error::Row {
                key: key.clone(),
                why: error.to_string(),
            };
            let name = key[crate::rows::FUNCTIONS.len()..].parse().map_err(wrong)?;
            let function = Function { project: project.clone(), name };
            Ok(crate::registry::info(&function, &crate::rows::decode(key, value)?))
        });
        infos.collect()
    }

    /// One function.
    ///
    /// # Errors
    /// [`Error::NoFunction`]; [`Error::Kept`].
    pub async fn function(&self, function: &Function) -> Result<Info, Error> {
        self.shared.registry.function(function).await
    }

    /// One release.
    ///
    /// # Errors
    /// [`Error::NoRelease`]; [`Error::Kept`].
    pub async fn release(&self, function: &Function, number: u32) -> Result<Release, Error> {
        self.shared.registry.release(function, number).await
    }

    /// The releases of a function that are kept, the newest first.
    ///
    /// # Errors
    /// [`Error::NoFunction`]; [`Error::Kept`].
    pub async fn releases(&self, function: &Function) -> Result<Vec<Release>, Error> {
        self.shared.registry.releases(function).await
    }

    /// Makes another release the one that answers: an older one, or again a newer one.
    ///
    /// # Errors
    /// [`Error::NoFunction`], [`Error::NoRelease`], [`Error::NotReady`]; [`Error::Kept`].
    pub async fn switch(&self, function: &Function, number: u32) -> Result<Release, Error> {
        let Made { what, seq } = self.shared.registry.switch(function, number).await?;
        self.shared.live.seen(&function.project, seq).await?;
        Ok(what)
    }

    /// Removes a function with all its releases, and its routes `with_routes`; the routes' patterns.
    ///
    /// # Errors
    /// [`Error::NoFunction`]; [`Error::InUse`] when routes lead to it; [`Error::Kept`].
    pub async fn remove(
        &self,
        function: &Function,
        with_routes: bool,
    ) -> Result<Vec<String>, Error> {
        let Made { what, seq } = self.shared.registry.remove(function, with_routes).await?;
        self.shared.live.seen(&function.project, seq).await?;
        Ok(what)
    }

    /// Adds a route to a function.
    ///
    /// # Errors
    /// [`Error::NoFunction`]; [`Error::RouteExists`]; [`Error::Kept`].
    pub async fn add_route(
        &self,
        function: &Function,
        pattern: &Pattern,
        auth: Auth,
        by: &str,
    ) -> Result<RouteInfo, Error> {
        // Also one of another project, as far as it is known here.
        self.shared.live.slot(function).await?;
        if let Some((pattern, function)) = self.shared.live.same(pattern) {
            return Err(Error::RouteExists { pattern, function: function.to_string() });
        }
        let made = self.shared.registry.add_route(function, pattern, auth, by).await?;
        self.shared.live.seen(&function.project, made.seq).await?;
        Ok(made.what)
    }

    /// The routes of a project, in the order of their patterns.
    ///
    /// # Errors
    /// [`Error::Kept`].
    pub async fn routes(&self, project: &ProjectName) -> Result<Vec<RouteInfo>, Error> {
        self.shared.live.routes(project).await
    }

    /// Removes a route to a function.
    ///
    /// # Errors
    /// [`Error::NoRoute`]; [`Error::Kept`].
    pub async fn remove_route(
        &self,
        function: &Function,
        pattern: &Pattern,
    ) -> Result<RouteInfo, Error> {
        let made = self.shared.registry.remove_route(function, pattern).await?;
        self.shared.live.seen(&function.project, made.seq).await?;
        Ok(made.what)
    }

    /// The function that answers a request: `host` without a port, `path` as it was sent.
    ///
    /// # Errors
    /// [`NoMatch`].
    pub fn find(&self, method: &str, host: &str, path: &str) -> Result<Match, NoMatch> {
        match self.shared.live.find(method, host, path) {
            Ok(Hit { pattern, auth, function, slot, named }) => {
                Ok(Match { function, pattern, auth, named, slot })
            }
            Err(allowed) if allowed.is_empty() => Err(NoMatch::Path),
            Err(allowed) => Err(NoMatch::Method(allowed)),
        }
    }

    /// Lets the function of a route answer a request.
    ///
    /// # Errors
    /// [`Error::NoneReady`], [`Error::NoFunction`], [`Error::Failed`]; [`Error::Kept`].
    pub async fn answer(
        &self,
        found: &Match,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Error> {
        let missing = || Error::NoFunction { function: found.function.clone() };
        let slot = found.slot.as_ref().ok_or_else(missing)?;
        self.answered(slot, request).await
    }

    /// Lets a function answer a request without a route.
    ///
    /// # Errors
    /// As [`Functions::answer`].
    pub async fn request(
        &self,
        function: &Function,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Error> {
        let slot = self.shared.live.slot(function).await?;
        self.answered(&slot, request).await
    }

    async fn answered(
        &self,
        slot: &Arc<Slot>,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Error> {
        let ready = self.ready(slot).await?;
        let answered = match &ready.call {
            Callable::Http(http) => http.handle(request).await,
            Callable::Command(_) => {
                Err(Failure::Kind { is: "is a command", asked: "answer a request" })
            }
        };
        ended(slot, answered)
    }

    /// Runs a function that is a program.
    ///
    /// # Errors
    /// As [`Functions::answer`].
    pub async fn run(&self, function: &Function, call: Call) -> Result<Done, Error> {
        let slot = self.shared.live.slot(function).await?;
        let ready = self.ready(&slot).await?;
        let done = match &ready.call {
            Callable::Command(command) => command.run(call).await,
            Callable::Http(_) => {
                Err(Failure::Kind { is: "answers requests", asked: "run as a command" })
            }
        };
        ended(&slot, done)
    }

    /// The kind of the release that answers: `http` or `command`.
    ///
    /// # Errors
    /// [`Error::NoFunction`], [`Error::NoneReady`]; [`Error::Kept`].
    pub async fn kind(&self, function: &Function) -> Result<&'static str, Error> {
        let slot = self.shared.live.slot(function).await?;
        Ok(self.ready(&slot).await?.kind().as_str())
    }

    /// What a function wrote on this node after a line, at most [`crate::LINES_MAX`] lines; when there is nothing yet, waits at
    /// most `wait` for it.
    ///
    /// # Errors
    /// [`Error::NoFunction`]; [`Error::Kept`].
    pub async fn logs(
        &self,
        function: &Function,
        after: u64,
        wait: Duration,
    ) -> Result<Vec<Line>, Error> {
        let slot = self.shared.live.slot(function).await?;
        Ok(slot.journal.after(after, wait).await)
    }

    /// What the functions of this node did.
    #[must_use]
    pub fn counted(&self) -> Vec<Counted> {
        let all = self.shared.live.all();
        let counted = all.iter().map(|slot| Counted {
            function: slot.of.clone(),
            calls: slot.counts.calls.load(Ordering::Relaxed),
            failures: slot.counts.failures.load(Ordering::Relaxed),
        });
        counted.collect()
    }

    /// The release that answers, made ready when it is not.
    async fn ready(&self, slot: &Arc<Slot>) -> Result<Arc<Ready>, Error> {
        if let Some(ready) = slot.ready() {
            return Ok(ready);
        }
        let _turn = slot.loading.lock().await;
        if let Some(ready) = slot.ready() {
            return Ok(ready);
        }
        let none = || Error::NoneReady { function: slot.of.clone() };
        let number = slot.number().ok_or_else(none)?;
        let release = self.release(&slot.of, number).await?;
        let component = self.shared.registry.code(&slot.of.project, &release.digest).await?;
        let code = self.shared.runtime.code(component).await?;
        let failed = |failure| Error::Failed { function: slot.of.clone(), failure };
        let ready = Arc::new(Ready::new(release, &code, &slot.journal).map_err(failed)?);
        slot.put(&ready);
        Ok(ready)
    }
}

/// Counts a call, and writes into the function's own log what went wrong.
fn ended<T>(slot: &Slot, ended: Result<T, Failure>) -> Result<T, Error> {
    slot.count(ended.is_err());
    ended.map_err(|failure| {
        slot.journal.write("cairn", &failure.to_string());
        if let Failure::Trap { backtrace, .. } = &failure {
            backtrace.lines().for_each(|line| slot.journal.write("cairn", line));
        }
        Error::Failed { function: slot.of.clone(), failure }
    })
}

/// Compiles a release until it is known whether it can be run (FUNCTIONS-3).
async fn decide(shared: Weak<Shared>, function: Function, number: u32) {
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let tried = try_decide(&strong, &function, number).await;
        let clock = Arc::clone(&strong.env.clock);
        drop(strong);
        match tried {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(%function, number, %error, "a release is not compiled yet")
            }
        }
        clock.sleep(RETRY_AFTER).await;
    }
}

async fn try_decide(shared: &Shared, function: &Function, number: u32) -> Result<(), Error> {
    let _place = shared.deciding.acquire().await;
    let registry = &shared.registry;
    let release = match registry.release(function, number).await {
        Err(Error::NoRelease { .. }) => return Ok(()),
        release => release?,
    };
    if release.state != State::Compiling {
        return Ok(());
    }
    let component = registry.code(&function.project, &release.digest).await?;
    let state = match shared.runtime.code(component).await {
        Ok(code) => State::Ready { kind: code.kind().as_str().to_owned() },
        Err(error) if error.kind() == cairn_base::ErrorKind::Invalid => {
            State::Failed { why: error.to_string() }
        }
        Err(error) => return Err(error.into()),
    };
    registry.decide(function, number, &state).await.map(drop)
}
