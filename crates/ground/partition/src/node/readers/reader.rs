use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
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
    tree: Arc<DbReader>,
    owner: Owner,
    /// What the tree had when it was looked at.
    upto: u64,
    still: Arc<Still>,
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
    pub(super) async fn look(&self) -> Result<Arc<Still>, Error> {
        let mut open = self.open.lock().await;
        if let Some(known) = open.as_mut().filter(|known| !known.wal.has_moved()) {
            let upto = known.tree.status().durable_seq;
            if known.upto != upto {
                known.still = self.still(&known.owner, &known.tree).await?;
                known.upto = upto;
                self.show(known);
            }
            return Ok(Arc::clone(&known.still));
        }
        if let Some(before) = open.take() {
            let closed = before.tree.close().await;
            closed.map_err(|error| failed("close a reader of the view", &error))?;
        }
        let begun = self.begin().await?;
        self.show(&begun);
        Ok(Arc::clone(&open.insert(begun).still))
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
        let tree = Arc::new(tree.map_err(|error| failed("read the view", &error))?);
        let upto = tree.status().durable_seq;
        let still = self.still(&owner, &tree).await?;
        Ok(Open { wal, tree, owner, upto, still })
    }

    async fn still(&self, owner: &Owner, tree: &Arc<DbReader>) -> Result<Arc<Still>, Error> {
        let opening = Opening {
            name: self.name.clone(),
            id: owner.id()?,
            settings: owner.settings,
            loss: owner.loss.clone(),
            view: View::Read(Arc::clone(tree)),
            horizon: view::Horizon::default(),
            warm: (Arc::new(Warm::new(0)), 0),
            ownership: Arc::new(Nobody),
            commit_wait: Duration::ZERO,
            env: self.place.env.clone(),
        };
        Ok(Arc::new(Still::of(opening).await?))
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
        self.look().await?.get(key, at).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, Error> {
        self.look().await?.scan(scan).await
    }

    async fn commit(&self, _: Commit) -> Result<Committed, Error> {
        Err(read_only())
    }

    async fn changes(&self, after: Seq, wait: Duration) -> Result<Changes, Error> {
        let clock = &self.place.env.clock;
        let begun = clock.monotonic();
        loop {
            let changes = self.look().await?.changes(after).await?;
            let waited = clock.monotonic().saturating_sub(begun);
            if changes.upto > after || waited >= wait.min(WATCH_WAIT_MAX) {
                return Ok(changes);
            }
            clock.sleep(WAIT).await;
        }
    }

    async fn seq_at(&self, time_ms: u64) -> Result<Seq, Error> {
        self.look().await?.seq_at(time_ms).await
    }
}
