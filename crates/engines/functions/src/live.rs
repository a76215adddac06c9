//! What this node knows of functions: read once for each project, and then followed.
//!
//! FUNCTIONS-2 A release answers whole or not at all: a call runs one release from its beginning to its end, and after an
//! answer to a change of what answers no call begins on what was before, at the node that answered; others follow
//! within seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use cairn_base::{DatasetName, ProjectName};
use cairn_env::Env;
use cairn_kv::{Change, KeyRange, Kv, Scan, Seq, What};
use tokio::sync::watch;

use crate::agenda::{Agenda, Key};
use crate::error::Error;
use crate::functions::{Match, NoMatch};
use crate::logs::Journal;
use crate::model::{Function, Target};
use crate::registry::{Registry, is_elsewhere, text};
use crate::routes::{Found, Pattern, Table};
use crate::rows::{self, FunctionRow, RouteRow};
use crate::slot::{Filters, Slot};

/// How long a project whose rows cannot be read is let be.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How often it is looked whether the node that has a project is still there.
const OTHERS_LAST: Duration = Duration::from_secs(60);
/// How often the changes of a project that another node has are looked for in the bucket.
const OTHERS_EVERY: Duration = Duration::from_secs(5);
/// How long the changes of a project are waited for at a time.
const WAIT: Duration = Duration::from_secs(60);
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
/// The filters of functions, by name.
type FiltersOf = BTreeMap<DatasetName, Filters>;

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
        // A name that nothing can have is not followed.
        rows::namespace(&of.project).partition()?;
        let project = self.project(&of.project);
        if let Some(slot) = project.slots().get(&of.name) {
            return Ok(Arc::clone(slot));
        }
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

    /// What is known of a project is this from now on; requests see all of it, or what was before.
    fn put_all(&self, project: &Project, kept: &[(String, Bytes)]) {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        forget_routes(&mut routes, &project.name);
        let names: BTreeSet<_> =
            kept.iter().filter_map(|(key, _)| key.strip_prefix(rows::FUNCTIONS)).collect();
        project.slots().retain(|name, _| names.contains(name.as_str()));
        let scheduled = kept.iter().filter_map(|(key, _)| scheduled(project, key)).collect();
        self.agenda.replace(&project.name, scheduled);
        let triggered = kept.iter().filter_map(|(key, _)| triggered(project, key)).collect();
        self.triggers.replace(&project.name, triggered);
        let called = kept.iter().filter_map(|(key, _)| called(project, key)).collect();
        self.calls.replace(&project.name, called);
        let asked = kept.iter().filter_map(|(key, _)| asked(project, key)).collect();
        self.plans.replace(&project.name, asked);
        let mut filters = FiltersOf::new();
        for (of, priority, filter) in kept.iter().filter_map(|(key, _)| rows::filtered(key)) {
            filters.entry(of).or_default().insert((priority, filter));
        }
        // A release answers only behind the filters that its function has (WEB-3): they are there before it.
        for (name, slot) in project.slots().iter() {
            let all = filters.get(name).cloned().unwrap_or_default();
            slot.change_filters(|known| *known = all);
        }
        for (key, value) in kept {
            self.put(&mut routes, project, (key, value), &filters);
        }
    }

    fn apply(&self, project: &Project, changes: &[Change]) {
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let (mut added, mut removed) = (FiltersOf::new(), FiltersOf::new());
        for change in changes {
            let (key, to) = match &change.what {
                What::Put(entry) => (&entry.key, &mut added),
                What::Deleted { key, .. } => (key, &mut removed),
                What::RangeDeleted(_) => continue,
            };
            if let Some((of, priority, filter)) = rows::filtered(&text(key)) {
                to.entry(of).or_default().insert((priority, filter));
            }
        }
        // Filters that are added are there before what else changes, and those that are removed after it (WEB-3).
        for (of, filters) in &added {
            if let Some(slot) = project.slots().get(of) {
                slot.change_filters(|all| all.extend(filters.iter().cloned()));
            }
        }
        for change in changes {
            match &change.what {
                What::Put(entry) => {
                    let key = text(&entry.key);
                    self.put(&mut routes, project, (&key, &entry.value), &added);
                }
                What::Deleted { key, .. } => self.deleted(&mut routes, project, &text(key)),
                // Of what is deleted in ranges it is seen that it is gone when its time comes.
                What::RangeDeleted(_) => {}
            }
        }
        for (of, filters) in &removed {
            if let Some(slot) = project.slots().get(of) {
                slot.change_filters(|all| all.retain(|one| !filters.contains(one)));
            }
        }
    }

    fn put(
        &self,
        routes: &mut Routes,
        project: &Project,
        (key, value): (&str, &[u8]),
        filters: &FiltersOf,
    ) {
        let done = if let Some(name) = key.strip_prefix(rows::FUNCTIONS) {
            self.put_function(project, name, (key, value), filters)
        } else if key.starts_with(rows::ROUTES) {
            put_route(routes, project, key, value)
        } else if let Some(rest) = key.strip_prefix(rows::COMPILING) {
            if let Some((name, number)) = rows::numbered(rest) {
                (self.undecided)(Function { project: project.name.clone(), name }, number);
            }
            Ok(())
        } else {
            scheduled(project, key).into_iter().for_each(|key| self.agenda.put(key));
            triggered(project, key).into_iter().for_each(|key| self.triggers.put(key));
            called(project, key).into_iter().for_each(|call| self.calls.put_new(call));
            asked(project, key).into_iter().for_each(|plan| self.plans.put_new(plan));
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
        (key, value): (&str, &[u8]),
        filters: &FiltersOf,
    ) -> Result<(), Error> {
        let row: FunctionRow = rows::decode(key, value)?;
        let name = rows::name(key, name)?;
        let mut slots = project.slots();
        // One of the same name that was made anew counts its releases anew.
        if let Some(before) = slots.get(&name).filter(|before| before.made_ms != row.made_ms) {
            before.switch(None);
            slots.remove(&name);
        }
        let slot = slots.entry(name.clone()).or_insert_with(|| {
            let filters = filters.get(&name).cloned().unwrap_or_default();
            let of = Function { project: project.name.clone(), name };
            let journal = Journal::new(Arc::clone(&self.env.clock));
            Arc::new(Slot::new(of, row.made_ms, journal, filters))
        });
        slot.switch(row.current);
        Ok(())
    }

    fn deleted(&self, routes: &mut Routes, project: &Project, key: &str) {
        if let Some(name) = key.strip_prefix(rows::FUNCTIONS) {
            let Ok(name) = name.parse::<DatasetName>() else { return };
            if let Some(slot) = project.slots().remove(&name) {
                slot.switch(None);
            }
        } else if let Some(Ok(pattern)) = key.strip_prefix(rows::ROUTES).map(Pattern::of_shape) {
            let ours = |target: &Target| target.function.project == project.name;
            if routes.same(&pattern).is_some_and(|(_, target)| ours(target)) {
                routes.remove(&pattern);
            }
        } else if let Some(schedule) = scheduled(project, key) {
            self.agenda.remove(&schedule);
        } else if let Some(trigger) = triggered(project, key) {
            self.triggers.remove(&trigger);
        } else if let Some(call) = called(project, key) {
            self.calls.remove(&call);
        } else if let Some(plan) = asked(project, key) {
            self.plans.remove(&plan);
        }
    }
}

fn forget_routes(routes: &mut Routes, of: &ProjectName) {
    let gone = routes.patterns(|target| target.function.project == *of);
    gone.iter().for_each(|pattern| routes.remove(pattern));
}

fn put_route(routes: &mut Routes, project: &Project, key: &str, value: &[u8]) -> Result<(), Error> {
    let row: RouteRow = rows::decode(key, value)?;
    let pattern: Pattern = row.pattern.parse()?;
    let name = rows::name(key, &row.function)?;
    let function = Function { project: project.name.clone(), name };
    let RouteRow { pattern: text, files, auth, made_ms, .. } = row;
    let target = Arc::new(Target { function, files, pattern: text, auth, made_ms });
    let Err((before, other)) = routes.insert(pattern.clone(), target) else { return Ok(()) };
    let first = |target: &Target| (target.made_ms, target.function.clone());
    let same_project = other.function.project == project.name;
    let now = routes.same(&pattern).map(|(_, target)| first(target));
    // Two projects have made it at the same time: all nodes take the one that was first.
    if !same_project && now.is_some_and(|now| first(&other) < now) {
        tracing::warn!(pattern = %before, to = %other.function, "two projects have one route");
        drop(routes.insert(before, other));
    }
    Ok(())
}

/// Reads a project and follows it, as long as the node lives.
async fn follow(live: Weak<Live>, project: Arc<Project>) {
    loop {
        let Some(strong) = live.upgrade() else { return };
        let clock = Arc::clone(&strong.env.clock);
        let mut ended = followed(strong, &live, &project).await;
        let Some(strong) = live.upgrade() else { return };
        strong.own(&project.name, false);
        drop(strong);
        if matches!(&ended, Err(Error::Kept(error)) if is_elsewhere(error)) {
            let Some(strong) = live.upgrade() else { return };
            ended = followed_elsewhere(strong, &live, &project).await;
        }
        let Err(error) = ended else { continue };
        if matches!(error, Error::Kept(cairn_kv::Error::NoNamespace { .. })) {
            // Nothing was ever deployed there: it is looked for again when somebody asks.
            if live.upgrade().is_none_or(|live| live.leave(&project)) {
                return;
            }
        }
        tracing::warn!(project = %project.name, %error, "the functions of a project are not followed");
        clock.sleep(RETRY_AFTER).await;
    }
}

/// Follows a project that this node has, until it has it no more.
async fn followed(live: Arc<Live>, again: &Weak<Live>, project: &Project) -> Result<(), Error> {
    let of = rows::namespace(&project.name);
    let kv = live.registry.kv().clone();
    let at = live.read(project, &kv).await?;
    project.reached(at);
    live.own(&project.name, true);
    drop(live);
    let mut changes = kv.follow(&of, KeyRange::all(), Some(at)).await?;
    loop {
        let told = changes.next(WAIT).await?;
        let Some(live) = again.upgrade() else { return Ok(()) };
        live.apply(project, &told.changes);
        project.reached(told.upto);
    }
}

/// The call that a key is for.
fn called(project: &Project, key: &str) -> Option<Key<String>> {
    let (name, id) = rows::called(key)?;
    Some((Function { project: project.name.clone(), name }, id))
}

/// The plan that a key is for.
fn asked(project: &Project, key: &str) -> Option<Key<String>> {
    let (name, id) = rows::asked(key)?;
    Some((Function { project: project.name.clone(), name }, id))
}

/// The schedule that a key is for.
fn scheduled(project: &Project, key: &str) -> Option<Key<DatasetName>> {
    let (name, schedule) = rows::scheduled(key)?;
    Some((Function { project: project.name.clone(), name }, schedule))
}

/// The trigger that a key is for.
fn triggered(project: &Project, key: &str) -> Option<Key<DatasetName>> {
    let (name, trigger) = rows::triggered(key)?;
    Some((Function { project: project.name.clone(), name }, trigger))
}

/// Follows a project that another node has, for a while.
async fn followed_elsewhere(
    live: Arc<Live>,
    again: &Weak<Live>,
    project: &Project,
) -> Result<(), Error> {
    let of = rows::namespace(&project.name);
    let (kv, clock) = (live.registry.in_bucket().clone(), Arc::clone(&live.env.clock));
    let at = live.read(project, &kv).await?;
    project.reached(at);
    drop(live);
    let mut changes = kv.follow(&of, KeyRange::all(), Some(at)).await?;
    let until = clock.monotonic() + OTHERS_LAST;
    while clock.monotonic() < until {
        clock.sleep(OTHERS_EVERY).await;
        let told = changes.next(Duration::ZERO).await?;
        let Some(live) = again.upgrade() else { return Ok(()) };
        live.apply(project, &told.changes);
        project.reached(told.upto);
    }
    Ok(())
}
