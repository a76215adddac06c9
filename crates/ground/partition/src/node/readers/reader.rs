use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cairn_env::Env;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use slatedb::config::DbReaderOptions;
use slatedb::{DbReader, DbReaderMode};

use super::super::records::Owner;
use super::shipped::{Handle, ShippedWal};
use super::{LOOK_EVERY, Place};
use crate::limits::WATCH_WAIT_MAX;
use crate::live::{Opening, Ownership, Still, Warm};
use crate::view::{self, Clock, View, failed, read_only, sealed};
use crate::{
    At, Changes, Commit, Committed, Entry, Error, Loss, Name, Page, Partition, Scan, Seq, Status,
};

/// How often it is begun anew when the partition changes hands, or lets go of its log, meanwhile.
const TRIES_MAX: u32 = 8;
/// How long it is waited in between.
const AGAIN: Duration = Duration::from_millis(200);
/// After so long a tree has what it says.
const SETTLE: Duration = Duration::from_secs(1);
/// How often those are looked after who wait for changes.
const WAIT: Duration = Duration::from_millis(100);

/// A partition as far as its owner has written it to the bucket (READ-1).
pub(super) struct Reader {
    name: Name,
    place: Place,
    open: tokio::sync::Mutex<Option<Open>>,
    shown: Mutex<(Status, Option<Loss>)>,
    /// Openings are told apart in the cache.
    openings: AtomicU64,
}

/// One ownership, followed.
struct Open {
    wal: Arc<ShippedWal>,
    tree: Tree,
    owner: Owner,
    still: Arc<Still>,
    /// What the tree had when it was looked at, and when that was. It says what it has a moment before it
    /// has it.
    had: Has,
    looked: Duration,
    /// It had the same a moment later.
    settled: bool,
}

/// A state, and the tree and the manifest that it was read from.
pub(super) struct Shown {
    still: Arc<Still>,
    reader: Arc<DbReader>,
    manifest: u64,
}

/// A tree that looks for what is new until it is closed, which is when nobody has this any more.
struct Tree {
    reader: Arc<DbReader>,
    env: Env,
}

/// What a tree has: its manifest, and its last batch.
type Has = (u64, u64);

impl Tree {
    fn has(&self) -> Has {
        let status = self.reader.status();
        (status.current_manifest.id(), status.durable_seq)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let reader = Arc::clone(&self.reader);
        self.env.spawn.task(Box::pin(async move {
            if let Err(error) = reader.close().await {
                tracing::debug!(%error, "a reader was closed");
            }
        }));
    }
}

/// Nobody's: it may be read, and not changed.
struct Nobody;

impl Ownership for Nobody {
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    fn admit(&self) -> Result<(), Error> {
        Err(read_only())
    }

    fn used(&self) {}

    fn shipped(&self) -> BoxFuture<'static, Result<(), Error>> {
        futures::future::ready(Err(read_only())).boxed()
    }
}

impl Reader {
    pub(super) async fn open(place: Place, name: &Name) -> Result<Self, Error> {
        let reader = Self {
            name: name.clone(),
            place,
            open: tokio::sync::Mutex::default(),
            shown: Mutex::new((Status::default(), None)),
            openings: AtomicU64::new(0),
        };
        reader.look().await?;
        Ok(reader)
    }

    /// The newest state that is known.
    pub(super) async fn look(&self) -> Result<Shown, Error> {
        let mut open = self.open.lock().await;
        let now = self.place.env.clock.monotonic();
        match open.as_mut().filter(|known| !known.wal.has_moved()) {
            Some(known) => {
                let has = known.tree.has();
                let settled = now.saturating_sub(known.looked) < SETTLE || known.settled;
                if known.had != has || !settled {
                    known.settled = known.had == has;
                    (known.still, known.had) = self.still(&known.owner, &known.tree).await?;
                    known.looked = now;
                    self.show(known);
                }
            }
            None => {
                drop(open.take());
                let begun = self.begin().await?;
                self.show(&begun);
                *open = Some(begun);
            }
        }
        let known = open.as_ref().ok_or_else(|| self.name.missing())?;
        Ok(Shown {
            still: Arc::clone(&known.still),
            reader: Arc::clone(&known.tree.reader),
            manifest: known.had.0,
        })
    }

    /// Asks a state. What compaction has replaced meanwhile may be missing in it: then it is asked again.
    async fn ask<T, F>(&self, ask: impl Fn(Arc<Still>) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut tries = 1;
        loop {
            let shown = self.look().await?;
            let answer = ask(Arc::clone(&shown.still)).await;
            if tries == TRIES_MAX || shown.reader.status().current_manifest.id() == shown.manifest {
                return answer;
            }
            tries += 1;
        }
    }

    fn show(&self, open: &Open) {
        let shown = (open.still.status(), open.owner.loss.clone());
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    async fn begin(&self) -> Result<Open, Error> {
        let mut tries = 1;
        loop {
            let found = self.place.records.read::<Owner>(&Owner::key(&self.name)).await?;
            let found = found.filter(|found| found.record.is_there());
            let owner = found.ok_or_else(|| self.name.missing())?.record;
            match self.follow(owner).await {
                // What was being read was written to the view, or it has another owner.
                Err(_) if tries < TRIES_MAX => self.place.env.clock.sleep(AGAIN).await,
                followed => return followed,
            }
            tries += 1;
        }
    }

    async fn follow(&self, owner: Owner) -> Result<Open, Error> {
        let Place { records, seal, env, cache } = &self.place;
        let id = owner.id()?;
        let found = self.place.snapshots().manifest(id).await?;
        if !found.is_some_and(|found| found.initialized()) {
            let why = format!("nothing of {} is in the bucket yet: try again", self.name);
            return Err(Error::Busy { why });
        }
        let wal = Arc::new(ShippedWal::new(self.place.clone(), self.name.clone(), id, owner.epoch));
        let store = sealed(records.bucket.store(), Arc::clone(seal), Arc::clone(&env.rng));
        let options =
            DbReaderOptions { manifest_poll_interval: LOOK_EVERY, ..DbReaderOptions::default() };
        let tree = DbReader::builder(Owner::view(id), store)
            .with_reader_mode(DbReaderMode::FollowLatest)
            .with_wal_reader(Arc::new(Handle(Arc::clone(&wal))))
            .with_options(options)
            .with_db_cache(Arc::clone(cache) as _, self.openings.fetch_add(1, Ordering::Relaxed))
            .with_system_clock(Arc::new(Clock::new(env)))
            .with_seed(env.rng.next_u64())
            .with_filter_policies(vec![view::filters()])
            .build()
            .await;
        let reader = Arc::new(tree.map_err(|error| failed("read the view", &error))?);
        let tree = Tree { reader, env: env.clone() };
        let (still, had) = self.still(&owner, &tree).await?;
        let looked = env.clock.monotonic();
        Ok(Open { wal, tree, owner, still, had, looked, settled: false })
    }

    /// The state that a tree shows, all of which it has at one time.
    async fn still(&self, owner: &Owner, tree: &Tree) -> Result<(Arc<Still>, Has), Error> {
        for _ in 0..TRIES_MAX {
            let before = tree.has();
            let opening = Opening {
                name: self.name.clone(),
                id: owner.id()?,
                settings: owner.settings,
                loss: owner.loss.clone(),
                view: View::Read(Arc::clone(&tree.reader)),
                horizon: view::Horizon::default(),
                warm: (Arc::new(Warm::new(0)), 0),
                ownership: Arc::new(Nobody),
                commit_wait: Duration::ZERO,
                env: self.place.env.clone(),
            };
            let still = Still::of(opening).await?;
            if tree.has() == before {
                return Ok((Arc::new(still), before));
            }
        }
        Err(Error::Busy { why: format!("{} changes too fast to be read: try again", self.name) })
    }
}

#[async_trait]
impl Partition for Reader {
    fn name(&self) -> &Name {
        &self.name
    }

    fn status(&self) -> Status {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn loss(&self) -> Option<Loss> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }

    async fn get(&self, key: &[u8], at: At) -> Result<Option<Entry>, Error> {
        self.ask(|still| async move { still.get(key, at).await }).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, Error> {
        self.ask(|still| async move { still.scan(scan).await }).await
    }

    async fn commit(&self, _: Commit) -> Result<Committed, Error> {
        Err(read_only())
    }

    async fn changes(&self, after: Seq, wait: Duration) -> Result<Changes, Error> {
        let clock = &self.place.env.clock;
        let begun = clock.monotonic();
        loop {
            let changes = self.ask(|still| async move { still.changes(after).await }).await?;
            let waited = clock.monotonic().saturating_sub(begun);
            if changes.upto > after || waited >= wait.min(WATCH_WAIT_MAX) {
                return Ok(changes);
            }
            clock.sleep(WAIT).await;
        }
    }

    async fn seq_at(&self, time_ms: u64) -> Result<Seq, Error> {
        self.ask(|still| async move { still.seq_at(time_ms).await }).await
    }
}
