use core::fmt;

/// What a caller can do about an error. Each crate's `Error` has `kind()`, and each door maps this
/// list once to its protocol (HTTP status, exit code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// Transient: the same call may succeed later.
    Retry,
    /// Someone else changed it first, or it exists already: read again, then decide.
    Conflict,
    /// There is no such thing.
    NotFound,
    /// The input is wrong: the same call can never succeed.
    Invalid,
    /// The caller may not do this, or nobody knows who the caller is.
    Denied,
    /// Stored bytes do not match their checksum or their format.
    Corrupt,
    /// A limit was reached: disk, memory, quota, a bound on size.
    Exhausted,
    /// It was closed, fenced or poisoned: open it again.
    Closed,
    /// A bug or an environment that should not be.
    Internal,
}

impl ErrorKind {
    /// The stable lower-case word used in `--json` output, REST bodies and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Conflict => "conflict",
            Self::NotFound => "not_found",
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::Corrupt => "corrupt",
            Self::Exhausted => "exhausted",
            Self::Closed => "closed",
            Self::Internal => "internal",
        }
    }

    /// The kind that `word` names, the inverse of [`ErrorKind::as_str`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Retry,
            Self::Conflict,
            Self::NotFound,
            Self::Invalid,
            Self::Denied,
            Self::Corrupt,
            Self::Exhausted,
            Self::Closed,
            Self::Internal,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
