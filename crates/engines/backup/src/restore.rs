//! Copying a backup into an empty place, which is a cluster of its own then.

use std::sync::Arc;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_blocks::config::{CONFIG_KEY, UNFINISHED_KEY};
use cairn_bucket::Bucket;
use cairn_partition::Snapshots;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::backups::{Backups, Told, partition_id};
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
        claim(to, backup).await?;
        let copier = Copier::new(self.bucket(), to, told).await?;
        self.copy_blocks(&copier, backup, to).await?;
        let mut objects: Vec<String> =
            backup.partitions.iter().flat_map(|partition| partition.objects.clone()).collect();
        if let Some(last) = &backup.audit_last {
            objects.extend(self.keys("audit").await?.into_iter().filter(|key| key <= last));
        }
        if let Some(object) = copier.copy(&objects).await?.pop() {
            return Err(Error::Gone { object, backup: backup.id.clone() });
        }
        let puts = records.iter().map(|(key, bytes)| to.put(key, bytes.clone()));
        stream::iter(puts).buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?;
        let (env, seal) = (self.datasets.blocks().env(), Arc::clone(&self.seal));
        let snapshots = Snapshots::new(to.clone(), seal, env);
        for partition in &backup.partitions {
            if let Some(id) = partition_id(&partition.id) {
                snapshots.settle(id).await?;
            }
        }
        let config = self.bucket().get(CONFIG_KEY).await?;
        to.put(CONFIG_KEY, config.bytes).await?;
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

/// Takes an empty place for the copy of a backup, or goes on in one.
async fn claim(to: &Bucket, backup: &Backup) -> Result<(), Error> {
    let mine = Bytes::from(backup.id.clone());
    let full = || Error::NotEmpty { url: to.url().to_owned() };
    match to.get(UNFINISHED_KEY).await {
        Ok(found) if found.bytes == mine => return Ok(()),
        Ok(_) => return Err(full()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    if to.list("").next().await.transpose()?.is_some() {
        return Err(full());
    }
    match to.create(UNFINISHED_KEY, mine).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::Conflict => Err(full()),
        Err(error) => Err(error.into()),
    }
}
