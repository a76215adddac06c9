use cairn_base::ErrorKind;

/// Why a stream could not be split, or not be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The compressed bytes are no deflate stream.
    #[error("not a deflate stream at compressed byte {offset}: {reason}")]
    Invalid {
        /// Bytes of the stream that were read when it was found.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The stream ended, or was never given, before its last block did.
    #[error("the deflate stream is cut short at compressed byte {offset}")]
    Unfinished {
        /// Bytes of the stream that were given.
        offset: u64,
    },
    /// The stream has more plain bytes than [`Limits::plain_bytes_max`](crate::Limits).
    #[error("the deflate stream holds more than {max} plain bytes")]
    PlainLimit {
        /// The limit.
        max: u64,
    },
    /// The corrections would be larger than
    /// [`Limits::corrections_bytes_max`](crate::Limits): keep the compressed bytes instead.
    #[error("the corrections of the deflate stream exceed {max} bytes")]
    CorrectionsLimit {
        /// The limit.
        max: usize,
    },
    /// The corrections were written by a newer version of this program.
    #[error("corrections of version {found} are not known here; upgrade cairn")]
    Version {
        /// The version's byte.
        found: u8,
    },
    /// The corrections are damaged, or none at all.
    #[error("the corrections are damaged at plain byte {offset}: {reason}")]
    Damaged {
        /// Plain bytes that were used when it was found.
        offset: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The plain bytes ended before the stream was complete.
    #[error("the plain bytes end at {found}, and the stream is not complete")]
    PlainShort {
        /// Plain bytes that were given.
        found: u64,
    },
    /// The plain bytes go on after the stream is complete.
    #[error("the stream is complete after {expected} plain bytes, but {found} were given")]
    PlainLong {
        /// Plain bytes of the stream.
        expected: u64,
        /// Plain bytes that were given.
        found: u64,
    },
    /// What was made is not the stream that was split: plain bytes or corrections are others.
    #[error("the stream that was made has checksum {found:#010x}, the original {expected:#010x}")]
    Mismatch {
        /// CRC-32 of the original stream.
        expected: u32,
        /// CRC-32 of what was made.
        found: u32,
    },
    /// Whoever takes the bytes that are made wants no more of them.
    #[error("what comes out of the stream is not wanted")]
    Refused,
    /// An earlier call failed: nothing can go on from there.
    #[error("an earlier call failed")]
    Poisoned,
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. } | Self::Unfinished { .. } | Self::Version { .. } => {
                ErrorKind::Invalid
            }
            Self::PlainLimit { .. } | Self::CorrectionsLimit { .. } => ErrorKind::Exhausted,
            Self::Damaged { .. }
            | Self::PlainShort { .. }
            | Self::PlainLong { .. }
            | Self::Mismatch { .. } => ErrorKind::Corrupt,
            Self::Refused | Self::Poisoned => ErrorKind::Closed,
        }
    }
}
