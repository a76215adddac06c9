use std::io;
use std::path::{Path, PathBuf};

use cairn_base::ErrorKind;

/// What went wrong in the local store. It is the source of the `object_store` error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot {step} {}", path.display())]
    Io { step: &'static str, path: PathBuf, source: io::Error },
    #[error("{path:?} is no object")]
    Missing { path: String },
    #[error("{path:?} exists")]
    Exists { path: String },
    #[error("{path:?} is another version, or gone")]
    Changed { path: String },
    #[error("{path:?} cannot be a file: {reason}")]
    Key { path: String, reason: &'static str },
    #[error("{path:?} cannot be written: {above:?} is an object, and nothing lies below an object")]
    Below { path: String, above: String },
    #[error("{path:?} cannot be written: there are objects below it")]
    Above { path: String },
    #[error("the directory {} is no longer there; mount or restore it, then open again", root.display())]
    Gone { root: PathBuf },
    #[error(
        "the filesystem of {} keeps no extended attributes (user.*); \
         use ext4, XFS, btrfs or ZFS, or tmpfs of Linux 6.6 or later", root.display()
    )]
    NoAttributes { root: PathBuf },
    #[error("{} is a bucket of another format ({found:?}); use the version that made it", root.display())]
    Format { root: PathBuf, found: String },
    #[error("attributes take {len} bytes of at most {max}")]
    AttributesTooLarge { len: usize, max: usize },
    #[error("an update needs the ETag of the version it replaces")]
    NoVersion,
    #[error("the stored attributes of {path:?} are damaged")]
    Damaged { path: String },
    #[error("{path:?} shrank while it was read")]
    Shrank { path: String },
    #[error("the range does not lie in {path:?}: {reason}")]
    Range { path: String, reason: String },
    #[error("another process has held the lock of {path:?} for too long")]
    Busy { path: String },
    #[error("the local store keeps no old versions and no tags")]
    Unsupported,
    #[error("a part of the upload was not written")]
    Part,
    #[error("an earlier sync of a directory failed, and writing stopped")]
    Poisoned,
    #[error("the I/O engine {wanted:?} cannot be used here: {reason}")]
    Engine { wanted: &'static str, reason: String },
    #[error("an I/O worker stopped before it answered")]
    Worker,
}

impl Failure {
    pub(crate) fn io(step: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { step, path: path.to_owned(), source: source.into() }
    }

    pub(crate) fn range(
        location: &object_store::path::Path,
        error: &dyn std::fmt::Display,
    ) -> Self {
        Self::Range { path: location.to_string(), reason: error.to_string() }
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { source, .. } => io_kind(source),
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::Exists { .. } | Self::Changed { .. } => ErrorKind::Conflict,
            Self::Gone { .. } | Self::Poisoned => ErrorKind::Closed,
            Self::Damaged { .. } | Self::Shrank { .. } => ErrorKind::Corrupt,
            Self::Busy { .. } => ErrorKind::Retry,
            Self::Worker => ErrorKind::Internal,
            Self::Key { .. }
            | Self::Below { .. }
            | Self::Above { .. }
            | Self::NoAttributes { .. }
            | Self::Format { .. }
            | Self::AttributesTooLarge { .. }
            | Self::NoVersion
            | Self::Range { .. }
            | Self::Unsupported
            | Self::Part
            | Self::Engine { .. } => ErrorKind::Invalid,
        }
    }
}

fn io_kind(error: &io::Error) -> ErrorKind {
    use io::ErrorKind as K;
    match error.kind() {
        K::StorageFull | K::QuotaExceeded | K::FileTooLarge | K::OutOfMemory => {
            ErrorKind::Exhausted
        }
        K::PermissionDenied | K::ReadOnlyFilesystem => ErrorKind::Denied,
        K::InvalidFilename | K::CrossesDevices | K::NotADirectory => ErrorKind::Invalid,
        K::Interrupted | K::WouldBlock | K::ResourceBusy => ErrorKind::Retry,
        _ => match error.raw_os_error() {
            // Out of file descriptors, of this process or of the machine.
            Some(23 | 24) => ErrorKind::Exhausted,
            _ => ErrorKind::Internal,
        },
    }
}

impl From<Failure> for object_store::Error {
    fn from(failure: Failure) -> Self {
        match &failure {
            Failure::Missing { path } => {
                Self::NotFound { path: path.clone(), source: Box::new(failure) }
            }
            Failure::Exists { path } => {
                Self::AlreadyExists { path: path.clone(), source: Box::new(failure) }
            }
            Failure::Changed { path } => {
                Self::Precondition { path: path.clone(), source: Box::new(failure) }
            }
            Failure::Unsupported => Self::NotSupported { source: Box::new(failure) },
            _ => Self::Generic { store: "local", source: Box::new(failure) },
        }
    }
}
