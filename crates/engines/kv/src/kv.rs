use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cairn_base::{DatasetName, ProjectName};
use cairn_datasets::Datasets;
use cairn_env::Env;
use cairn_partition::limits::WATCH_WAIT_MAX;
use cairn_partition::{
    AnyPartition, AnyPartitions, At, Changes, Commit, Committed, Condition, Entry,
    Error as PartitionError, KeyRange, Name, Op, Page, Scan, Seq, Settings, Transaction, Usage,
};
use tokio::sync::Semaphore;

use crate::large::{LARGE_WRITES_MAX, Value, large_size};
use crate::namespace::ROOM;
use crate::{
    Error, Follow, Imported, Info, Namespace, Only, Pieces, Put, SettingsChange, Store, Touched,
    Watch, transfer,
};

/// The longest time to live.
pub const TTL_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// How often the end of a key is set anew when others change the key at the same time.
const TOUCH_ATTEMPTS_MAX: u32 = 16;

/// The namespaces of a node. Cheap to clone.
#[derive(Clone)]
pub struct Kv {
    pub(crate) partitions: AnyPartitions,
    /// Where large values are.
    pub(crate) datasets: Datasets,
    pub(crate) env: Env,
    /// Room for large values that are being stored.
    pub(crate) places: Arc<Semaphore>,
    /// Whether this handle is an engine's: for its own namespaces, and for no others.
    own: bool,
}

impl Kv {
    /// The namespaces on these partitions, with their large values in the bucket of `datasets`.
    #[must_use]
    pub fn new(partitions: AnyPartitions, datasets: &Datasets) -> Self {
        let (datasets, env) = (datasets.clone(), datasets.blocks().env().clone());
        let places = Arc::new(Semaphore::new(LARGE_WRITES_MAX));
        Self { partitions, datasets, env, places, own: false }
    }

    /// The same for an engine: it reaches the namespaces that engines keep what is theirs in
    /// ([`Namespace::is_own`]), and no others.
    #[must_use]
    pub fn of_engines(&self) -> Self {
        Self { own: true, ..self.clone() }
    }

    /// The projects that have a namespace of this name.
    ///
    /// # Errors
    /// [`Error::Partition`].
    pub async fn projects_with(&self, name: &DatasetName) -> Result<Vec<ProjectName>, Error> {
        let names = self.partitions.list(ROOM).await?;
        let found = names.iter().filter_map(Namespace::of).filter(|found| found.name == *name);
        Ok(found.map(|found| found.project).collect())
    }

    /// The partition of a namespace that this handle may reach (KV-2).
    pub(crate) fn partition(&self, of: &Namespace) -> Result<Name, Error> {
        if of.is_own() != self.own {
            return Err(Error::Own { namespace: of.clone() });
        }
        of.partition()
    }

    /// How the partitions below stand; `None` while this node keeps none.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.partitions.usage()
    }

    /// Makes a namespace.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Name`]; [`Error::Partition`].
    pub async fn create(&self, of: &Namespace, settings: Settings) -> Result<Info, Error> {
        let made = self.partitions.create(&self.partition(of)?, settings).await;
        Ok(Info::new(of, &made.map_err(|error| named(of, error))?))
    }

    /// Changes the settings of a namespace.
    ///
    /// # Errors
    /// [`Error::NoNamespace`]; [`Error::Partition`].
    pub async fn change(&self, of: &Namespace, change: SettingsChange) -> Result<Info, Error> {
        let settings = change.of(self.open(of).await?.status().settings);
        let changed = self.partitions.change(&self.partition(of)?, settings).await;
        changed.map_err(|error| named(of, error))?;
        self.status(of).await
    }

    /// The namespaces of a project, by name.
    ///
    /// # Errors
    /// [`Error::Partition`].
    pub async fn list(&self, project: &ProjectName) -> Result<Vec<Namespace>, Error> {
        let names = self.partitions.list(&format!("{ROOM}/{project}")).await?;
        let found = names.iter().filter_map(Namespace::of);
        Ok(found.filter(|found| found.is_own() == self.own).collect())
    }

    /// Where a namespace stands.
    ///
    /// # Errors
    /// [`Error::NoNamespace`]; [`Error::Partition`].
    pub async fn status(&self, of: &Namespace) -> Result<Info, Error> {
        Ok(Info::new(of, &self.open(of).await?))
    }

    /// Removes a namespace with all its keys. It cannot be brought back.
    ///
    /// # Errors
    /// [`Error::NoNamespace`]; [`Error::Partition`].
    pub async fn remove(&self, of: &Namespace) -> Result<(), Error> {
        let name = self.partition(of)?;
        // Those that are there before it goes are its own: another one of its name may be made at once.
        let pins = self.pins_of(of).await?;
        self.partitions.remove(&name).await.map_err(|error| named(of, error))?;
        self.forget(&pins).await;
        Ok(())
    }

    /// The entry of a key, when there is one.
    ///
    /// # Errors
    /// [`Error::NoNamespace`]; [`Error::Partition`].
    pub async fn get(&self, of: &Namespace, key: &[u8], at: At) -> Result<Option<Entry>, Error> {
        self.open(of).await?.get(key, at).await.map_err(|error| named(of, error))
    }

    /// Gives a key a value.
    ///
    /// # Errors
    /// [`Error::NoNamespace`]; [`Error::Invalid`]; [`Error::Partition`], of which `Condition` says that
    /// [`Put::only`] does not hold.
    pub async fn put(&self, of: &Namespace, put: Put) -> Result<Committed, Error> {
        let Put { key, value, ttl, only, durable } = put;
        let expires_ms = ttl.map(|ttl| self.ends(ttl)).transpose()?;
        let expected = match only {
            Only::Always => None,
            Only::Absent => Some(None),
            Only::Seq(seq) => Some(Some(seq)),
        };
        let conditions = expected.map(|expected| Condition { key: key.clone(), expected });
        let commit = Commit {
            ops: vec![Op::Put { key, value, expires_ms }],
            conditions: conditions.into_iter().collect(),
            durable,
            ..Commit::default()
        };
        self.commit(of, commit).await
    }

    /// Makes all changes of a commit, or none.
    ///
    /// # Errors
    /// [`Error::NoNamespace`]; [`Error::Partition`].
    pub async fn commit(&self, of: &Namespace, commit: Commit) -> Result<Committed, Error> {
        self.open(of).await?.commit(commit).await.map_err(|error| named(of, error))
    }

    /// Begins a transaction on what is acknowledged now.
    ///
    /// # Errors
    /// [`Error::NoNamespace`]; [`Error::Partition`].
    pub async fn begin(&self, of: &Namespace) -> Result<Transaction, Error> {
        Ok(Transaction::begin(self.open(of).await?))
    }

    /// Sets how long a key lives from now on; for ever without a time. Its value stays.
    ///
    /// # Errors
    /// [`Error::NoKey`], [`Error::NoNamespace`]; [`Error::Partition`].
    pub async fn touch(
        &self,
        of: &Namespace,
        key: &[u8],
        ttl: Option<Duration>,
    ) -> Result<Touched, Error> {
        let partition = self.open(of).await?;
        let expires_ms = ttl.map(|ttl| self.ends(ttl)).transpose()?;
        let mut attempt = 1;
        loop {
            let found = partition.get(key, At::Durable).await?;
            let Entry { key, value, reference, seq, .. } =
                found.ok_or_else(|| Error::NoKey { namespace: of.clone(), key: key.to_vec() })?;
            let condition = Condition { key: key.clone(), expected: Some(seq) };
            let commit = Commit {
                ops: vec![match reference {
                    None => Op::Put { key, value, expires_ms },
                    Some(reference) => Op::Refer { key, reference, expires_ms },
                }],
                conditions: vec![condition],
                ..Commit::default()
            };
            match partition.commit(commit).await {
                Ok(Committed { seq }) => return Ok(Touched { seq, expires_ms }),
                // Somebody gave it another value meanwhile: that one is to stay.
                Err(PartitionError::Condition { .. }) if attempt < TOUCH_ATTEMPTS_MAX => {
                    attempt += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// One page of a scan.
    ///
    /// # Errors
    /// [`Error::NoNamespace`]; [`Error::Partition`].
    pub async fn scan(&self, of: &Namespace, scan: &Scan) -> Result<Page, Error> {
        self.open(of).await?.scan(scan).await.map_err(|error| named(of, error))
    }

    /// Follows the changes of a range after a commit; without one, those that come from now on.
    ///
    /// # Errors
    /// [`Error::NoNamespace`]; [`Error::Partition`]. Whether the position can be followed is seen by
    /// [`Follow::next`].
    pub async fn follow(
        &self,
        of: &Namespace,
        range: KeyRange,
        after: Option<Seq>,
    ) -> Result<Follow, Error> {
        Ok(Follow::new(self.open(of).await?, range, after))
    }

    /// The entries of a range as lines ([`crate::encode`]), of one state (KV-1).
    ///
    /// # Errors
    /// [`Error::NoNamespace`]; [`Error::Partition`].
    pub async fn export(&self, of: &Namespace, range: KeyRange, at: At) -> Result<Pieces, Error> {
        Ok(transfer::export(self.open(of).await?, range, at))
    }

    /// Puts entries, told as lines ([`crate::decode`]). An import that ended early may be given again.
    ///
    /// # Errors
    /// [`Error::NoNamespace`]; [`Error::Line`], [`Error::Import`]: what came before is in.
    pub async fn import(&self, of: &Namespace, lines: Pieces) -> Result<Imported, Error> {
        transfer::import(self.open(of).await?, lines).await
    }

    /// When something that lives for `ttl` from now is over, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`Error::Invalid`] for none, or more than [`TTL_MAX`].
    pub fn ends(&self, ttl: Duration) -> Result<u64, Error> {
        if ttl.as_millis() == 0 || ttl > TTL_MAX {
            let why = "a time to live is at least a millisecond and at most 100 years";
            return Err(Error::invalid(why));
        }
        let now_ms = u64::try_from(self.env.clock.wall_ns() / 1_000_000).unwrap_or(0);
        Ok(now_ms.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The partition of a namespace, for who hands it one commit after the other: once it is closed it is to be
    /// opened again.
    ///
    /// # Errors
    /// [`Error::NoNamespace`]; [`Error::Partition`].
    pub async fn open(&self, of: &Namespace) -> Result<AnyPartition, Error> {
        self.partitions.open(&self.partition(of)?).await.map_err(|error| named(of, error))
    }
}

/// Says it of the namespace, which is what a caller knows.
pub(crate) fn named(namespace: &Namespace, error: PartitionError) -> Error {
    let namespace = namespace.clone();
    match error {
        PartitionError::Missing { .. } => Error::NoNamespace { namespace },
        PartitionError::Exists { .. } => Error::Exists { namespace },
        other => other.into(),
    }
}

#[async_trait]
impl Store for Kv {
    async fn create(&self, of: &Namespace, settings: SettingsChange) -> Result<Info, Error> {
        Self::create(self, of, settings.of(Settings::default())).await
    }

    async fn clone_to(&self, of: &Namespace, to: &Namespace) -> Result<Info, Error> {
        Self::clone_to(self, of, to).await
    }

    async fn change(&self, of: &Namespace, settings: SettingsChange) -> Result<Info, Error> {
        Self::change(self, of, settings).await
    }

    async fn list(&self, project: &ProjectName) -> Result<Vec<Namespace>, Error> {
        Self::list(self, project).await
    }

    async fn status(&self, of: &Namespace) -> Result<Info, Error> {
        Self::status(self, of).await
    }

    async fn remove(&self, of: &Namespace) -> Result<(), Error> {
        Self::remove(self, of).await
    }

    async fn get(&self, of: &Namespace, key: &[u8], at: At) -> Result<Entry, Error> {
        let found = Self::get(self, of, key, at).await?;
        let (namespace, key) = (of.clone(), key.to_vec());
        match found {
            None => Err(Error::NoKey { namespace, key }),
            Some(entry) => match large_size(&entry) {
                None => Ok(entry),
                Some(size) => Err(Error::Large { namespace, key, size }),
            },
        }
    }

    async fn read(&self, of: &Namespace, key: &[u8], at: At) -> Result<Value, Error> {
        Self::read(self, of, key, at).await
    }

    async fn write(
        &self,
        of: &Namespace,
        put: Put,
        size: Option<u64>,
        pieces: Pieces,
    ) -> Result<Committed, Error> {
        Self::write(self, of, put, size, pieces).await
    }

    async fn put(&self, of: &Namespace, put: Put) -> Result<Committed, Error> {
        Self::put(self, of, put).await
    }

    async fn commit(&self, of: &Namespace, commit: Commit) -> Result<Committed, Error> {
        Self::commit(self, of, commit).await
    }

    async fn touch(
        &self,
        of: &Namespace,
        key: &[u8],
        ttl: Option<Duration>,
    ) -> Result<Touched, Error> {
        Self::touch(self, of, key, ttl).await
    }

    async fn scan(&self, of: &Namespace, scan: &Scan) -> Result<Page, Error> {
        Self::scan(self, of, scan).await
    }

    async fn watch(
        &self,
        of: &Namespace,
        range: KeyRange,
        after: Option<Seq>,
    ) -> Result<Watch, Error> {
        let mut follow = self.follow(of, range, after).await?;
        let first = follow.next(Duration::ZERO).await?;
        let begin = Changes { changes: Vec::new(), upto: after.unwrap_or(first.upto) };
        let told = futures::stream::iter([Ok(begin), Ok(first)]);
        let rest = futures::stream::try_unfold(follow, |mut follow| async move {
            let told = follow.next(WATCH_WAIT_MAX).await?;
            Ok(Some((told, follow)))
        });
        Ok(Box::pin(futures::StreamExt::chain(told, rest)))
    }

    async fn export(&self, of: &Namespace, range: KeyRange, at: At) -> Result<Pieces, Error> {
        Self::export(self, of, range, at).await
    }

    async fn import(&self, of: &Namespace, lines: Pieces) -> Result<Imported, Error> {
        Self::import(self, of, lines).await
    }
}
