//! The plain bytes of a gzip or zstd stream: a tar with its members, or one member.

use crate::{PieceKind, Pieces, tar};

/// Takes plain bytes and makes pieces of them.
#[derive(Debug)]
pub(crate) enum Content {
    /// Too few bytes yet to see what it is.
    Unknown(Vec<u8>),
    /// A tar, which may go on in the next compressed stream.
    Tar(tar::Splitter),
    /// Anything else.
    Opaque,
}

impl Default for Content {
    fn default() -> Self {
        Self::Unknown(Vec::new())
    }
}

impl Content {
    /// Takes the next plain bytes. `None` if there are too many pieces.
    pub(crate) fn feed(&mut self, bytes: &[u8], pieces: &mut Pieces) -> Option<()> {
        match self {
            Self::Unknown(head) => {
                head.extend_from_slice(bytes);
                if head.len() < tar::BLOCK_BYTES {
                    return Some(());
                }
                let head = std::mem::take(head);
                *self = if tar::is_header(&head) {
                    Self::Tar(tar::Splitter::default())
                } else {
                    Self::Opaque
                };
                self.feed(&head, pieces)
            }
            Self::Tar(splitter) => splitter.feed(bytes, pieces),
            Self::Opaque => pieces.push(PieceKind::Member, bytes.len() as u64),
        }
    }

    /// Ends a compressed stream: every byte that was fed is in a piece after this.
    pub(crate) fn close(&mut self, pieces: &mut Pieces) -> Option<()> {
        if let Self::Unknown(head) = self {
            let len = head.len() as u64;
            if len > 0 {
                *self = Self::Opaque;
            }
            pieces.push(PieceKind::Member, len)?;
        }
        Some(())
    }

    /// Whether it was a tar.
    pub(crate) const fn is_tar(&self) -> bool {
        matches!(self, Self::Tar(_))
    }
}
