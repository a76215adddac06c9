use cairn_base::ErrorKind;
use cairn_bucket::SealError;

/// What went wrong with the audit log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket refused or failed.
    #[error(transparent)]
    Bucket(#[from] cairn_bucket::Error),
    /// A segment could not be unsealed, though it is not damaged.
    #[error("segment {seq} of the audit log cannot be opened: {source}")]
    Seal {
        /// Its number.
        seq: u64,
        /// Why not.
        source: SealError,
    },
    /// A later version wrote the segment.
    #[error("segment {seq} of the audit log has format version {found}; update cairn")]
    LaterVersion {
        /// Its number.
        seq: u64,
        /// The version it has.
        found: u8,
    },
    /// More records wait than are kept.
    #[error(
        "the audit log cannot keep more than {max} bytes that are not written yet; \
         try again in a moment"
    )]
    Full {
        /// The bound.
        max: usize,
    },
    /// The log was not written for too long.
    #[error(
        "the audit log was not written for {seconds} s, and nothing is done unrecorded; \
         see in the node's log why the bucket refuses it"
    )]
    Behind {
        /// The bound, in seconds.
        seconds: u64,
    },
    /// What was recorded could not be written to the log.
    #[error("the audit log could not be written: {detail}")]
    NotWritten {
        /// What a caller can do about it.
        kind: ErrorKind,
        /// What the bucket said.
        detail: String,
    },
    /// Nobody knows yet whether it will be written.
    #[error("the audit log was not written within {seconds} s; try again later")]
    Slow {
        /// How long it was waited for.
        seconds: u64,
    },
    /// Other hubs were faster every time.
    #[error("other nodes appended to the audit log {attempts} times in a row; try again")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// The log has more segments than there are numbers.
    #[error("the audit log is full: it has no number above {seq}")]
    NoNumber {
        /// The last number.
        seq: u64,
    },
    /// Not `SEQ:HASH`.
    #[error("this is no SEQ:HASH, as `cairn audit verify` prints it")]
    Mark,
    /// No outcome has this name.
    #[error("{word:?} is no outcome; there are allowed, denied, refused, changed and failed")]
    Outcome {
        /// The word as given, cut to 32 characters.
        word: String,
    },
    /// A pattern of a filter is too long.
    #[error("a filter takes at most {max} bytes")]
    LongPattern {
        /// The bound.
        max: usize,
    },
    /// A worker died.
    #[error("reading the audit log failed: {0}")]
    Worker(#[from] cairn_env::Lost),
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Bucket(error) => error.kind(),
            Self::Seal { source, .. } => source.kind,
            Self::NotWritten { kind, .. } => *kind,
            Self::Full { .. }
            | Self::Behind { .. }
            | Self::Slow { .. }
            | Self::Contended { .. } => ErrorKind::Retry,
            Self::NoNumber { .. } => ErrorKind::Exhausted,
            Self::LaterVersion { .. }
            | Self::Mark
            | Self::Outcome { .. }
            | Self::LongPattern { .. } => ErrorKind::Invalid,
            Self::Worker(_) => ErrorKind::Internal,
        }
    }
}
