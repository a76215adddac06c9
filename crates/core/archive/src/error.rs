use std::io;

use cairn_base::ErrorKind;

/// Why an archive could not be read, or not be made again from its recipe.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The reader that was given failed; the archive itself may be fine.
    #[error("cannot read the archive or its inner stream")]
    Read(#[source] io::Error),
    /// The writer that was given failed.
    #[error("cannot write the rebuilt archive")]
    Write(#[source] io::Error),
    /// The encoded recipe is damaged, or no recipe at all.
    #[error("the recipe is damaged: {reason}")]
    RecipeDamaged {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The recipe was written by a newer version of this program.
    #[error(
        "the recipe uses method {method:#04x}, which this version does not know; upgrade cairn"
    )]
    RecipeMethod {
        /// The method's byte.
        method: u8,
    },
    /// The inner stream ended before the recipe was done.
    #[error("the inner stream ends at byte {found}, the recipe needs {expected}")]
    InnerShort {
        /// Bytes that were there.
        found: u64,
        /// Bytes that the recipe needs.
        expected: u64,
    },
    /// The inner stream goes on after the recipe is done.
    #[error("the inner stream goes on after the {expected} bytes that the recipe needs")]
    InnerLong {
        /// Bytes that the recipe needs.
        expected: u64,
    },
    /// A compressed stream could not be made again: the recipe does not belong to these bytes.
    #[error("segment {segment} cannot be compressed again as it was: {reason}")]
    Recode {
        /// The segment's number in the recipe, from 0.
        segment: usize,
        /// What did not fit.
        reason: &'static str,
    },
    /// A deflate stream could not be made again: the recipe does not belong to these bytes.
    #[error("segment {segment} cannot be deflated again as it was")]
    Deflate {
        /// The segment's number in the recipe, from 0.
        segment: usize,
        /// What did not fit.
        #[source]
        source: cairn_deflate::Error,
    },
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Read(_) | Self::Write(_) => ErrorKind::Internal,
            Self::RecipeMethod { .. } => ErrorKind::Invalid,
            Self::RecipeDamaged { .. }
            | Self::InnerShort { .. }
            | Self::InnerLong { .. }
            | Self::Recode { .. } => ErrorKind::Corrupt,
            Self::Deflate { source, .. } => source.kind(),
        }
    }
}
