use std::path::PathBuf;

use cairn_base::ErrorKind;
use cairn_pgwal::{Lsn, Relation, WalError};
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
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is damaged.
    #[error("{}: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How.
        detail: String,
    },
    /// Only the two tablespaces that every cluster has are known.
    #[error("tablespace {0} is not supported; only pg_default and pg_global are")]
    Tablespace(u32),
    /// A block has a number that none has.
    #[error("relation {} has no block {number}", relation.number)]
    Block {
        /// The relation.
        relation: Relation,
        /// The number.
        number: u32,
    },
    /// The copy cannot be started from.
    #[error("{} cannot be used: {detail}", path.display())]
    Copy {
        /// The copy.
        path: PathBuf,
        /// Why, and what to do.
        detail: String,
    },
    /// The log does not lead where it was told to.
    #[error("{0}")]
    Target(String),
    /// A record cannot be followed.
    #[error("the record at {at} ({rmgr}) cannot be replayed: {detail}")]
    Replay {
        /// The record.
        at: Lsn,
        /// Its resource manager.
        rmgr: &'static str,
        /// Why.
        detail: String,
    },
    /// The log changes a block that is in no file, and never says that it is gone.
    #[error(
        "the log changes block {number} of {}/{}, which the copy does not have ({count} such blocks); \
         the copy and the log are not of one cluster, or the copy is not complete",
        relation.database,
        relation.number
    )]
    Missing {
        /// The first such relation.
        relation: Relation,
        /// Its block.
        number: u32,
        /// How many there are.
        count: usize,
    },
    /// A file of a remote archive could not be read.
    #[error("{source}")]
    Remote {
        /// What can be done about it.
        kind: ErrorKind,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A server's program is missing, or of another release.
    #[error("{0}")]
    Server(String),
    /// The archive has no such segment.
    #[error("{place} has no segment of WAL with {at}; its names are those of pg_wal")]
    NoSegment {
        /// The archive.
        place: String,
        /// What was looked for.
        at: Lsn,
    },
    /// A segment has a length that no segment has, or another than it says.
    #[error(
        "{name} has {len} bytes; a segment has a power of two from 1 MiB to 1 GiB, and says so"
    )]
    SegmentLen {
        /// The segment.
        name: String,
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

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                std::io::ErrorKind::StorageFull => ErrorKind::Exhausted,
                _ => ErrorKind::Internal,
            },
            Self::NoSegment { .. } | Self::Server(_) => ErrorKind::NotFound,
            Self::Damaged { .. } | Self::Wal(_) | Self::Missing { .. } | Self::Replay { .. } => {
                ErrorKind::Corrupt
            }
            Self::Tablespace(_)
            | Self::Block { .. }
            | Self::Copy { .. }
            | Self::Target(_)
            | Self::SegmentLen { .. }
            | Self::NoCluster { .. } => ErrorKind::Invalid,
            Self::Remote { kind, .. } => *kind,
        }
    }
}
