use std::path::PathBuf;

use cairn_base::ErrorKind;

/// What went wrong with certificates and nodes. No variant holds a key or a token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket refused or failed.
    #[error(transparent)]
    Bucket(#[from] cairn_bucket::Error),
    /// A certificate cannot be read.
    #[error("the certificate cannot be read: {detail}; give it as PEM (BEGIN CERTIFICATE)")]
    Certificate {
        /// What is wrong with it.
        detail: String,
    },
    /// A private key cannot be read, or is of another certificate.
    #[error("the private key cannot be used: {detail}")]
    Key {
        /// What is wrong with it, without a part of it.
        detail: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A certificate could not be made.
    #[error("a certificate could not be made: {detail}")]
    Make {
        /// Why not.
        detail: String,
    },
    /// A signing request cannot be read or is not signed by its own key.
    #[error("the certificate request is refused: {detail}")]
    Request {
        /// What is wrong with it.
        detail: String,
    },
    /// A join token does not hold.
    #[error("the join token is unknown, used or expired; make one with `cairn cluster join-token`")]
    JoinToken,
    /// A bound was reached.
    #[error("{what}: there can be at most {max}")]
    TooMany {
        /// Of what there is too much.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// A life that is nothing or too long.
    #[error("a join token lives between a minute and 30 days")]
    Lifetime,
    /// Others changed the object again and again.
    #[error("mesh/authority was changed by others {attempts} times in a row; try again")]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// The stored authority is damaged.
    #[error(
        "mesh/authority is damaged: {detail}; restore it from an earlier version of the object"
    )]
    Corrupt {
        /// What was found.
        detail: String,
    },
    /// A later version wrote it.
    #[error(
        "mesh/authority has format version {found}, this program reads up to {known}; update cairn"
    )]
    LaterVersion {
        /// The version it has.
        found: u32,
        /// The newest one that this program knows.
        known: u32,
    },
    /// It could not be unsealed.
    #[error("mesh/authority cannot be opened: {0}")]
    Seal(#[from] cairn_access::SealError),
    /// A worker died.
    #[error(transparent)]
    Worker(#[from] cairn_env::Lost),
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Bucket(error) => error.kind(),
            Self::Seal(error) => error.kind,
            Self::Certificate { .. }
            | Self::Key { .. }
            | Self::File { .. }
            | Self::Request { .. }
            | Self::Lifetime
            | Self::LaterVersion { .. } => ErrorKind::Invalid,
            Self::JoinToken => ErrorKind::Denied,
            Self::TooMany { .. } => ErrorKind::Exhausted,
            Self::Contended { .. } => ErrorKind::Retry,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Make { .. } | Self::Worker(_) => ErrorKind::Internal,
        }
    }
}
