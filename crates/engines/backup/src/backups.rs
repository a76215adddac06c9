use std::collections::BTreeSet;
use std::str::FromStr as _;
use std::sync::Arc;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_blocks::EnvelopeKind;
use cairn_bucket::{Bucket, Seal};
use cairn_datasets::{Datasets, Held};
use cairn_partition::{Snapshot, Snapshots};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::error::Error;
use crate::id::BackupId;
use crate::manifest::{Backup, FORMAT, PartitionPoint};
use crate::page::{self, Record};

const BACKUPS: &str = "backups";
pub(crate) const AUDIT: &str = "audit";
/// Where objects are that change, beside refs and partitions: they are kept as they were.
const CHANGING: [&str; 4] = ["settings", "hooks", "access", "mesh"];
const AT_ONCE: usize = 16;
/// What is wrong that is told at most.
const FINDINGS_MAX: usize = 1000;

/// Told how far it is: so much of so much.
pub type Told = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// Which backup is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// This one.
    Id(BackupId),
    /// The newest that was whole by then, in ns since 1970.
    At(i64),
    /// The newest.
    Newest,
}

/// All backups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Those that are whole, the oldest first.
    pub backups: Vec<Backup>,
    /// Those that were begun and have not ended.
    pub begun: Vec<BackupId>,
    /// Those whose manifest is damaged, and how.
    pub damaged: Vec<(BackupId, String)>,
}

/// What a check of a backup found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Objects that were kept as they were and are readable.
    pub records: u64,
    /// Objects of partitions and of the audit log that are there.
    pub objects: u64,
    /// Versions of datasets of which every chunk is there.
    pub versions: u64,
    /// What is wrong.
    pub findings: Vec<String>,
}

/// The backups of a cluster.
pub struct Backups {
    pub(crate) datasets: Datasets,
    pub(crate) seal: Arc<dyn Seal>,
    pub(crate) snapshots: Snapshots,
}

impl Backups {
    /// Of the cluster whose datasets these are and whose partitions are sealed with `seal`.
    #[must_use]
    pub fn new(datasets: Datasets, seal: Arc<dyn Seal>) -> Self {
        let blocks = datasets.blocks();
        let snapshots = Snapshots::new(blocks.bucket().clone(), Arc::clone(&seal), blocks.env());
        Self { datasets, seal, snapshots }
    }

    pub(crate) fn bucket(&self) -> &Bucket {
        self.datasets.blocks().bucket()
    }

    fn now(&self) -> i64 {
        self.datasets.blocks().env().clock.wall_ns()
    }

    /// Makes a backup (BACKUP-1). One that fails is removed again as far as that goes.
    ///
    /// # Errors
    /// Of what is backed up, when it is damaged, and of the bucket.
    pub async fn create(&self, note: &str, told: &Told) -> Result<Backup, Error> {
        let id = BackupId::new(self.datasets.blocks().env());
        let made = self.make(&id, note, told).await;
        if made.is_err()
            && let Err(error) = self.remove(&id).await
        {
            tracing::warn!(backup = %id, %error, "a backup that failed was not removed: remove it");
        }
        made
    }

    async fn make(&self, id: &BackupId, note: &str, told: &Told) -> Result<Backup, Error> {
        let started_ns = self.now();
        let name = id.to_string();
        // A large value is held before the partitions are looked at, and after: by then all that they
        // have is pinned.
        let held = self.datasets.hold(&name, Held::default()).await?;
        let mut records = Vec::new();
        let mut snapshots = Vec::new();
        let names = self.snapshots.names().await?;
        let label = label(id);
        let takes = names.iter().map(|name| self.snapshots.take(name, &label));
        let mut takes = std::pin::pin!(stream::iter(takes).buffered(AT_ONCE));
        let (mut looked, mut failed) = (0, None);
        // Also after one has failed: what is under way ends before it is released.
        while let Some(taken) = takes.next().await {
            looked += 1;
            told(looked, names.len() as u64);
            match taken {
                Ok(Some(taken)) => snapshots.push(taken),
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        let snapshots = self.snapshots.together(snapshots, &label).await?;
        let mut held = self.datasets.hold(&name, held).await?;
        let (partitions, owners) = self.points(snapshots).await?;
        records.extend(owners);
        records.extend(std::mem::take(&mut held.refs));
        records.extend(std::mem::take(&mut held.pins));
        for prefix in CHANGING {
            records.extend(self.read_all(prefix).await?);
        }
        let audit_last = self.keys(AUDIT).await?.pop();
        records.sort();
        let pages = page::pages(&records);
        for (number, page) in pages.iter().enumerate() {
            self.put(&page_key(id, number), page).await?;
        }
        let backup = Backup {
            format: FORMAT,
            id: id.to_string(),
            note: note.to_owned(),
            started_ns,
            finished_ns: self.now(),
            tags: held.tags,
            versions: held.versions,
            pages: u32::try_from(pages.len()).unwrap_or(u32::MAX),
            records: records.len() as u64,
            record_bytes: records.iter().map(|(_, bytes)| bytes.len() as u64).sum(),
            partitions,
            audit_last,
        };
        let plain = serde_json::to_vec(&backup).expect("a manifest is plain data");
        self.put(&manifest_key(id), &plain).await?;
        // Whoever removes it while it is made takes the hold first.
        if !self.datasets.is_held(&name, &held).await? {
            return Err(Error::Removed { backup: backup.id });
        }
        Ok(backup)
    }

    /// The partitions of a backup, and their records.
    async fn points(
        &self,
        taken: Vec<Snapshot>,
    ) -> Result<(Vec<PartitionPoint>, Vec<(String, Bytes)>), Error> {
        let mut snapshots = Vec::new();
        for taken in taken {
            // One that is gone may have taken its large values along before they were held.
            if self.snapshots.is_there(&taken.name, taken.id).await? {
                snapshots.push(taken);
            }
        }
        let mut shared = self.snapshots.removed_sources(&snapshots).await?;
        let points = snapshots.into_iter().map(|taken| {
            let (name, id) = (taken.name.to_string(), hex::encode(taken.id.0));
            let mut objects = taken.objects;
            objects.append(&mut shared);
            (PartitionPoint { name, id, objects }, taken.record)
        });
        Ok(points.unzip())
    }

    /// All backups, the oldest first.
    ///
    /// # Errors
    /// Of the bucket.
    pub async fn list(&self) -> Result<Listed, Error> {
        let (whole, begun) = self.ids().await?;
        let mut listed = Listed { begun: begun.into_iter().collect(), ..Listed::default() };
        for id in whole {
            match self.load(&id).await {
                Ok(backup) => listed.backups.push(backup),
                // It was removed meanwhile.
                Err(Error::Missing { .. }) => {}
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    listed.damaged.push((id, error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        // Ids are in the order of time to the second.
        listed.backups.sort_by_key(|backup| backup.finished_ns);
        Ok(listed)
    }

    /// The ids of backups that have a manifest, and of those that have not.
    async fn ids(&self) -> Result<(BTreeSet<BackupId>, BTreeSet<BackupId>), Error> {
        let (mut whole, mut begun) = (BTreeSet::new(), BTreeSet::new());
        for name in self.datasets.hold_names().await? {
            begun.extend(BackupId::from_str(&name));
        }
        for key in self.keys(BACKUPS).await? {
            let mut parts = key.split('/').skip(1);
            let Some(Ok(id)) = parts.next().map(BackupId::from_str) else { continue };
            if parts.next() == Some("manifest") {
                whole.insert(id);
            } else {
                begun.insert(id);
            }
        }
        begun.retain(|id| !whole.contains(id));
        Ok((whole, begun))
    }

    /// The backup that is meant.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none.
    pub async fn find(&self, which: &Which) -> Result<Backup, Error> {
        let before = match which {
            Which::Id(id) => return self.load(id).await,
            Which::At(time) => *time,
            Which::Newest => i64::MAX,
        };
        let all = self.list().await?.backups;
        let found = all.into_iter().rev().find(|backup| backup.finished_ns <= before);
        let which = if before == i64::MAX { "yet" } else { "that was whole by then" };
        found.ok_or_else(|| Error::Missing { which: which.to_owned() })
    }

    async fn load(&self, id: &BackupId) -> Result<Backup, Error> {
        let key = manifest_key(id);
        let plain = match self.get(&key).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Error::Missing { which: id.to_string() });
            }
            other => other?,
        };
        let backup: Backup = serde_json::from_slice(&plain)
            .map_err(|error| Error::Corrupt { object: key.clone(), why: error.to_string() })?;
        if backup.format != FORMAT || backup.id != id.to_string() {
            let why = "it is of a later version, or of another backup".to_owned();
            return Err(Error::Corrupt { object: key, why });
        }
        Ok(backup)
    }

    /// The objects that a backup has as they were.
    pub(crate) async fn records(&self, backup: &Backup) -> Result<Vec<Record>, Error> {
        let id = BackupId::from_str(&backup.id)?;
        let mut records = Vec::new();
        for number in 0..backup.pages {
            let key = page_key(&id, number as usize);
            let page = self.get(&key).await?;
            let why = || "it is no page of records".to_owned();
            let found = page::records(&page);
            records.extend(found.ok_or_else(|| Error::Corrupt { object: key, why: why() })?);
        }
        if records.len() as u64 != backup.records {
            let (object, why) = (manifest_key(&id), "records are missing".to_owned());
            return Err(Error::Corrupt { object, why });
        }
        Ok(records)
    }

    /// Looks whether all that a backup needs is there, and reads what it alone has. Chunks are looked
    /// up, not read: a drill reads them.
    ///
    /// # Errors
    /// Of the bucket; what is damaged or missing is a finding.
    pub async fn check(&self, backup: &Backup, told: &Told) -> Result<Checked, Error> {
        let mut checked = Checked::default();
        match self.records(backup).await {
            Ok(records) => checked.records = records.len() as u64,
            Err(error) => checked.found(error)?,
        }
        let of_partitions = backup.partitions.iter().flat_map(|partition| &partition.objects);
        let keys: Vec<&String> = of_partitions.chain(&backup.audit_last).collect();
        let bucket = self.bucket();
        let looks =
            stream::iter(keys.iter().map(|key| async move { (key, bucket.head(key).await) }));
        let mut looks = std::pin::pin!(looks.buffer_unordered(AT_ONCE));
        while let Some((key, found)) = looks.next().await {
            match found {
                Ok(_) => checked.objects += 1,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let (object, backup) = ((*key).clone(), backup.id.clone());
                    checked.found(Error::Gone { object, backup })?;
                }
                Err(error) => return Err(error.into()),
            }
            told(checked.objects, keys.len() as u64);
        }
        match self.datasets.check_hold(&backup.id).await {
            Ok(versions) => checked.versions = versions,
            Err(error) => checked.found(error.into())?,
        }
        Ok(checked)
    }

    /// Removes a backup, or what is left of one that was begun, and lets go of what it held.
    ///
    /// # Errors
    /// Of the bucket. What is left is removed by removing it again.
    pub async fn remove(&self, id: &BackupId) -> Result<(), Error> {
        let (bucket, label) = (self.bucket(), label(id));
        bucket.delete(&manifest_key(id)).await?;
        self.datasets.let_go(&id.to_string()).await?;
        let partitions = self.snapshots.ids().await?;
        let releases =
            partitions.into_iter().map(|partition| self.snapshots.release(partition, &label));
        stream::iter(releases).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        self.snapshots.sweep().await?;
        // The manifest too, when it was still being made.
        for key in self.keys(&format!("{BACKUPS}/{id}")).await? {
            bucket.delete(&key).await?;
        }
        Ok(())
    }

    /// Whether there is anything of a backup.
    ///
    /// # Errors
    /// Of the bucket.
    pub async fn is_known(&self, id: &BackupId) -> Result<bool, Error> {
        let (whole, begun) = self.ids().await?;
        Ok(whole.contains(id) || begun.contains(id))
    }

    /// The keys below a prefix, sorted.
    pub(crate) async fn keys(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let heads = self.bucket().list(prefix).map_ok(|head| head.key);
        let mut keys: Vec<String> = heads.try_collect().await?;
        keys.sort();
        Ok(keys)
    }

    async fn read_all(&self, prefix: &str) -> Result<Vec<Record>, Error> {
        let (keys, bucket) = (self.keys(prefix).await?, self.bucket());
        let reads = stream::iter(keys.into_iter().map(|key| async move {
            match bucket.get(&key).await {
                Ok(object) => Ok(Some((key, object.bytes))),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Error::from(error)),
            }
        }));
        let read = reads.buffered(AT_ONCE).try_filter_map(|found| async move { Ok(found) });
        read.try_collect().await
    }

    async fn put(&self, key: &str, plain: &[u8]) -> Result<(), Error> {
        let blocks = self.datasets.blocks();
        let rng = blocks.env().rng.as_ref();
        let bytes = blocks.sealer().wrap(EnvelopeKind::Backup, key, plain, rng);
        self.bucket().put(key, Bytes::from(bytes)).await?;
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Vec<u8>, Error> {
        let object = self.bucket().get(key).await?;
        let sealer = self.datasets.blocks().sealer();
        Ok(sealer.unwrap(EnvelopeKind::Backup, key, &object.bytes)?)
    }
}

impl Checked {
    /// Notes what is wrong; an error of the bucket ends the check.
    fn found(&mut self, error: Error) -> Result<(), Error> {
        if !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) {
            return Err(error);
        }
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(error.to_string());
        }
        Ok(())
    }
}

/// What a backup pins in views is under this label.
fn label(id: &BackupId) -> String {
    format!("backup-{id}")
}

fn manifest_key(id: &BackupId) -> String {
    format!("{BACKUPS}/{id}/manifest")
}

fn page_key(id: &BackupId, number: usize) -> String {
    format!("{BACKUPS}/{id}/{number:05}")
}
