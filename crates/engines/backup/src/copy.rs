//! Copying objects from one bucket to another, byte for byte.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

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
    there: Mutex<BTreeMap<String, u64>>,
    /// How large objects are.
    sizes: Mutex<BTreeMap<String, u64>>,
    objects: AtomicU64,
    bytes: AtomicU64,
    total: AtomicU64,
    told: Told,
}

impl<'a> Copier<'a> {
    pub(crate) async fn new(from: &'a Bucket, to: &'a Bucket, told: Told) -> Result<Self, Error> {
        let there = Mutex::new(sizes(to, "").await?);
        let (objects, bytes, total) = Default::default();
        Ok(Self { from, to, there, sizes: Mutex::default(), objects, bytes, total, told })
    }

    /// Objects and bytes that are there now.
    pub(crate) fn done(&self) -> (u64, u64) {
        (self.objects.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Copies objects that never change, but those that are there. Returns those that are missing.
    pub(crate) async fn copy(&self, keys: &[String]) -> Result<Vec<String>, Error> {
        let mut prefixes: Vec<&str> = keys.iter().filter_map(|key| folder(key)).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        for prefix in prefixes {
            let found = sizes(self.from, prefix).await?;
            self.sizes.lock().expect("no panic under it").extend(found);
        }
        let size = |key: &String| self.sizes.lock().expect("no panic under it").get(key).copied();
        let total: u64 = keys.iter().filter_map(size).sum();
        self.total.fetch_add(total, Ordering::Relaxed);
        let copies = stream::iter(keys.iter().map(|key| async move {
            let Some(size) = size(key) else { return Ok(Some(key.clone())) };
            match self.one(key, size).await {
                Ok(()) => Ok(None),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(key.clone())),
                Err(error) => Err(error),
            }
        }));
        let missing = copies.buffer_unordered(AT_ONCE);
        missing.try_filter_map(|missing| async move { Ok(missing) }).try_collect().await
    }

    async fn one(&self, key: &str, size: u64) -> Result<(), Error> {
        let there = self.there.lock().expect("no panic under it").get(key).copied();
        if there != Some(size) {
            if size <= PART_BYTES {
                let object = self.from.get(key).await?;
                self.to.put(key, object.bytes).await?;
            } else {
                self.in_parts(key, size).await?;
            }
            self.there.lock().expect("no panic under it").insert(key.to_owned(), size);
        }
        self.objects.fetch_add(1, Ordering::Relaxed);
        let done = self.bytes.fetch_add(size, Ordering::Relaxed) + size;
        (self.told)(done, self.total.load(Ordering::Relaxed));
        Ok(())
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

pub(crate) async fn sizes(bucket: &Bucket, prefix: &str) -> Result<BTreeMap<String, u64>, Error> {
    let heads = bucket.list(prefix).map_ok(|head| (head.key, head.size));
    Ok(heads.try_collect().await?)
}
