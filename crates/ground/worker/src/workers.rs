//! The workers of a node: one process for each project that has functions of this tier, from the first call until
//! nobody has called for a while.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_env::Env;
use cairn_wasm::{Code, Failure, Limits, World};
use tokio::sync::OnceCell;

use crate::function::Function;
use crate::process::Program;
use crate::worker::{NotStarted, Worker};

/// Workers of one node.
const WORKERS_MAX: usize = 64;
/// How long a worker is kept that nobody calls.
const IDLE: Duration = Duration::from_secs(300);
/// The first pause before a worker is started again that died soon, and the longest.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// One that lived for so long died for another reason than the one before.
const LONG: Duration = Duration::from_secs(10);

/// The workers of a node. Cheap to clone; with the last one they end.
#[derive(Clone)]
pub struct Workers {
    shared: Arc<Shared>,
}

struct Shared {
    program: Program,
    env: Env,
    tenants: Mutex<BTreeMap<String, Arc<Tenant>>>,
    /// Whether workers can be had here; looked at once.
    probed: OnceCell<Result<(), String>>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    starts: AtomicU64,
    crashes: AtomicU64,
    lost: AtomicU64,
}

/// What was done since the node started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Workers that live.
    pub workers: u64,
    /// Workers that were started.
    pub starts: u64,
    /// Those that ended by themselves.
    pub crashes: u64,
    /// Calls that ended with them.
    pub lost_calls: u64,
}

/// A project's worker, when there is one.
#[derive(Default)]
struct Tenant {
    worker: Mutex<Option<Arc<Worker>>>,
    /// One at a time starts it; how often it died soon after, and when it was last started.
    starting: tokio::sync::Mutex<Started>,
}

#[derive(Default)]
struct Started {
    died: u32,
    at: Option<Duration>,
}

impl Workers {
    /// Workers that are started as `program`. None is before it is needed.
    #[must_use]
    pub fn new(program: Program, env: &Env) -> Self {
        let (tenants, probed, counts) = (Mutex::default(), OnceCell::new(), Counts::default());
        Self { shared: Arc::new(Shared { program, env: env.clone(), tenants, probed, counts }) }
    }

    /// Whether this machine confines workers as it must (WORKER-3). One is started to see that, the first time.
    ///
    /// # Errors
    /// [`Failure::Isolation`] says why not; [`Failure::Crashed`] when that could not be seen.
    pub async fn check(&self) -> Result<(), Failure> {
        let probe = || async {
            match Worker::start(&self.shared.program, &self.shared.env).await {
                Ok(_) => Ok(Ok(())),
                Err(NotStarted::Unconfined(why)) => Ok(Err(why)),
                // Another time it may be different.
                Err(NotStarted::Failed(why)) => Err(Failure::Crashed { how: why }),
            }
        };
        let probed = self.shared.probed.get_or_try_init(probe).await?;
        probed.clone().map_err(|why| Failure::Isolation { why })
    }

    /// A function of a project, which is run by the project's worker: nothing is started before it is called.
    #[must_use]
    pub fn function(&self, project: &str, code: &Code, limits: Limits, world: World) -> Function {
        Function::new(self, project, code, limits, world)
    }

    /// What was done.
    #[must_use]
    pub fn numbers(&self) -> Numbers {
        let Counts { starts, crashes, lost } = &self.shared.counts;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let workers = self.living().len() as u64;
        let (starts, crashes, lost_calls) = (count(starts), count(crashes), count(lost));
        Numbers { workers, starts, crashes, lost_calls }
    }

    /// The processes of the workers that live, by project.
    #[must_use]
    pub fn processes(&self) -> Vec<(String, i32)> {
        let living = self.living().into_iter();
        living.filter_map(|(project, worker)| Some((project, worker.pid()?))).collect()
    }

    pub(crate) fn env(&self) -> &Env {
        &self.shared.env
    }

    /// A call was lost with its worker.
    pub(crate) fn count_lost(&self) {
        self.shared.counts.lost.fetch_add(1, Ordering::Relaxed);
    }

    fn tenants(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Tenant>>> {
        self.shared.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn living(&self) -> Vec<(String, Arc<Worker>)> {
        let tenants = self.tenants();
        let living =
            tenants.iter().filter_map(|(name, tenant)| Some((name.clone(), tenant.has()?)));
        living.collect()
    }

    /// The worker of a project when it lives.
    pub(crate) fn present(&self, project: &str) -> Option<Arc<Worker>> {
        self.tenants().get(project)?.has()
    }

    /// The worker of a project, started when there is none.
    pub(crate) async fn of(&self, project: &str) -> Result<Arc<Worker>, Failure> {
        let tenant = Arc::clone(self.tenants().entry(project.to_owned()).or_default());
        if let Some(worker) = tenant.has() {
            return Ok(worker);
        }
        let mut started = tenant.starting.lock().await;
        if let Some(worker) = tenant.has() {
            return Ok(worker);
        }
        self.make_room()?;
        let clock = &self.shared.env.clock;
        clock.sleep(started.pause(clock.monotonic())).await;
        let worker = Worker::start(&self.shared.program, &self.shared.env).await;
        started.at = Some(clock.monotonic());
        let worker = worker.map_err(|not| match not {
            NotStarted::Unconfined(why) => Failure::Isolation { why },
            NotStarted::Failed(how) => Failure::Crashed { how },
        })?;
        self.shared.counts.starts.fetch_add(1, Ordering::Relaxed);
        tracing::info!(%project, pid = worker.pid(), "a worker was started");
        let worker = Arc::new(worker);
        tenant.put(Some(Arc::clone(&worker)));
        self.watch(project, &tenant, &worker);
        Ok(worker)
    }

    /// Ends one that nobody calls where there are as many as may be.
    fn make_room(&self) -> Result<(), Failure> {
        let living = self.living();
        if living.len() < WORKERS_MAX {
            return Ok(());
        }
        let mut idle: Vec<_> = living.into_iter().map(|(_, worker)| worker).collect();
        idle.sort_by_key(|worker| worker.last_used());
        if idle.iter().any(|worker| worker.stop_if_idle(Duration::ZERO)) {
            return Ok(());
        }
        Err(Failure::Full)
    }

    /// Ends it when nobody calls it, and counts how it ended else.
    fn watch(&self, project: &str, tenant: &Arc<Tenant>, worker: &Arc<Worker>) {
        let (shared, tenant) = (Arc::downgrade(&self.shared), Arc::downgrade(tenant));
        let (project, worker) = (project.to_owned(), Arc::downgrade(worker));
        let Some(strong) = worker.upgrade() else { return };
        let (clock, ended) = (Arc::clone(&self.shared.env.clock), strong.ending());
        drop(strong);
        self.shared.env.spawn.task(Box::pin(async move {
            let mut ended = Box::pin(ended);
            let end = loop {
                tokio::select! {
                    biased;
                    end = &mut ended => break end,
                    () = clock.sleep(IDLE / 5) => {}
                }
                let Some(worker) = worker.upgrade() else { return };
                worker.stop_if_idle(IDLE);
            };
            let stopped = worker.upgrade().is_none_or(|worker| worker.is_stopped());
            if let Some(tenant) = tenant.upgrade() {
                tenant.forget(&worker);
            }
            if stopped {
                return;
            }
            let words = end.words;
            tracing::warn!(%project, how = end.how, ?words, "a worker ended by itself");
            if let Some(shared) = shared.upgrade() {
                shared.counts.crashes.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
}

impl Tenant {
    fn worker(&self) -> MutexGuard<'_, Option<Arc<Worker>>> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self) -> Option<Arc<Worker>> {
        self.worker().clone().filter(|worker| worker.takes_calls())
    }

    fn put(&self, worker: Option<Arc<Worker>>) {
        *self.worker() = worker;
    }

    /// It is not that one any more.
    fn forget(&self, gone: &std::sync::Weak<Worker>) {
        self.worker().take_if(|worker| std::ptr::eq(Arc::as_ptr(worker), gone.as_ptr()));
    }
}

impl Started {
    /// How long it is waited before another start.
    fn pause(&mut self, now: Duration) -> Duration {
        let Some(at) = self.at else { return Duration::ZERO };
        if now.saturating_sub(at) > LONG {
            self.died = 0;
            return Duration::ZERO;
        }
        let pause = PAUSE.saturating_mul(1 << self.died.min(10)).min(PAUSE_MAX);
        self.died = self.died.saturating_add(1);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dies_again_and_again_is_started_more_slowly() {
        let mut started = Started::default();
        assert_eq!(started.pause(Duration::ZERO), Duration::ZERO);
        started.at = Some(Duration::ZERO);
        let pauses: Vec<_> = (0..7).map(|_| started.pause(Duration::ZERO).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(started.pause(LONG * 2), Duration::ZERO);
        assert_eq!(started.pause(Duration::ZERO), PAUSE);
    }
}
