//! What this node knows of functions: read once for each project, and then followed.
//!
//! FUNCTIONS-2 A release answers whole or not at all: a call runs one release from its beginning to its end, and after an
//! answer to a change of what answers no call begins on what was before, at the node that answered; others follow
//! within seconds.

mod apply;
mod follow;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use cairn_base::{DatasetName, ProjectName};
use cairn_env::Env;
use cairn_kv::{KeyRange, Kv, Scan, Seq};
use tokio::sync::watch;

use self::apply::forget_routes;
use self::follow::follow;
use crate::agenda::Agenda;
use crate::error::Error;
use crate::functions::{Match, NoMatch};
use crate::model::{Function, Target};
use crate::registry::{Registry, is_elsewhere, text};
use crate::routes::{Found, Pattern, Table};
use crate::rows;
use crate::slot::Slot;

/// How long a request waits until a project is read.
const READY_WAIT: Duration = Duration::from_secs(10);

/// What is read and followed of a project's rows.
const FOLLOWED: [&str; 8] = [
    rows::FUNCTIONS,
    rows::FILTERS,
    rows::ROUTES,
    rows::COMPILING,
    rows::SCHEDULES,
    rows::TRIGGERS,
    rows::CALLS,
    rows::PLANS,
];

/// What all of a node's functions share.
pub(crate) struct Live {
    registry: Registry,
    env: Env,
    routes: RwLock<Routes>,
    projects: Mutex<BTreeMap<ProjectName, Arc<Project>>>,
    agenda: Agenda<DatasetName>,
    triggers: Agenda<DatasetName>,
    calls: Agenda<String>,
    plans: Agenda<String>,
    /// Whether it was looked for projects.
    looked: watch::Sender<bool>,
    /// Called for each release that was left undecided.
    undecided: Box<dyn Fn(Function, u32) + Send + Sync>,
}

/// One project.
struct Project {
    name: ProjectName,
    slots: Mutex<BTreeMap<DatasetName, Arc<Slot>>>,
    /// What was read or followed so far; none before it was read.
    seen: watch::Sender<Option<Seq>>,
    /// Somebody has seen to it that it is there.
    wanted: AtomicBool,
}

type Routes = Table<Arc<Target>>;

impl Project {
    /// All up to here is known.
    fn reached(&self, seq: Seq) {
        self.wanted.store(false, Ordering::Release);
        self.seen.send_replace(Some(seq));
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<DatasetName, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    pub(crate) fn new(
        registry: Registry,
        env: &Env,
        undecided: Box<dyn Fn(Function, u32) + Send + Sync>,
    ) -> Arc<Self> {
        let (routes, projects) = (RwLock::default(), Mutex::default());
        let (looked, agenda) = (watch::Sender::new(false), Agenda::new());
        let (calls, plans, triggers) = (Agenda::new(), Agenda::new(), Agenda::new());
        Arc::new(Self {
            registry,
            env: env.clone(),
            routes,
            projects,
            agenda,
            triggers,
            calls,
            plans,
            looked,
            undecided,
        })
    }

    fn projects(&self) -> MutexGuard<'_, BTreeMap<ProjectName, Arc<Project>>> {
        self.projects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A project, which is followed from now on.
    fn project(self: &Arc<Self>, name: &ProjectName) -> Arc<Project> {
        self.among(&mut self.projects(), name)
    }

    /// The same for one that was made a moment ago: it is followed until it is seen.
    pub(crate) fn want(self: &Arc<Self>, name: &ProjectName) {
        let mut projects = self.projects();
        self.among(&mut projects, name).wanted.store(true, Ordering::Release);
    }

    fn among(
        self: &Arc<Self>,
        projects: &mut BTreeMap<ProjectName, Arc<Project>>,
        name: &ProjectName,
    ) -> Arc<Project> {
        if let Some(project) = projects.get(name) {
            return Arc::clone(project);
        }
        let seen = watch::Sender::new(None);
        let (slots, wanted) = (Mutex::default(), AtomicBool::new(false));
        let project = Arc::new(Project { name: name.clone(), slots, seen, wanted });
        projects.insert(name.clone(), Arc::clone(&project));
        let followed = follow(Arc::downgrade(self), Arc::clone(&project));
        self.env.spawn.task(Box::pin(followed));
        project
    }

    /// Forgets a project that is not there, unless somebody made it meanwhile.
    fn leave(&self, project: &Arc<Project>) -> bool {
        let mut projects = self.projects();
        if project.wanted.load(Ordering::Acquire) {
            return false;
        }
        projects.retain(|_, known| !Arc::ptr_eq(known, project));
        drop(projects);
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        forget_routes(&mut routes, &project.name);
        drop(routes);
        self.agenda.replace(&project.name, BTreeSet::new());
        self.triggers.replace(&project.name, BTreeSet::new());
        self.calls.replace(&project.name, BTreeSet::new());
        self.plans.replace(&project.name, BTreeSet::new());
        project.slots().clear();
        project.seen.send_replace(Some(Seq(u64::MAX)));
        true
    }

    /// Looks for projects that have functions, and reads those that are not read yet.
    pub(crate) async fn look(self: &Arc<Self>) -> Result<(), Error> {
        let found = self.registry.projects().await?;
        let projects: Vec<_> = found.iter().map(|name| self.project(name)).collect();
        for project in projects {
            if let Err(error) = self.until(&project, Seq(0)).await {
                tracing::warn!(project = %project.name, %error, "its functions are served later");
            }
        }
        self.looked.send_replace(true);
        Ok(())
    }

    /// Schedules.
    pub(crate) fn agenda(&self) -> &Agenda<DatasetName> {
        &self.agenda
    }

    /// Triggers.
    pub(crate) fn triggers(&self) -> &Agenda<DatasetName> {
        &self.triggers
    }

    /// Calls that are to be done.
    pub(crate) fn calls(&self) -> &Agenda<String> {
        &self.calls
    }

    /// Plans that are to be done.
    pub(crate) fn plans(&self) -> &Agenda<String> {
        &self.plans
    }

    /// This node has the partition of a project, or has it no more.
    fn own(&self, project: &ProjectName, ours: bool) {
        self.agenda.own(project, ours);
        self.triggers.own(project, ours);
        self.calls.own(project, ours);
        self.plans.own(project, ours);
    }

    pub(crate) fn has_looked(&self) -> bool {
        *self.looked.borrow()
    }

    /// Whether what is there of some project is not read yet.
    pub(crate) fn is_reading(&self) -> bool {
        self.projects().values().any(|project| project.seen.borrow().is_none())
    }

    /// Waits a while until it was looked for projects.
    pub(crate) async fn until_looked(&self) {
        let mut looked = self.looked.subscribe();
        tokio::select! {
            biased;
            _ = looked.wait_for(|looked| *looked) => {}
            () = self.env.clock.sleep(READY_WAIT) => {}
        }
    }

    /// Waits until this node has seen all that is acknowledged of a project.
    pub(crate) async fn caught_up(self: &Arc<Self>, of: &ProjectName) -> Result<(), Error> {
        match self.registry.kv().status(&rows::namespace(of)).await {
            Ok(info) => self.seen(of, info.durable_seq).await,
            // Another node answers for it.
            Err(error) if is_elsewhere(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// A function, as soon as its project is read.
    pub(crate) async fn slot(self: &Arc<Self>, of: &Function) -> Result<Arc<Slot>, Error> {
        if let Some(slot) = self.known(of) {
            return Ok(slot);
        }
        // A name that nothing can have is not followed.
        rows::namespace(&of.project).partition()?;
        let project = self.project(&of.project);
        self.until(&project, Seq(0)).await?;
        let found = project.slots().get(&of.name).cloned();
        found.ok_or_else(|| Error::NoFunction { function: of.clone() })
    }

    /// Waits until this node has seen a change.
    pub(crate) async fn seen(self: &Arc<Self>, of: &ProjectName, seq: Seq) -> Result<(), Error> {
        let project = self.project(of);
        self.until(&project, seq).await
    }

    async fn until(&self, project: &Project, seq: Seq) -> Result<(), Error> {
        let mut seen = project.seen.subscribe();
        let reached = |seen: &Option<Seq>| seen.is_some_and(|seen| seen >= seq);
        tokio::select! {
            biased;
            _ = seen.wait_for(reached) => Ok(()),
            () = self.env.clock.sleep(READY_WAIT) => {
                let why = format!("the functions of {} are not read yet: try again", project.name);
                Err(cairn_kv::Error::from(cairn_kv::PartitionError::Busy { why }).into())
            }
        }
    }

    /// A function that this node knows, as it is asked: nothing is waited for.
    pub(crate) fn known(&self, of: &Function) -> Option<Arc<Slot>> {
        let project = self.projects().get(&of.project).cloned()?;
        project.slots().get(&of.name).cloned()
    }

    /// All functions that this node knows.
    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        let projects: Vec<_> = self.projects().values().cloned().collect();
        projects
            .iter()
            .flat_map(|project| project.slots().values().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// The route for a request.
    pub(crate) fn find(&self, method: &str, host: &str, path: &str) -> Result<Match, NoMatch> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        match routes.find(method, host, path) {
            Found::Route(target, named) => Ok(Match { target: Arc::clone(target), named }),
            Found::Method(allowed) => Err(NoMatch::Method(allowed)),
            Found::Nothing => Err(NoMatch::Path),
        }
    }

    /// What the route for the same requests as `pattern` leads to, as far as this node knows.
    pub(crate) fn same(&self, pattern: &Pattern) -> Option<Arc<Target>> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.same(pattern).map(|(_, target)| Arc::clone(target))
    }

    /// Reads all of a project.
    async fn read(&self, project: &Project, kv: &Kv) -> Result<Seq, Error> {
        let of = rows::namespace(&project.name);
        let mut kept = Vec::new();
        let mut at = None;
        for prefix in FOLLOWED {
            let range = KeyRange::prefix(Bytes::from_static(prefix.as_bytes()));
            let state = at.map_or(cairn_kv::At::Durable, cairn_kv::At::Seq);
            let mut scan = Scan { at: state, ..Scan::of(range) };
            loop {
                let page = kv.scan(&of, &scan).await?;
                at.get_or_insert(page.at);
                kept.extend(page.entries.into_iter().map(|entry| (text(&entry.key), entry.value)));
                match page.next {
                    Some(cursor) => scan.cursor = Some(cursor),
                    None => break,
                }
            }
        }
        self.put_all(project, &kept);
        Ok(at.unwrap_or(Seq(0)))
    }
}
