//! A node: the partitions it owns, with one log and one lease for all of them.
//!
//! Who owns a partition stands in one object, moved by compare-and-swap ([`records`]). That its owner
//! lives stands in another, for all it owns ([`lease`]). What a dead owner's log held and its view had
//! not is replayed by the next owner, from its own disk when it is the same node, else from what was
//! shipped to the bucket ([`inherit`]).

mod acquire;
mod clones;
mod compact;
mod housekeeping;
mod inherit;
mod lease;
mod options;
mod readers;
mod records;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use cairn_bucket::{Bucket, Seal, Version};
use cairn_env::Env;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use object_store::ObjectStore;
use slatedb::Db;

pub use lease::LeaseTimes;
pub use options::NodeOptions;
pub use readers::Readers;
pub use snapshot::{Snapshot, Snapshots};

use crate::live::{Live, Ownership, Warm};
use crate::log::{Disk, Log, Shipper, Writer};
use crate::view::{BlockCache, Clock, sealed};
use crate::{
    AnyPartition, Durable, Epoch, Error, Here, Name, PartitionId, Partitions, Settings, Step, Usage,
};
use lease::{SharedKeeper, Watched};
use records::{Owner, Read, Records, State};

/// Openings that are waited for at a time.
const OPENINGS_MAX: usize = 4096;

/// The partitions of a node. Cheap to clone; close it with [`Node::close`].
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

struct Shared {
    env: Env,
    options: NodeOptions,
    /// Of logs, which have checksums of their own, and of views.
    seal: Arc<dyn Seal>,
    records: Records,
    log: Log,
    shipper: Shipper,
    keeper: SharedKeeper,
    watched: Watched,
    /// Logs of nodes that are gone.
    logs: Mutex<inherit::ShippedLogs>,
    cache: Arc<BlockCache>,
    warm: Arc<Warm>,
    caches: AtomicU64,
    /// One at a time for each name; what is open.
    open: Mutex<BTreeMap<Name, Arc<Place>>>,
    /// Those that wait for an opening, also when nobody waits for them any more.
    waiting: AtomicUsize,
    /// Room for partitions that are seen to.
    chores: tokio::sync::Semaphore,
    closing: AtomicBool,
    /// Another node has broken the lease.
    deposed: AtomicBool,
}

/// Where a partition is, or is being opened.
type Place = tokio::sync::Mutex<Option<Arc<Opened>>>;

/// A partition that this node owns.
struct Opened {
    name: Name,
    id: PartitionId,
    live: Arc<Live>,
    /// Its view.
    db: Db,
    clock: Clock,
    writer: Writer,
    horizon: crate::view::Horizon,
    chores: housekeeping::Chores,
}

/// What the log and the lease say to one partition.
struct Owns {
    name: Name,
    keeper: SharedKeeper,
    writer: Writer,
}

impl Ownership for Owns {
    fn check(&self) -> Result<(), Error> {
        if self.keeper.is_held() {
            return Ok(());
        }
        if let Some(why) = self.writer.status().closed {
            return Err(why);
        }
        let why = format!(
            "{} waits: this node could not renew its lease in the bucket in time",
            self.name
        );
        Err(Error::Busy { why })
    }

    fn admit(&self) -> Result<(), Error> {
        self.writer.admit()
    }

    fn used(&self) {
        self.keeper.used();
    }

    fn shipped(&self) -> BoxFuture<'static, Result<(), Error>> {
        let writer = self.writer.clone();
        Box::pin(async move { acquire::in_the_bucket(&writer).await })
    }
}

impl Node {
    /// Opens the log on `disk`, takes the node's lease in `bucket`, and begins to look after what it
    /// will own.
    ///
    /// # Errors
    /// When the log is damaged or was set back, or the bucket cannot be reached.
    pub async fn open(
        bucket: Bucket,
        seal: Arc<dyn Seal>,
        disk: Arc<dyn Disk>,
        options: NodeOptions,
        env: &Env,
    ) -> Result<Self, Error> {
        let log = Log::open(disk, options.log.clone(), env).await?;
        let life = hex::encode(log.life().0);
        let records = Records::new(bucket.clone(), &seal);
        let (node, boot, times) = (&options.name, &options.boot, options.lease);
        let keeper = lease::Keeper::take(records.clone(), env, &life, node, boot, times).await?;
        let keeper = Arc::new(keeper);
        log.gate(Arc::clone(&keeper) as _);
        let shipping = crate::log::ShipOptions { lag: options.ship_lag, ..Default::default() };
        let shipper = Shipper::start(&log, bucket, Arc::clone(&seal), shipping).await?;
        let shared = Shared {
            env: env.clone(),
            cache: Arc::new(BlockCache::new(options.cache_bytes)),
            warm: Arc::new(Warm::new(options.values_bytes)),
            options,
            seal,
            records,
            log,
            shipper,
            keeper,
            watched: Watched::default(),
            logs: Mutex::default(),
            caches: AtomicU64::new(1),
            open: Mutex::default(),
            waiting: AtomicUsize::new(0),
            chores: tokio::sync::Semaphore::new(housekeeping::CHORES_MAX),
            closing: AtomicBool::new(false),
            deposed: AtomicBool::new(false),
        };
        let node = Self { shared: Arc::new(shared) };
        housekeeping::start(&node.shared);
        Ok(node)
    }

    /// Writes everything to the bucket and gives it all back, so that another node can go on at once.
    ///
    /// # Errors
    /// When the bucket does not take it: then the next owner waits until the lease is over, and finds
    /// what was shipped.
    pub async fn close(&self) -> Result<(), Error> {
        let shared = &self.shared;
        if shared.closing.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let places: Vec<Arc<Place>> = shared.open().values().cloned().collect();
        let mut failed = None;
        for place in places {
            if let Some(opened) = place.lock().await.take()
                && let Err(error) = shared.give_back(&opened).await
            {
                tracing::warn!(partition = %opened.name, %error, "a partition was not closed");
                failed.get_or_insert(error);
            }
        }
        shared.log.close().await?;
        shared.keeper.wake();
        if let Some(error) = failed {
            return Err(error);
        }
        shared.keeper.release().await
    }

    /// Whether another node has broken this one's lease: it owns nothing any more, whatever comes. Let
    /// it end ([`Node::end`]) and open another one on the same disk.
    #[must_use]
    pub fn is_deposed(&self) -> bool {
        self.shared.deposed.load(Ordering::Acquire)
    }

    /// Ends a node that owns nothing any more: nothing is written, not to the bucket either, and the
    /// disk is free afterwards.
    pub async fn end(&self) {
        let shared = &self.shared;
        shared.closing.store(true, Ordering::Release);
        let (what, why) = (String::from("the node"), String::from("it has ended"));
        shared.log.poison(Error::Closed { what, why });
        let places: Vec<Arc<Place>> = shared.open().values().cloned().collect();
        for place in places {
            if let Some(opened) = place.lock().await.take() {
                opened.let_go("its node has ended").await;
            }
        }
        if let Err(why) = shared.log.close().await {
            tracing::debug!(%why, "a log has ended");
        }
        shared.keeper.wake();
    }

    /// Stops at once, as a crash would: nothing more is written or acknowledged. For simulation.
    pub fn kill(&self) {
        self.shared.closing.store(true, Ordering::Release);
        let why = String::from("it was killed");
        self.shared.log.poison(Error::Closed { what: String::from("the node"), why });
        self.shared.keeper.wake();
    }

    /// The ownership under which this node has `name` open; `None` while it has not.
    #[must_use]
    pub fn epoch(&self, name: &Name) -> Option<Epoch> {
        let place = self.shared.open().get(name).cloned()?;
        let opened = place.try_lock().ok()?;
        opened.as_ref().map(|opened| opened.writer.epoch())
    }

    /// How the log stands.
    #[must_use]
    pub fn log_stats(&self) -> crate::log::LogStats {
        self.shared.log.stats()
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, BTreeMap<Name, Arc<Place>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn life(&self) -> String {
        hex::encode(self.log.life().0)
    }

    /// Where views are.
    fn view_store(&self) -> Arc<dyn ObjectStore> {
        let (store, seal) = (self.records.bucket.store(), Arc::clone(&self.seal));
        sealed(store, seal, Arc::clone(&self.env.rng))
    }

    fn snapshots(&self) -> Snapshots {
        Snapshots::new(self.records.bucket.clone(), Arc::clone(&self.seal), &self.env)
    }

    fn place(&self, name: &Name) -> Arc<Place> {
        Arc::clone(self.open().entry(name.clone()).or_default())
    }

    /// The partitions that are open.
    fn opened(&self) -> Vec<Arc<Opened>> {
        let places: Vec<Arc<Place>> = self.open().values().cloned().collect();
        let open = places.iter().filter_map(|place| place.try_lock().ok()?.clone());
        open.collect()
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closing.load(Ordering::Acquire) {
            let (what, why) = (String::from("the node"), String::from("it is stopping"));
            return Err(Error::Closed { what, why });
        }
        Ok(())
    }

    async fn owner(&self, name: &Name) -> Result<Option<Read<Owner>>, Error> {
        let found: Option<Read<Owner>> = self.records.read(&Owner::key(name)).await?;
        Ok(found)
    }

    fn new_id(&self) -> PartitionId {
        let mut id = [0; 16];
        self.env.rng.fill(&mut id);
        PartitionId(id)
    }

    /// Writes the first record of a partition, unless there is one of its name.
    async fn found(&self, name: &Name, owner: &Owner) -> Result<Version, Error> {
        let exists = || Error::Exists { name: name.to_string() };
        let before = self.owner(name).await?;
        if before.as_ref().is_some_and(|before| before.record.is_there()) {
            return Err(exists());
        }
        let before = before.as_ref().map(|before| &before.version);
        self.records.swap(&Owner::key(name), before, owner).await?.ok_or_else(exists)
    }

    /// The partition, opened when it must be. The opening goes on when the caller does not wait for it.
    async fn open_soon(self: &Arc<Self>, name: &Name) -> Result<Arc<Opened>, Error> {
        let place = self.place(name);
        if let Ok(open) = place.try_lock()
            && let Some(open) = open.as_ref().filter(|open| !open.live.has_failed())
        {
            self.check_open()?;
            return Ok(Arc::clone(open));
        }
        let busy = || Error::Busy { why: format!("{name} is being opened: try again in a moment") };
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= OPENINGS_MAX {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(busy());
        }
        let (done, opened) = oneshot::channel();
        let (shared, wanted) = (Arc::clone(self), name.clone());
        self.env.spawn.task(Box::pin(async move {
            let opened = shared.open_one(&wanted).await;
            shared.waiting.fetch_sub(1, Ordering::AcqRel);
            // Whoever asked may be gone.
            drop(done.send(opened));
        }));
        tokio::select! {
            biased;
            opened = opened => opened.unwrap_or_else(|_| Err(busy())),
            () = self.env.clock.sleep(self.options.open_wait) => Err(busy()),
        }
    }

    async fn open_one(self: &Arc<Self>, name: &Name) -> Result<Arc<Opened>, Error> {
        self.check_open()?;
        let place = self.place(name);
        let mut place = place.lock().await;
        if let Some(open) = place.as_ref().filter(|open| !open.live.has_failed()) {
            return Ok(Arc::clone(open));
        }
        if let Some(failed) = place.take() {
            failed.let_go("it is opened again").await;
        }
        self.keeper.used();
        let opened = Arc::new(acquire::acquire(self, name).await?);
        *place = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Fails when `record` says that it was opened again since, or by another node.
    fn check_mine(&self, opened: &Opened, record: &Owner) -> Result<(), Error> {
        let mine = record.life == self.life() && record.epoch == opened.writer.epoch();
        if mine && record.id()? == opened.id {
            return Ok(());
        }
        let why = format!("{} was opened by somebody else: try again", opened.name);
        Err(Error::Busy { why })
    }

    /// Stops a partition, with all it holds in the bucket.
    async fn give_back(&self, opened: &Opened) -> Result<(), Error> {
        if compact::is_crowded(opened) {
            compact::compact(self, opened).await?;
        }
        opened.live.stop("its node stops").await;
        let closed = opened.db.close().await;
        closed.map_err(|error| crate::view::failed("close the view", &error))?;
        let key = Owner::key(&opened.name);
        let Some(Read { mut record, version }) = self.records.read::<Owner>(&key).await? else {
            return Err(opened.name.missing());
        };
        if self.check_mine(opened, &record).is_err() {
            return Ok(());
        }
        record.state = State::Closed;
        record.trail.clear();
        // Whoever was faster owns it now.
        self.records.swap(&key, Some(&version), &record).await.map(drop)
    }
}

impl Opened {
    /// Ends what is left of a partition that failed.
    async fn let_go(&self, why: &str) {
        self.live.stop(why).await;
        // First the writer: nothing of this ownership is acknowledged once the next one looks where it
        // ended.
        if let Err(error) = self.writer.close().await {
            tracing::debug!(partition = %self.name, %error, "a writer that failed was closed");
        }
        let options = slatedb::config::CloseOptions { flush_type: None };
        if let Err(error) = self.db.close_with_options(options).await {
            tracing::debug!(partition = %self.name, %error, "a view that failed was closed");
        }
    }
}

#[async_trait]
impl Partitions for Node {
    fn usage(&self) -> Option<Usage> {
        let shared = &self.shared;
        let (open, leased) = (shared.opened().len(), shared.keeper.is_held());
        Some(Usage { open, leased, log: shared.log.stats() })
    }

    async fn create(&self, name: &Name, settings: Settings) -> Result<AnyPartition, Error> {
        settings.check()?;
        let shared = &self.shared;
        shared.check_open()?;
        shared.found(name, &Owner::new(shared.new_id(), settings)).await?;
        self.open(name).await
    }

    async fn clone_to(
        &self,
        name: &Name,
        to: &Name,
        before: Step<'_>,
    ) -> Result<AnyPartition, Error> {
        clones::clone_to(&self.shared, name, to, before).await?;
        self.open(to).await
    }

    async fn open(&self, name: &Name) -> Result<AnyPartition, Error> {
        let opened = self.shared.open_soon(name).await?;
        Ok(Arc::clone(&opened.live) as AnyPartition)
    }

    async fn here(&self, name: &Name) -> Result<Here, Error> {
        let Some(found) = self.shared.owner(name).await? else { return Ok(Here::Unknown) };
        match self.shared.records.given_up(name, &found, &self.shared.env).await? {
            State::Removed => return Ok(Here::Removed),
            State::Making => return Ok(Here::Elsewhere),
            State::Open if found.record.life != self.shared.life() => return Ok(Here::Elsewhere),
            State::Open | State::Closed => {}
        }
        match self.open(name).await {
            Ok(open) => Ok(Here::Open(open)),
            Err(Error::Elsewhere { .. }) => Ok(Here::Elsewhere),
            Err(error) => Err(error),
        }
    }

    async fn change(&self, name: &Name, settings: Settings) -> Result<(), Error> {
        settings.check()?;
        let opened = self.shared.open_soon(name).await?;
        let key = Owner::key(name);
        let found = self.shared.records.read::<Owner>(&key).await?;
        let Read { mut record, version } = found.ok_or_else(|| name.missing())?;
        self.shared.check_mine(&opened, &record)?;
        record.settings = settings;
        let swapped = self.shared.records.swap(&key, Some(&version), &record).await?;
        let raced =
            || Error::Busy { why: format!("{name} was changed by somebody else: try again") };
        swapped.ok_or_else(raced)?;
        opened.live.set(settings);
        if settings.durable == Durable::Bucket {
            acquire::in_the_bucket(&opened.writer).await?;
        }
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Name>, Error> {
        self.shared.records.there(prefix).await
    }

    async fn remove(&self, name: &Name) -> Result<(), Error> {
        let shared = &self.shared;
        let opened = shared.open_soon(name).await?;
        let place = shared.place(name);
        let mut place = place.lock().await;
        let key = Owner::key(name);
        let found = shared.records.read::<Owner>(&key).await?;
        let Read { mut record, version } = found.ok_or_else(|| name.missing())?;
        shared.check_mine(&opened, &record)?;
        record.state = State::Removed;
        record.trail.clear();
        let raced =
            || Error::Busy { why: format!("{name} was changed by somebody else: try again") };
        shared.records.swap(&key, Some(&version), &record).await?.ok_or_else(raced)?;
        *place = None;
        opened.let_go("it was removed").await;
        opened.writer.release(u64::MAX);
        shared.snapshots().drop_view(opened.id).await
    }
}
