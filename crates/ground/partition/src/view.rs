//! The view: what the log made of a partition, as an LSM tree in the bucket.

mod cache;
mod clock;
pub(crate) mod fuzzing;
mod history;
mod prefix;
pub(crate) mod rows;
mod sealed;
pub(crate) mod wal;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use cairn_base::ErrorKind;
use slatedb::config::{ScanOptions, WriteOptions};
use slatedb::{
    BloomFilterPolicy, Db, DbIterator, DbReader, IterationOrder, RowEntry, ValueDeletable,
    WriteBatch,
};

pub(crate) use cache::BlockCache;
pub(crate) use clock::Clock;
pub(crate) use history::{HistoryFilters, Horizon};
#[cfg(test)]
pub(crate) use sealed::Keyed;
pub(crate) use sealed::{Checked, sealed};

use crate::{Error, Seq};
use rows::Version;

/// Bits that a filter has for each key.
const FILTER_BITS: u32 = 10;
/// What a scan reads at once, when it is long.
const READ_AHEAD_BYTES: usize = 256 << 10;

/// The filters of every table: by key alone.
pub(crate) fn filters() -> Arc<BloomFilterPolicy> {
    let filters = BloomFilterPolicy::new(FILTER_BITS).with_whole_key_filtering(false);
    Arc::new(filters.with_prefix_extractor(Arc::new(prefix::KeyOfRow)))
}

/// The tree of one partition. Cheap to clone.
#[derive(Clone)]
pub(crate) enum View {
    /// Of its owner.
    Owned(Db),
    /// Of somebody else.
    Read(Arc<DbReader>),
}

impl View {
    /// The newest version of `key` at or before `at`.
    pub(crate) async fn version(
        &self,
        key: &[u8],
        at: Seq,
    ) -> Result<Option<(Seq, Version)>, Error> {
        let db = match self {
            Self::Owned(db) => db,
            Self::Read(_) => return self.first_version(key, at).await,
        };
        let options = ScanOptions::default().with_cache_blocks(true);
        let prefix = rows::key_prefix(key);
        let found = db.scan_prefix_by_recency_with_options(&prefix, &options).await;
        let mut found = found.map_err(|error| failed("read", &error))?;
        // Rows that were removed for good in newer tables hide what older ones still have.
        let mut removed = BTreeSet::new();
        while let Some(row) = found.next_entry().await.map_err(|error| failed("read", &error))? {
            let (_, seq) = rows::parse_version_key(&row.key).ok_or_else(|| damaged(&row.key))?;
            if seq > at || removed.contains(&seq) {
                continue;
            }
            match version_of(&row)? {
                None => drop(removed.insert(seq)),
                Some(version) => return Ok(Some((seq, version))),
            }
        }
        Ok(None)
    }

    /// [`View::version`] in the order of the rows.
    async fn first_version(&self, key: &[u8], at: Seq) -> Result<Option<(Seq, Version)>, Error> {
        let (from, to) = (rows::version_key(key, at), rows::version_key(key, Seq(0)));
        let to = Bytes::from([&to[..], &[0]].concat());
        let Some((row, value)) = self.rows(from, to, false).await?.next().await? else {
            return Ok(None);
        };
        let (_, seq) = rows::parse_version_key(&row).ok_or_else(|| damaged(&row))?;
        let version = rows::decode_version(value).ok_or_else(|| damaged(&row))?;
        Ok(Some((seq, version)))
    }

    /// One row.
    pub(crate) async fn row(&self, row: &[u8]) -> Result<Option<Bytes>, Error> {
        let found = match self {
            Self::Owned(db) => db.get(row).await,
            Self::Read(reader) => reader.get(row).await,
        };
        found.map_err(|error| failed("read", &error))
    }

    /// Rows from one to before another.
    pub(crate) async fn rows(&self, from: Bytes, to: Bytes, reverse: bool) -> Result<Rows, Error> {
        if from >= to {
            return Ok(Rows(None));
        }
        let order = if reverse { IterationOrder::Descending } else { IterationOrder::Ascending };
        let options =
            ScanOptions { order, read_ahead_bytes: READ_AHEAD_BYTES, ..ScanOptions::default() };
        let options = options.with_cache_blocks(true);
        let found = match self {
            Self::Owned(db) => db.scan_with_options(from..to, &options).await,
            Self::Read(reader) => reader.scan_with_options(from..to, &options).await,
        };
        Ok(Rows(Some(found.map_err(|error| failed("read", &error))?)))
    }

    /// Writes rows together. They are in memory and on their way to the log when this returns.
    pub(crate) async fn write(&self, batch: WriteBatch) -> Result<u64, Error> {
        let Self::Owned(db) = self else { return Err(read_only()) };
        let written = db.write_with_options(batch, &WriteOptions::default()).await;
        written.map(|handle| handle.seqnum()).map_err(|error| failed("write", &error))
    }
}

/// What is read from the bucket is changed by its owner alone.
pub(crate) fn read_only() -> Error {
    let why = String::from("it is read from the bucket here: changes go to the node that owns it");
    Error::Invalid { why }
}

/// Rows in order.
pub(crate) struct Rows(Option<DbIterator>);

impl Rows {
    pub(crate) async fn next(&mut self) -> Result<Option<(Bytes, Bytes)>, Error> {
        let Some(rows) = &mut self.0 else { return Ok(None) };
        let row = rows.next().await.map_err(|error| failed("read", &error))?;
        Ok(row.map(|row| (row.key, row.value)))
    }
}

fn version_of(row: &RowEntry) -> Result<Option<Version>, Error> {
    match &row.value {
        ValueDeletable::Value(value) | ValueDeletable::Merge(value) => {
            let version = rows::decode_version(value.clone());
            version.map(Some).ok_or_else(|| damaged(&row.key))
        }
        ValueDeletable::Tombstone => Ok(None),
    }
}

/// A row that says nothing that a row can say.
pub(crate) fn damaged(row: &[u8]) -> Error {
    let what = format!("row \"{}\" of the view", row.escape_ascii());
    Error::Corrupt { what, offset: 0, why: String::from("it has no valid encoding") }
}

/// What the tree's error is for us.
pub(crate) fn failed(what: &'static str, error: &slatedb::Error) -> Error {
    let why = error.to_string();
    if let Some(refusal) = sealed::refusal(error) {
        return Error::Storage { what, why, kind: refusal.kind };
    }
    let kind = match error.kind() {
        slatedb::ErrorKind::Closed(_) => {
            return Error::Closed { what: String::from("the view"), why };
        }
        slatedb::ErrorKind::Unavailable => ErrorKind::Retry,
        slatedb::ErrorKind::Data => ErrorKind::Corrupt,
        _ => ErrorKind::Internal,
    };
    Error::Storage { what, why, kind }
}
