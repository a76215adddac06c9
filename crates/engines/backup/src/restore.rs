//! Copying a backup into an empty place, which is a cluster of its own then.

use std::sync::Arc;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_blocks::config::{CONFIG_KEY, UNFINISHED_KEY};
use cairn_bucket::Bucket;
use cairn_env::Env;
use cairn_partition::{Name, Snapshots};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::backups::{AUDIT, Backups, Told};
use crate::copy::Copier;
use crate::error::Error;
use crate::manifest::Backup;

/// How often the catalog is read again because a collection deleted what was about to be copied.
const TRIES_MAX: usize = 8;
const AT_ONCE: usize = 16;

/// What came of a restoration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Objects in the new place.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Backups {
    /// Makes `to` the cluster that a backup is of (BACKUP-2). What `to` has of the same backup already is
    /// not copied again.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], [`Error::Same`]; [`Error::Gone`] when something that the backup needs is
    /// missing; of both buckets.
    pub async fn restore(
        &self,
        backup: &Backup,
        to: &Bucket,
        told: Told,
    ) -> Result<Restored, Error> {
        if to.url() == self.bucket().url() {
            return Err(Error::Same { url: to.url().to_owned() });
        }
        let records = self.records(backup).await?;
        let claim = Claim::take(to, backup, self.datasets.blocks().env()).await?;
        let copier = Copier::new(self.bucket(), to, told).await?;
        self.copy_blocks(&copier, backup, to).await?;
        let mut objects: Vec<String> =
            backup.partitions.iter().flat_map(|partition| partition.objects.clone()).collect();
        if let Some(last) = &backup.audit_last {
            objects.extend(self.keys(AUDIT).await?.into_iter().filter(|key| key <= last));
        }
        if let Some(object) = copier.copy(&objects).await?.pop() {
            return Err(Error::Gone { object, backup: backup.id.clone() });
        }
        claim.check().await?;
        let puts = records.iter().map(|(key, bytes)| to.put(key, bytes.clone()));
        stream::iter(puts).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        let (env, seal) = (self.datasets.blocks().env(), Arc::clone(&self.seal));
        let snapshots = Snapshots::new(to.clone(), seal, env);
        let settled = backup.partitions.iter().map(|partition| {
            let snapshots = &snapshots;
            async move { snapshots.settle(&Name::new(&partition.name)?).await }
        });
        stream::iter(settled).buffer_unordered(AT_ONCE).try_collect::<Vec<()>>().await?;
        snapshots.settle_views().await?;
        claim.check().await?;
        let config = self.bucket().get(CONFIG_KEY).await?;
        to.create(CONFIG_KEY, config.bytes).await?;
        to.delete(UNFINISHED_KEY).await?;
        let (copied, bytes) = copier.done();
        let (objects, kept) = (copied + records.len() as u64 + 2, backup.record_bytes);
        Ok(Restored { objects, bytes: bytes + kept })
    }

    /// The whole block store as it is now: what the backup pins is in it.
    async fn copy_blocks(
        &self,
        copier: &Copier<'_>,
        backup: &Backup,
        to: &Bucket,
    ) -> Result<(), Error> {
        let mut gone = None;
        for _ in 0..TRIES_MAX {
            let inventory = self.datasets.blocks().inventory().await?;
            gone = copier.copy(&inventory.objects).await?.pop();
            if gone.is_none() {
                let (key, bytes) = inventory.catalog;
                to.put(&key, bytes).await?;
                return Ok(());
            }
        }
        let object = gone.unwrap_or_default();
        Err(Error::Gone { object, backup: backup.id.clone() })
    }
}

/// An empty place that is taken for the copy of a backup.
struct Claim<'a> {
    to: &'a Bucket,
    mark: Bytes,
}

impl<'a> Claim<'a> {
    /// Takes an empty place, or goes on in one that was taken for the same backup. Whoever was at it
    /// before goes no further.
    async fn take(to: &'a Bucket, backup: &Backup, env: &Env) -> Result<Self, Error> {
        let whose = format!("{} ", backup.id);
        let mark = Bytes::from(format!("{whose}{:016x}", env.rng.next_u64()));
        let full = || Error::NotEmpty { url: to.url().to_owned() };
        let taken = match to.get(UNFINISHED_KEY).await {
            Ok(found) => {
                if exists(to, CONFIG_KEY).await? {
                    // It was whole, but for this.
                    to.delete(UNFINISHED_KEY).await?;
                    return Err(full());
                }
                if !found.bytes.starts_with(whose.as_bytes()) {
                    return Err(full());
                }
                to.replace(UNFINISHED_KEY, mark.clone(), &found.version).await
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if to.list("").next().await.transpose()?.is_some() {
                    return Err(full());
                }
                to.create(UNFINISHED_KEY, mark.clone()).await
            }
            Err(error) => return Err(error.into()),
        };
        match taken {
            Ok(_) => Ok(Self { to, mark }),
            Err(error) if error.kind() == ErrorKind::Conflict => {
                Err(Error::Another { url: to.url().to_owned() })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether nobody else has taken it since.
    async fn check(&self) -> Result<(), Error> {
        match self.to.get(UNFINISHED_KEY).await {
            Ok(found) if found.bytes == self.mark => Ok(()),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
            _ => Err(Error::Another { url: self.to.url().to_owned() }),
        }
    }
}

async fn exists(bucket: &Bucket, key: &str) -> Result<bool, Error> {
    match bucket.head(key).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}
