use std::path::PathBuf;

use cairn_pgwal::{Lsn, WalError};
use thiserror::Error;

/// Why work on a database failed.
#[derive(Debug, Error)]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The archive has no such segment.
    #[error("{} has no segment of WAL with {at}; its names are those of pg_wal", path.display())]
    NoSegment {
        /// The archive.
        path: PathBuf,
        /// What was looked for.
        at: Lsn,
    },
    /// A segment has a length that no segment has.
    #[error("{} has {len} bytes; a segment has a power of two from 1 MiB to 1 GiB", path.display())]
    SegmentLen {
        /// The segment.
        path: PathBuf,
        /// Its length.
        len: u64,
    },
    /// It is not the directory of a cluster that we know.
    #[error("{} is no data directory of PostgreSQL 15: {detail}", path.display())]
    NoCluster {
        /// The directory.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// The log cannot be read on, before the end that was asked for.
    #[error(transparent)]
    Wal(#[from] WalError),
}
