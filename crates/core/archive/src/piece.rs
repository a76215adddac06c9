use cairn_base::varint;

use crate::PIECES_MAX;

/// What a piece of the inner stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// Headers, padding, trailers, directories: what belongs to the archive and not to a member.
    Layout,
    /// The plain content of one member.
    Member,
}

/// A run of the inner stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// What it is.
    pub kind: PieceKind,
    /// Its bytes, never 0.
    pub len: u64,
}

/// The pieces of an inner stream in order, held as about three bytes each: an archive of a million
/// files has two million of them.
///
/// Neighbours differ in kind: between two members there is always a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pieces {
    packed: Vec<u8>,
    count: usize,
    open: Option<Piece>,
    total: u64,
}

impl Pieces {
    /// Adds `len` bytes, to the last piece if it is of the same kind. `None` if there are too many.
    pub(crate) fn push(&mut self, kind: PieceKind, len: u64) -> Option<()> {
        if len == 0 {
            return Some(());
        }
        self.total = self.total.checked_add(len)?;
        match &mut self.open {
            Some(open) if open.kind == kind => open.len += len,
            open => {
                if let Some(done) = open.replace(Piece { kind, len }) {
                    varint::put(&mut self.packed, word(done));
                }
                self.count += 1;
            }
        }
        (self.count <= PIECES_MAX && self.total < crate::limits::LEN_MAX).then_some(())
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Whether there are none: the inner stream is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The length of the inner stream.
    #[must_use]
    pub const fn total_len(&self) -> u64 {
        self.total
    }

    /// The pieces in the order of the inner stream.
    #[must_use]
    pub const fn iter(&self) -> PieceIter<'_> {
        PieceIter { packed: self.packed.as_slice(), open: self.open }
    }
}

impl<'a> IntoIterator for &'a Pieces {
    type Item = Piece;
    type IntoIter = PieceIter<'a>;

    fn into_iter(self) -> PieceIter<'a> {
        self.iter()
    }
}

/// The iterator of [`Pieces::iter`].
#[derive(Clone, Debug)]
pub struct PieceIter<'a> {
    packed: &'a [u8],
    open: Option<Piece>,
}

impl Iterator for PieceIter<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        match varint::take(&mut self.packed) {
            Some(word) => Some(Piece {
                kind: if word & 1 == 0 { PieceKind::Layout } else { PieceKind::Member },
                len: word >> 1,
            }),
            None => self.open.take(),
        }
    }
}

const fn word(piece: Piece) -> u64 {
    piece.len << 1 | matches!(piece.kind, PieceKind::Member) as u64
}

#[cfg(test)]
mod tests {
    use super::{Piece, PieceKind, Pieces};

    #[test]
    fn neighbours_of_one_kind_are_one_piece() {
        let mut pieces = Pieces::default();
        assert!(pieces.is_empty());
        let given = [
            (PieceKind::Layout, 512),
            (PieceKind::Layout, 512),
            (PieceKind::Member, 0),
            (PieceKind::Member, 1 << 40),
            (PieceKind::Layout, 7),
        ];
        for (kind, len) in given {
            pieces.push(kind, len).unwrap();
        }
        let wanted = [
            Piece { kind: PieceKind::Layout, len: 1024 },
            Piece { kind: PieceKind::Member, len: 1 << 40 },
            Piece { kind: PieceKind::Layout, len: 7 },
        ];
        assert_eq!(pieces.iter().collect::<Vec<_>>(), wanted);
        assert_eq!((pieces.count(), pieces.total_len()), (3, (1 << 40) + 1031));
    }
}
