//! Schedules of functions, and what runs them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cairn_base::{ErrorKind, ProjectName};
use cairn_wasm::{Call, Kind};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{Semaphore, watch};

use super::posts::Post;
use super::{Functions, Shared};
use crate::agenda::{Agenda, Key};
use crate::error::Error;
use crate::live::Live;
use crate::model::Function;
use crate::registry::{Turn, ended, is_elsewhere};
use crate::rows::Begun;
use crate::schedules::{Key as Schedule, Outcome, Plan, Run, ScheduleInfo};

/// How long nothing is looked at, at most: clocks may be set meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How soon it is looked again after something failed.
pub(super) const RETRY_MS: u64 = 5000;
/// Runs of a project's schedules on a node at a time, and of its calls and triggers; others wait.
const RUNS_MAX: usize = 32;
/// Of a program's output that goes to its log: lines, and bytes of all of them.
const OUTPUT_LINES_MAX: usize = 100;
const OUTPUT_BYTES_MAX: usize = 64 << 10;
/// How often it is tried to write down what was done.
const WRITES_MAX: u32 = 12;
/// What a function that answers requests is told of the run.
const HEADERS: [&str; 3] = ["cairn-schedule", "cairn-tick", "cairn-attempt"];

/// Runs of schedules on this node since it started.
#[derive(Default)]
pub(super) struct RunCounts {
    all: AtomicU64,
    failures: AtomicU64,
}

impl RunCounts {
    fn count(&self, outcome: Outcome) {
        self.all.fetch_add(1, Ordering::Relaxed);
        if outcome == Outcome::Failed {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Functions {
    /// How many runs of schedules ended on this node since it started, and how many of them failed.
    #[must_use]
    pub fn scheduled_runs(&self) -> (u64, u64) {
        let RunCounts { all, failures } = &self.shared.runs;
        (all.load(Ordering::Relaxed), failures.load(Ordering::Relaxed))
    }

    /// Adds a schedule. Durable when this returns.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NoFunction`], [`Error::ScheduleExists`]; [`Error::Kept`].
    pub async fn add_schedule(
        &self,
        key: &Schedule,
        plan: &Plan,
        by: &str,
    ) -> Result<ScheduleInfo, Error> {
        self.put_schedule(key, plan, by, false).await
    }

    /// Adds a schedule, or changes the one of this name: what is remembered of its runs stays.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::NoFunction`]; [`Error::Kept`].
    pub async fn set_schedule(
        &self,
        key: &Schedule,
        plan: &Plan,
        by: &str,
    ) -> Result<ScheduleInfo, Error> {
        self.put_schedule(key, plan, by, true).await
    }

    async fn put_schedule(
        &self,
        key: &Schedule,
        plan: &Plan,
        by: &str,
        replace: bool,
    ) -> Result<ScheduleInfo, Error> {
        let made = self.shared.registry.add_schedule(key, plan, by, replace).await?;
        self.shared.live.seen(&key.0.project, made.seq).await?;
        Ok(made.what)
    }

    /// Removes a schedule with what is remembered of its runs. A run that is under way goes on to its end.
    ///
    /// # Errors
    /// [`Error::NoSchedule`]; [`Error::Kept`].
    pub async fn remove_schedule(&self, key: &Schedule) -> Result<(), Error> {
        let made = self.shared.registry.remove_schedule(key).await?;
        self.shared.live.seen(&key.0.project, made.seq).await
    }

    /// The schedules of a project, by function and name.
    ///
    /// # Errors
    /// [`Error::Kept`].
    pub async fn schedules(&self, project: &ProjectName) -> Result<Vec<ScheduleInfo>, Error> {
        self.shared.registry.schedules(project).await
    }

    /// The last runs of a schedule, the newest first.
    ///
    /// # Errors
    /// [`Error::NoSchedule`]; [`Error::Kept`].
    pub async fn runs(&self, key: &Schedule) -> Result<Vec<Run>, Error> {
        self.shared.registry.runs(key).await
    }

    /// Does what schedules, calls and plans ask for that nobody waits for, of the projects whose partitions this node has.
    /// It never ends; what it runs ends with it, and is run again by the node that comes after.
    pub async fn keep_running(&self) {
        let schedules =
            self.keep(Live::agenda, |own, key| async move { own.turn(&key).await }.boxed());
        let calls =
            self.keep(Live::calls, |own, key| async move { own.call_turn(&key).await }.boxed());
        let plans =
            self.keep(Live::plans, |own, key| async move { own.plan_turn(&key).await }.boxed());
        let triggers = self
            .keep(Live::triggers, |own, key| async move { own.trigger_turn(&key).await }.boxed());
        futures::join!(schedules, calls, plans, triggers);
    }

    /// Gives what is due a turn, which says when the next is; none when there is nothing any more.
    async fn keep<N: Ord + Clone + Send + 'static>(
        &self,
        agenda: fn(&Live) -> &Agenda<N>,
        turn: fn(Self, Key<N>) -> BoxFuture<'static, Option<u64>>,
    ) {
        let Shared { live, registry, env, .. } = &*self.shared;
        let (of, agenda) = (agenda, agenda(live));
        let mut changed = agenda.changed();
        let mut places = BTreeMap::new();
        let (_here, gone) = watch::channel(());
        loop {
            for key in agenda.take(registry.now_ms()) {
                let of_project = places.entry(key.0.project.clone());
                let of_project = of_project.or_insert_with(|| Arc::new(Semaphore::new(RUNS_MAX)));
                let (own, place) = (self.clone(), Arc::clone(of_project).acquire_owned());
                let mut gone = gone.clone();
                env.spawn.task(Box::pin(async move {
                    let _place = place.await;
                    let agenda = of(&own.shared.live);
                    tokio::select! {
                        biased;
                        _ = gone.changed() => {}
                        // The node that has the partition now does it again.
                        () = agenda.lost(&key.0.project) => agenda.put_back(&key, 0),
                        again = turn(own.clone(), key.clone()) => match again {
                            Some(at_ms) => agenda.put_back(&key, at_ms),
                            None => agenda.done(&key),
                        }
                    }
                }));
            }
            let next = agenda.next_ms().map_or(u64::MAX, |at| at.saturating_sub(registry.now_ms()));
            tokio::select! {
                biased;
                _ = changed.changed() => {}
                () = env.clock.sleep(Duration::from_millis(next).min(LOOK_EVERY)) => {}
            }
        }
    }

    /// Does what is due of one schedule; when it is to be looked at again.
    async fn turn(&self, key: &Schedule) -> Option<u64> {
        self.try_turn(key).await.unwrap_or_else(|error| {
            let (function, name) = key;
            tracing::warn!(%function, schedule = %name, %error, "a schedule is looked at again");
            Some(self.shared.registry.now_ms() + RETRY_MS)
        })
    }

    async fn try_turn(&self, key: &Schedule) -> Result<Option<u64>, Error> {
        let Shared { registry, runs, .. } = &*self.shared;
        match registry.begin_run(key).await? {
            Turn::Gone => Ok(None),
            Turn::Later(at_ms) => Ok(Some(at_ms)),
            Turn::Run(begun, plan) => {
                let (outcome, what) = match self.run_plan(key, plan, begun).await {
                    Ok(done) => done,
                    Err(error) if error.kind() == ErrorKind::Retry => {
                        registry.let_be(key, begun).await?;
                        return Ok(Some(registry.now_ms() + RETRY_MS));
                    }
                    Err(error) => (Outcome::Failed, error.to_string()),
                };
                runs.count(outcome);
                let run = ended(begun, registry.now_ms(), outcome, what);
                self.written_down(&key.0, || registry.end_run(key, &run)).await?;
                Ok(Some(0))
            }
        }
    }

    /// Writes down what was done, again and again where it does not succeed: what was done is not to be done again for
    /// that. Where another node has the partition by now, that one does it again.
    pub(super) async fn written_down<F>(
        &self,
        function: &Function,
        write: impl Fn() -> F,
    ) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>>,
    {
        for _ in 0..WRITES_MAX {
            let Err(error) = write().await else { return Ok(()) };
            if matches!(&error, Error::Kept(error) if is_elsewhere(error)) {
                return Err(error);
            }
            tracing::warn!(%function, %error, "it is not written down yet what a function did");
            self.shared.env.clock.sleep(Duration::from_millis(RETRY_MS)).await;
        }
        write().await
    }

    async fn run_plan(
        &self,
        key: &Schedule,
        plan: Plan,
        begun: Begun,
    ) -> Result<(Outcome, String), Error> {
        match self.kind(&key.0).await? {
            Kind::Http => self.asked(key, begun, &plan).await,
            Kind::Command => self.ran(key, begun, plan).await,
        }
    }

    /// Asks one that answers requests, and takes all of its answer.
    async fn asked(
        &self,
        key: &Schedule,
        begun: Begun,
        plan: &Plan,
    ) -> Result<(Outcome, String), Error> {
        let (path, told) = (&plan.path, told(key, begun).collect());
        let post = Post { path, told, media_type: None, input: Bytes::new() };
        let parts = match self.post(&key.0, post, None).await? {
            Ok((parts, _)) => parts,
            Err(why) => return Ok((Outcome::Failed, why)),
        };
        let bad = parts.status.is_client_error() || parts.status.is_server_error();
        let outcome = if bad { Outcome::Failed } else { Outcome::Ok };
        Ok((outcome, format!("status {}", parts.status.as_u16())))
    }

    /// Runs a program; what it writes goes to its log.
    async fn ran(
        &self,
        key: &Schedule,
        begun: Begun,
        plan: Plan,
    ) -> Result<(Outcome, String), Error> {
        let (function, _) = key;
        let arguments = [function.name.to_string()].into_iter().chain(plan.arguments).collect();
        // As headers are told to programs.
        let environment = variables(told(key, begun));
        let done = self.run(function, Call { arguments, environment, ..Call::default() }).await?;
        let slot = self.shared.live.slot(function).await?;
        let output = done.output.slice(..done.output.len().min(OUTPUT_BYTES_MAX));
        for line in String::from_utf8_lossy(&output).lines().take(OUTPUT_LINES_MAX) {
            slot.journal.write("stdout", line);
        }
        let outcome = if done.exit == 0 { Outcome::Ok } else { Outcome::Failed };
        Ok((outcome, format!("exit code {}", done.exit)))
    }
}

/// What a function is told of the run that it is.
fn told(
    (_, name): &Schedule,
    begun: Begun,
) -> impl Iterator<Item = (&'static str, String)> + use<> {
    let values = [name.to_string(), begun.tick_ms.to_string(), begun.attempt.to_string()];
    HEADERS.into_iter().zip(values)
}

/// What a function is told by headers, as a program is told it.
pub(super) fn variables(
    told: impl IntoIterator<Item = (&'static str, String)>,
) -> Vec<(String, String)> {
    let variable = |name: &str| format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_"));
    told.into_iter().map(|(name, value)| (variable(name), value)).collect()
}
