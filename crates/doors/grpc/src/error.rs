use cairn_base::ErrorKind;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// What went wrong with a call or with the door itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine below.
    #[error(transparent)]
    Datasets(#[from] cairn_datasets::Error),
    /// Namespaces of keys.
    #[error(transparent)]
    Kv(#[from] cairn_kv::Error),
    /// Functions.
    #[error(transparent)]
    Functions(#[from] cairn_functions::Error),
    /// This node has no functions.
    #[error("this node has no functions; start it with --data-dir, or ask another node")]
    NoFunctions,
    /// This node has no keys.
    #[error("this node keeps no keys; start it with --data-dir, or ask another node")]
    NoKeys,
    /// Too many values are held at a time.
    #[error("the node holds as many values as it has room for; try again in a moment")]
    NoRoom,
    /// Who may do what.
    #[error(transparent)]
    Access(#[from] cairn_access::Error),
    /// A wrong name in a message.
    #[error(transparent)]
    Name(#[from] cairn_base::name::Error),
    /// A message is wrong.
    #[error("{detail}")]
    Invalid {
        /// What is wrong with it, and what to do.
        detail: String,
    },
    /// What was asked for is not there.
    #[error("{detail}")]
    NotFound {
        /// What, and what to do.
        detail: String,
    },
    /// A range begins behind the end.
    #[error("the offset {offset} is behind the end; there are {len} bytes")]
    Range {
        /// Where the range begins.
        offset: u64,
        /// How long the file or the chunk is.
        len: u64,
    },
    /// Too many calls of a kind at a time.
    #[error("the node works on {max} {what} already; try again in a moment")]
    Busy {
        /// Of what there are too many.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// A message is larger than one may be.
    #[error("a message is larger than {max} bytes; send less at a time")]
    TooLarge {
        /// The bound.
        max: usize,
    },
    /// The client stopped sending.
    #[error("nothing came for {seconds} s, or too little; send at least 2 KiB a second")]
    Stalled {
        /// How long the door waits.
        seconds: u64,
    },
    /// The node stops.
    #[error("the node stops; call again, on another node or in a moment")]
    Stopping,
    /// An RPC does not say what it takes to call it (ACCESS-1).
    #[error("the RPC {path} declares no permission")]
    NoPermission {
        /// Its path.
        path: String,
    },
    /// A permission is for an RPC that there is not.
    #[error("there is no RPC {path}, but it has a permission")]
    NoRpc {
        /// The path.
        path: String,
    },
    /// The stream of a client failed, or said why itself.
    #[error("{}", .0.message())]
    Stream(#[from] Status),
    /// A worker died.
    #[error("{0}")]
    Worker(#[from] cairn_env::Lost),
    /// Something in here that should not be.
    #[error("{detail}")]
    Internal {
        /// What was found.
        detail: String,
    },
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Datasets(error) => error.kind(),
            Self::Kv(error) => error.kind(),
            Self::Functions(error) => error.kind(),
            Self::Access(error) => error.kind(),
            Self::Name(error) => error.kind(),
            Self::Invalid { .. } | Self::Range { .. } | Self::Stalled { .. } => ErrorKind::Invalid,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Busy { .. } | Self::NoRoom => ErrorKind::Retry,
            Self::NoKeys | Self::NoFunctions => ErrorKind::NotFound,
            Self::TooLarge { .. } => ErrorKind::Exhausted,
            Self::Stopping => ErrorKind::Closed,
            Self::Stream(status) => kind_of(status.code()),
            Self::NoPermission { .. }
            | Self::NoRpc { .. }
            | Self::Worker(_)
            | Self::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// The one table from errors to gRPC.
    #[must_use]
    pub fn code(&self) -> Code {
        use cairn_datasets::Error as Datasets;
        match self {
            Self::Stream(status) => status.code(),
            Self::Access(error) if error.asks_for_credential() => Code::Unauthenticated,
            // It never comes back under this id, so it is not "try this call again".
            Self::Datasets(Datasets::NoUpload { .. }) => Code::NotFound,
            // The call is well formed; what it needs is not there yet.
            Self::Datasets(Datasets::Incomplete { .. }) => Code::FailedPrecondition,
            Self::Kv(error) => code_of_keys(error),
            Self::NoKeys | Self::NoFunctions => Code::Unimplemented,
            Self::Range { .. } => Code::OutOfRange,
            Self::Busy { .. } | Self::Access(cairn_access::Error::Throttled { .. }) => {
                Code::ResourceExhausted
            }
            Self::Stalled { .. } => Code::DeadlineExceeded,
            other => code_of(other.kind()),
        }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::Invalid { detail: detail.into() }
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::NotFound { detail: detail.into() }
    }
}

/// A namespace has answers of its own for what clients act on.
fn code_of_keys(error: &cairn_kv::Error) -> Code {
    use cairn_partition::Error as Partition;
    match error {
        cairn_kv::Error::Exists { .. } => Code::AlreadyExists,
        cairn_kv::Error::Partition(Partition::Gone { .. } | Partition::Future { .. }) => {
            Code::OutOfRange
        }
        // It may have been made: nobody tries it again without a look.
        cairn_kv::Error::Partition(
            Partition::InDoubt { .. } | Partition::Fenced { .. } | Partition::Closed { .. },
        ) => Code::DeadlineExceeded,
        other => code_of(other.kind()),
    }
}

/// What a program can act on, beside the text.
fn beside(error: &Error) -> Option<(String, String)> {
    let Error::Kv(keys) = error else { return None };
    if let Some(found) = keys.found() {
        return Some(("found".to_owned(), found.map(|seq| seq.to_string()).unwrap_or_default()));
    }
    match keys {
        cairn_kv::Error::Partition(cairn_partition::Error::Elsewhere { address, .. }) => {
            Some(("owner".to_owned(), address.clone()?))
        }
        _ => None,
    }
}

fn code_of(kind: ErrorKind) -> Code {
    match kind {
        ErrorKind::Retry | ErrorKind::Closed => Code::Unavailable,
        ErrorKind::Conflict => Code::Aborted,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Invalid => Code::InvalidArgument,
        ErrorKind::Denied => Code::PermissionDenied,
        ErrorKind::Exhausted => Code::ResourceExhausted,
        ErrorKind::Corrupt => Code::DataLoss,
        ErrorKind::Internal => Code::Internal,
    }
}

fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::InvalidArgument | Code::OutOfRange => ErrorKind::Invalid,
        Code::ResourceExhausted => ErrorKind::Exhausted,
        _ => ErrorKind::Closed,
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let error = match error {
            Error::Stream(status) => return status,
            other => other,
        };
        let (code, kind) = (error.code(), error.kind());
        if matches!(code, Code::Internal | Code::DataLoss) {
            tracing::error!(%error, "a call failed");
        }
        let reason = kind.to_string().to_ascii_uppercase();
        let details = match beside(&error) {
            Some(told) => ErrorDetails::with_error_info(reason, "cairn", [told]),
            None => ErrorDetails::with_error_info(reason, "cairn", []),
        };
        Self::with_error_details(code, error.to_string(), details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_and_says_its_kind() {
        for (error, code, reason) in [
            (Error::invalid("x"), Code::InvalidArgument, "INVALID"),
            (Error::not_found("x"), Code::NotFound, "NOT_FOUND"),
            (Error::Busy { what: "pushes", max: 1 }, Code::ResourceExhausted, "RETRY"),
            (Error::TooLarge { max: 1 }, Code::ResourceExhausted, "EXHAUSTED"),
            (Error::Stopping, Code::Unavailable, "CLOSED"),
            (Error::Range { offset: 2, len: 1 }, Code::OutOfRange, "INVALID"),
            (cairn_access::Error::Unknown.into(), Code::Unauthenticated, "DENIED"),
            (
                cairn_datasets::Error::NoUpload { id: "1".to_owned() }.into(),
                Code::NotFound,
                "RETRY",
            ),
            (
                cairn_datasets::Error::Incomplete { count: 1, first: "a".to_owned() }.into(),
                Code::FailedPrecondition,
                "INVALID",
            ),
        ] {
            let status = Status::from(error);
            assert_eq!(status.code(), code, "{status}");
            let info = status.get_details_error_info().unwrap();
            assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, "cairn"));
        }
    }
}
