//! Points in time of partitions that last: what their views had, pinned by a checkpoint, and a copy of
//! what the logs had beyond that. They are taken beside the owners, who need not know.
//!
//! SNAPSHOT-1 A snapshot is one state of its partition: a checkpoint of the view, and every frame after
//! it up to the last that was shipped when the logs were read. That the partition's record was the same
//! before and after tells that no ownership came between. So what was acknowledged at level `bucket`
//! before is in it, and what was at level `log` when its log was shipped since.
//!
//! SNAPSHOT-2 What a checkpoint reaches stays until the checkpoint is released, also when the partition
//! is removed.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use cairn_bucket::{Bucket, Seal};
use cairn_env::Env;
use futures::TryStreamExt as _;
use slatedb::admin::Admin;
use slatedb::config::CheckpointOptions;
use slatedb::manifest::VersionedManifest;
use slatedb::{Checkpoint, PathResolver};

use super::inherit::{Chain, Logs, Part, as_shipped};
use super::records::{Owned, Owner, Read, Records, State, VIEWS, in_bucket, life_id};
use crate::log::{Copy, LifeId, Shipped};
use crate::view::wal::Frames as _;
use crate::view::{Clock, failed, sealed};
use crate::{Epoch, Error, Name, PartitionId, Seq};

/// How often a snapshot is begun anew because the partition changed hands or let go of its log.
const TRIES_MAX: usize = 8;

/// Takes snapshots of a bucket's partitions, and gives them free.
pub struct Snapshots {
    records: Records,
    seal: Arc<dyn Seal>,
    pub(super) env: Env,
    /// Shipped logs, as of when they were read first; each is read once.
    logs: tokio::sync::Mutex<Logs>,
}

/// One partition at one point in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What the partition was called.
    pub name: Name,
    /// Its id.
    pub id: PartitionId,
    /// Objects that never change: the view's, which the partition shares, and the copy of its log's.
    /// Where they are copied under the same keys, with `record`, the partition is again, owned by nobody.
    pub objects: Vec<String>,
    /// The key and the bytes of the partition's record.
    pub record: (String, Bytes),
    /// The views that it has tables of, and what it pins there (CLONE-2).
    pub(super) sources: Vec<Source>,
    /// What clones pin of it.
    pub(super) pinned: BTreeSet<Pin>,
}

/// The id of a checkpoint.
pub(super) type Pin = [u8; 16];

/// A view that a clone has tables of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) path: String,
    pub(super) pin: Pin,
}

/// A view, pinned.
struct Point {
    manifest: VersionedManifest,
    objects: Vec<String>,
    pinned: BTreeSet<Pin>,
}

impl Snapshots {
    /// Of the partitions in `bucket`, which are sealed with `seal`.
    #[must_use]
    pub fn new(bucket: Bucket, seal: Arc<dyn Seal>, env: &Env) -> Self {
        let records = Records::new(bucket, &seal);
        Self { records, seal, env: env.clone(), logs: Default::default() }
    }

    /// The names of all partitions that there are or were.
    ///
    /// # Errors
    /// Of the bucket.
    pub async fn names(&self) -> Result<Vec<Name>, Error> {
        self.records.names("").await
    }

    /// Takes a snapshot of a partition under a label; `None` when there is no such partition.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a view or a log that is damaged; [`Error::Busy`] when the partition
    /// changed hands again and again; [`Error::Storage`]. What is left then [`Snapshots::release`] finds
    /// by its label.
    pub async fn take(&self, name: &Name, label: &str) -> Result<Option<Snapshot>, Error> {
        let mut why = Error::Busy { why: format!("{name} is changing hands: try again") };
        for _ in 0..TRIES_MAX {
            let Some(before) = self.owner(name).await? else { return Ok(None) };
            let id = before.record.id()?;
            // In this order: what goes from the logs from now on is in the view by then.
            let logs = self.logs_of(&before.record).await?;
            let point = self.point(id, label).await?;
            match self.tail(&before.record, point.as_ref(), &logs, life_of(id, label)).await {
                Ok((trail, copied)) => {
                    let now = self.owner(name).await?.map(|now| now.version);
                    if now.as_ref() == Some(&before.version) {
                        let of = (name, id, before.record);
                        return Ok(Some(self.snapshot(of, point, trail, copied)));
                    }
                }
                // The owner has written its view, and let go of what of the log was being read.
                Err(error @ Error::Corrupt { .. }) => why = error,
                Err(error) => return Err(error),
            }
            self.logs.lock().await.clear();
            self.release(id, label).await?;
        }
        Err(why)
    }

    fn snapshot(
        &self,
        (name, id, mut record): (&Name, PartitionId, Owner),
        point: Option<Point>,
        trail: Vec<Owned>,
        copied: Vec<String>,
    ) -> Snapshot {
        record.state = State::Closed;
        record.trail = trail;
        let key = Owner::key(name);
        let record = (key.clone(), self.records.encode(&key, &record));
        let (mut objects, mut sources, mut pinned) = (copied, Vec::new(), BTreeSet::new());
        if let Some(point) = point {
            objects.extend(point.objects);
            sources = sources_of(&point.manifest).collect();
            pinned = point.pinned;
        }
        Snapshot { name: name.clone(), id, objects, record, sources, pinned }
    }

    /// Releases what `label` pins of a partition's view, and deletes its copy of the log.
    ///
    /// # Errors
    /// Of the bucket and the view.
    pub async fn release(&self, id: PartitionId, label: &str) -> Result<(), Error> {
        self.delete(&self.list(&crate::log::prefix(life_of(id, label))).await?).await?;
        let admin = self.admin(id);
        if manifest(&admin, None).await?.is_none() {
            return Ok(());
        }
        let what = "release a checkpoint";
        let found = admin.list_checkpoints(Some(label)).await;
        for checkpoint in found.map_err(|error| failed(what, &error))? {
            let deleted = admin.delete_checkpoint(checkpoint.id).await;
            deleted.map_err(|error| failed(what, &error))?;
        }
        Ok(())
    }

    /// The ids of all partitions whose records can be read, and of all that have a view yet.
    ///
    /// # Errors
    /// Of the bucket.
    pub async fn ids(&self) -> Result<Vec<PartitionId>, Error> {
        let mut ids = self.views().await?;
        for name in self.names().await? {
            match self.owner(&name).await {
                Ok(found) => ids.extend(found.and_then(|found| found.record.id().ok())),
                Err(Error::Corrupt { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    /// The ids of all views, also of partitions that were removed.
    pub(super) async fn views(&self) -> Result<Vec<PartitionId>, Error> {
        let mut ids = Vec::new();
        for key in self.list(VIEWS).await? {
            let mut id = [0; 16];
            let below = key.strip_prefix(VIEWS).and_then(|rest| rest.strip_prefix('/'));
            let text = below.and_then(|below| below.split('/').next());
            if text.is_some_and(|text| hex::decode_to_slice(text, &mut id).is_ok()) {
                ids.push(PartitionId(id));
            }
        }
        ids.dedup();
        Ok(ids)
    }

    /// Deletes the objects of a view that nobody will open again, unless a checkpoint pins it
    /// (SNAPSHOT-2, CLONE-2). Whether it did.
    pub(super) async fn delete_view(&self, id: PartitionId) -> Result<bool, Error> {
        if let Some(manifest) = self.manifest(id).await? {
            if manifest.checkpoints().iter().any(pins) {
                return Ok(false);
            }
            self.let_go(&manifest).await?;
        }
        self.delete(&self.list(&Owner::view(id)).await?).await?;
        Ok(true)
    }

    /// The newest manifest of a view, if it has one.
    pub(super) async fn manifest(
        &self,
        id: PartitionId,
    ) -> Result<Option<VersionedManifest>, Error> {
        manifest(&self.admin(id), None).await
    }

    /// Prepares a copy of a partition: its next owner's epoch is none that there was. A node that has a log
    /// of before the copy was made would else take what is in there for its own.
    ///
    /// # Errors
    /// Of the bucket; [`Error::Busy`] when somebody else is at it.
    pub async fn settle(&self, name: &Name) -> Result<(), Error> {
        let Some(Read { mut record, version }) = self.owner(name).await? else { return Ok(()) };
        let now_ms = u64::try_from(self.env.clock.wall_ns() / 1_000_000).unwrap_or(0);
        record.epoch = Epoch(now_ms.max(record.epoch.0 + 1));
        let swapped = self.records.swap(&Owner::key(name), Some(&version), &record).await?;
        let raced = || Error::Busy { why: format!("{name} is in use already") };
        swapped.map(drop).ok_or_else(raced)
    }

    /// Whether a partition of this name and id is there.
    ///
    /// # Errors
    /// Of the bucket.
    pub async fn is_there(&self, name: &Name, id: PartitionId) -> Result<bool, Error> {
        let found = self.owner(name).await?;
        Ok(found.is_some_and(|found| found.record.id().is_ok_and(|its| its == id)))
    }

    /// Deletes views that no partition has and nothing pins. Returns how many there were.
    ///
    /// # Errors
    /// Of the bucket and the views; when a partition's record cannot be read nothing is deleted.
    pub async fn sweep(&self) -> Result<u64, Error> {
        let mut swept = 0;
        // A view that goes may have been the last that needed another.
        loop {
            let before = swept;
            for id in self.orphans().await? {
                swept += u64::from(self.delete_view(id).await?);
            }
            if swept == before {
                return Ok(swept);
            }
        }
    }

    /// The views that no partition has, and no view has tables of.
    async fn orphans(&self) -> Result<Vec<PartitionId>, Error> {
        // A partition has its record before it has a view, and loses it first.
        let views = self.views().await?;
        let mut owned = BTreeSet::new();
        for name in self.names().await? {
            let found = self.records.read::<Owner>(&Owner::key(&name)).await?;
            if let Some(found) = found
                && self.records.given_up(&name, &found, &self.env).await? != State::Removed
            {
                owned.insert(found.record.id()?);
            }
        }
        let mut orphans = views.clone();
        orphans.retain(|id| !owned.contains(id));
        if !orphans.is_empty() {
            let shared = self.shared_views(&views).await?;
            orphans.retain(|id| !shared.contains(&Owner::view(*id)));
        }
        Ok(orphans)
    }

    async fn owner(&self, name: &Name) -> Result<Option<Read<Owner>>, Error> {
        let found = self.records.read::<Owner>(&Owner::key(name)).await?;
        Ok(found.filter(|found| found.record.is_there()))
    }

    pub(super) fn admin(&self, id: PartitionId) -> Admin {
        self.admin_at(&Owner::view(id))
    }

    /// For the view that is somewhere.
    pub(super) fn admin_at(&self, path: &str) -> Admin {
        let (store, seal) = (self.records.bucket.store(), Arc::clone(&self.seal));
        let store = sealed(store, seal, Arc::clone(&self.env.rng));
        Admin::builder(path, store)
            .with_system_clock(Arc::new(Clock::new(&self.env)))
            .with_seed(self.env.rng.next_u64())
            .build()
    }

    /// Pins the view as it is; `None` when there is none yet.
    async fn point(&self, id: PartitionId, label: &str) -> Result<Option<Point>, Error> {
        let admin = self.admin(id);
        if !manifest(&admin, None).await?.is_some_and(|manifest| manifest.initialized()) {
            return Ok(None);
        }
        let options = CheckpointOptions { name: Some(label.to_owned()), ..Default::default() };
        let made = admin.create_detached_checkpoint(&options).await;
        let made = made.map_err(|error| failed("pin the view", &error))?;
        let Some(manifest) = manifest(&admin, Some(made.manifest_id)).await? else {
            let (what, why) =
                (Owner::view(id), String::from("the manifest of a checkpoint is missing"));
            return Err(Error::Corrupt { what, offset: 0, why });
        };
        let root = Owner::view(id);
        let paths = PathResolver::new(root.as_str(), &manifest);
        let mut objects: Vec<String> = manifest
            .all_sst_views()
            .map(|table| paths.sst_path(&table.sst.id).to_string())
            .collect();
        objects.extend(manifests_of(&root, &manifest, made.manifest_id));
        objects.sort();
        objects.dedup();
        let clones = manifest.checkpoints().iter().filter(|made| is_of_a_clone(made));
        let pinned = clones.map(|clone| clone.id.into_bytes()).collect();
        Ok(Some(Point { manifest, objects, pinned }))
    }

    /// Copies what the logs have after a point. Returns the trail that leads to the copy, and its keys.
    async fn tail(
        &self,
        owner: &Owner,
        point: Option<&Point>,
        logs: &Logs,
        life: LifeId,
    ) -> Result<(Vec<Owned>, Vec<String>), Error> {
        let id = owner.id()?;
        let after = point.map_or(0, |point| point.manifest.replay_after_wal_id());
        let seq = Seq(point.map_or(0, |point| point.manifest.last_l0_seq()));
        let mut trail = as_shipped(&owner.trail, id, logs);
        let part = |owned: &Owned, reached| {
            let epoch = owned.epoch;
            Part::Shipped(logs[&owned.life].replay(id, reached, move |found: Epoch| found == epoch))
        };
        let mut frames = Chain::of(&trail, (after, seq), part);
        let place = (self.records.bucket.clone(), Arc::clone(&self.seal));
        let mut copy = Copy::new(place, life, id, self.env.clock.wall_ns());
        while let Some(frame) = frames.next().await? {
            copy.push(frame).await?;
        }
        let copied = copy.finish().await?;
        if copied.is_empty() {
            trail.clear();
        }
        for owned in &mut trail {
            owned.life = hex::encode(life.0);
        }
        Ok((trail, copied))
    }

    /// The logs that a partition's trail names.
    async fn logs_of(&self, owner: &Owner) -> Result<Logs, Error> {
        let mut known = self.logs.lock().await;
        let mut logs = Logs::new();
        for Owned { life, .. } in &owner.trail {
            let log = match known.get(life) {
                Some(log) => Arc::clone(log),
                None => Arc::new(self.shipped(life).await?),
            };
            known.insert(life.clone(), Arc::clone(&log));
            logs.insert(life.clone(), log);
        }
        Ok(logs)
    }

    async fn shipped(&self, life: &str) -> Result<Shipped, Error> {
        let (bucket, seal) = (self.records.bucket.clone(), Arc::clone(&self.seal));
        Shipped::open(bucket, seal, life_id(life)?).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let heads = self.records.bucket.list(prefix).map_ok(|head| head.key);
        let mut keys: Vec<String> = heads.try_collect().await.map_err(storage)?;
        keys.sort();
        Ok(keys)
    }

    async fn delete(&self, keys: &[String]) -> Result<(), Error> {
        for key in keys {
            self.records.bucket.delete(key).await.map_err(storage)?;
        }
        Ok(())
    }
}

/// The log that a label's copy of a partition's frames is.
fn life_of(id: PartitionId, label: &str) -> LifeId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&id.0);
    hasher.update(label.as_bytes());
    let mut life = LifeId([0; 16]);
    hasher.finalize_xof().fill(&mut life.0);
    life
}

/// What a manifest says of views that it has tables of.
pub(super) fn sources_of(manifest: &VersionedManifest) -> impl Iterator<Item = Source> + '_ {
    manifest.external_dbs().iter().filter_map(|other| {
        let (path, pin) = (other.path.clone(), other.final_checkpoint_id?.into_bytes());
        Some(Source { path, pin })
    })
}

/// The keys of a manifest and of those that clones pin, which are looked up when garbage is collected.
pub(super) fn manifests_of(
    root: &str,
    manifest: &VersionedManifest,
    id: u64,
) -> impl Iterator<Item = String> {
    let clones = manifest.checkpoints().iter().filter(|made| is_of_a_clone(made));
    let ids: Vec<u64> = clones.map(|clone| clone.manifest_id).chain([id]).collect();
    ids.into_iter().map(move |id| format!("{root}/manifest/{id:020}.manifest"))
}

fn is_of_a_clone(checkpoint: &Checkpoint) -> bool {
    pins(checkpoint) && checkpoint.name.is_none()
}

/// Whether a checkpoint stays until it is released: compactions leave some of their own, which end by
/// themselves.
pub(super) fn pins(checkpoint: &Checkpoint) -> bool {
    checkpoint.expire_time.is_none()
}

async fn manifest(admin: &Admin, id: Option<u64>) -> Result<Option<VersionedManifest>, Error> {
    admin.read_manifest(id).await.map_err(|error| failed("look at a view", &error))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn storage(error: cairn_bucket::Error) -> Error {
    in_bucket("use the partitions in the bucket", &error)
}
