//! Partitions for whoever only reads them: out of the bucket, beside their owners, who need not know.
//!
//! READ-1 A reader shows one state of the partition at a time: every commit to some point, whole and in
//! order, the view of its owner and what he has shipped of his log after it. It is never older than what it
//! showed before, but for one case: when an owner dies, what he shipped last and never acknowledged may be
//! undone, and a reader may have shown it.
//!
//! A reader writes nothing. It lags behind its owner by what is not shipped yet, about a second, and by
//! [`LOOK_EVERY`]. Nothing keeps tables for it: what the owner's compaction replaced stays for
//! [`super::NodeOptions::collect_after`].

mod reader;
mod shipped;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cairn_bucket::{Bucket, Seal};
use cairn_env::Env;

use self::reader::Reader;
use super::records::Records;
use super::snapshot::Snapshots;
use crate::contract::Here;
use crate::view::{BlockCache, read_only};
use crate::{AnyPartition, Error, Name, Partitions, Settings, Step, Usage};

/// How often a reader looks for what is new.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Bytes of views that all readers keep at hand.
const CACHE_BYTES: u64 = 64 << 20;
/// Readers that are kept open.
const READERS_MAX: usize = 64;

/// The partitions of a bucket, to be read.
pub struct Readers {
    place: Place,
    open: Mutex<BTreeMap<Name, Arc<Reader>>>,
}

/// What all readers share.
#[derive(Clone)]
struct Place {
    records: Records,
    seal: Arc<dyn Seal>,
    env: Env,
    cache: Arc<BlockCache>,
}

impl Place {
    fn snapshots(&self) -> Snapshots {
        Snapshots::new(self.records.bucket.clone(), Arc::clone(&self.seal), &self.env)
    }
}

impl Readers {
    /// Of the partitions in `bucket`, which are sealed with `seal`.
    #[must_use]
    pub fn new(bucket: Bucket, seal: Arc<dyn Seal>, env: &Env) -> Self {
        let (records, cache) =
            (Records::new(bucket, &seal), Arc::new(BlockCache::new(CACHE_BYTES)));
        let place = Place { records, seal, env: env.clone(), cache };
        Self { place, open: Mutex::default() }
    }

    fn known(&self, name: &Name) -> Option<Arc<Reader>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

#[async_trait]
impl Partitions for Readers {
    async fn create(&self, _: &Name, _: Settings) -> Result<AnyPartition, Error> {
        Err(read_only())
    }

    async fn clone_to(&self, _: &Name, _: &Name, _: Step<'_>) -> Result<AnyPartition, Error> {
        Err(read_only())
    }

    async fn open(&self, name: &Name) -> Result<AnyPartition, Error> {
        if let Some(reader) = self.known(name) {
            reader.look().await.map(drop)?;
            return Ok(reader);
        }
        let reader = Arc::new(Reader::open(self.place.clone(), name).await?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= READERS_MAX {
            open.pop_first();
        }
        open.insert(name.clone(), Arc::clone(&reader));
        Ok(reader)
    }

    async fn here(&self, _: &Name) -> Result<Here, Error> {
        Ok(Here::Elsewhere)
    }

    async fn change(&self, _: &Name, _: Settings) -> Result<(), Error> {
        Err(read_only())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Name>, Error> {
        self.place.records.there(prefix).await
    }

    async fn remove(&self, _: &Name) -> Result<(), Error> {
        Err(read_only())
    }

    fn usage(&self) -> Option<Usage> {
        None
    }
}
