//! A partition that this node owns: what is asked of it is answered from its view, and what is to be
//! changed goes through its one sequencer.

mod acknowledge;
mod batch;
mod expire;
mod ranges;
mod read;
mod sequencer;
mod tail;
mod warm;
mod watch;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cairn_env::Env;
use futures::future::BoxFuture;
use tokio::sync::{Notify, mpsc};

use crate::view::{Horizon, View};
use crate::{
    At, Changes, Commit, Committed, Entry, Error, Loss, Name, Page, Partition, PartitionId, Scan,
    Seq, Settings, Status,
};
use ranges::Ranges;
use sequencer::{Message, Request};
use tail::Tail;
pub(crate) use warm::Warm;
use warm::WarmPart;

/// Commits that may wait for their turn.
const QUEUE_COMMITS_MAX: usize = 4096;

/// What ownership says about a partition that is open.
pub(crate) trait Ownership: Send + Sync + 'static {
    /// Fails unless it is certain that no other node answers for the partition by now.
    fn check(&self) -> Result<(), Error>;

    /// Fails while the log takes nothing, because there is no room for it: nothing may be written then.
    fn admit(&self) -> Result<(), Error>;

    /// Something is being changed.
    fn used(&self);

    /// Waits until all that the log has synced by now is in the bucket.
    fn shipped(&self) -> BoxFuture<'static, Result<(), Error>>;
}

/// What a partition is opened with.
pub(crate) struct Opening {
    pub(crate) name: Name,
    pub(crate) id: PartitionId,
    pub(crate) settings: Settings,
    pub(crate) loss: Option<Loss>,
    pub(crate) view: View,
    pub(crate) horizon: Horizon,
    /// What was asked for lately, of all partitions, and the number of this one in it.
    pub(crate) warm: (Arc<Warm>, u64),
    pub(crate) ownership: Arc<dyn Ownership>,
    /// How long a commit is waited for before its outcome is said to be in doubt.
    pub(crate) commit_wait: Duration,
    pub(crate) env: Env,
}

/// A partition that is open. It goes on until it is closed.
pub(crate) struct Live {
    shared: Arc<Shared>,
}

struct Shared {
    name: Name,
    id: PartitionId,
    env: Env,
    view: View,
    horizon: Horizon,
    warm: WarmPart,
    ownership: Arc<dyn Ownership>,
    commit_wait: Duration,
    settings: Mutex<Settings>,
    loss: Option<Loss>,
    /// The last commit that was made.
    newest: AtomicU64,
    /// The last commit that is acknowledged.
    durable: AtomicU64,
    /// `durable` moved, or it never will again.
    moved: Notify,
    /// Wall time that never goes back, in milliseconds.
    now_ms: AtomicU64,
    /// When the next entry is over; `u64::MAX` when none is.
    next_end_ms: AtomicU64,
    tail: Mutex<Tail>,
    ranges: Ranges,
    /// Why nothing can be changed any more.
    failed: OnceLock<Error>,
    queue: mpsc::Sender<Message>,
}

impl Live {
    /// Starts a partition on a view that was replayed.
    ///
    /// # Errors
    /// When the view cannot be read.
    pub(crate) async fn start(opening: Opening) -> Result<Self, Error> {
        let found = read::Found::in_view(&opening.view).await?;
        let (queue, messages) = mpsc::channel(QUEUE_COMMITS_MAX);
        let shared = Arc::new(Shared::new(opening, found, queue));
        sequencer::start(Arc::clone(&shared), messages);
        Ok(Self { shared })
    }

    /// The last commit.
    pub(crate) fn newest(&self) -> Seq {
        self.shared.newest()
    }

    /// Whether states before the newest can be read.
    pub(crate) fn has_history(&self) -> bool {
        self.shared.horizon.get() < self.shared.newest() || self.shared.ranges.len() > 0
    }

    /// Whether it takes no changes any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.shared.failed.get().is_some()
    }

    /// Its view was closed by somebody else: it must be opened again.
    pub(crate) fn lost_view(&self, why: String) {
        let what = format!("the view of {}", self.shared.name);
        self.shared.fail(&Error::Closed { what, why });
    }

    /// Changes what was chosen.
    pub(crate) fn set(&self, settings: Settings) {
        *self.shared.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// Lets what is under way end, and nothing more begin.
    pub(crate) async fn stop(&self, why: &str) {
        let (done, stopped) = futures::channel::oneshot::channel();
        let sent = self.shared.queue.send(Message::Stop(why.to_owned(), done)).await;
        if sent.is_ok() {
            // Dropped without an answer: it has stopped too.
            stopped.await.unwrap_or_default();
        }
    }

    /// Moves the horizon on to where the history window begins, and sweeps what lies before it.
    /// Returns whether anything is left to sweep.
    pub(crate) async fn tidy(&self) -> Result<bool, Error> {
        self.shared.tidy().await
    }
}

/// A partition as its view shows it at one time: nothing changes in it.
pub(crate) struct Still {
    shared: Shared,
}

impl Still {
    /// What a view shows now, of a partition that somebody else may own.
    ///
    /// # Errors
    /// When the view cannot be read.
    pub(crate) async fn of(opening: Opening) -> Result<Self, Error> {
        let mut found = read::Found::in_view(&opening.view).await?;
        // What is over is hidden here; its owner removes it.
        found.next_end_ms = u64::MAX;
        let (queue, _) = mpsc::channel(1);
        Ok(Self { shared: Shared::new(opening, found, queue) })
    }

    pub(crate) fn status(&self) -> Status {
        self.shared.status()
    }

    pub(crate) async fn get(&self, key: &[u8], at: At) -> Result<Option<Entry>, Error> {
        self.shared.get(key, at).await
    }

    pub(crate) async fn scan(&self, scan: &Scan) -> Result<Page, Error> {
        self.shared.scan(scan).await
    }

    /// The changes after a commit, as far as they are here.
    pub(crate) async fn changes(&self, after: Seq) -> Result<Changes, Error> {
        self.shared.changes(after, Duration::ZERO).await
    }

    pub(crate) async fn seq_at(&self, time_ms: u64) -> Result<Seq, Error> {
        self.shared.state_at(time_ms).await
    }
}

impl Shared {
    fn new(opening: Opening, found: read::Found, queue: mpsc::Sender<Message>) -> Self {
        let Opening { name, id, settings, loss, view, horizon, warm, ownership, commit_wait, env } =
            opening;
        horizon.pass(found.oldest);
        Self {
            name,
            id,
            env,
            view,
            horizon,
            warm: WarmPart::new(warm.0, warm.1),
            ownership,
            commit_wait,
            settings: Mutex::new(settings),
            loss,
            newest: AtomicU64::new(found.newest.0),
            durable: AtomicU64::new(found.newest.0),
            moved: Notify::new(),
            now_ms: AtomicU64::new(found.time_ms),
            next_end_ms: AtomicU64::new(found.next_end_ms),
            tail: Mutex::new(Tail::starting_after(found.newest)),
            ranges: Ranges::new(found.ranges),
            failed: OnceLock::new(),
            queue,
        }
    }

    fn status(&self) -> Status {
        let (newest, durable) = (self.newest(), self.durable());
        Status { newest, durable, oldest: self.horizon.get(), settings: self.settings() }
    }

    fn newest(&self) -> Seq {
        Seq(self.newest.load(Ordering::Acquire))
    }

    fn durable(&self) -> Seq {
        Seq(self.durable.load(Ordering::Acquire))
    }

    fn settings(&self) -> Settings {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        let wall_ms = u64::try_from(self.env.clock.wall_ns() / 1_000_000).unwrap_or(0);
        self.now_ms.fetch_max(wall_ms, Ordering::AcqRel).max(wall_ms)
    }

    /// Nothing can be changed from now on.
    fn fail(&self, why: &Error) {
        if self.failed.set(why.clone()).is_ok() {
            let (partition, error) = (&self.name, why);
            match why {
                Error::Closed { .. } => {
                    tracing::info!(%partition, %error, "a partition was closed")
                }
                _ => tracing::warn!(%partition, %error, "a partition stopped"),
            }
        }
        self.moved.notify_waiters();
    }

    fn check(&self) -> Result<(), Error> {
        match self.failed.get() {
            Some(why) => Err(why.clone()),
            None => self.ownership.check(),
        }
    }

    fn busy(&self) -> Error {
        let why = format!("{} takes no changes just now: try again in a moment", self.name);
        Error::Busy { why }
    }
}

#[async_trait]
impl Partition for Live {
    fn name(&self) -> &Name {
        &self.shared.name
    }

    fn status(&self) -> Status {
        self.shared.status()
    }

    fn loss(&self) -> Option<Loss> {
        self.shared.loss.clone()
    }

    async fn get(&self, key: &[u8], at: At) -> Result<Option<Entry>, Error> {
        self.shared.get(key, at).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, Error> {
        self.shared.scan(scan).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        commit.check()?;
        self.shared.check()?;
        self.shared.ownership.admit()?;
        self.shared.ownership.used();
        let (request, answer) = Request::new(commit.effective());
        let ticket = request.ticket();
        let wait = async {
            self.shared.queue.send(Message::Commit(request)).await.ok()?;
            answer.await.ok()
        };
        let deadline = self.shared.env.clock.sleep(self.shared.commit_wait);
        tokio::select! {
            biased;
            answer = wait => answer.unwrap_or_else(|| Err(self.shared.stopped())),
            () = deadline => match ticket.give_up() {
                true => Err(self.shared.busy()),
                false => Err(self.shared.in_doubt()),
            },
        }
    }

    async fn changes(&self, after: Seq, wait: Duration) -> Result<Changes, Error> {
        self.shared.changes(after, wait).await
    }

    async fn seq_at(&self, time_ms: u64) -> Result<Seq, Error> {
        self.shared.check()?;
        self.shared.state_at(time_ms).await
    }
}

impl Shared {
    fn stopped(&self) -> Error {
        let closed =
            || Error::Closed { what: self.name.to_string(), why: String::from("it was closed") };
        self.failed.get().cloned().unwrap_or_else(closed)
    }

    fn in_doubt(&self) -> Error {
        let why = format!("{} did not confirm it within {:?}", self.name, self.commit_wait);
        Error::InDoubt { why }
    }
}
