use cairn_base::ErrorKind;

/// Why something could not be done with a backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bucket below.
    #[error(transparent)]
    Bucket(#[from] cairn_bucket::Error),
    /// The block store below.
    #[error(transparent)]
    Blocks(#[from] cairn_blocks::Error),
    /// The datasets.
    #[error(transparent)]
    Datasets(#[from] cairn_datasets::Error),
    /// The partitions.
    #[error(transparent)]
    Partition(#[from] cairn_partition::Error),
    /// A large object could not be copied.
    #[error("could not copy {object}: {error}")]
    Copy {
        /// Its key.
        object: String,
        /// Why.
        error: object_store::Error,
    },
    /// There is no such backup.
    #[error("there is no backup {which}; `cairn backup list` lists them")]
    Missing {
        /// What was asked for.
        which: String,
    },
    /// It was removed while it was made.
    #[error("the backup {backup} was removed while it was made")]
    Removed {
        /// Its id.
        backup: String,
    },
    /// A copy goes on elsewhere.
    #[error("another process copies a backup into {url} since")]
    Another {
        /// The place.
        url: String,
    },
    /// No id of a backup.
    #[error("{text:?} is no id of a backup; `cairn backup list` lists them")]
    NoId {
        /// What was given.
        text: String,
    },
    /// The place to copy to holds something.
    #[error(
        "{url} is not empty: a backup is copied to an empty place only, or to one where copying it was cut off"
    )]
    NotEmpty {
        /// The place.
        url: String,
    },
    /// A copy into the place it was taken of.
    #[error("{url} is where the backup is: give an empty place with --to")]
    Same {
        /// The place.
        url: String,
    },
    /// Something is not as it was written.
    #[error("{object} is damaged: {why}")]
    Corrupt {
        /// Its key.
        object: String,
        /// What is wrong.
        why: String,
    },
    /// Something that the backup names is gone.
    #[error("{object} is missing, and the backup {backup} needs it")]
    Gone {
        /// Its key.
        object: String,
        /// The backup.
        backup: String,
    },
}

impl Error {
    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Bucket(error) => error.kind(),
            Self::Blocks(error) => error.kind(),
            Self::Datasets(error) => error.kind(),
            Self::Partition(error) => error.kind(),
            Self::Copy { .. } => ErrorKind::Retry,
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::NoId { .. } | Self::Same { .. } => ErrorKind::Invalid,
            Self::NotEmpty { .. } | Self::Removed { .. } | Self::Another { .. } => {
                ErrorKind::Conflict
            }
            Self::Corrupt { .. } | Self::Gone { .. } => ErrorKind::Corrupt,
        }
    }
}
