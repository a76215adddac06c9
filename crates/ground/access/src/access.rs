use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cairn_audit::{Audit, Outcome};
use cairn_bucket::{Bucket, Seal, Version};
use cairn_env::Env;

use crate::error::Error;
use crate::grant::Action;
use crate::login::Guessing;
use crate::pass::Passes;
use crate::provider::Bearers;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::tally::Tally;
use crate::token::{NewToken, Secret};

mod changes;

pub use changes::TOKEN_LIFE_MAX;

/// The object that holds the access state.
pub const STATE_KEY: &str = "access/state";
/// The greatest age of the state that a request is decided on (ACCESS-5).
pub const REFRESH_MAX: Duration = Duration::from_secs(1);
/// A state of this age is read again while it still serves, so that those who ask all the time never wait for it.
const REFRESH_AHEAD: Duration = Duration::from_millis(750);
/// How often a change is tried when others change the state at the same time.
pub const CHANGE_ATTEMPTS_MAX: u32 = 16;

/// Above this size, in bytes, a state is looked at before it is read again, and decoded by a
/// worker.
const LARGE_BYTES: usize = 64 * 1024;
/// The first wait between two attempts of a change; it doubles six times.
const BACKOFF: Duration = Duration::from_millis(4);
const BACKOFF_DOUBLINGS_MAX: u32 = 6;

/// The access state of one bucket, as one node sees it. Cheap to clone; all clones share what was
/// read last. Nodes agree through the bucket alone.
#[derive(Clone)]
pub struct Access {
    shared: Arc<Shared>,
}

struct Shared {
    bucket: Bucket,
    env: Env,
    seal: Arc<dyn Seal>,
    /// What is decided here is recorded there.
    audit: Audit,
    /// What is counted instead.
    tally: Tally,
    /// What is asked again and again.
    passes: Passes,
    held: Mutex<Option<Held>>,
    /// Counts our own changes: what was read before the last one is not used after it.
    changes: AtomicU64,
    /// One reader at a time, so that many requests cause one read.
    reading: tokio::sync::Mutex<()>,
    /// Somebody sees to it that it is read ahead.
    ahead: AtomicBool,
    /// One change at a time, so that a node does not contend with itself.
    changing: tokio::sync::Mutex<()>,
    guessing: Guessing,
    bearers: Option<Arc<dyn Bearers>>,
}

/// What was read last.
#[derive(Clone)]
struct Held {
    state: Arc<State>,
    version: Version,
    len_bytes: usize,
    /// When reading began, by the monotonic clock: the state was current then or later.
    read_at: Duration,
    /// [`Shared::changes`] when reading began.
    changes: u64,
}

impl Access {
    /// Opens the access state of a bucket, and makes it where there is none: the principal `root`,
    /// admin of everything, with one token, which is returned to exactly one starter on one bucket,
    /// once. Commit [`Access::audit`], show it to whoever starts the node and forget it. Everybody
    /// else gets `None`.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::LaterVersion`] and [`Error::Seal`] when there is a state that
    /// cannot be read: it is never overwritten. After another error the state may have been made
    /// and its token lost: then [`Access::recover`] makes another one.
    pub async fn bootstrap(
        bucket: Bucket,
        env: Env,
        seal: Arc<dyn Seal>,
    ) -> Result<(Self, Option<NewToken>), Error> {
        let access = Self::new(bucket, env, seal);
        match access.refresh().await {
            Err(Error::NotInitialised) => {}
            opened => return opened.map(|()| (access, None)),
        }
        let secret = Secret::random(&*access.shared.env.rng);
        let state = State::first(access.now_ms(), &secret);
        let bytes = access.sealed(&state)?;
        let won = match access.shared.bucket.create(STATE_KEY, bytes).await {
            Ok(_) => true,
            Err(cairn_bucket::Error::Exists { .. } | cairn_bucket::Error::InDoubt { .. }) => {
                // Whoever won, the state that is there says so.
                access.state().await?.tokens.contains_key(&secret.id())
            }
            Err(error) => return Err(error.into()),
        };
        let first = state.tokens.into_values().next().filter(|_| won);
        if let Some(token) = &first {
            let what = format!("made the first token of root, {}", token.info.id);
            access.record("bucket", Action::ManageAccess, Outcome::Changed, &what)?;
        }
        let first = first.map(|token| NewToken { info: token.info, token: secret.plain() });
        Ok((access, first))
    }

    /// Opens the access state of a bucket that has one.
    ///
    /// # Errors
    /// [`Error::NotInitialised`], and as [`Access::refresh`].
    pub async fn open(bucket: Bucket, env: Env, seal: Arc<dyn Seal>) -> Result<Self, Error> {
        let access = Self::new(bucket, env, seal);
        access.refresh().await?;
        Ok(access)
    }

    /// The same, which also takes tokens that identity providers signed. Before it is cloned.
    ///
    /// # Panics
    /// When it was cloned already.
    #[must_use]
    pub fn with_bearers(mut self, bearers: Arc<dyn Bearers>) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("it was not cloned yet");
        shared.bearers = Some(bearers);
        self
    }

    fn new(bucket: Bucket, env: Env, seal: Arc<dyn Seal>) -> Self {
        let guessing = Guessing::new(&*env.rng);
        let audit = Audit::new(bucket.clone(), env.clone(), Arc::clone(&seal));
        let tally = Tally::new(audit.clone(), env.clone());
        let passes = Passes::new(env.rng.as_ref());
        let shared = Shared {
            bucket,
            env,
            seal,
            audit,
            tally,
            passes,
            held: Mutex::default(),
            changes: AtomicU64::new(0),
            reading: tokio::sync::Mutex::default(),
            ahead: AtomicBool::new(false),
            changing: tokio::sync::Mutex::default(),
            guessing,
            bearers: None,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Reads the state again when what was read last is older than [`REFRESH_MAX`] or than the last
    /// change through this handle. Cancel safe.
    ///
    /// # Errors
    /// [`Error::Bucket`] when the bucket does not answer: then nothing is decided on older
    /// knowledge. [`Error::NotInitialised`], [`Error::Corrupt`], [`Error::LaterVersion`],
    /// [`Error::Seal`].
    pub async fn refresh(&self) -> Result<(), Error> {
        self.state().await.map(drop)
    }

    /// The state of this moment, at most [`REFRESH_MAX`] old, to decide one request on. Cancel
    /// safe.
    ///
    /// # Errors
    /// As [`Access::refresh`].
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let state = self.state().await?;
        Ok(Snapshot { state, now_ms: self.now_ms() })
    }

    /// Whether any client certificate was registered, as far as was read last.
    #[must_use]
    pub fn knows_certificates(&self) -> bool {
        let held = self.held();
        held.as_ref().is_some_and(|held| !held.state.certificates.is_empty())
    }

    pub(crate) fn env(&self) -> &Env {
        &self.shared.env
    }

    pub(crate) fn guessing(&self) -> &Guessing {
        &self.shared.guessing
    }

    pub(crate) fn bearers(&self) -> Option<&Arc<dyn Bearers>> {
        self.shared.bearers.as_ref()
    }

    /// The log of what is decided here.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.shared.audit
    }

    pub(crate) fn passes(&self) -> &Passes {
        &self.shared.passes
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.shared.tally
    }

    /// Records what was counted (ACCESS-9) and waits until all that was recorded is in the log: what a
    /// node does when it stops.
    ///
    /// # Errors
    /// As [`Audit::commit`].
    pub async fn settle(&self) -> Result<(), Error> {
        self.shared.tally.settle();
        self.shared.audit.commit().await.map_err(Error::Audit)
    }

    fn now_ms(&self) -> i64 {
        self.shared.env.clock.wall_ns().div_euclid(1_000_000)
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.shared.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, read again when it must be.
    async fn state(&self) -> Result<Arc<State>, Error> {
        let asked_at = self.shared.env.clock.monotonic();
        if let Some((state, age)) = self.fresh(asked_at, REFRESH_MAX) {
            let soon = age > REFRESH_AHEAD && age <= REFRESH_MAX;
            if soon && !self.shared.ahead.swap(true, Ordering::AcqRel) {
                self.read_ahead(asked_at);
            }
            return Ok(state);
        }
        self.state_after(asked_at, REFRESH_MAX).await
    }

    /// The state, read again when it is older than `age_max` and than the question.
    async fn state_after(
        &self,
        asked_at: Duration,
        age_max: Duration,
    ) -> Result<Arc<State>, Error> {
        let _turn = self.shared.reading.lock().await;
        // Another one may have read it while we waited.
        if let Some((state, _)) = self.fresh(asked_at, age_max) {
            return Ok(state);
        }
        let held = self.read().await?;
        let state = Arc::clone(&held.state);
        *self.held() = Some(held);
        Ok(state)
    }

    /// Reads the state again while nobody waits for it.
    fn read_ahead(&self, asked_at: Duration) {
        let access = self.clone();
        self.shared.env.spawn.task(Box::pin(async move {
            if let Err(error) = access.state_after(asked_at, REFRESH_AHEAD).await {
                tracing::debug!(%error, "the access state was not read ahead");
            }
            access.shared.ahead.store(false, Ordering::Release);
        }));
    }

    /// The state that is held, and its age, if it may serve one who asked at `asked_at`: it is not older than
    /// `age_max`, or reading it began after the question, and either way after our own last change.
    fn fresh(&self, asked_at: Duration, age_max: Duration) -> Option<(Arc<State>, Duration)> {
        let now = self.shared.env.clock.monotonic();
        let changes = self.shared.changes.load(Ordering::Acquire);
        let held = self.held();
        let held = held.as_ref().filter(|held| held.changes == changes)?;
        let age = now.saturating_sub(held.read_at);
        let young = age <= age_max || held.read_at >= asked_at;
        young.then(|| (Arc::clone(&held.state), age))
    }

    /// Reads the state from the bucket, or finds it unchanged.
    async fn read(&self) -> Result<Held, Error> {
        let shared = &*self.shared;
        let changes = shared.changes.load(Ordering::Acquire);
        let read_at = shared.env.clock.monotonic();
        let known = self.held().clone();
        let unchanged = |held: Held| Held { read_at, changes, ..held };
        if let Some(held) = known.clone().filter(|held| held.len_bytes > LARGE_BYTES) {
            let head = shared.bucket.head(STATE_KEY).await.map_err(missing)?;
            if head.version == held.version {
                return Ok(unchanged(held));
            }
        }
        let object = shared.bucket.get(STATE_KEY).await.map_err(missing)?;
        if let Some(held) = known.filter(|held| held.version == object.version) {
            return Ok(unchanged(held));
        }
        let len_bytes = object.bytes.len();
        let state = Arc::new(self.opened(object.bytes).await?);
        Ok(Held { state, version: object.version, len_bytes, read_at, changes })
    }

    /// Unseals and decodes; what takes long does so where it holds up no request.
    async fn opened(&self, bytes: Bytes) -> Result<State, Error> {
        let seal = Arc::clone(&self.shared.seal);
        let large = bytes.len() > LARGE_BYTES;
        let open = move || State::decode(&seal.open(STATE_KEY, &bytes)?);
        if large { self.shared.env.spawn.run(open).await? } else { open() }
    }

    fn sealed(&self, state: &State) -> Result<Bytes, Error> {
        Ok(self.shared.seal.seal(STATE_KEY, &state.encode()?).into())
    }

    /// Makes a change by compare-and-swap: reads, applies, replaces what was read, and begins again
    /// when somebody else was faster.
    async fn change<T>(&self, apply: impl Fn(&mut State) -> Result<T, Error>) -> Result<T, Error> {
        let _turn = self.shared.changing.lock().await;
        for attempt in 0..CHANGE_ATTEMPTS_MAX {
            self.back_off(attempt).await;
            let held = self.read().await?;
            let mut state = (*held.state).clone();
            let answer = apply(&mut state)?;
            if state == *held.state || self.replace(&state, &held.version).await? {
                self.shared.changes.fetch_add(1, Ordering::AcqRel);
                return Ok(answer);
            }
        }
        Err(Error::Contended { attempts: CHANGE_ATTEMPTS_MAX })
    }

    /// Whether `state` took the place of `version`.
    async fn replace(&self, state: &State, version: &Version) -> Result<bool, Error> {
        let bytes = self.sealed(state)?;
        match self.shared.bucket.replace(STATE_KEY, bytes, version).await {
            Ok(_) => Ok(true),
            Err(cairn_bucket::Error::Changed { .. }) => Ok(false),
            // The bucket does not know; the state itself may tell.
            Err(cairn_bucket::Error::InDoubt { .. }) => Ok(*self.read().await?.state == *state),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits a random while before every attempt but the first, so that two nodes fall out of step.
    async fn back_off(&self, attempt: u32) {
        if attempt == 0 {
            return;
        }
        let most = BACKOFF * (1 << attempt.min(BACKOFF_DOUBLINGS_MAX));
        let part = f64::from(u16::from_be_bytes(self.random())) / f64::from(u16::MAX);
        self.shared.env.clock.sleep(most.mul_f64(part)).await;
    }

    fn random(&self) -> [u8; 2] {
        let mut bytes = [0; 2];
        self.shared.env.rng.fill(&mut bytes);
        bytes
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Access").field(&self.shared.bucket).finish()
    }
}

fn missing(error: cairn_bucket::Error) -> Error {
    match error {
        cairn_bucket::Error::Missing { .. } => Error::NotInitialised,
        other => other.into(),
    }
}
