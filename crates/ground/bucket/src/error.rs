use cairn_base::ErrorKind;

use crate::cause::{Cause, chain_text, element, links};
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
        source: Option<Cause>,
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
        source: Option<Cause>,
    },
    /// The store knows no bucket of the name in the URL.
    #[error("there is no bucket {url}; create it in the store first, or correct the name")]
    NoBucket {
        /// The URL without secrets.
        url: String,
        /// The cause.
        source: Cause,
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
        source: Cause,
    },
    /// The store refused the credentials or the operation.
    #[error("cannot {operation} {key:?}: access was refused; check credentials and permissions")]
    Denied {
        /// What was asked for.
        operation: &'static str,
        /// The object.
        key: String,
        /// The cause.
        source: Cause,
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
        source: Option<Cause>,
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
        source: Cause,
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
        source: Cause,
    },
    /// The key cannot be stored beside what is there, or the store refused it as it is.
    #[error("cannot {operation} {key:?}: the store refuses it as it is")]
    Refused {
        /// What was asked for.
        operation: &'static str,
        /// The object.
        key: String,
        /// The cause.
        source: Cause,
    },
    /// An answer that nobody expects.
    #[error("cannot {operation} {key:?}: the store failed")]
    Internal {
        /// What was asked for.
        operation: &'static str,
        /// The object.
        key: String,
        /// The cause.
        source: Cause,
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
            | Self::NoBucket { .. }
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

    /// Sorts what the store at `url` answered into what a caller can do about it.
    pub(crate) fn from_store(
        url: &str,
        operation: &'static str,
        key: &str,
        error: &object_store::Error,
    ) -> Self {
        use object_store::Error as E;
        let (source, key) = (Cause::of(error), key.to_owned());
        match error {
            E::NotFound { .. } => Self::not_found(url, operation, key, code(error), source),
            // Without a condition, a conflict is of two requests that ran at once.
            E::AlreadyExists { .. } if operation == "write" => {
                Self::Unavailable { operation, key, source: Some(source) }
            }
            E::AlreadyExists { .. } => Self::Exists { key },
            E::Precondition { .. } => Self::Changed { key },
            E::InvalidPath { source } => Self::Key { key, reason: source.to_string() },
            E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                Self::Denied { operation, key, source }
            }
            E::NotSupported { .. } | E::NotImplemented { .. } => {
                Self::Unsupported { operation, key, source }
            }
            _ => Self::generic(operation, key, error, source),
        }
    }

    /// What "not found" is about is in the code: not only objects are missing at times. Answers to
    /// HEAD have none.
    fn not_found(
        url: &str,
        operation: &'static str,
        key: String,
        code: Option<String>,
        source: Cause,
    ) -> Self {
        let writes = matches!(operation, "write" | "create" | "replace");
        match code.as_deref() {
            Some("NoSuchBucket" | "ContainerNotFound") => {
                Self::NoBucket { url: url.to_owned(), source }
            }
            // A key id that nobody has: Amazon answers 403 to it, others 404.
            Some("InvalidAccessKeyId" | "XAdminUserNotFound") => {
                Self::Denied { operation, key, source }
            }
            None | Some("NoSuchKey" | "BlobNotFound") if !writes => {
                Self::Missing { operation, key }
            }
            _ => Self::Refused { operation, key, source },
        }
    }

    fn generic(
        operation: &'static str,
        key: String,
        error: &object_store::Error,
        source: Cause,
    ) -> Self {
        match generic_kind(error) {
            // A machine that has no such service, or one that refuses: waiting does not help.
            kind if source.credentials() && (source.unsent() || kind == ErrorKind::Invalid) => {
                Self::Denied { operation, key, source }
            }
            ErrorKind::Exhausted => Self::Full { operation, key, source },
            ErrorKind::Denied => Self::Denied { operation, key, source },
            ErrorKind::Invalid => Self::Refused { operation, key, source },
            ErrorKind::Closed => Self::Poisoned { operation, key, source },
            ErrorKind::Corrupt => Self::Corrupt { operation, key, reason: source.to_string() },
            ErrorKind::Internal => Self::Internal { operation, key, source },
            _ => Self::Unavailable { operation, key, source: Some(source) },
        }
    }

    /// The cause given back by the store, for [`Error::InDoubt`].
    pub(crate) fn into_cause(self) -> Option<Cause> {
        match self {
            Self::Unavailable { source, .. } => source,
            _ => None,
        }
    }

    /// The store did not answer, and it is certain that it never saw the request.
    pub(crate) fn is_unsent(&self) -> bool {
        matches!(self, Self::Unavailable { source: Some(source), .. } if source.unsent())
    }
}

/// The kind of a `Generic` error, from what lies in its chain of causes. What is not known counts as
/// transient: retries are bounded, and a conditional write stays in doubt.
fn generic_kind(error: &object_store::Error) -> ErrorKind {
    for cause in links(error) {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.kind();
        }
        if let Some(status) = status_of(&cause.to_string()) {
            return match status {
                507 => ErrorKind::Exhausted,
                408 | 409 | 425 | 429 | 500.. => ErrorKind::Retry,
                400..500 => ErrorKind::Invalid,
                _ => ErrorKind::Internal,
            };
        }
    }
    ErrorKind::Retry
}

/// The HTTP status in the text of a remote store's error: its type is not public.
fn status_of(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("non-2xx status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// The code in the error document of a remote store.
fn code(error: &object_store::Error) -> Option<String> {
    element(&chain_text(error), "Code").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: &str, body: &str) -> String {
        let request = "Error performing PUT http://169.254.169.254/latest/api/token in 1ms";
        format!("{request} - Server returned non-2xx status code: {status}: {body}")
    }

    #[test]
    fn credentials_that_nobody_set_are_named() {
        let source = answer("403 Forbidden", "no").into();
        let error = object_store::Error::Generic { store: "S3", source };
        let error = Error::from_store("s3://b", "read", "k", &error);
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        assert!(format!("{error:?}").contains("AWS_ACCESS_KEY_ID"), "{error:?}");
        // The service itself is ill: that passes.
        let source = answer("503 Service Unavailable", "").into();
        let error = object_store::Error::Generic { store: "S3", source };
        let error = Error::from_store("s3://b", "read", "k", &error);
        assert_eq!(error.kind(), ErrorKind::Retry, "{error:?}");
    }

    #[test]
    fn not_found_is_not_always_the_object() {
        let kind = |operation, body: &str| {
            let source = answer("404 Not Found", body).into();
            let error = object_store::Error::NotFound { path: String::from("k"), source };
            Error::from_store("s3://b", operation, "k", &error).kind()
        };
        let code = |code: &str| format!("<Error><Code>{code}</Code></Error>");
        for missing in ["", "gone", &code("NoSuchKey"), &code("BlobNotFound")] {
            assert_eq!(kind("read", missing), ErrorKind::NotFound, "{missing}");
            assert_eq!(kind("create", missing), ErrorKind::Invalid, "{missing}");
        }
        assert_eq!(kind("read", &code("NoSuchBucket")), ErrorKind::Invalid);
        assert_eq!(kind("read", &code("InvalidAccessKeyId")), ErrorKind::Denied);
        assert_eq!(kind("read", &code("SomethingElse")), ErrorKind::Invalid);
    }
}
