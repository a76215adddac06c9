//! One cache of blocks, indices and filters for all partitions of a node.

use async_trait::async_trait;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use slatedb::db_cache::{CachedEntry, CachedKey, DbCache};

/// What an entry costs beside its bytes.
const ENTRY_BYTES: usize = 128;
/// What an entry has on average, to size the table.
const AVERAGE_BYTES: u64 = 4096;

/// Bounded by its bytes; what was used least goes.
pub(crate) struct BlockCache(Cache<CachedKey, CachedEntry, Bytes>);

#[derive(Clone)]
struct Bytes;

impl Weighter<CachedKey, CachedEntry> for Bytes {
    fn weight(&self, _: &CachedKey, entry: &CachedEntry) -> u64 {
        entry.size().saturating_add(ENTRY_BYTES) as u64
    }
}

impl BlockCache {
    /// Holds about `bytes`.
    pub(crate) fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / AVERAGE_BYTES).unwrap_or(usize::MAX).max(16);
        Self(Cache::with_weighter(entries, bytes, Bytes))
    }
}

type Found = Result<Option<CachedEntry>, slatedb::Error>;

#[async_trait]
impl DbCache for BlockCache {
    async fn get_block(&self, key: &CachedKey) -> Found {
        Ok(self.0.get(key))
    }

    async fn get_index(&self, key: &CachedKey) -> Found {
        Ok(self.0.get(key))
    }

    async fn get_filter(&self, key: &CachedKey) -> Found {
        Ok(self.0.get(key))
    }

    async fn get_stats(&self, key: &CachedKey) -> Found {
        Ok(self.0.get(key))
    }

    async fn insert(&self, key: CachedKey, value: CachedEntry) {
        self.0.insert(key, value);
    }

    async fn remove(&self, key: &CachedKey) {
        self.0.remove(key);
    }

    fn entry_count(&self) -> u64 {
        self.0.len() as u64
    }
}
