use std::error::Error as StdError;

use cairn_base::ErrorKind;

use crate::local::Failure;

/// What went wrong with one operation on the bucket. The cause is in `source()`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such object.
    #[error("cannot {operation} {key:?}: the bucket has no such object")]
    Missing {
        /// What was asked for.
        operation: &'static str,
        /// The object.
        key: String,
    },
    /// A `create` found the key taken.
    #[error("cannot create {key:?}: it exists already; read it, then decide")]
    Exists {
        /// The object.
        key: String,
    },
    /// A `replace` found another version, or nothing.
    #[error("cannot replace {key:?}: it was changed or deleted since it was read; read it again")]
    Changed {
        /// The object.
        key: String,
    },
    /// A conditional write may or may not have happened.
    #[error(
        "whether the conditional write of {key:?} took effect is not known: \
         the answer was lost and the object does not tell; read it, then decide"
    )]
    InDoubt {
        /// The object.
        key: String,
        /// The last thing that went wrong.
        source: Option<Box<object_store::Error>>,
    },
    /// The object ends before the range does, or the range is backwards.
    #[error("cannot read bytes {start}..{end} of {key:?}: the object is not that long")]
    Range {
        /// The object.
        key: String,
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
    /// Above [`crate::OBJECT_BYTES_MAX`].
    #[error(
        "cannot {operation} {key:?} in one piece: {size} bytes exceed {limit}; use ranges or parts"
    )]
    TooLarge {
        /// What was asked for.
        operation: &'static str,
        /// The object.
        key: String,
        /// Bytes.
        size: u64,
        /// Bytes.
        limit: u64,
    },
    /// Not a key.
    #[error("{key:?} cannot be the key of an object: {reason}")]
    Key {
        /// The key, shortened.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The URL does not name a bucket that this build can open.
    #[error("cannot open the bucket {url}: {reason}")]
    Url {
        /// The URL without secrets.
        url: String,
        /// What is wrong with it, and what to do.
        reason: String,
        /// The cause, where there is one.
        source: Option<Box<object_store::Error>>,
    },
    /// The directory of a `file://` bucket is not there, and opening was not to make it.
    #[error(
        "there is no directory {path}; check the name, or make a bucket there with `cairn init`"
    )]
    NoDirectory {
        /// The directory.
        path: String,
    },
    /// No space, no quota, or a limit of the store.
    #[error("cannot {operation} {key:?}: the store is full; free space or raise its quota")]
    Full {
        /// What was asked for.
        operation: &'static str,
        /// The object.
        key: String,
        /// The cause.
        source: Box<object_store::Error>,
    },
    /// The store refused the credentials or the operation.
    #[error("cannot {operation} {key:?}: access was refused; check credentials and permissions")]
    Denied {
        /// What was asked for.
        operation: &'static str,
        /// The object.
        key: String,
        /// The cause.
        source: Box<object_store::Error>,
    },
    /// The store did not answer, or asked to come back later.
    #[error(
        "cannot {operation} {key:?}: the store did not answer within its time; try again later"
    )]
    Unavailable {
        /// What was asked for.
        operation: &'static str,
        /// The object.
        key: String,
        /// The last cause; none when time ran out without an answer.
        source: Option<Box<object_store::Error>>,
    },
    /// The store answered with fewer or other bytes than it announced.
    #[error("cannot {operation} {key:?}: {reason}")]
    Corrupt {
        /// What was asked for.
        operation: &'static str,
        /// The object.
        key: String,
        /// What does not fit.
        reason: String,
    },
    /// The store cannot keep the promises that everything above rests on.
    #[error(
        "the bucket {url} cannot be used: {lacks}; two writers could both believe they won; \
         choose a store with conditional writes, or enable them"
    )]
    Unconditional {
        /// The URL without secrets.
        url: String,
        /// What it does not do.
        lacks: &'static str,
    },
    /// The store does not offer the operation.
    #[error("cannot {operation} {key:?}: the store does not offer it")]
    Unsupported {
        /// What was asked for.
        operation: &'static str,
        /// The object.
        key: String,
        /// The cause.
        source: Box<object_store::Error>,
    },
    /// A sync failed earlier: what is visible may not be durable.
    #[error(
        "cannot {operation} {key:?}: writing stopped after a failed sync; \
         check the disk, then open the bucket again"
    )]
    Poisoned {
        /// What was asked for.
        operation: &'static str,
        /// The object.
        key: String,
        /// The cause.
        source: Box<object_store::Error>,
    },
    /// The key cannot be stored beside what is there, or the store refused it as it is.
    #[error("cannot {operation} {key:?}: the store refuses it as it is")]
    Refused {
        /// What was asked for.
        operation: &'static str,
        /// The object.
        key: String,
        /// The cause.
        source: Box<object_store::Error>,
    },
    /// An answer that nobody expects.
    #[error("cannot {operation} {key:?}: the store failed")]
    Internal {
        /// What was asked for.
        operation: &'static str,
        /// The object.
        key: String,
        /// The cause.
        source: Box<object_store::Error>,
    },
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } | Self::NoDirectory { .. } => ErrorKind::NotFound,
            Self::Exists { .. } | Self::Changed { .. } | Self::InDoubt { .. } => {
                ErrorKind::Conflict
            }
            Self::Range { .. }
            | Self::TooLarge { .. }
            | Self::Key { .. }
            | Self::Url { .. }
            | Self::Unconditional { .. }
            | Self::Unsupported { .. }
            | Self::Refused { .. } => ErrorKind::Invalid,
            Self::Full { .. } => ErrorKind::Exhausted,
            Self::Denied { .. } => ErrorKind::Denied,
            Self::Unavailable { .. } => ErrorKind::Retry,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Poisoned { .. } => ErrorKind::Closed,
            Self::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// Sorts what a store answered into what a caller can do about it.
    pub(crate) fn from_store(
        operation: &'static str,
        key: &str,
        error: object_store::Error,
    ) -> Self {
        use object_store::Error as E;
        let key = key.to_owned();
        match error {
            E::NotFound { .. } if bucket_is_missing(&error) => Self::Url {
                url: String::from("of this operation"),
                reason: String::from("the store has no bucket of that name; create it first"),
                source: Some(Box::new(error)),
            },
            E::NotFound { .. } => Self::Missing { operation, key },
            E::AlreadyExists { .. } => Self::Exists { key },
            E::Precondition { .. } => Self::Changed { key },
            E::InvalidPath { source } => Self::Key { key, reason: source.to_string() },
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                Self::Denied { operation, key, source: Box::new(error) }
            }
            E::NotSupported { .. } | E::NotImplemented { .. } => {
                Self::Unsupported { operation, key, source: Box::new(error) }
            }
            other => Self::generic(operation, key, Box::new(other)),
        }
    }

    fn generic(operation: &'static str, key: String, source: Box<object_store::Error>) -> Self {
        match generic_kind(&source) {
            ErrorKind::Exhausted => Self::Full { operation, key, source },
            ErrorKind::Denied => Self::Denied { operation, key, source },
            ErrorKind::Invalid => Self::Refused { operation, key, source },
            ErrorKind::Closed => Self::Poisoned { operation, key, source },
            ErrorKind::Corrupt => {
                Self::Corrupt { operation, key, reason: chain_text(source.as_ref()) }
            }
            ErrorKind::Internal => Self::Internal { operation, key, source },
            _ => Self::Unavailable { operation, key, source: Some(source) },
        }
    }

    /// The cause given back by the store, for [`Error::InDoubt`].
    pub(crate) fn into_store_error(self) -> Option<Box<object_store::Error>> {
        match self {
            Self::Unavailable { source, .. } => source,
            _ => None,
        }
    }
}

/// The kind of a `Generic` error, from what lies in its chain of causes. What is not known counts as
/// transient: retries are bounded, and a conditional write stays in doubt.
fn generic_kind(error: &object_store::Error) -> ErrorKind {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return failure.kind();
        }
        if let Some(status) = status_of(&error.to_string()) {
            return match status {
                507 => ErrorKind::Exhausted,
                408 | 409 | 425 | 429 | 500.. => ErrorKind::Retry,
                400..500 => ErrorKind::Invalid,
                _ => ErrorKind::Internal,
            };
        }
        cause = error.source();
    }
    ErrorKind::Retry
}

/// The HTTP status in the text of a remote store's error: its type is not public.
fn status_of(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("non-2xx status code: ")?;
    rest.get(..3)?.parse().ok()
}

fn bucket_is_missing(error: &object_store::Error) -> bool {
    let text = chain_text(error);
    text.contains("NoSuchBucket") || text.contains("ContainerNotFound")
}

fn chain_text(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
