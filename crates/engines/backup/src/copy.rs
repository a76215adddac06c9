//! Copying objects from one bucket to another, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cairn_base::ErrorKind;
use cairn_bucket::Bucket;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, WriteMultipart};

use crate::backups::Told;
use crate::error::Error;

/// Objects under way at a time.
const AT_ONCE: usize = 8;
/// Larger objects go in parts of this size.
const PART_BYTES: u64 = 16 << 20;
/// Parts of one object under way at a time.
const PARTS_AT_ONCE: usize = 4;

pub(crate) struct Copier<'a> {
    from: &'a Bucket,
    to: &'a Bucket,
    /// What is there already, with its size.
    there: BTreeMap<String, u64>,
    /// What is there now of what was asked for.
    copied: Mutex<BTreeSet<String>>,
    /// Bytes of that.
    bytes: AtomicU64,
    told: Told,
}

impl<'a> Copier<'a> {
    pub(crate) async fn new(from: &'a Bucket, to: &'a Bucket, told: Told) -> Result<Self, Error> {
        let there = sizes(to, "").await?;
        Ok(Self { from, to, there, copied: Mutex::default(), bytes: AtomicU64::new(0), told })
    }

    /// Objects and bytes that are there now.
    pub(crate) fn done(&self) -> (u64, u64) {
        (self.copied().len() as u64, self.bytes.load(Ordering::Relaxed))
    }

    /// Copies objects that never change, but those that are there. Returns those that are missing.
    pub(crate) async fn copy(&self, keys: &[String]) -> Result<Vec<String>, Error> {
        let mut prefixes: Vec<&str> = keys.iter().filter_map(|key| folder(key)).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let mut found = BTreeMap::new();
        for prefix in prefixes {
            found.extend(sizes(self.from, prefix).await?);
        }
        let left: Vec<&String> = {
            let copied = self.copied();
            keys.iter().filter(|key| !copied.contains(*key)).collect()
        };
        let size = |key: &String| found.get(key).copied();
        let bytes: u64 = left.iter().filter_map(|key| size(key)).sum();
        let all = self.bytes.load(Ordering::Relaxed) + bytes;
        let copies = stream::iter(left.into_iter().map(|key| async move {
            let Some(size) = size(key) else { return Ok(Some(key.clone())) };
            match self.one(key, size, all).await {
                Ok(()) => Ok(None),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(key.clone())),
                Err(error) => Err(error),
            }
        }));
        let missing = copies.buffer_unordered(AT_ONCE);
        missing.try_filter_map(|missing| async move { Ok(missing) }).try_collect().await
    }

    /// Copies one object, and tells how many bytes of `all` are there.
    async fn one(&self, key: &str, size: u64, all: u64) -> Result<(), Error> {
        if self.there.get(key) != Some(&size) {
            if size <= PART_BYTES {
                let object = self.from.get(key).await?;
                self.to.put(key, object.bytes).await?;
            } else {
                self.in_parts(key, size).await?;
            }
        }
        self.copied().insert(key.to_owned());
        let done = self.bytes.fetch_add(size, Ordering::Relaxed) + size;
        (self.told)(done, all);
        Ok(())
    }

    fn copied(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.copied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn in_parts(&self, key: &str, size: u64) -> Result<(), Error> {
        let failed = |error: object_store::Error| Error::Copy { object: key.to_owned(), error };
        let path = Path::from(key);
        let begun = self.to.store().put_multipart(&path).await.map_err(failed)?;
        let mut writing = WriteMultipart::new(begun);
        let mut at = 0;
        while at < size {
            let end = size.min(at + PART_BYTES);
            let part = self.from.get_range(key, at..end).await;
            let part = match part {
                Ok(part) => part,
                Err(error) => {
                    // What was written of it is nothing until it is completed.
                    drop(writing.abort().await);
                    return Err(error.into());
                }
            };
            writing.wait_for_capacity(PARTS_AT_ONCE).await.map_err(failed)?;
            writing.put(part);
            at = end;
        }
        writing.finish().await.map_err(failed)?;
        Ok(())
    }
}

/// What is listed to learn how large an object is: one list for all of a kind.
fn folder(key: &str) -> Option<&str> {
    let (first, _) = key.split_once('/')?;
    Some(if first == "partitions" { "partitions/views" } else { first })
}

async fn sizes(bucket: &Bucket, prefix: &str) -> Result<BTreeMap<String, u64>, Error> {
    let heads = bucket.list(prefix).map_ok(|head| (head.key, head.size));
    Ok(heads.try_collect().await?)
}
