//! Delivery: each hub looks for hooks that nobody delivers for, and takes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_base::{DatasetName, ErrorKind, ProjectName, TagName};
use futures::TryStreamExt as _;
use tokio::sync::{Semaphore, mpsc, watch};

use super::event::Move;
use super::{Courier, HookState, Lease, PREFIX, fits, hex};
use crate::error::Error;
use crate::follow::{REMOVED, news, state_id};
use crate::local::Datasets;
use crate::model::{Dataset, Target};
use crate::refs::Refs;

/// How often a hub looks for hooks that nobody delivers for. Those that are made through it, it sees
/// at once.
const HOOK_SCAN_EVERY: Duration = Duration::from_secs(30);
/// The same while there is no hook: so late at most a first one is found that was made past all hubs.
const HOOK_SCAN_NONE_EVERY: Duration = Duration::from_secs(300);
/// How often a hub that delivers for a hook looks for moves that other hubs made.
pub(crate) const HOOK_LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long a hub delivers for a hook without saying that it is still there: so long after a hub was
/// killed, and at most one scan later, another one goes on.
pub(crate) const HOOK_LEASE: Duration = Duration::from_secs(60);
/// The pause after the first failure; it doubles.
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// The shortest pause, when the time of the next attempt has come.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause between attempts.
const RETRY_MAX: Duration = Duration::from_secs(3600);
/// Deliveries of one hub at a time.
const DELIVERIES_MAX: usize = 32;
/// How long a hub that stops waits for what is under way.
const STOP_WAIT_MAX: Duration = Duration::from_secs(20);
/// The longest description of a failure, in characters.
const ERROR_CHARS_MAX: usize = 300;

/// Delivers the events of all hooks of a bucket, beside other hubs that do the same.
pub struct HookRunner {
    shared: Arc<Shared>,
}

struct Shared {
    refs: Refs,
    courier: Arc<dyn Courier>,
    /// Tells hubs apart.
    me: String,
    places: Semaphore,
    /// Keys of hooks that this hub delivers for.
    mine: Mutex<BTreeSet<String>>,
}

impl Shared {
    fn mine(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.mine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        self.refs.env().clock.wall_ns()
    }

    /// Takes or keeps the lease of a hook; not when another hub has it.
    fn lease(&self, state: &mut HookState) -> bool {
        let now = self.now();
        let others = state.lease.as_ref().is_some_and(|l| l.holder != self.me && l.until_ns > now);
        if !others {
            let until_ns = now.saturating_add(ns(HOOK_LEASE));
            state.lease = Some(Lease { holder: self.me.clone(), until_ns });
        }
        !others
    }
}

fn ns(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl HookRunner {
    /// A hub's part of the delivery. Nothing is done before [`HookRunner::run`].
    #[must_use]
    pub fn new(datasets: &Datasets, courier: Arc<dyn Courier>) -> Self {
        let mut me = [0; 8];
        datasets.refs.env().rng.fill(&mut me);
        let shared = Shared {
            refs: datasets.refs.clone(),
            courier,
            me: hex(&me),
            places: Semaphore::new(DELIVERIES_MAX),
            mine: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Delivers until `stop` is true; then gives its hooks back for other hubs, and returns. What
    /// fails is logged and tried again.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let clock = Arc::clone(&self.shared.refs.env().clock);
        let mut changes = self.shared.refs.watches().changes();
        let (alive, mut ended) = mpsc::channel::<()>(1);
        let mut known = BTreeMap::new();
        while !*stop.borrow_and_update() {
            let every = match self.look(&mut known, &stop, &alive).await {
                Ok(0) => HOOK_SCAN_NONE_EVERY,
                Ok(_) => HOOK_SCAN_EVERY,
                Err(error) => {
                    tracing::warn!(%error, "hooks could not be looked at");
                    HOOK_SCAN_EVERY
                }
            };
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                _ = changes.changed() => {}
                () = clock.sleep(every) => {}
            }
        }
        drop(alive);
        tokio::select! {
            biased;
            _ = ended.recv() => {}
            () = clock.sleep(STOP_WAIT_MAX) => {}
        }
    }

    /// Takes the hooks that nobody delivers for, and returns how many there are in all.
    async fn look(
        &self,
        known: &mut BTreeMap<String, (cairn_bucket::Version, i64)>,
        stop: &watch::Receiver<bool>,
        alive: &mpsc::Sender<()>,
    ) -> Result<usize, Error> {
        let heads: Vec<_> = self.shared.refs.bucket().list(PREFIX).try_collect().await?;
        let count = heads.len();
        known.retain(|key, _| heads.iter().any(|head| head.key == *key));
        for head in heads {
            let (key, now) = (head.key, self.shared.now());
            let leased = known
                .get(&key)
                .is_some_and(|(version, until)| *version == head.version && *until > now);
            if leased || self.shared.mine().contains(&key) {
                continue;
            }
            let Some(dataset) = dataset_of(&key) else { continue };
            let Some((state, version)) = self.shared.refs.load_hook(&key).await? else { continue };
            let until = state.lease.map_or(0, |lease| lease.until_ns);
            known.insert(key.clone(), (version, until));
            let lease = |state: &mut HookState| self.shared.lease(state);
            let Some(state) = self.shared.refs.update_hook(&key, lease).await? else { continue };
            self.shared.mine().insert(key.clone());
            let shared = Arc::clone(&self.shared);
            let (stop, alive) = (stop.clone(), alive.clone());
            let worker = Worker { shared, key, dataset, state, heads: BTreeMap::new(), stop };
            self.shared.refs.env().spawn.task(Box::pin(async move {
                worker.run().await;
                drop(alive);
            }));
        }
        Ok(count)
    }
}

fn dataset_of(key: &str) -> Option<Dataset> {
    let mut parts = key.strip_prefix(PREFIX)?.strip_prefix('/')?.split('/');
    let project: ProjectName = parts.next()?.parse().ok()?;
    let name: DatasetName = parts.next()?.parse().ok()?;
    Some(Dataset { project, name })
}

/// Delivers for one hook, as long as it has its lease.
struct Worker {
    shared: Arc<Shared>,
    key: String,
    dataset: Dataset,
    state: HookState,
    /// Refs of which everything was told.
    heads: BTreeMap<TagName, cairn_bucket::Version>,
    stop: watch::Receiver<bool>,
}

/// Why a worker ends.
enum Ended {
    /// The hook was removed, or another hub has it.
    Lost,
    /// The hub stops.
    Stopped,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.mine().remove(&self.key);
    }
}

impl Worker {
    async fn run(mut self) {
        let mut changes = self.shared.refs.watches().changes();
        loop {
            let ended = match self.work().await {
                Ok(()) => self.wait(&mut changes, HOOK_LOOK_EVERY).await.err(),
                Err(Some(ended)) => Some(ended),
                Err(None) => self.pause().await.err(),
            };
            match ended {
                None => {}
                Some(Ended::Lost) => return,
                Some(Ended::Stopped) => return self.give_back().await,
            }
        }
    }

    /// Tells what there is to tell. `Err(None)` when the receiver or the bucket failed.
    async fn work(&mut self) -> Result<(), Option<Ended>> {
        let failed = |error: Error| {
            tracing::warn!(%error, "a hook could not be worked on");
            None
        };
        let (moves, heads) = self.pending().await.map_err(failed)?;
        for told in moves {
            self.keep(|_| {}).await?;
            let parcel = told.parcel(&self.dataset, &self.state);
            let carried = {
                let places = &self.shared.places;
                let _place = places.acquire().await.map_err(|_| Some(Ended::Stopped))?;
                tokio::select! {
                    biased;
                    _ = self.stop.wait_for(|stop| *stop) => return Err(Some(Ended::Stopped)),
                    carried = self.shared.courier.carry(&parcel) => carried,
                }
            };
            self.settle(told, carried).await?;
        }
        self.heads = heads;
        let until = self.state.lease.as_ref().map_or(0, |lease| lease.until_ns);
        if until - self.shared.now() < ns(HOOK_LEASE) * 2 / 3 {
            self.keep(|_| {}).await?;
        }
        Ok(())
    }

    /// Writes down how a delivery went.
    async fn settle(
        &mut self,
        told: Move,
        carried: Result<(), String>,
    ) -> Result<(), Option<Ended>> {
        let now = self.shared.now();
        let Err(why) = carried else {
            let id = state_id(told.now.as_ref());
            return self
                .keep(|state| {
                    if told.now.is_some() {
                        state.seen.insert(told.tag.clone(), id.clone());
                    } else {
                        state.seen.remove(&told.tag);
                    }
                    (state.hook.failures, state.hook.error, state.hook.next_try_ns) =
                        (0, None, None);
                })
                .await;
        };
        tracing::info!(hook = %self.state.hook.id, %why, "a hook's receiver took nothing");
        let why: String = why.chars().take(ERROR_CHARS_MAX).collect();
        self.keep(|state| {
            let hook = &mut state.hook;
            let pause = RETRY_FIRST.saturating_mul(1 << hook.failures.min(16)).min(RETRY_MAX);
            hook.failures = hook.failures.saturating_add(1);
            hook.error = Some(why.clone());
            hook.next_try_ns = Some(now.saturating_add(ns(pause)));
        })
        .await?;
        Err(None)
    }

    /// Changes the hook's object, and keeps the lease.
    async fn keep(
        &mut self,
        mut change: impl FnMut(&mut HookState) + Send,
    ) -> Result<(), Option<Ended>> {
        let shared = Arc::clone(&self.shared);
        let kept = self.shared.refs.update_hook(&self.key, |state| {
            let held = state.lease.as_ref().is_some_and(|lease| lease.holder == shared.me);
            if held {
                shared.lease(state);
                change(state);
            }
            held
        });
        match kept.await {
            Ok(Some(state)) => self.state = state,
            Ok(None) => return Err(Some(Ended::Lost)),
            Err(error) => {
                tracing::warn!(%error, "a hook could not be written");
                return Err(None);
            }
        }
        Ok(())
    }

    /// The moves that the receiver does not know, in the order of each tag, and the refs that were
    /// looked at.
    #[allow(clippy::type_complexity, reason = "it is used once")]
    async fn pending(
        &self,
    ) -> Result<(Vec<Move>, BTreeMap<TagName, cairn_bucket::Version>), Error> {
        let refs = &self.shared.refs;
        let (mut moves, mut heads) = (Vec::new(), BTreeMap::new());
        for (target, version) in refs.heads(&self.dataset).await? {
            if !fits(&self.state.hook.tags, target.tag.as_str()) {
                continue;
            }
            if self.heads.get(&target.tag) != Some(&version) {
                moves.extend(self.moves(&target).await?);
            }
            heads.insert(target.tag, version);
        }
        Ok((moves, heads))
    }

    async fn moves(&self, target: &Target) -> Result<Vec<Move>, Error> {
        let loaded = self.shared.refs.load(target).await?.map(|(state, _)| state);
        let tag = target.tag.to_string();
        let mut before = self.state.seen.get(&tag).map_or(REMOVED, String::as_str).to_owned();
        let removed_ns = loaded.as_ref().and_then(|state| state.removed_ns).unwrap_or_default();
        let states = news(loaded.as_ref(), Some(&before));
        let moves = states.into_iter().map(|now| {
            let time_ns = now.as_ref().map_or(removed_ns, |version| version.time_ns);
            let id = state_id(now.as_ref());
            let before = std::mem::replace(&mut before, id);
            Move { tag: tag.clone(), before, now, time_ns }
        });
        Ok(moves.collect())
    }

    /// Waits until it may be tried again.
    async fn pause(&mut self) -> Result<(), Ended> {
        loop {
            let next = self.state.hook.next_try_ns.unwrap_or(0);
            let left = next.saturating_sub(self.shared.now());
            let left = Duration::from_nanos(u64::try_from(left).unwrap_or(0));
            // Without a next time it is the bucket that failed.
            let left = if next == 0 { RETRY_FIRST } else { left.max(PAUSE_MIN) };
            let short = left.min(HOOK_LEASE / 3);
            let clock = Arc::clone(&self.shared.refs.env().clock);
            tokio::select! {
                biased;
                _ = self.stop.wait_for(|stop| *stop) => return Err(Ended::Stopped),
                () = clock.sleep(short) => {}
            }
            if short == left {
                return Ok(());
            }
            if let Err(Some(ended)) = self.keep(|_| {}).await {
                return Err(ended);
            }
        }
    }

    async fn wait(
        &mut self,
        changes: &mut watch::Receiver<u64>,
        time: Duration,
    ) -> Result<(), Ended> {
        let clock = Arc::clone(&self.shared.refs.env().clock);
        tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => Err(Ended::Stopped),
            _ = changes.changed() => Ok(()),
            () = clock.sleep(time) => Ok(()),
        }
    }

    /// Ends the lease, so that another hub goes on at once.
    async fn give_back(&mut self) {
        let me = self.shared.me.clone();
        let given = self.shared.refs.update_hook(&self.key, |state| {
            let held = state.lease.as_ref().is_some_and(|lease| lease.holder == me);
            state.lease = state.lease.take().filter(|_| !held);
            held
        });
        if let Err(error) = given.await
            && error.kind() != ErrorKind::NotFound
        {
            tracing::debug!(%error, "a hook's lease runs out by itself");
        }
    }
}
