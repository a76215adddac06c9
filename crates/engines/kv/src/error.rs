use std::sync::Arc;

use cairn_base::ErrorKind;
use cairn_partition::Seq;
use thiserror::Error;

use crate::Namespace;

/// Why something could not be done with a namespace.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// What the partition says.
    #[error(transparent)]
    Partition(#[from] cairn_partition::Error),
    /// No name of a namespace.
    #[error(
        "{namespace} is no name of a namespace: the project and the name have lower-case letters, \
         digits, '-', '_' and '.'"
    )]
    Name {
        /// What was given.
        namespace: Namespace,
    },
    /// It is Cairn's own, or is not.
    #[error(
        "{namespace} is kept for Cairn itself: names that begin with \"cairn.\" are no namespaces of keys"
    )]
    Own {
        /// What was given.
        namespace: Namespace,
    },
    /// There is no such namespace.
    #[error("there is no namespace {namespace}; `cairn kv create` makes one")]
    NoNamespace {
        /// Which one.
        namespace: Namespace,
    },
    /// There is one already.
    #[error("there is a namespace {namespace} already")]
    Exists {
        /// Which one.
        namespace: Namespace,
    },
    /// There is no such key.
    #[error("there is no key \"{}\" in {namespace}", .key.escape_ascii())]
    NoKey {
        /// The namespace.
        namespace: Namespace,
        /// The key.
        key: Vec<u8>,
    },
    /// The value does not fit where it was to go.
    #[error(
        "the value of \"{}\" in {namespace} has {size} bytes, more than this answers with: GET it from the \
         REST API, or `cairn kv get`", .key.escape_ascii()
    )]
    Large {
        /// The namespace.
        namespace: Namespace,
        /// The key.
        key: Vec<u8>,
        /// The length of the value.
        size: u64,
    },
    /// The large value of a past state is not kept any more.
    #[error(
        "the value that \"{}\" had then is not kept any more: the history window is over", .key.escape_ascii()
    )]
    NotKept {
        /// The key.
        key: Vec<u8>,
    },
    /// A large value cannot be stored or read.
    #[error("{0}")]
    Values(Arc<cairn_datasets::Error>),
    /// The request makes no sense.
    #[error("{why}")]
    Invalid {
        /// Why not, and what to do.
        why: String,
    },
    /// A line of an import.
    #[error("line {line}: {why}; {entries} entries of the lines before are imported")]
    Line {
        /// Which one, the first is 1.
        line: u64,
        /// What is wrong with it.
        why: String,
        /// How many entries were put before.
        entries: u64,
    },
    /// An import ended early.
    #[error(
        "the import ended after {entries} entries, to line {line}: {why}; give it again from the start, \
         which puts the same once more"
    )]
    Import {
        /// The last line that is in.
        line: u64,
        /// How many entries are in.
        entries: u64,
        /// What happened.
        why: String,
        /// What a caller can do about it.
        kind: ErrorKind,
    },
    /// A node said so.
    #[error("{message}")]
    Remote {
        /// What a caller can do about it.
        kind: ErrorKind,
        /// What it said.
        message: String,
    },
}

impl From<cairn_datasets::Error> for Error {
    fn from(error: cairn_datasets::Error) -> Self {
        Self::Values(Arc::new(error))
    }
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Partition(error) => error.kind(),
            Self::Values(error) => error.kind(),
            Self::NoNamespace { .. } | Self::NoKey { .. } | Self::NotKept { .. } => {
                ErrorKind::NotFound
            }
            Self::Exists { .. } => ErrorKind::Conflict,
            Self::Name { .. }
            | Self::Own { .. }
            | Self::Large { .. }
            | Self::Invalid { .. }
            | Self::Line { .. } => ErrorKind::Invalid,
            Self::Import { kind, .. } | Self::Remote { kind, .. } => *kind,
        }
    }

    /// The commit that a condition found instead of the expected one; `None` inside: no key.
    #[must_use]
    pub fn found(&self) -> Option<Option<Seq>> {
        match self {
            Self::Partition(cairn_partition::Error::Condition { found, .. }) => Some(*found),
            _ => None,
        }
    }

    pub(crate) fn invalid(why: impl Into<String>) -> Self {
        Self::Invalid { why: why.into() }
    }
}
