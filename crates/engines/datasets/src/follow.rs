//! Following a tag: every state that it comes to, once and in order.
//!
//! A process looks at a followed tag once in [`LOOK_EVERY`], however many follow it: one task per
//! tag reads the head of its ref, and the ref when that changed. A move that was made through this
//! process wakes the task, so that its followers see it at once.
//!
//! DATASETS-5 Nothing is kept for followers. What a follower saw last has a name, [`Version::id`], and the ref's
//! history says what came after it: so a follower that was away, or follows through another process,
//! goes on without a gap and without a repeat, as far as the history reaches. The ref changes by
//! compare-and-swap, so all processes see the same order.
//!
//! Nothing here is durable. A task ends within [`LOOK_EVERY`] after its last follower.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cairn_base::ErrorKind;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt as _};
use tokio::sync::{Notify, watch};

use crate::error::Error;
use crate::model::{Target, Version};
use crate::refs::{RefState, Refs, ref_key};

/// How often a process looks at a tag that is followed.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a follower calls the state of a tag that is not there, where a version has its
/// [`Version::id`].
pub const REMOVED: &str = "removed";

/// The states of a tag.
pub struct Follow {
    states: BoxStream<'static, Result<Option<Version>, Error>>,
}

impl Follow {
    /// Follows what a stream tells, which holds to what [`Follow::next`] says.
    #[must_use]
    pub fn new(
        states: impl Stream<Item = Result<Option<Version>, Error>> + Send + 'static,
    ) -> Self {
        Self { states: states.boxed() }
    }

    /// The next state: first what the tag is now, or what came after the state that was named; from
    /// then on each newer one when it comes. `None`: the tag is not there, or was removed. A removal
    /// whose tag was made again before anybody looked is not told. Cancel safe.
    ///
    /// # Errors
    /// The bucket or the node failed. The next call goes on where this one was, and may wait for
    /// [`LOOK_EVERY`] to try again.
    pub async fn next(&mut self) -> Result<Option<Version>, Error> {
        self.states.next().await.unwrap_or(Err(Error::Worker(cairn_env::Lost)))
    }
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Follow")
    }
}

/// The name of a state of a tag: of two states of one tag, the same only for the same one.
#[must_use]
pub fn state_id(state: Option<&Version>) -> String {
    state.map_or_else(|| REMOVED.to_owned(), Version::id)
}

/// The tags that this process looks at.
#[derive(Clone, Default)]
pub(crate) struct Watches {
    tags: Arc<Mutex<BTreeMap<Target, Arc<Watch>>>>,
    /// Counts moves and new hooks of this process.
    changes: Arc<watch::Sender<u64>>,
}

/// One tag that is looked at.
struct Watch {
    found: watch::Sender<Found>,
    /// How many questions were asked. A look answers those asked before it began.
    asked: AtomicU64,
    wake: Notify,
}

/// What the last look found.
struct Found {
    answered: u64,
    state: Result<Option<Arc<RefState>>, Arc<Error>>,
}

impl Watches {
    fn all(&self) -> MutexGuard<'_, BTreeMap<Target, Arc<Watch>>> {
        self.tags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a tag was moved through this process.
    pub(crate) fn wake(&self, target: &Target) {
        if let Some(watch) = self.all().get(target) {
            watch.wake.notify_one();
        }
        self.changed();
    }

    /// Says that there may be something for hooks.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Changes with every move of a tag through this process.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Ends the look at a tag that nobody follows any more.
    fn leave(&self, target: &Target, watch: &Arc<Watch>) -> bool {
        let mut all = self.all();
        let left = watch.found.receiver_count() == 0;
        if left && all.get(target).is_some_and(|known| Arc::ptr_eq(known, watch)) {
            all.remove(target);
        }
        left
    }
}

impl Watch {
    fn new() -> Arc<Self> {
        let found = watch::Sender::new(Found { answered: 0, state: Ok(None) });
        Arc::new(Self { found, asked: AtomicU64::new(0), wake: Notify::new() })
    }

    fn tell(&self, answered: u64, state: Result<Option<Arc<RefState>>, Arc<Error>>) {
        self.found.send_if_modified(|found| {
            let same = match (&found.state, &state) {
                (Ok(old), Ok(new)) => old == new,
                _ => false,
            };
            let waited_for = answered > found.answered;
            *found = Found { answered, state };
            !same || waited_for
        });
    }
}

/// Looks at one tag until nobody follows it. When it ends in any other way its followers learn it.
struct Looker {
    refs: Refs,
    target: Target,
    watch: Arc<Watch>,
    known: Option<(cairn_bucket::Version, Arc<RefState>)>,
}

impl Looker {
    async fn run(mut self) {
        let clock = Arc::clone(&self.refs.env().clock);
        loop {
            let began = clock.monotonic();
            let answered = self.watch.asked.load(Ordering::SeqCst);
            let state = self.look().await.map_err(Arc::new);
            self.watch.tell(answered, state);
            if self.refs.watches().leave(&self.target, &self.watch) {
                return;
            }
            let left = LOOK_EVERY.saturating_sub(clock.monotonic().saturating_sub(began));
            tokio::select! {
                biased;
                () = self.watch.wake.notified() => {}
                () = clock.sleep(left) => {}
            }
        }
    }

    /// The ref, which is read again only when its head says that it changed.
    async fn look(&mut self) -> Result<Option<Arc<RefState>>, Error> {
        if let Some((version, state)) = &self.known {
            match self.refs.bucket().head(&ref_key(&self.target)).await {
                Ok(head) if head.version == *version => return Ok(Some(Arc::clone(state))),
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        let loaded = self.refs.load(&self.target).await?;
        self.known = loaded.map(|(state, version)| (version, Arc::new(state)));
        Ok(self.known.as_ref().map(|(_, state)| Arc::clone(state)))
    }
}

impl Drop for Looker {
    fn drop(&mut self) {
        let mut all = self.refs.watches().all();
        if all.get(&self.target).is_some_and(|known| Arc::ptr_eq(known, &self.watch)) {
            all.remove(&self.target);
        }
    }
}

/// One that follows a tag.
struct Follower {
    found: watch::Receiver<Found>,
    /// Its question: older answers are not for it, so that it never sees a state go back.
    question: u64,
    /// The name of the state that it saw last.
    last: Option<String>,
    ready: VecDeque<Option<Version>>,
}

impl Follower {
    async fn next(&mut self) -> Result<Option<Version>, Error> {
        loop {
            if let Some(state) = self.ready.pop_front() {
                self.last = Some(state_id(state.as_ref()));
                return Ok(state);
            }
            self.found.changed().await.map_err(|_| cairn_env::Lost)?;
            let found = self.found.borrow_and_update();
            if found.answered < self.question {
                continue;
            }
            match &found.state {
                Ok(state) => self.ready = news(state.as_deref(), self.last.as_deref()),
                Err(error) => return Err(Error::Shared(Arc::clone(error))),
            }
        }
    }
}

/// The states after the one named `last`, the oldest first. All versions of a ref are newer than a
/// version that its history does not hold any more, and than the tag's last removal.
pub(crate) fn news(state: Option<&RefState>, last: Option<&str>) -> VecDeque<Option<Version>> {
    let Some((state, current)) = state.and_then(|state| Some((state, state.current.as_ref()?)))
    else {
        return if last == Some(REMOVED) { VecDeque::new() } else { VecDeque::from([None]) };
    };
    let Some(last) = last else { return VecDeque::from([Some(current.clone())]) };
    let newest_first = std::iter::once(current).chain(&state.history);
    let newer = newest_first.take_while(|version| version.id() != last);
    let mut newer: VecDeque<Option<Version>> = newer.cloned().map(Some).collect();
    newer.make_contiguous().reverse();
    newer
}

impl Refs {
    /// Follows a tag, from the state named `last` on or from what it is now.
    pub(crate) fn follow(&self, target: Target, last: Option<String>) -> Follow {
        let mut all = self.watches().all();
        let watch = all.entry(target.clone()).or_insert_with(|| {
            let watch = Watch::new();
            let looker =
                Looker { refs: self.clone(), target, watch: Arc::clone(&watch), known: None };
            self.env().spawn.task(Box::pin(looker.run()));
            watch
        });
        let found = watch.found.subscribe();
        let question = watch.asked.fetch_add(1, Ordering::SeqCst) + 1;
        watch.wake.notify_one();
        let follower = Follower { found, question, last, ready: VecDeque::new() };
        Follow::new(futures::stream::unfold(follower, |mut follower| async move {
            Some((follower.next().await, follower))
        }))
    }
}

#[cfg(test)]
mod tests;
