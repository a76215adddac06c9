//! Plans are done, by the node that has their project's partition.

mod doing;
mod keys;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use cairn_base::{ErrorKind, ProjectName, Reference};
use cairn_datasets::{Browser, Dataset, Version};
use cairn_kv::Error as KvError;
use cairn_wasm::Kind;

use super::Functions;
use super::schedules::RETRY_MS;
use crate::agenda::Key;
use crate::error::Error;
use crate::model::Function;
use crate::plans::{PlanInfo, PlanSpec, PlanState, Step, StepInfo};
use crate::rows::PlanRow;

/// How often it is looked at by who waits for it.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why a plan does not go on.
enum Halt {
    /// It cannot be done.
    Failed(String),
    /// It is there no more.
    Gone,
    /// It is tried again later.
    Later(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::Invalid | ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::Corrupt => {
                Self::Failed(error.to_string())
            }
            _ => Self::Later(error),
        }
    }
}

impl Functions {
    /// Keeps a plan, to be done from now on. Durable when this returns. `fresh` has all of it done again, also what was
    /// done before.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no plan; [`Error::NoFunction`], [`Error::NoneReady`] of its programs;
    /// [`Error::Data`] of its files; [`Error::TooManyPlans`]; [`Error::Kept`].
    pub async fn add_plan(
        &self,
        key: &Key<String>,
        spec: &PlanSpec,
        fresh: bool,
        by: &str,
    ) -> Result<PlanInfo, Error> {
        let (of, id) = key;
        let mut steps = Vec::new();
        let mut versions = BTreeMap::new();
        for name in spec.order()? {
            let step = &spec.steps[name];
            let function = program(&of.project, step)?;
            if self.kind(&function).await? != Kind::Command {
                let why = format!("step {name}: {function} answers requests, and is no program");
                return Err(Error::Invalid { why });
            }
            if let Some((dataset, reference)) = step.source(&of.project)? {
                let browser = Browser::warm(&self.shared.datasets, dataset);
                let version = browser.version(&reference.tag_or_latest()).await?;
                versions.insert(name.to_owned(), Version::clone(&version));
            }
            if let Some((namespace, _)) = step.keys_of(&of.project)? {
                self.now_at(&namespace).await?;
            }
            steps.push(StepInfo::waiting(name, step));
        }
        let registry = &self.shared.registry;
        let info = PlanInfo {
            id: id.clone(),
            project: of.project.to_string(),
            name: of.name.to_string(),
            made_ms: registry.now_ms(),
            by: by.to_owned(),
            state: PlanState::Waiting,
            what: String::new(),
            ended_ms: None,
            steps,
        };
        let plan = PlanRow { info, spec: spec.clone(), versions, fresh };
        let made = registry.add_plan(key, &plan).await?;
        self.shared.live.seen(&of.project, made.seq).await?;
        Ok(made.what)
    }

    /// How far a plan is, once it has ended or `wait` is over.
    ///
    /// # Errors
    /// [`Error::NoPlan`]; [`Error::Kept`].
    pub async fn plan(&self, key: &Key<String>, wait: Duration) -> Result<PlanInfo, Error> {
        let clock = &self.shared.env.clock;
        let until = clock.monotonic() + wait;
        loop {
            let info = self.kept_plan(key).await?.info;
            if !info.state.is_open() || clock.monotonic() >= until {
                return Ok(info);
            }
            clock.sleep(LOOK_EVERY).await;
        }
    }

    async fn kept_plan(&self, key: &Key<String>) -> Result<PlanRow, Error> {
        let missing = || Error::NoPlan { plan: key.0.clone(), id: key.1.clone() };
        self.shared.registry.plan(key).await?.ok_or_else(missing)
    }

    /// The plans of a project, the newest first.
    ///
    /// # Errors
    /// [`Error::Kept`].
    pub async fn plans(&self, project: &ProjectName) -> Result<Vec<PlanInfo>, Error> {
        self.shared.registry.plans(project).await
    }

    /// Ends a plan where it is. What its runs made is kept, for the next one.
    ///
    /// # Errors
    /// [`Error::NoPlan`]; [`Error::Kept`].
    pub async fn cancel_plan(&self, key: &Key<String>) -> Result<PlanInfo, Error> {
        let registry = &self.shared.registry;
        let mut info = self.kept_plan(key).await?.info;
        if info.state.is_open() {
            info.close(registry.now_ms(), PlanState::Cancelled, "it was cancelled".to_owned());
            registry.save_plan(key, &info).await?;
        }
        Ok(self.kept_plan(key).await?.info)
    }

    /// What a run of a step made; the last step's only run, when nothing else is asked for.
    ///
    /// # Errors
    /// [`Error::NoPlan`], [`Error::NoOutput`]; [`Error::Kept`].
    pub async fn plan_output(
        &self,
        key: &Key<String>,
        step: Option<&str>,
        run: Option<usize>,
    ) -> Result<Bytes, Error> {
        let none = |why: String| Error::NoOutput { why };
        let last = self.kept_plan(key).await?.spec;
        let last = last.last();
        let step = match (step, last.as_slice()) {
            (Some(step), _) => step,
            (None, [only]) => only,
            (None, many) => {
                return Err(none(format!(
                    "it ends in several steps, name one: {}",
                    many.join(", ")
                )));
            }
        };
        let registry = &self.shared.registry;
        let runs = registry.step(key, step).await?;
        let runs = runs.ok_or_else(|| none(format!("step {step} is not done")))?;
        let run = match (run, runs.as_slice()) {
            (Some(run), _) => runs.get(run),
            (None, [only]) => Some(only),
            (None, many) => {
                return Err(none(format!("step {step} has {} runs: name one", many.len())));
            }
        };
        let run = run.ok_or_else(|| none(format!("step {step} has {} runs", runs.len())))?;
        registry.made_output(&key.0, run).await.map_err(|error| match error {
            Error::Kept(KvError::NoKey { .. }) => none("it is kept no more".to_owned()),
            error => error,
        })
    }

    /// Does a plan; when it is to be looked at again.
    pub(super) async fn plan_turn(&self, key: &Key<String>) -> Option<u64> {
        let registry = &self.shared.registry;
        let plan = match registry.open_plan(key).await {
            Ok(plan) => plan?,
            Err(error) => return Some(self.again(key, &error)),
        };
        let mut info = plan.info.clone();
        let (state, what) = match self.do_plan(key, &plan, &mut info).await {
            Ok(()) => (PlanState::Done, String::new()),
            Err(Halt::Failed(why)) => (PlanState::Failed, why),
            Err(Halt::Gone) => return None,
            Err(Halt::Later(error)) => {
                info.what = format!("it is tried again: {error}");
                drop(registry.save_plan(key, &info).await);
                return Some(self.again(key, &error));
            }
        };
        info.close(registry.now_ms(), state, what);
        let info = &info;
        let write = || async move { registry.save_plan(key, info).await.map(drop) };
        match self.written_down(&key.0, write).await {
            Ok(()) => None,
            Err(error) => Some(self.again(key, &error)),
        }
    }

    fn again(&self, (plan, id): &Key<String>, error: &Error) -> u64 {
        tracing::warn!(%plan, id, %error, "a plan is taken up again");
        self.shared.registry.now_ms() + RETRY_MS
    }
}

/// The program of a step.
fn program(project: &ProjectName, step: &Step) -> Result<Function, Error> {
    Ok(Function { project: project.clone(), name: step.function.parse()? })
}

impl Step {
    /// The dataset that it reads files of, and what of it.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn source(&self, project: &ProjectName) -> Result<Option<(Dataset, Reference)>, Error> {
        let Some(files) = &self.files else { return Ok(None) };
        let reference: Reference = files.parse()?;
        if reference.host.is_some() {
            let why = format!("files: {files:?} is elsewhere: name a dataset of this cluster");
            return Err(Error::Invalid { why });
        }
        let project = match files.starts_with('@') {
            true => reference.project.clone(),
            false => project.clone(),
        };
        Ok(Some((Dataset { project, name: reference.name.clone() }, reference)))
    }
}
