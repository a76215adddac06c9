use std::path::PathBuf;
use std::sync::Arc;

use cairn_base::ErrorKind;
use cairn_blocks::Finding;

/// What went wrong with a dataset.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The block store below.
    #[error(transparent)]
    Blocks(#[from] cairn_blocks::Error),
    /// The bucket below.
    #[error(transparent)]
    Bucket(#[from] cairn_bucket::Error),
    /// A page of a manifest.
    #[error("the manifest is not as it should be: {0}; run `cairn verify`")]
    Tree(#[from] cairn_tree::Error),
    /// An archive could not be rebuilt.
    #[error("an archive could not be rebuilt: {0}; run `cairn verify`")]
    Archive(#[from] cairn_archive::Error),
    /// A wrong name.
    #[error(transparent)]
    Name(#[from] cairn_base::name::Error),
    /// There is no such dataset.
    #[error("there is no dataset {dataset}; `cairn ls` lists them")]
    NoDataset {
        /// The dataset, with its project unless that is `main`.
        dataset: String,
    },
    /// There is no such tag.
    #[error("{dataset} has no tag {tag}; `cairn log {dataset}` lists its versions")]
    NoTag {
        /// The dataset.
        dataset: String,
        /// The tag.
        tag: String,
    },
    /// There is no such path in a version.
    #[error("there is no {path:?} in {version}")]
    NoPath {
        /// The path.
        path: String,
        /// The version.
        version: String,
    },
    /// A path is not the kind of thing that was asked for.
    #[error("{path:?} is {found}, not {expected}")]
    WrongKind {
        /// The path.
        path: String,
        /// What it is.
        found: &'static str,
        /// What was asked for.
        expected: &'static str,
    },
    /// A large file was stored without its hash tree.
    #[error(
        "the file was stored without its hash tree, so no range of it can be proved; push it again, \
         or read all of it"
    )]
    NoHashTree,
    /// A tag moved while a caller expected it where it was.
    #[error("{dataset}:{tag} was moved by someone else meanwhile")]
    Moved {
        /// The dataset.
        dataset: String,
        /// The tag.
        tag: String,
    },
    /// A manifest refers to what is not stored: a client published before it uploaded.
    #[error("the manifest refers to {count} chunks that are not stored, the first is {first}")]
    Incomplete {
        /// How many.
        count: u64,
        /// One of them.
        first: String,
    },
    /// A file or directory of this machine.
    #[error("cannot {operation} {}: {source}", path.display())]
    Local {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The place to write to has something that must not be lost.
    #[error("{} exists and {why}", path.display())]
    InTheWay {
        /// The place.
        path: PathBuf,
        /// What to do about it.
        why: &'static str,
    },
    /// A named bound was reached.
    #[error("{what} is over its bound of {max}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        max: u64,
    },
    /// The input is wrong.
    #[error("{detail}")]
    Invalid {
        /// What is wrong with it, and what to do.
        detail: String,
    },
    /// The node on the other side refused or failed.
    #[error("{message}")]
    Remote {
        /// Its kind.
        kind: ErrorKind,
        /// What it said.
        message: String,
    },
    /// The upload is not known any more: it ended, or was idle for too long.
    #[error(
        "there is no upload {id}; it ended or was idle for too long; push again, it goes on where it was"
    )]
    NoUpload {
        /// Its id.
        id: String,
    },
    /// The edit is not known any more: it ended, or was idle for too long.
    #[error(
        "there is no edit {id}; it was published or given up, or idle for too long; open another"
    )]
    NoEdit {
        /// Its id.
        id: String,
    },
    /// A file of an edit does not go on where a client thinks.
    #[error("{path:?} has {received} bytes so far; go on from there")]
    Offset {
        /// The file.
        path: String,
        /// The bytes that were received, which is where it goes on.
        received: u64,
    },
    /// What is asked of an edit cannot be done as it stands.
    #[error("{detail}")]
    Edit {
        /// Why not, and what to do.
        detail: String,
    },
    /// There is no such hook.
    #[error("there is no hook {id} of this dataset; `cairn hook ls` lists them")]
    NoHook {
        /// Its id.
        id: String,
    },
    /// A hook's receiver did not take what it was sent.
    #[error("the receiver took nothing: {detail}")]
    Undelivered {
        /// What it did instead.
        detail: String,
    },
    /// What several wait for failed for all of them.
    #[error("{0}")]
    Shared(Arc<Self>),
    /// A worker died.
    #[error("{0}")]
    Worker(#[from] cairn_env::Lost),
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Blocks(error) => error.kind(),
            Self::Bucket(error) => error.kind(),
            Self::Tree(error) => error.kind(),
            Self::Archive(_) => ErrorKind::Corrupt,
            Self::Name(error) => error.kind(),
            Self::NoDataset { .. }
            | Self::NoTag { .. }
            | Self::NoPath { .. }
            | Self::NoHook { .. }
            | Self::NoEdit { .. }
            | Self::NoHashTree => ErrorKind::NotFound,
            Self::WrongKind { .. } | Self::Invalid { .. } | Self::Incomplete { .. } => {
                ErrorKind::Invalid
            }
            Self::Moved { .. }
            | Self::InTheWay { .. }
            | Self::Offset { .. }
            | Self::Edit { .. } => ErrorKind::Conflict,
            Self::Local { source, .. } => local_kind(source),
            Self::TooMany { .. } => ErrorKind::Exhausted,
            Self::Remote { kind, .. } => *kind,
            Self::Undelivered { .. } => ErrorKind::Closed,
            Self::NoUpload { .. } => ErrorKind::Retry,
            Self::Shared(error) => error.kind(),
            Self::Worker(_) => ErrorKind::Internal,
        }
    }

    pub(crate) fn local(
        operation: &'static str,
        path: impl Into<PathBuf>,
        source: impl Into<std::io::Error>,
    ) -> Self {
        Self::Local { operation, path: path.into(), source: source.into() }
    }

    /// What a verification says of the object `key` that could not be read.
    ///
    /// # Errors
    /// The error itself, when it is the bucket that fails and not the object.
    pub(crate) fn into_finding(self, key: &str) -> Result<Finding, Self> {
        let (offset, detail) = match self {
            Self::Blocks(cairn_blocks::Error::Corrupt { offset, detail, .. }) => (offset, detail),
            Self::Bucket(ref error) | Self::Blocks(cairn_blocks::Error::Bucket(ref error))
                if !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) =>
            {
                return Err(self);
            }
            other => (0, other.to_string()),
        };
        Ok(Finding { object: key.to_owned(), offset, detail, chunks: 0 })
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::Invalid { detail: detail.into() }
    }
}

fn local_kind(source: &std::io::Error) -> ErrorKind {
    use std::io::ErrorKind as Io;
    match source.kind() {
        Io::NotFound => ErrorKind::NotFound,
        Io::PermissionDenied => ErrorKind::Denied,
        Io::StorageFull | Io::QuotaExceeded => ErrorKind::Exhausted,
        Io::AlreadyExists => ErrorKind::Conflict,
        Io::NotADirectory | Io::IsADirectory | Io::InvalidInput => ErrorKind::Invalid,
        _ => ErrorKind::Internal,
    }
}
