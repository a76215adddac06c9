use axum::http::StatusCode;
use cairn_base::ErrorKind;

/// What went wrong with a request or with the door itself.
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
    /// Who may do what.
    #[error(transparent)]
    Access(#[from] cairn_access::Error),
    /// Certificates and nodes.
    #[error(transparent)]
    Mesh(#[from] cairn_mesh::Error),
    /// A wrong name in a path, a query or a body.
    #[error(transparent)]
    Name(#[from] cairn_base::name::Error),
    /// The request is wrong.
    #[error("{detail}")]
    Invalid {
        /// What is wrong with it, and what to do.
        detail: String,
    },
    /// Two programs could read the request in two ways; its connection ends.
    #[error("{why}, and two programs could read this in two ways; send one request at a time")]
    Ambiguous {
        /// What makes it so.
        why: &'static str,
    },
    /// No route has this path.
    #[error("there is nothing at {path}; /api/docs lists what there is")]
    NoRoute {
        /// The path as requested, cut to a bound.
        path: String,
    },
    /// A path inside a version leads nowhere.
    #[error("{detail}")]
    NoPath {
        /// Where the way ended, and why.
        detail: String,
    },
    /// The path is there, the method is not.
    #[error("{path} does not take {method}; it takes {allowed}")]
    Method {
        /// The route's pattern.
        path: &'static str,
        /// The method as requested.
        method: String,
        /// What the route takes, as in the `Allow` header.
        allowed: String,
    },
    /// The body is larger than its route takes.
    #[error("the body is larger than {max} bytes; send it in several requests")]
    TooLarge {
        /// The bound of the route.
        max: u64,
    },
    /// Too many requests at a time.
    #[error("the node works on {max} requests already; try again in a moment")]
    Busy {
        /// The bound.
        max: usize,
    },
    /// Too many followers at a time.
    #[error(
        "the node has {max} followers of tags already; try again in a moment, or ask another node"
    )]
    Followers {
        /// The bound.
        max: usize,
    },
    /// The bucket does not answer.
    #[error("the bucket does not answer; the node's log says why")]
    NotReady,
    /// A browser sent it for a page of another site.
    #[error("a page of another site asked for this; open the console of this node instead")]
    CrossSite,
    /// Too many uploads or edits at a time.
    #[error("the node has {max} {what} open already; try again when one has ended")]
    Uploads {
        /// What of it.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// The client stopped sending.
    #[error("the body stopped for longer than {seconds} s, or the connection broke: {detail}")]
    Stalled {
        /// How long the door waits.
        seconds: u64,
        /// What was seen.
        detail: String,
    },
    /// A ranged request asks for nothing that is there.
    #[error("no such range; the file has {len} bytes and one request takes {max} ranges")]
    Range {
        /// The file's length.
        len: u64,
        /// The most ranges in one request.
        max: usize,
    },
    /// A route was registered without saying what it takes to use it (ACCESS-1).
    #[error("the route {method} {pattern} declares no permission")]
    NoPermission {
        /// Its method.
        method: String,
        /// Its pattern.
        pattern: &'static str,
    },
    /// A route cannot be registered.
    #[error("the route {method} {pattern} cannot be registered: {reason}")]
    Route {
        /// Its method.
        method: String,
        /// Its pattern.
        pattern: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// A worker died.
    #[error("{0}")]
    Worker(#[from] cairn_env::Lost),
    /// The socket.
    #[error("the listener failed: {0}")]
    Listener(std::io::Error),
    /// Something in here that should not be.
    #[error("{detail}")]
    Internal {
        /// What was found.
        detail: String,
    },
}

impl From<cairn_files::Error> for Error {
    fn from(error: cairn_files::Error) -> Self {
        match error {
            cairn_files::Error::NoPath { detail } => Self::NoPath { detail },
            cairn_files::Error::Range { len } => {
                Self::Range { len, max: crate::limits::RANGES_MAX }
            }
            cairn_files::Error::Data(error) => Self::Datasets(error),
        }
    }
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
            Self::Mesh(error) => error.kind(),
            Self::Name(error) => error.kind(),
            Self::NoRoute { .. } | Self::NoPath { .. } => ErrorKind::NotFound,
            Self::Invalid { .. }
            | Self::Ambiguous { .. }
            | Self::Method { .. }
            | Self::Range { .. }
            | Self::Stalled { .. }
            | Self::NoPermission { .. }
            | Self::Route { .. } => ErrorKind::Invalid,
            Self::TooLarge { .. } => ErrorKind::Exhausted,
            Self::CrossSite => ErrorKind::Denied,
            Self::Busy { .. } | Self::Followers { .. } | Self::Uploads { .. } | Self::NotReady => {
                ErrorKind::Retry
            }
            Self::Worker(_) | Self::Listener(_) | Self::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// The one table from errors to HTTP.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Access(error) if error.asks_for_credential() => StatusCode::UNAUTHORIZED,
            // It never comes back under this id, so it is not "try this request again".
            Self::Datasets(cairn_datasets::Error::NoUpload { .. }) => StatusCode::NOT_FOUND,
            Self::Datasets(
                cairn_datasets::Error::TooMany { .. }
                | cairn_datasets::Error::Blocks(cairn_blocks::Error::TooMany { .. }),
            ) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Datasets(cairn_datasets::Error::Undelivered { .. }) => StatusCode::BAD_GATEWAY,
            Self::Kv(error) | Self::Functions(cairn_functions::Error::Kept(error)) => {
                status_of_keys(error)
            }
            Self::Functions(error) => status_of_function(error),
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Uploads { .. } | Self::Access(cairn_access::Error::Throttled { .. }) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::Stalled { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Range { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            other => status_of(other.kind()),
        }
    }

    /// Of a file that does not go on where its client thinks, the bytes that were received.
    pub(crate) fn received(&self) -> Option<u64> {
        match self {
            Self::Datasets(cairn_datasets::Error::Offset { received, .. }) => Some(*received),
            _ => None,
        }
    }

    /// Where the node is that owns what was asked for.
    pub(crate) fn owner(&self) -> Option<&str> {
        match self {
            Self::Kv(error) | Self::Functions(cairn_functions::Error::Kept(error)) => match error {
                cairn_kv::Error::Partition(cairn_partition::Error::Elsewhere {
                    address, ..
                }) => address.as_deref(),
                _ => None,
            },
            _ => None,
        }
    }

    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::Invalid { detail: detail.into() }
    }
}

/// A namespace has answers of its own for what clients act on.
fn status_of_keys(error: &cairn_kv::Error) -> StatusCode {
    use cairn_partition::Error as Partition;
    let cairn_kv::Error::Partition(partition) = error else { return status_of(error.kind()) };
    match partition {
        Partition::Condition { .. } => StatusCode::PRECONDITION_FAILED,
        Partition::Gone { .. } => StatusCode::GONE,
        Partition::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Partition::Elsewhere { .. } => StatusCode::MISDIRECTED_REQUEST,
        // It may have been made: nobody tries it again without a look.
        Partition::InDoubt { .. } | Partition::Fenced { .. } | Partition::Closed { .. } => {
            StatusCode::GATEWAY_TIMEOUT
        }
        other => status_of(other.kind()),
    }
}

/// What a called function did is no fault of the node that says so.
fn status_of_function(error: &cairn_functions::Error) -> StatusCode {
    use cairn_functions::{Error as Function, Failure};
    match error {
        Function::Failed { failure: Failure::Busy { .. } | Failure::Full, .. } => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Function::Failed { failure: Failure::Wall { .. }, .. } => StatusCode::GATEWAY_TIMEOUT,
        Function::Failed { failure: Failure::Kind { .. }, .. } => StatusCode::BAD_REQUEST,
        Function::Failed { .. } => StatusCode::BAD_GATEWAY,
        other => status_of(other.kind()),
    }
}

fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Retry | ErrorKind::Closed => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::Denied => StatusCode::FORBIDDEN,
        ErrorKind::Exhausted => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
