//! Makes functions what a manifest says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_functions::{
    Auth, Function, Pattern, Plan, Release, RouteFiles, RouteInfo, Settings, State, TriggerSpec,
};
use cairn_http::api::{AddSchedule, AddTrigger, GrantBody, NamedGrant};
use cairn_http::client::Node;
use serde::Serialize;

use super::functions::{WAIT, opened};
use crate::cli;
use crate::context::Context;
use crate::manifest::{self, Wanted, WantedFiles, Wishes};
use crate::output::{self, shown};

/// One change, of a function or a dataset.
struct Step {
    function: Function,
    does: Does,
}

enum Does {
    Deploy {
        settings: Settings,
        code: Bytes,
        filtered: bool,
        why: &'static str,
    },
    Grant(GrantBody),
    Ungrant(NamedGrant),
    Filter {
        name: String,
        priority: u16,
        to_known: bool,
    },
    Unfilter(String),
    Route(Is, String, Option<RouteFiles>, Auth),
    /// One that leads elsewhere from now on goes before it does.
    Unroute {
        pattern: String,
        moves: bool,
    },
    Schedule(Is, String, AddSchedule),
    Unschedule(String),
    Trigger(Is, String, AddTrigger),
    Untrigger(String),
}

/// Whether there is one that is changed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Is {
    New,
    Changed,
}

impl Is {
    fn known(known: bool) -> Self {
        if known { Self::Changed } else { Self::New }
    }

    fn change(self) -> &'static str {
        match self {
            Self::New => "add",
            Self::Changed => "change",
        }
    }
}

/// A change as it is shown.
#[derive(Serialize)]
struct Shown {
    function: String,
    change: &'static str,
    what: &'static str,
    name: String,
}

/// What is there of the projects that a manifest is about.
struct Found {
    node: Node,
    grants: Vec<NamedGrant>,
}

pub(crate) async fn apply(context: &Context, args: &cli::Apply) -> anyhow::Result<()> {
    made_so(context, &args.file).await
}

pub(super) async fn made_so(context: &Context, file: &Path) -> anyhow::Result<()> {
    let (node, steps) = steps(context, file).await?;
    for step in steps {
        let shown = step.shown();
        let doing = || format!("{} the {} {}", shown.change, shown.what, shown.name);
        step.done(&node).await.with_context(doing)?;
        show(context, &shown)?;
    }
    Ok(())
}

pub(crate) async fn diff(context: &Context, file: &Path) -> anyhow::Result<()> {
    let (_, steps) = steps(context, file).await?;
    steps.iter().try_for_each(|step| show(context, &step.shown()))
}

/// What is to be done, in its order: code before what leads to it, and what is in the way of something before that.
async fn steps(context: &Context, file: &Path) -> anyhow::Result<(Node, Vec<Step>)> {
    let wanted = manifest::read(file, &context.env)?;
    let found = Found::new(context, &wanted).await?;
    let mut all = Vec::new();
    for wanted in wanted.functions {
        all.extend(found.steps(wanted).await?);
    }
    for wanted in &wanted.files {
        all.extend(found.files(wanted).await?);
    }
    let added: BTreeSet<String> = all.iter().filter_map(|step| step.does.leads()).collect();
    for step in &mut all {
        if let Does::Unroute { pattern, moves } = &mut step.does {
            *moves = added.contains(&shape(pattern));
        }
    }
    all.sort_by_key(|step| step.does.turn());
    Ok((found.node, all))
}

fn show(context: &Context, step: &Shown) -> anyhow::Result<()> {
    if context.global.json {
        return output::json(step);
    }
    let sign = match step.change {
        "add" => '+',
        "change" => '~',
        _ => '-',
    };
    output::line(&format!("{sign} {}  {}  {}", step.function, step.what, shown(&step.name)))
}

impl Found {
    /// What is granted only admins are told: others have manifests that say nothing of it.
    async fn new(context: &Context, wanted: &Wishes) -> anyhow::Result<Self> {
        let node = context.node()?;
        let about = wanted.functions.iter().any(|wanted| wanted.grants.is_some() || public(wanted))
            || wanted.files.iter().any(|wanted| wanted.routes.values().any(is_public));
        let grants = match node.grants().await {
            Ok(grants) => grants.grants,
            Err(error) if error.kind() == ErrorKind::Denied && !about => Vec::new(),
            Err(error) => {
                return Err(anyhow::Error::from(error).context("reading what is granted"));
            }
        };
        Ok(Self { node, grants })
    }

    async fn steps(&self, wanted: Wanted) -> anyhow::Result<Vec<Step>> {
        let mut all = Vec::new();
        all.extend(self.release(&wanted).await?);
        all.extend(self.grants(&wanted));
        all.extend(self.filters(&wanted).await?);
        all.extend(self.routes(&wanted).await?);
        all.extend(self.schedules(&wanted).await?);
        all.extend(self.triggers(&wanted).await?);
        Ok(all.into_iter().map(|does| Step { function: wanted.function.clone(), does }).collect())
    }

    async fn release(&self, wanted: &Wanted) -> anyhow::Result<Option<Does>> {
        let functions = self.node.functions(&wanted.function.project).await?;
        let there = functions.iter().find(|info| info.name == wanted.function.name.as_str());
        let why = match there {
            None => "its first",
            Some(info) => {
                let releases = self.node.releases(&wanted.function).await?;
                let same = |release: &&Release| Some(release.number) == info.current;
                match releases.iter().find(same) {
                    None => "none answers",
                    Some(release) if release.digest != wanted.digest => "its code is another",
                    Some(release) if release.settings != wanted.settings => {
                        "its settings are others"
                    }
                    Some(_) => return Ok(None),
                }
            }
        };
        let (settings, code) = (wanted.settings.clone(), wanted.code.clone());
        let filtered = !wanted.filters.is_empty();
        Ok(Some(Does::Deploy { settings, code, filtered, why }))
    }

    fn grants(&self, wanted: &Wanted) -> Vec<Does> {
        let mut steps = Vec::new();
        let subject = format!("function/{}", wanted.function);
        steps.extend(self.open(opened(&wanted.function, "invoker"), public(wanted)));
        let Some(grants) = &wanted.grants else { return steps };
        let own = || self.grants.iter().filter(|known| known.grant.subject == subject);
        for (role, pattern) in grants {
            let (subject, role, pattern) = (subject.clone(), role.clone(), pattern.clone());
            let grant = GrantBody { subject, role, pattern };
            if !own().any(|known| known.grant == grant) {
                steps.push(Does::Grant(grant));
            }
        }
        let kept = |known: &&NamedGrant| {
            !grants.contains(&(known.grant.role.clone(), known.grant.pattern.clone()))
        };
        steps.extend(own().filter(kept).cloned().map(Does::Ungrant));
        steps
    }

    async fn filters(&self, wanted: &Wanted) -> anyhow::Result<Vec<Does>> {
        let mut known = self.node.filters(&wanted.function.project).await?;
        known.retain(|filter| filter.function == wanted.function.name.as_str());
        let is_known = |name: &str, priority: u16| {
            known.iter().any(|filter| (filter.filter.as_str(), filter.priority) == (name, priority))
        };
        let missing = wanted.filters.iter().filter(|(name, priority)| !is_known(name, **priority));
        let there = self.node.functions(&wanted.function.project).await?;
        let to_known = there.iter().any(|info| info.name == wanted.function.name.as_str());
        let made = missing.map(|(name, priority)| {
            let (name, priority) = (name.clone(), *priority);
            Does::Filter { name, priority, to_known }
        });
        let gone = known.iter().filter(|filter| !wanted.filters.contains_key(&filter.filter));
        Ok(made.chain(gone.map(|filter| Does::Unfilter(filter.filter.clone()))).collect())
    }

    async fn routes(&self, wanted: &Wanted) -> anyhow::Result<Vec<Does>> {
        let mut steps = Vec::new();
        let mut known = self.node.routes(&wanted.function.project).await?;
        known.retain(|route| {
            route.function == wanted.function.name.as_str() && route.files.is_none()
        });
        let shapes: BTreeSet<_> = wanted.routes.keys().map(|pattern| shape(pattern)).collect();
        let gone = known.iter().filter(|route| !shapes.contains(&shape(&route.pattern)));
        steps.extend(gone.map(|route| Does::unroute(&route.pattern)));
        for (pattern, auth) in &wanted.routes {
            let before = known.iter().find(|route| shape(&route.pattern) == shape(pattern));
            let same = |route: &&RouteInfo| (&route.pattern, &route.auth) == (pattern, auth);
            if before.filter(same).is_none() {
                steps.push(Does::Route(Is::known(before.is_some()), pattern.clone(), None, *auth));
            }
        }
        Ok(steps)
    }

    /// Opens something to everybody that is to be, and closes what is not.
    fn open(&self, grant: GrantBody, public: bool) -> Option<Does> {
        match self.grants.iter().find(|known| known.grant == grant) {
            None => public.then_some(Does::Grant(grant)),
            Some(known) => (!public).then(|| Does::Ungrant(known.clone())),
        }
    }

    /// What leads to files of a dataset.
    async fn files(&self, wanted: &WantedFiles) -> anyhow::Result<Vec<Step>> {
        let WantedFiles { dataset, routes } = wanted;
        let mut steps = Vec::new();
        steps.extend(self.open(opened(dataset, "reader"), routes.values().any(is_public)));
        let known = self.node.routes(&dataset.project).await?.into_iter().filter_map(|route| {
            let files = route.files.filter(|_| route.function == dataset.name.as_str())?;
            Some((shape(&route.pattern), (route.pattern, (files, route.auth))))
        });
        let known: BTreeMap<_, _> = known.collect();
        let shapes: BTreeSet<_> = routes.keys().map(|pattern| shape(pattern)).collect();
        let gone = known.iter().filter(|(known, _)| !shapes.contains(*known));
        steps.extend(gone.map(|(_, (pattern, _))| Does::unroute(pattern)));
        for (pattern, route) in routes {
            let before = known.get(&shape(pattern));
            if before.is_none_or(|(known, is)| (known, is) != (pattern, route)) {
                let (files, auth) = route.clone();
                let is = Is::known(before.is_some());
                steps.push(Does::Route(is, pattern.clone(), Some(files), auth));
            }
        }
        Ok(steps.into_iter().map(|does| Step { function: dataset.clone(), does }).collect())
    }

    async fn triggers(&self, wanted: &Wanted) -> anyhow::Result<Vec<Does>> {
        let mut steps = Vec::new();
        let known = self.node.triggers(&wanted.function.project).await?.into_iter();
        let known = known.filter(|trigger| trigger.function == wanted.function.name.as_str());
        let known: BTreeMap<_, _> = known.map(|trigger| (trigger.name, trigger.spec)).collect();
        let spec = |name: &str| wanted.triggers.get(name).cloned().map(TriggerSpec::from);
        let gone = known.keys().filter(|name| !wanted.triggers.contains_key(*name));
        steps.extend(gone.map(|name| Does::Untrigger(name.clone())));
        for (name, asked) in &wanted.triggers {
            let before = known.get(name);
            if before != spec(name).as_ref() {
                let is = Is::known(before.is_some());
                steps.push(Does::Trigger(is, name.clone(), asked.clone()));
            }
        }
        Ok(steps)
    }

    async fn schedules(&self, wanted: &Wanted) -> anyhow::Result<Vec<Does>> {
        let mut steps = Vec::new();
        let mut known = self.node.schedules(&wanted.function.project).await?;
        known.retain(|schedule| schedule.function == wanted.function.name.as_str());
        let plan = |name: &str| wanted.schedules.get(name).cloned().map(Plan::from);
        let gone = known.iter().filter(|known| !wanted.schedules.contains_key(&known.name));
        steps.extend(gone.map(|known| Does::Unschedule(known.name.clone())));
        for (name, asked) in &wanted.schedules {
            let before = known.iter().find(|known| known.name == *name);
            if before.map(|known| &known.plan) != plan(name).as_ref() {
                let is = Is::known(before.is_some());
                steps.push(Does::Schedule(is, name.clone(), asked.clone()));
            }
        }
        Ok(steps)
    }
}

impl Does {
    /// In which order things are done.
    fn turn(&self) -> u8 {
        match self {
            Self::Deploy { filtered: false, .. } => 0,
            // Before new code of what is there already, which may rely on them.
            Self::Filter { to_known: true, .. } => 1,
            Self::Deploy { filtered: true, .. } => 2,
            Self::Filter { to_known: false, .. } => 3,
            Self::Grant(_) => 4,
            Self::Unroute { moves: true, .. } => 5,
            Self::Route(..) | Self::Schedule(..) | Self::Trigger(..) => 6,
            // What goes does so when all that comes is there: what cannot be added takes nothing away.
            Self::Unroute { moves: false, .. } | Self::Unschedule(_) | Self::Untrigger(_) => 7,
            Self::Unfilter(_) | Self::Ungrant(_) => 8,
        }
    }

    fn unroute(pattern: &str) -> Self {
        Self::Unroute { pattern: pattern.to_owned(), moves: false }
    }

    /// The requests that a new route is for.
    fn leads(&self) -> Option<String> {
        match self {
            Self::Route(Is::New, pattern, ..) => Some(shape(pattern)),
            _ => None,
        }
    }
}

impl Step {
    async fn done(self, node: &Node) -> anyhow::Result<()> {
        let function = &self.function;
        match self.does {
            Does::Deploy { settings, code, .. } => {
                let release = node.deploy(function, code, &settings, WAIT).await?;
                let number = release.number;
                match release.state {
                    State::Ready { .. } => {}
                    State::Failed { why } => anyhow::bail!("release {number} cannot be run: {why}"),
                    State::Compiling => anyhow::bail!(
                        "release {number} is not compiled after {WAIT} s: apply again when `cairn fn versions` says that it is ready"
                    ),
                }
            }
            Does::Grant(grant) => drop(node.add_grant(&grant).await?),
            Does::Ungrant(grant) => node.remove_grant(&grant.id).await?,
            Does::Filter { name, priority, .. } => {
                drop(node.add_filter(function, &name, priority).await?);
            }
            Does::Unfilter(name) => node.remove_filter(function, &name).await?,
            Does::Route(Is::New, pattern, files, auth) => {
                drop(node.add_route(function, (&pattern, files), auth).await?);
            }
            Does::Route(Is::Changed, pattern, files, auth) => {
                drop(node.set_route(function, (&pattern, files), auth).await?);
            }
            Does::Unroute { pattern, .. } => node.remove_route(function, &pattern).await?,
            Does::Schedule(Is::New, _, asked) => drop(node.add_schedule(function, &asked).await?),
            Does::Schedule(_, _, asked) => drop(node.set_schedule(function, &asked).await?),
            Does::Unschedule(name) => node.remove_schedule(function, &name).await?,
            Does::Trigger(Is::New, _, asked) => drop(node.add_trigger(function, &asked).await?),
            Does::Trigger(_, _, asked) => drop(node.set_trigger(function, &asked).await?),
            Does::Untrigger(name) => node.remove_trigger(function, &name).await?,
        }
        Ok(())
    }

    fn shown(&self) -> Shown {
        let granted = |grant: &GrantBody| {
            let GrantBody { subject, role, pattern } = grant;
            format!("{subject} is {role} of {pattern}")
        };
        let (change, what, name) = match &self.does {
            Does::Deploy { why, .. } => ("add", "release", (*why).to_owned()),
            Does::Grant(grant) => ("add", "grant", granted(grant)),
            Does::Ungrant(known) => ("remove", "grant", granted(&known.grant)),
            Does::Filter { name, priority, .. } => ("add", "filter", format!("{name}, {priority}")),
            Does::Unfilter(name) => ("remove", "filter", name.clone()),
            Does::Route(is, pattern, files, auth) => {
                let to = files.as_ref().map(|files| format!(", files of {}", files.tag));
                let public = if *auth == Auth::None { ", public" } else { "" };
                (is.change(), "route", format!("{pattern}{}{public}", to.unwrap_or_default()))
            }
            Does::Unroute { pattern, .. } => ("remove", "route", pattern.clone()),
            Does::Schedule(is, name, asked) => {
                (is.change(), "schedule", format!("{name}, {}", asked.schedule))
            }
            Does::Unschedule(name) => ("remove", "schedule", name.clone()),
            Does::Trigger(is, name, asked) => {
                (is.change(), "trigger", format!("{name}, {}", asked.namespace))
            }
            Does::Untrigger(name) => ("remove", "trigger", name.clone()),
        };
        Shown { function: self.function.to_string(), change, what, name }
    }
}

/// What is the same of two routes for the same requests.
fn shape(pattern: &str) -> String {
    pattern.parse::<Pattern>().map_or_else(|_| pattern.to_owned(), |pattern| pattern.shape())
}

fn is_public((_, auth): &(RouteFiles, Auth)) -> bool {
    *auth == Auth::None
}

fn public(wanted: &Wanted) -> bool {
    wanted.routes.values().any(|auth| *auth == Auth::None)
}
