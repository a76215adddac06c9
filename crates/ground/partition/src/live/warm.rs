//! What keys were last asked for, in memory: an entry is here only while no commit has touched its key
//! since it was read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

use crate::Seq;
use crate::view::rows::Version;

/// What an entry costs beside its bytes.
const ENTRY_BYTES: usize = 160;
/// What an entry has on average, to size the table.
const AVERAGE_BYTES: u64 = 512;
/// Values that are longer are not kept: they would pay for the room of many.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// Keys of a partition are told apart in so many groups.
const GROUPS: usize = 256;

/// The newest versions of keys, of all partitions of a node.
pub(crate) struct Warm(Cache<Key, Found, ByBytes>);

/// The newest version of a key, if it ever had one.
type Found = Option<(Seq, Version)>;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    partition: u64,
    key: Bytes,
}

#[derive(Hash)]
struct Asked<'a> {
    partition: u64,
    key: &'a [u8],
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.partition == key.partition && *self.key == *key.key
    }
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Found> for ByBytes {
    fn weight(&self, key: &Key, found: &Found) -> u64 {
        let value = match found {
            Some((_, Version::Value { value, .. })) => value.len(),
            _ => 0,
        };
        (ENTRY_BYTES + key.key.len() + value) as u64
    }
}

impl Warm {
    /// Holds about `bytes`.
    pub(crate) fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / AVERAGE_BYTES).unwrap_or(usize::MAX).max(16);
        Self(Cache::with_weighter(entries, bytes, ByBytes))
    }
}

/// The part of one partition.
pub(super) struct WarmPart {
    warm: Arc<Warm>,
    partition: u64,
    /// The last commit that touched a key of each group.
    touched: Box<[AtomicU64]>,
}

impl WarmPart {
    pub(super) fn new(warm: Arc<Warm>, partition: u64) -> Self {
        let touched = std::iter::repeat_with(AtomicU64::default).take(GROUPS).collect();
        Self { warm, partition, touched }
    }

    /// The newest version of `key`, when it is known.
    pub(super) fn get(&self, key: &[u8]) -> Option<Found> {
        self.warm.0.get(&Asked { partition: self.partition, key })
    }

    /// A commit touches `key`. Called before the commit can be seen.
    pub(super) fn touch(&self, key: &[u8], seq: Seq) {
        self.group(key).fetch_max(seq.0, Ordering::SeqCst);
        self.warm.0.remove(&Asked { partition: self.partition, key });
    }

    /// Keeps what `at` has of `key`, unless the key may have been touched since.
    pub(super) fn keep(&self, key: &[u8], at: Seq, found: &Found) {
        if let Some((_, Version::Value { value, .. })) = found
            && value.len() > VALUE_BYTES_MAX
        {
            return;
        }
        let untouched = || self.group(key).load(Ordering::SeqCst) <= at.0;
        if !untouched() {
            return;
        }
        let owned = Key { partition: self.partition, key: Bytes::copy_from_slice(key) };
        self.warm.0.insert(owned, found.clone());
        // A commit that came in between has removed nothing, or has removed this.
        if !untouched() {
            self.warm.0.remove(&Asked { partition: self.partition, key });
        }
    }

    fn group(&self, key: &[u8]) -> &AtomicU64 {
        let group = crc32fast::hash(key) as usize % GROUPS;
        self.touched.get(group).expect("the remainder is below the number of groups")
    }
}
