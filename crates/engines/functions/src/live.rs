//! What this node knows of functions: read once for each project, and then followed.
//!
//! FUNCTIONS-2 A release answers whole or not at all: a call runs one release from its beginning to its end, and after an
//! answer to a change of what answers no call begins on what was before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use cairn_base::{DatasetName, ProjectName};
use cairn_env::Env;
use cairn_kv::{Change, KeyRange, Scan, Seq, What};
use tokio::sync::watch;

use crate::error::Error;
use crate::logs::Journal;
use crate::model::{Auth, Function, RouteInfo};
use crate::registry::{Registry, route_info, text};
use crate::routes::{Found, Pattern, Table};
use crate::rows::{self, FunctionRow, RouteRow};
use crate::slot::Slot;

/// How long a project whose rows cannot be read is let be.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How often it is looked whether the node that has a project is still there.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(60);
/// How long the changes of a project are waited for at a time.
const WAIT: Duration = Duration::from_secs(60);
/// How long a request waits until a project is read.
const READY_WAIT: Duration = Duration::from_secs(10);

/// What all of a node's functions share.
pub(crate) struct Live {
    registry: Registry,
    env: Env,
    routes: RwLock<Table<Target>>,
    projects: Mutex<BTreeMap<ProjectName, Arc<Project>>>,
    /// Called for each release that was left undecided.
    undecided: Box<dyn Fn(Function, u32) + Send + Sync>,
}

/// What a route leads to.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) function: Function,
    pub(crate) auth: Auth,
    row: RouteRow,
    slot: Option<Arc<Slot>>,
}

/// A route that was found.
pub(crate) struct Hit {
    pub(crate) pattern: String,
    pub(crate) auth: Auth,
    pub(crate) function: Function,
    pub(crate) slot: Option<Arc<Slot>>,
    pub(crate) named: Vec<(String, String)>,
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

impl Project {
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
        Arc::new(Self { registry, env: env.clone(), routes, projects, undecided })
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
        self.forget_routes(&project.name);
        project.slots().clear();
        project.seen.send_replace(Some(Seq(u64::MAX)));
        true
    }

    /// Begins to follow a project.
    pub(crate) fn begin(self: &Arc<Self>, name: &ProjectName) {
        drop(self.project(name));
    }

    /// A function, as soon as its project is read.
    pub(crate) async fn slot(self: &Arc<Self>, of: &Function) -> Result<Arc<Slot>, Error> {
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

    /// All functions that this node knows.
    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        let projects: Vec<_> = self.projects().values().cloned().collect();
        projects
            .iter()
            .flat_map(|project| project.slots().values().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// The route for a request.
    pub(crate) fn find(&self, method: &str, host: &str, path: &str) -> Result<Hit, Vec<String>> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        match routes.find(method, host, path) {
            Found::Route(pattern, target, named) => Ok(Hit {
                pattern: pattern.to_string(),
                auth: target.auth,
                function: target.function.clone(),
                slot: target.slot.clone(),
                named,
            }),
            Found::Method(allowed) => Err(allowed),
            Found::Nothing => Err(Vec::new()),
        }
    }

    /// The route of another function for the same requests as `pattern`, as far as this node knows.
    pub(crate) fn same(&self, pattern: &Pattern) -> Option<(String, Function)> {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        routes.same(pattern).map(|(pattern, target)| (pattern.to_string(), target.function.clone()))
    }

    /// The routes of a project, in the order of their patterns.
    pub(crate) async fn routes(&self, of: &ProjectName) -> Result<Vec<RouteInfo>, Error> {
        let found = self.registry.rows(of, rows::ROUTES).await?;
        let read =
            found.into_iter().map(|(key, value)| Ok(route_info(of, rows::decode(&key, &value)?)));
        read.collect()
    }

    /// Reads all of a project.
    async fn read(&self, project: &Project) -> Result<Seq, Error> {
        let of = rows::namespace(&project.name);
        let kv = self.registry.kv();
        let mut kept = Vec::new();
        let mut at = None;
        for prefix in [rows::FUNCTIONS, rows::ROUTES, rows::COMPILING] {
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
        self.forget_routes(&project.name);
        let names: BTreeSet<_> =
            kept.iter().filter_map(|(key, _)| key.strip_prefix(rows::FUNCTIONS)).collect();
        project.slots().retain(|name, _| names.contains(name.as_str()));
        for (key, value) in &kept {
            self.put(project, key, value);
        }
        Ok(at.unwrap_or(Seq(0)))
    }

    fn forget_routes(&self, of: &ProjectName) {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let gone = routes.patterns(|target| target.function.project == *of);
        gone.iter().for_each(|pattern| routes.remove(pattern));
    }

    fn apply(&self, project: &Project, change: &Change) {
        match &change.what {
            What::Put(entry) => self.put(project, &text(&entry.key), &entry.value),
            What::Deleted { key, .. } => self.deleted(project, &text(key)),
            // Nobody deletes ranges of these rows.
            What::RangeDeleted(_) => {}
        }
    }

    fn put(&self, project: &Project, key: &str, value: &[u8]) {
        let done = if let Some(name) = key.strip_prefix(rows::FUNCTIONS) {
            self.put_function(project, name, key, value)
        } else if key.starts_with(rows::ROUTES) {
            self.put_route(project, key, value)
        } else if let Some(rest) = key.strip_prefix(rows::COMPILING) {
            if let Some((name, number)) = rows::numbered(rest) {
                (self.undecided)(Function { project: project.name.clone(), name }, number);
            }
            Ok(())
        } else {
            Ok(())
        };
        if let Err(error) = done {
            tracing::error!(project = %project.name, %error, "a function is left out");
        }
    }

    fn put_function(
        &self,
        project: &Project,
        name: &str,
        key: &str,
        value: &[u8],
    ) -> Result<(), Error> {
        let row: FunctionRow = rows::decode(key, value)?;
        let wrong = |error: cairn_base::name::Error| Error::Row {
            key: key.to_owned(),
            why: error.to_string(),
        };
        let name: DatasetName = name.parse().map_err(wrong)?;
        let slot = self.slot_of(project, &name);
        slot.switch(row.current);
        Ok(())
    }

    /// The slot of a function, made when it is not there; routes that wait for it lead to it then.
    fn slot_of(&self, project: &Project, name: &DatasetName) -> Arc<Slot> {
        let mut slots = project.slots();
        if let Some(slot) = slots.get(name) {
            return Arc::clone(slot);
        }
        let of = Function { project: project.name.clone(), name: name.clone() };
        let slot = Arc::new(Slot::new(of.clone(), Journal::new(Arc::clone(&self.env.clock))));
        slots.insert(name.clone(), Arc::clone(&slot));
        drop(slots);
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        routes.each(|target| {
            if target.function == of {
                target.slot = Some(Arc::clone(&slot));
            }
        });
        slot
    }

    fn put_route(&self, project: &Project, key: &str, value: &[u8]) -> Result<(), Error> {
        let row: RouteRow = rows::decode(key, value)?;
        let pattern: Pattern = row.pattern.parse()?;
        let wrong = |error: cairn_base::name::Error| Error::Row {
            key: key.to_owned(),
            why: error.to_string(),
        };
        let name: DatasetName = row.function.parse().map_err(wrong)?;
        let slot = project.slots().get(&name).cloned();
        let function = Function { project: project.name.clone(), name };
        let target = Target { function, auth: row.auth, row, slot };
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let Err((before, other)) = routes.insert(pattern.clone(), target) else { return Ok(()) };
        let first = |target: &Target| (target.row.made_ms, target.function.clone());
        let same_project = other.function.project == project.name;
        let now = routes.same(&pattern).map(|(_, target)| first(target));
        // Two projects have made it at the same time: all nodes take the one that was first.
        if !same_project && now.is_some_and(|now| first(&other) < now) {
            tracing::warn!(pattern = %before, to = %other.function, "two projects have one route");
            drop(routes.insert(before, other));
        }
        Ok(())
    }

    fn deleted(&self, project: &Project, key: &str) {
        if let Some(name) = key.strip_prefix(rows::FUNCTIONS) {
            let Ok(name) = name.parse::<DatasetName>() else { return };
            let gone = project.slots().remove(&name);
            if let Some(slot) = gone {
                slot.switch(None);
            }
            let of = Function { project: project.name.clone(), name };
            let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
            routes.each(|target| {
                if target.function == of {
                    target.slot = None;
                }
            });
        } else if let Some(Ok(pattern)) = key.strip_prefix(rows::ROUTES).map(Pattern::of_shape) {
            let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
            let ours = |target: &Target| target.function.project == project.name;
            if routes.same(&pattern).is_some_and(|(_, target)| ours(target)) {
                routes.remove(&pattern);
            }
        }
    }
}

/// Reads a project and follows it, as long as the node lives.
async fn follow(live: Weak<Live>, project: Arc<Project>) {
    loop {
        let Some(strong) = live.upgrade() else { return };
        let clock = Arc::clone(&strong.env.clock);
        let ended = followed(strong, &live, &project).await;
        let Err(error) = ended else { return };
        if matches!(error, Error::Kept(cairn_kv::Error::NoNamespace { .. })) {
            // Nothing was ever deployed there: it is looked for again when somebody asks.
            if live.upgrade().is_none_or(|live| live.leave(&project)) {
                return;
            }
        }
        tracing::warn!(project = %project.name, %error, "the functions of a project are not followed");
        clock.sleep(if is_elsewhere(&error) { LOOK_AGAIN_AFTER } else { RETRY_AFTER }).await;
    }
}

fn is_elsewhere(error: &Error) -> bool {
    use cairn_kv::{Error as KvError, PartitionError};
    matches!(error, Error::Kept(KvError::Partition(PartitionError::Elsewhere { .. })))
}

async fn followed(live: Arc<Live>, again: &Weak<Live>, project: &Project) -> Result<(), Error> {
    let of = rows::namespace(&project.name);
    let at = live.read(project).await?;
    project.wanted.store(false, Ordering::Release);
    project.seen.send_replace(Some(at));
    let mut changes = live.registry.kv().follow(&of, KeyRange::all(), Some(at)).await?;
    drop(live);
    loop {
        let told = changes.next(WAIT).await?;
        let Some(live) = again.upgrade() else { return Ok(()) };
        told.changes.iter().for_each(|change| live.apply(project, change));
        project.seen.send_replace(Some(told.upto));
    }
}
