use cairn_base::ErrorKind;
use cairn_chunk::ChunkId;

/// What went wrong in the block store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket refused or failed.
    #[error(transparent)]
    Bucket(cairn_bucket::Error),
    /// The bucket has no `cairn.json`.
    #[error("{url} is not a Cairn bucket; run `cairn init --bucket {url}`, or push to it")]
    NotInitialised {
        /// The bucket.
        url: String,
    },
    /// A backup was being copied into the bucket.
    #[error(
        "a backup is being copied into {url}, or that was cut off: `cairn backup restore` with the same \
         backup goes on"
    )]
    Unfinished {
        /// The bucket.
        url: String,
    },
    /// `init` on a bucket that has a `cairn.json`.
    #[error("{url} is a Cairn bucket already")]
    AlreadyInitialised {
        /// The bucket.
        url: String,
    },
    /// The bucket was written by a later version.
    #[error("{object} has format version {found}, this program reads up to {known}; update cairn")]
    LaterVersion {
        /// Which object.
        object: String,
        /// The version it has.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// The bucket is encrypted and no secret was given.
    #[error(
        "{url} is encrypted; give its passphrase (CAIRN_PASSPHRASE, CAIRN_PASSPHRASE_FILE) or its key file (CAIRN_KEY_FILE)"
    )]
    Locked {
        /// The bucket.
        url: String,
    },
    /// The passphrase or key file is not the one of this bucket.
    #[error("the passphrase or key file does not open {url}")]
    WrongSecret {
        /// The bucket.
        url: String,
    },
    /// A bucket was to be encrypted with a passphrase without a character.
    #[error("the passphrase is empty, so it would protect nothing; give one that is long")]
    EmptyPassphrase,
    /// A key file is too short to be one.
    #[error(
        "the key file has {len} bytes; it needs at least 32, for example from `head -c 32 /dev/urandom`"
    )]
    KeyFile {
        /// Bytes found.
        len: usize,
    },
    /// Stored bytes do not match their checksum or their format.
    #[error("{object} is damaged at byte {offset}: {detail}; run `cairn verify`")]
    Corrupt {
        /// The object's key in the bucket.
        object: String,
        /// Where in it.
        offset: u64,
        /// What was found.
        detail: String,
    },
    /// A chunk is in no pack.
    #[error("chunk {id} is not in the bucket; run `cairn verify`")]
    MissingChunk {
        /// The chunk.
        id: ChunkId,
    },
    /// A frame that a client sent does not hold what it says.
    #[error("frame refused: {detail}")]
    BadFrame {
        /// What is wrong with it.
        detail: String,
    },
    /// The session's lease was taken away while it was silent. What it registered is kept until the
    /// next collection; push again to go on from there.
    #[error(
        "the push was silent for too long and lost its lease; push again, it goes on where it was"
    )]
    SessionExpired,
    /// A collection removed bytes that this push relied on.
    #[error("a collection removed {missing} chunks that this push relied on; push again")]
    Swept {
        /// How many chunks are gone.
        missing: usize,
    },
    /// Too many others changed the same object at the same time.
    #[error("{object} was changed by others {attempts} times in a row; try again")]
    Contended {
        /// The object's key.
        object: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// A named bound was reached.
    #[error("{what} is over its bound of {max}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        max: u64,
    },
    /// A worker died.
    #[error("{0}")]
    Worker(#[from] cairn_env::Lost),
    /// A pack could not be stored earlier in this session.
    #[error("storing a pack failed earlier in this push: {cause}")]
    Upload {
        /// The first failure.
        cause: String,
        /// Its kind.
        kind: ErrorKind,
    },
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Bucket(error) => error.kind(),
            Self::NotInitialised { .. } => ErrorKind::NotFound,
            Self::AlreadyInitialised { .. } | Self::Unfinished { .. } => ErrorKind::Conflict,
            Self::LaterVersion { .. }
            | Self::BadFrame { .. }
            | Self::EmptyPassphrase
            | Self::KeyFile { .. } => ErrorKind::Invalid,
            Self::Locked { .. } | Self::WrongSecret { .. } => ErrorKind::Denied,
            Self::Corrupt { .. } | Self::MissingChunk { .. } => ErrorKind::Corrupt,
            Self::SessionExpired | Self::Swept { .. } | Self::Contended { .. } => ErrorKind::Retry,
            Self::TooMany { .. } => ErrorKind::Exhausted,
            Self::Worker(_) => ErrorKind::Internal,
            Self::Upload { kind, .. } => *kind,
        }
    }

    /// What was looked for in its place and nowhere else, again and again, is lost and not merely not
    /// found: somebody relies on it.
    pub(crate) fn lost(self) -> Self {
        match self {
            Self::Bucket(cairn_bucket::Error::Missing { key, .. }) => {
                Self::corrupt(&key, 0, "it is gone from the bucket")
            }
            other => other,
        }
    }

    pub(crate) fn corrupt(object: &str, offset: u64, detail: impl Into<String>) -> Self {
        Self::Corrupt { object: object.to_owned(), offset, detail: detail.into() }
    }
}

/// Ranges are those that an index or a footer gave: an object that ends before is damaged.
impl From<cairn_bucket::Error> for Error {
    fn from(error: cairn_bucket::Error) -> Self {
        match error {
            cairn_bucket::Error::Range { key, start, end } => {
                Self::corrupt(&key, start, format!("it ends before byte {end}"))
            }
            other => Self::Bucket(other),
        }
    }
}
