//! A plan is done, step by step, and each step in runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_wasm::{Call, File, FileError};
use futures::StreamExt as _;
use tokio::sync::{Mutex, oneshot, watch};

use super::super::Functions;
use super::{Halt, program};
use crate::agenda::Key;
use crate::error::Error;
use crate::model::Function;
use crate::plans::{
    OUTPUT_BYTES_MAX, Part, PlanInfo, PlanState, RUNS_MAX, Step, StepInfo, StepState, parts,
};
use crate::registry::{Registry, is_elsewhere};
use crate::rows::PlanRow;
use crate::slot::{Ready, Slot};
use crate::tiers::Callable;

/// How often it is written down how far a plan is.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How soon it is looked for room again.
const ROOM_WAIT: Duration = Duration::from_millis(50);
/// How soon inputs are read again that could not be.
const UNREAD_WAIT: Duration = Duration::from_secs(1);
/// How long it is waited before a run that failed is tried again.
const AGAIN_AFTER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];
/// Runs of a plan at a time, for each of the machine's processors.
const RUNS_PER_CORE: usize = 2;

/// An input of a run.
#[derive(Clone)]
enum Input {
    Part(Part),
    Made(String),
}

impl Input {
    fn identity(&self) -> String {
        match self {
            Self::Part(part) => part.identity(),
            Self::Made(run) => format!("made {run}"),
        }
    }
}

/// A run that is to be done.
struct Run {
    id: String,
    inputs: Vec<Input>,
}

/// A step that is being done: one release of its program, from the first run to the last.
struct Doing {
    functions: Functions,
    key: Key<String>,
    slot: Arc<Slot>,
    ready: Arc<Ready>,
    step: Step,
    salt: String,
}

impl Functions {
    pub(super) async fn do_plan(
        &self,
        key: &Key<String>,
        plan: &PlanRow,
        info: &mut PlanInfo,
    ) -> Result<(), Halt> {
        info.state = PlanState::Running;
        info.what.clear();
        for step in &mut info.steps {
            *step = StepInfo::waiting(&step.name, &plan.spec.steps[&step.name]);
        }
        let registry = &self.shared.registry;
        let mut made = BTreeMap::<String, Vec<String>>::new();
        for at in 0..info.steps.len() {
            info.steps[at].begin(registry.now_ms());
            self.save(key, info).await?;
            let name = info.steps[at].name.clone();
            let step = plan.spec.steps[&name].clone();
            let slot = self.shared.live.slot(&program(&key.0.project, &step)?).await?;
            let ready = self.ready(&slot).await?;
            let inputs = self.inputs((key, plan), (&name, &step), &made).await?;
            let salt = if plan.fresh { key.1.clone() } else { String::new() };
            let (functions, key) = (self.clone(), key.clone());
            let doing = Arc::new(Doing { functions, key, slot, ready, step, salt });
            let runs = doing.all(inputs, (at, info)).await?;
            registry.keep_step(&doing.key, &name, &runs).await?;
            info.steps[at].end(StepState::Done, registry.now_ms());
            made.insert(name, runs);
        }
        Ok(())
    }

    /// Says how far a plan is. That it could not be said stops nothing.
    async fn save(&self, key: &Key<String>, info: &PlanInfo) -> Result<(), Halt> {
        match self.shared.registry.save_plan(key, info).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Halt::Gone),
            Err(Error::Kept(error)) if is_elsewhere(&error) => Err(Halt::Gone),
            Err(error) => {
                let (plan, id) = key;
                tracing::warn!(%plan, id, %error, "it is not written down yet how far a plan is");
                Ok(())
            }
        }
    }

    /// What the runs of a step are given.
    async fn inputs(
        &self,
        (key, plan): (&Key<String>, &PlanRow),
        (name, step): (&str, &Step),
        made: &BTreeMap<String, Vec<String>>,
    ) -> Result<Vec<Vec<Input>>, Halt> {
        let project = &key.0.project;
        if let Some((of, range)) = step.keys_of(project)? {
            let parts = self.parts_of_keys(key, (name, step), (&of, range)).await?;
            return Ok(parts.into_iter().map(|part| vec![Input::Made(part)]).collect());
        }
        if let (Some((dataset, from)), Some(version)) =
            (step.source(project)?, plan.versions.get(name))
        {
            let of = (from.path.as_slice(), step.split_bytes);
            let found = parts(&self.shared.datasets, dataset, version, of).await;
            let found = found.map_err(|error| match Halt::from(error) {
                Halt::Failed(why) => Halt::Failed(format!("step {name}: {why}")),
                halt => halt,
            })?;
            return Ok(found.into_iter().map(|part| vec![Input::Part(part)]).collect());
        }
        let outputs = step.inputs.iter().filter_map(|input| made.get(input)).flatten();
        let outputs = outputs.map(|run| Input::Made(run.clone()));
        Ok(if step.each {
            outputs.map(|input| vec![input]).collect()
        } else {
            vec![outputs.collect()]
        })
    }
}

impl Doing {
    /// Does all runs, and those of what they made where the step takes some of them together.
    async fn all(
        self: &Arc<Self>,
        mut inputs: Vec<Vec<Input>>,
        (at, info): (usize, &mut PlanInfo),
    ) -> Result<Vec<String>, Halt> {
        let mut known = 0;
        loop {
            let grouped = self.step.together.map(|together| grouped(&inputs, together));
            let groups = grouped.unwrap_or_else(|| std::mem::take(&mut inputs));
            if groups.len() > RUNS_MAX {
                let name = &info.steps[at].name;
                return Err(Halt::Failed(format!("step {name} has more than {RUNS_MAX} runs")));
            }
            let runs: Vec<Run> = groups.into_iter().map(|inputs| self.run(inputs)).collect();
            known += u32::try_from(runs.len()).unwrap_or(u32::MAX);
            info.steps[at].runs = Some(known);
            let ids: Vec<String> = runs.iter().map(|run| run.id.clone()).collect();
            // Files with the same bytes are one run: the others find what it made (FUNCTIONS-8).
            let mut firsts = BTreeSet::new();
            let (first, same): (Vec<_>, Vec<_>) =
                runs.into_iter().enumerate().partition(|(_, run)| firsts.insert(run.id.clone()));
            self.some(first, (at, info)).await?;
            self.some(same, (at, info)).await?;
            if self.step.together.is_none() || ids.len() == 1 {
                return Ok(ids);
            }
            inputs = vec![ids.into_iter().map(Input::Made).collect()];
        }
    }

    /// Does runs with their numbers.
    async fn some(
        self: &Arc<Self>,
        runs: Vec<(usize, Run)>,
        (at, info): (usize, &mut PlanInfo),
    ) -> Result<(), Halt> {
        let clock = &self.functions.shared.env.clock;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (_here, gone) = watch::channel(());
        let done = futures::stream::iter(runs)
            .map(|(number, run)| {
                let done = self.beside(run, gone.clone());
                async move { (number, done.await) }
            })
            .buffer_unordered(cores * RUNS_PER_CORE);
        let mut done = std::pin::pin!(done);
        let mut saved = clock.monotonic();
        loop {
            tokio::select! {
                biased;
                next = done.next() => match next {
                    None => return Ok(()),
                    Some((_, Ok(reused))) => {
                        info.steps[at].done += 1;
                        info.steps[at].reused += u32::from(reused);
                    }
                    Some((number, Err(Halt::Failed(why)))) => {
                        let name = &info.steps[at].name;
                        return Err(Halt::Failed(format!("run {number} of step {name}: {why}")));
                    }
                    Some((_, Err(halt))) => return Err(halt),
                },
                () = clock.sleep(SAVE_EVERY) => {}
            }
            if clock.monotonic().saturating_sub(saved) >= SAVE_EVERY {
                self.functions.save(&self.key, info).await?;
                saved = clock.monotonic();
            }
        }
    }

    /// Does a run in a task of its own, which ends when the plan does.
    fn beside(
        self: &Arc<Self>,
        run: Run,
        mut gone: watch::Receiver<()>,
    ) -> impl Future<Output = Result<bool, Halt>> + Send + use<> {
        let (own, (tell, told)) = (Arc::clone(self), oneshot::channel());
        async move {
            let spawn = Arc::clone(&own.functions.shared.env.spawn);
            spawn.task(Box::pin(async move {
                tokio::select! {
                    biased;
                    _ = gone.changed() => {}
                    // Nobody may wait any more.
                    done = own.one(run) => drop(tell.send(done)),
                }
            }));
            told.await.unwrap_or(Err(Halt::Gone))
        }
    }

    /// A run on these inputs. It has the id of all runs of this program with these arguments, this configuration and
    /// these inputs.
    fn run(&self, inputs: Vec<Input>) -> Run {
        let release = &self.ready.release;
        let name = self.slot.of.name.to_string();
        let mut hasher = blake3::Hasher::new_derive_key("cairn run of a step 1");
        let mut add = |parts: &[&str]| {
            hasher.update(&(parts.len() as u64).to_le_bytes());
            for part in parts {
                hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
            }
        };
        add(&[&release.digest, &self.salt, &name]);
        let environment = release.settings.environment.iter();
        add(&environment.flat_map(|(name, value)| [name.as_str(), value]).collect::<Vec<_>>());
        add(&self.step.arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let identities: Vec<String> = inputs.iter().map(Input::identity).collect();
        add(&identities.iter().map(String::as_str).collect::<Vec<_>>());
        Run { id: hex::encode(&hasher.finalize().as_bytes()[..16]), inputs }
    }

    /// Does a run, unless what it makes is kept; whether it is.
    async fn one(&self, run: Run) -> Result<bool, Halt> {
        let Self { functions, key, .. } = self;
        let (of, registry) = (&key.0, &functions.shared.registry);
        if registry.made(of, &run.id).await?.is_some() {
            return Ok(true);
        }
        let clock = &functions.shared.env.clock;
        let mut again = AGAIN_AFTER.iter();
        let output = loop {
            let unread = Arc::new(AtomicBool::new(false));
            match self.try_one(&run, &unread).await {
                Ok(output) => break output,
                // What it was to read could not be read just now: that is not its failure.
                Err(_) if unread.load(Ordering::Relaxed) => clock.sleep(UNREAD_WAIT).await,
                // There was no room for it: that is no attempt.
                Err(error) if error.kind() == ErrorKind::Retry => clock.sleep(ROOM_WAIT).await,
                Err(error) => match again.next() {
                    Some(after) => clock.sleep(*after).await,
                    None => return Err(Halt::Failed(error.to_string())),
                },
            }
        };
        let write = || registry.keep_made(of, &run.id, output.clone());
        functions.written_down(of, write).await?;
        Ok(false)
    }

    /// Does a run once. `unread` says that an input could not be read, and may be later.
    async fn try_one(&self, run: &Run, unread: &Arc<AtomicBool>) -> Result<Bytes, Error> {
        let invalid = |why: String| Error::Invalid { why };
        let Callable::Program(program) = &self.ready.call else {
            return Err(invalid("it answers requests".to_owned()));
        };
        let function = &self.slot.of;
        let arguments = [function.name.to_string()].into_iter();
        let open = |input: &Input| match input {
            Input::Part(part) => part.clone().open(),
            Input::Made(run) => self.made(run.clone(), unread),
        };
        let call = Call {
            arguments: arguments.chain(self.step.arguments.iter().cloned()).collect(),
            inputs: run.inputs.iter().map(open).collect(),
            ..Call::default()
        };
        let began = self.functions.shared.env.clock.monotonic();
        let ran = program.run(call).await;
        let done = self.functions.ended((&self.slot, began), ran)?;
        if done.output.len() as u64 > OUTPUT_BYTES_MAX {
            let why = format!("{function} wrote more than the {OUTPUT_BYTES_MAX} bytes of a run");
            return Err(invalid(why));
        }
        match done.exit {
            0 => Ok(done.output),
            exit => Err(invalid(format!(
                "{function} ended with exit code {exit}: cairn fn logs says more"
            ))),
        }
    }

    fn made(&self, run: String, unread: &Arc<AtomicBool>) -> Arc<dyn File> {
        let (registry, of) = (self.functions.shared.registry.clone(), self.key.0.clone());
        let unread = Arc::clone(unread);
        Arc::new(MadeFile { registry, of, run, unread, place: Mutex::new(None) })
    }
}

/// All inputs, so many together.
fn grouped(inputs: &[Vec<Input>], together: u32) -> Vec<Vec<Input>> {
    let together = usize::try_from(together).unwrap_or(usize::MAX);
    let all: Vec<Input> = inputs.iter().flatten().cloned().collect();
    all.chunks(together).map(<[Input]>::to_vec).collect()
}

/// What a run made, read as it is asked for.
struct MadeFile {
    registry: Registry,
    of: Function,
    run: String,
    /// It could not be read, and may be later.
    unread: Arc<AtomicBool>,
    place: Mutex<Option<Place>>,
}

impl MadeFile {
    fn failed(&self, kind: ErrorKind, error: &dyn std::fmt::Display) -> FileError {
        if kind == ErrorKind::Retry {
            self.unread.store(true, Ordering::Relaxed);
        }
        FileError::Other(error.to_string())
    }
}

struct Place {
    at: u64,
    ready: Bytes,
    pieces: cairn_kv::Pieces,
}

#[async_trait]
impl File for MadeFile {
    async fn size(&self) -> Option<u64> {
        Some(self.registry.made(&self.of, &self.run).await.ok()??.bytes)
    }

    async fn read(&self, at: u64, most: usize) -> Result<Bytes, FileError> {
        let mut kept = self.place.lock().await;
        let mut place = match kept.take().filter(|place| place.at <= at) {
            Some(place) => place,
            None => {
                let pieces = self.registry.made_pieces(&self.of, &self.run).await;
                let pieces = pieces.map_err(|error| self.failed(error.kind(), &error))?;
                Place { at: 0, ready: Bytes::new(), pieces }
            }
        };
        loop {
            let skip = usize::try_from(at - place.at).unwrap_or(usize::MAX);
            let skipped = place.ready.split_to(skip.min(place.ready.len())).len();
            place.at += skipped as u64;
            if !place.ready.is_empty() {
                break;
            }
            match place.pieces.next().await {
                Some(piece) => {
                    place.ready = piece.map_err(|error| self.failed(error.kind(), &error))?
                }
                None => return Ok(Bytes::new()),
            }
        }
        let some = place.ready.split_to(place.ready.len().min(most));
        place.at += some.len() as u64;
        *kept = Some(place);
        Ok(some)
    }
}
