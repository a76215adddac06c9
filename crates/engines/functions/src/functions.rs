mod calls;
mod filters;
mod plans;
mod posts;
mod readying;
mod routes;
mod schedules;
mod told;
mod triggers;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use cairn_access::Access;
use cairn_base::{ErrorKind, ProjectName};
use cairn_datasets::Datasets;
use cairn_egress::Egress;
use cairn_env::Env;
use cairn_kv::Kv;
use cairn_wasm::{Body, Call, Done, Failure, Kind, Limits};
use cairn_worker::Workers;
use tokio::sync::Semaphore;

use self::readying::decide;
use self::schedules::RunCounts;
pub use self::told::Counted;
use self::told::start;
use crate::cgi;
use crate::error::Error;
use crate::latency::Durations;
use crate::live::Live;
use crate::logs::Line;
use crate::model::{Function, Info, Release, Settings, State, Target};
use crate::outside::Sender;
use crate::registry::{Made, Registry};
use crate::slot::{PROGRAMS_MAX, Slot};
use crate::tiers::{Callable, Program, Tiers};

/// How often a component is stored again that others removed meanwhile.
const STORES_MAX: u32 = 3;
/// How long a release is waited for at most.
pub const DECIDED_WAIT_MAX: Duration = Duration::from_secs(120);
/// How often it is looked at meanwhile.
const DECIDED_LOOK_EVERY: Duration = Duration::from_millis(20);
/// Releases that are being compiled, or wait for it with their component in memory.
const DECISIONS_MAX: usize = 2;

/// The functions of a node. Cheap to clone.
#[derive(Clone)]
pub struct Functions {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    registry: Registry,
    kv: Kv,
    /// The keys of other nodes, as they are in the bucket.
    kv_in_bucket: Kv,
    datasets: Datasets,
    access: Access,
    tiers: Tiers,
    live: Arc<Live>,
    sender: Sender,
    runs: RunCounts,
    durations: Durations,
    /// Tells one start of this node from the others: lines of logs are counted from each.
    start: String,
    env: Env,
    /// Releases that are waited for to be compiled.
    undecided: Mutex<BTreeSet<(Function, u32)>>,
    /// Room for releases that are being compiled, each with its component in memory.
    deciding: Semaphore,
}

/// A function that was there when it was looked for.
pub struct Reached {
    slot: Arc<Slot>,
}

impl Reached {
    /// The function.
    #[must_use]
    pub fn function(&self) -> &Function {
        &self.slot.of
    }

    /// What its requests pass first, in this order.
    #[must_use]
    pub fn filters(&self) -> Vec<Function> {
        let named = |name| Function { project: self.slot.of.project.clone(), name };
        self.slot.filters().into_iter().map(named).collect()
    }
}

/// What answers a request.
pub struct Match {
    /// What its route leads to.
    pub target: Arc<Target>,
    /// What the names in the route stand for.
    pub named: Vec<(String, String)>,
}

impl Match {
    /// What is left of the path, where the route's pattern ends with `{*rest}`.
    #[must_use]
    pub fn rest(&self) -> Option<&str> {
        let last = self.target.pattern.rsplit('/').next();
        let (_, rest) = self.named.last().filter(|_| last.is_some_and(|l| l.starts_with("{*")))?;
        Some(rest)
    }
}

/// Why no function answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoMatch {
    /// No route is for its path.
    Path,
    /// Routes for its path are for these methods.
    Method(Vec<String>),
}

impl Functions {
    /// The functions that are kept in `kv`'s partitions, and in those of other nodes as `in_bucket` reads them, which read
    /// `datasets`; run by `tiers`; `access` says what they may do themselves, and `egress` sends their requests.
    #[must_use]
    pub fn new(
        (kv, in_bucket, datasets): (&Kv, &Kv, &Datasets),
        access: &Access,
        tiers: Tiers,
        egress: Egress,
        env: &Env,
    ) -> Self {
        let registry = Registry::new(kv, in_bucket, env);
        let shared = Arc::new_cyclic(|shared: &Weak<Shared>| {
            let (undecided, spawn) = (shared.clone(), Arc::clone(&env.spawn));
            let undecided = Box::new(move |function, number| {
                let shared: Weak<Shared> = undecided.clone();
                let Some(strong) = shared.upgrade() else { return };
                if strong.undecided().insert((Function::clone(&function), number)) {
                    spawn.task(Box::pin(async move { decide(shared, function, number).await }));
                }
            });
            let live = Live::new(registry.clone(), env, undecided);
            let deciding = Semaphore::new(DECISIONS_MAX);
            let (kv, kv_in_bucket) = (kv.clone(), in_bucket.clone());
            let (datasets, access) = (datasets.clone(), access.clone());
            let (env, undecided, sender) =
                (env.clone(), Mutex::default(), Sender::new(egress, env));
            let (runs, durations, start) =
                (RunCounts::default(), Durations::default(), start(&env));
            Shared {
                registry,
                kv,
                kv_in_bucket,
                datasets,
                access,
                tiers,
                live,
                sender,
                runs,
                durations,
                start,
                env,
                undecided,
                deciding,
            }
        });
        Self { shared }
    }

    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What says who may do what.
    pub(crate) fn judge(&self) -> (&Access, &Env) {
        (&self.shared.access, &self.shared.env)
    }

    /// Reads all projects that have functions and were not read yet.
    ///
    /// # Errors
    /// [`Error::Kept`].
    pub async fn read(&self) -> Result<(), Error> {
        self.shared.live.look().await
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
            kind: ErrorKind::Internal,
            message: "the upload was not looked at to its end".to_owned(),
        };
        let prepared = self.shared.env.spawn.run(move || component(&upload)).await;
        let (component, digest) = prepared.map_err(lost)??;
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
            if release.state != State::Compiling {
                // This node answers with it from now on (FUNCTIONS-2).
                self.shared.live.caught_up(&function.project).await?;
                return Ok(release);
            }
            if clock.monotonic() >= until {
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
        let mut all = self.shared.registry.functions(project).await?;
        all.iter_mut().for_each(|info| self.put_here(info));
        Ok(all)
    }

    /// One function.
    ///
    /// # Errors
    /// [`Error::NoFunction`]; [`Error::Kept`].
    pub async fn function(&self, function: &Function) -> Result<Info, Error> {
        let mut info = self.shared.registry.function(function).await?;
        self.put_here(&mut info);
        Ok(info)
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

    /// A function that is there, to be asked: the same one for all that is asked of it.
    ///
    /// # Errors
    /// [`Error::NoFunction`]; [`Error::Kept`].
    pub async fn reach(&self, function: &Function) -> Result<Reached, Error> {
        Ok(Reached { slot: self.shared.live.slot(function).await? })
    }

    /// Lets a function answer a request.
    ///
    /// # Errors
    /// [`Error::NoneReady`], [`Error::NoFunction`], [`Error::Failed`]; [`Error::Kept`].
    pub async fn request(
        &self,
        function: &Function,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Error> {
        self.request_to(&self.reach(function).await?, request).await
    }

    /// The same for one that was reached.
    ///
    /// # Errors
    /// As [`Functions::request`].
    pub async fn request_to(
        &self,
        reached: &Reached,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Error> {
        self.answered(&reached.slot, request, cgi::answer).await
    }

    /// Asks a function as a filter: a program must say a status and end well.
    ///
    /// # Errors
    /// As [`Functions::request`].
    pub async fn request_filter(
        &self,
        function: &Function,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Error> {
        self.answered(&self.reach(function).await?.slot, request, cgi::verdict).await
    }

    async fn answered(
        &self,
        slot: &Arc<Slot>,
        request: http::Request<Body>,
        answer: fn(Done) -> Result<http::Response<Body>, Failure>,
    ) -> Result<http::Response<Body>, Error> {
        let began = self.shared.env.clock.monotonic();
        let ready = self.ready(slot).await?;
        let answered = match &ready.call {
            Callable::Http(http) => http.handle(request).await,
            Callable::Program(program) => {
                let done = self.by_cgi(slot, program, &ready.release.settings.limits, request);
                done.await.and_then(|done| done.map_or_else(Ok, answer))
            }
        };
        self.ended((slot, began), answered.and_then(finally))
    }

    /// What a program wrote for a request, or the answer to one that is none for a program.
    async fn by_cgi(
        &self,
        slot: &Slot,
        program: &Program,
        limits: &Limits,
        request: http::Request<Body>,
    ) -> Result<Result<Done, http::Response<Body>>, Failure> {
        let busy = |_| Failure::Busy {
            running: u32::try_from(PROGRAMS_MAX).unwrap_or(u32::MAX),
            waiting: 0,
        };
        let _place = slot.programs.try_acquire().map_err(busy)?;
        let clock = &self.shared.env.clock;
        let read = tokio::select! {
            biased;
            read = cgi::call(&slot.of, request) => read,
            () = clock.sleep(Duration::from_millis(limits.wall_ms)) => {
                return Err(Failure::Wall { limit_ms: limits.wall_ms });
            }
        };
        match read {
            Ok(call) => Ok(Ok(program.run(call).await?)),
            Err(refused) => Ok(Err(refused)),
        }
    }

    /// Runs a function that is a program.
    ///
    /// # Errors
    /// As [`Functions::request`].
    pub async fn run(&self, function: &Function, call: Call) -> Result<Done, Error> {
        let began = self.shared.env.clock.monotonic();
        let slot = self.shared.live.slot(function).await?;
        let ready = self.ready(&slot).await?;
        let done = match &ready.call {
            Callable::Program(program) => program.run(call).await,
            Callable::Http(_) => {
                Err(Failure::Kind { is: "answers requests", asked: "run as a command" })
            }
        };
        self.ended((&slot, began), done)
    }

    /// The kind of the release that answers.
    ///
    /// # Errors
    /// [`Error::NoFunction`], [`Error::NoneReady`]; [`Error::Kept`].
    pub async fn kind(&self, function: &Function) -> Result<Kind, Error> {
        let slot = self.shared.live.slot(function).await?;
        Ok(self.ready(&slot).await?.kind())
    }

    /// What a function wrote on this node after a line, at most [`crate::LINES_MAX`] lines, and what tells one start of
    /// counting them from the others; when there is nothing yet, waits at most `wait` for it. Where `after` is of another
    /// start, all lines are given.
    ///
    /// # Errors
    /// [`Error::NoFunction`]; [`Error::Kept`].
    pub async fn logs(
        &self,
        function: &Function,
        (of, after): (Option<&str>, u64),
        wait: Duration,
    ) -> Result<(Vec<Line>, String), Error> {
        let slot = self.shared.live.slot(function).await?;
        let start = format!("{}-{:x}", self.shared.start, slot.made_ms);
        // What another start has counted says nothing of this one's lines.
        let after = if of.is_some_and(|of| of != start) { 0 } else { after };
        Ok((slot.journal.after(after, wait).await, start))
    }

    /// The workers that run functions of this node.
    #[must_use]
    pub fn workers(&self) -> &Workers {
        &self.shared.tiers.workers
    }
}

/// An answer that is one: what is said before it is between those who carry it.
fn finally(answer: http::Response<Body>) -> Result<http::Response<Body>, Failure> {
    let status = answer.status();
    if status.is_informational() {
        let detail = format!("it answered {}: a status is from 200 on", status.as_u16());
        return Err(Failure::NoAnswer { detail });
    }
    Ok(answer)
}

impl Shared {
    fn undecided(&self) -> MutexGuard<'_, BTreeSet<(Function, u32)>> {
        self.undecided.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a release is made of that was uploaded so: its component, and the hash of that in hexadecimal.
///
/// # Errors
/// [`Error::Code`] for what can be no function.
pub fn component(upload: &[u8]) -> Result<(Bytes, String), Error> {
    let component = cairn_wasm::prepare(upload)?.component;
    let digest = blake3::hash(&component).to_hex().to_string();
    Ok((component, digest))
}
