//! A stream: some bytes, put together from stored chunks and holes.

use alloc::vec::Vec;

use cairn_chunk::{CHUNK_BYTES_MAX, ChunkId};

use crate::Error;
use crate::error::Fault;
use crate::wire::{Reader, put_varint};

/// The most slices that are kept in the directory itself; a longer stream has a map.
pub const SLICES_INLINE_MAX: usize = 4;
/// No slice ends further into its chunk than this.
pub const SLICE_END_MAX: u64 = 1024 * 1024;
/// The longest stream and file, in bytes.
pub const STREAM_BYTES_MAX: u64 = i64::MAX.cast_unsigned();

const _: () = assert!(CHUNK_BYTES_MAX as u64 <= SLICE_END_MAX);

/// A sequence of bytes. Each has one form: [`StreamBuilder`](crate::StreamBuilder) chooses it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// No bytes.
    #[default]
    Empty,
    /// The first `len` bytes of one chunk, which are all of it but in odd cases.
    Chunk {
        /// The chunk.
        id: ChunkId,
        /// 1 to [`SLICE_END_MAX`].
        len: u64,
    },
    /// A few slices, at most [`SLICES_INLINE_MAX`].
    Slices(Vec<Slice>),
    /// More slices than that, in map pages.
    Map {
        /// The top page of the map.
        page: ChunkId,
        /// The bytes of all slices.
        len: u64,
    },
}

/// A part of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Where the bytes are.
    pub source: Source,
    /// How many, at least one.
    pub len: u64,
}

/// Where the bytes of a slice are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// In a chunk, from byte `skip` on.
    Chunk {
        /// The chunk.
        id: ChunkId,
        /// The bytes before the slice; with its length at most [`SLICE_END_MAX`].
        skip: u32,
    },
    /// Nowhere: they are zeros.
    Hole,
}

impl Slice {
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let max = match self.source {
            Source::Chunk { skip, .. } => SLICE_END_MAX.saturating_sub(u64::from(skip)),
            Source::Hole => STREAM_BYTES_MAX,
        };
        if (1..=max).contains(&self.len) {
            return Ok(());
        }
        Err(Fault::Rule("a slice of at least one byte that ends within 1 MiB of its chunk"))
    }

    /// The one slice that this and `next` are together, when they are.
    pub(crate) fn join(&self, next: &Self) -> Option<Self> {
        let len = self.len.checked_add(next.len)?;
        match (self.source, next.source) {
            (Source::Hole, Source::Hole) => {}
            (Source::Chunk { id, skip }, Source::Chunk { id: next_id, skip: next_skip })
                if id == next_id && u64::from(skip) + self.len == u64::from(next_skip) => {}
            _ => return None,
        }
        Some(Self { source: self.source, len })
    }
}

impl Stream {
    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Chunk { len, .. } | Self::Map { len, .. } => *len,
            Self::Slices(slices) => {
                slices.iter().fold(0, |sum: u64, slice| sum.saturating_add(slice.len))
            }
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The slices, when they are not in a map.
    #[must_use]
    pub fn inline(&self) -> Option<Vec<Slice>> {
        match self {
            Self::Empty => Some(Vec::new()),
            Self::Chunk { id, len } => {
                Some(alloc::vec![Slice { source: Source::Chunk { id: *id, skip: 0 }, len: *len }])
            }
            Self::Slices(slices) => Some(slices.clone()),
            Self::Map { .. } => None,
        }
    }

    /// The form of these slices, which are canonical and at most [`SLICES_INLINE_MAX`].
    pub(crate) fn from_inline(slices: Vec<Slice>) -> Self {
        match slices.as_slice() {
            [] => Self::Empty,
            [Slice { source: Source::Chunk { id, skip: 0 }, len }] => {
                Self::Chunk { id: *id, len: *len }
            }
            _ => Self::Slices(slices),
        }
    }

    /// The rules for a stream: its slices are valid and in their one form.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        match self {
            Self::Empty => Ok(()),
            Self::Chunk { id, len } => {
                Slice { source: Source::Chunk { id: *id, skip: 0 }, len: *len }.check()
            }
            Self::Slices(slices) => {
                for slice in slices {
                    slice.check()?;
                }
                let short = matches!(
                    slices.as_slice(),
                    [] | [Slice { source: Source::Chunk { skip: 0, .. }, .. }]
                );
                let apart = slices.windows(2).all(|pair| pair[0].join(&pair[1]).is_none());
                if short || !apart || slices.len() > SLICES_INLINE_MAX {
                    return Err(Fault::Rule("1 to 4 slices that are no chunk and do not join"));
                }
                check_len(self.len())
            }
            Self::Map { len, .. } if *len <= SLICES_INLINE_MAX as u64 => {
                Err(Fault::Rule("a map of more bytes than fit into slices"))
            }
            Self::Map { len, .. } => check_len(*len),
        }
    }

    /// The form as two bits of a kind byte.
    pub(crate) const fn form(&self) -> u8 {
        match self {
            Self::Empty => 0,
            Self::Chunk { .. } => 1,
            Self::Slices(_) => 2,
            Self::Map { .. } => 3,
        }
    }

    /// Appends what [`Stream::form`], the length and the ids leave open: for slices their count,
    /// and for each 0 for a hole or the bytes skipped plus one, and its length.
    pub(crate) fn put_slices(&self, out: &mut Vec<u8>) {
        let Self::Slices(slices) = self else {
            return;
        };
        put_varint(out, slices.len() as u64);
        for slice in slices {
            let head = match slice.source {
                Source::Hole => 0,
                Source::Chunk { skip, .. } => u64::from(skip) + 1,
            };
            put_varint(out, head);
            put_varint(out, slice.len);
        }
    }

    /// Reads what [`Stream::put_slices`] wrote; the ids are zero until they are read.
    pub(crate) fn read(reader: &mut Reader<'_>, form: u8, len: u64) -> Result<Self, Error> {
        let id = ChunkId([0; 32]);
        let stream = match form {
            0 => Self::Empty,
            1 => Self::Chunk { id, len },
            2 => {
                let count = reader.varint_usize(SLICES_INLINE_MAX, "at most 4 slices")?;
                let mut slices = Vec::with_capacity(count);
                for _ in 0..count {
                    let head = reader.varint_max(SLICE_END_MAX, "bytes to skip within 1 MiB")?;
                    let source = match u32::try_from(head.wrapping_sub(1)) {
                        Ok(skip) => Source::Chunk { id, skip },
                        Err(_) => Source::Hole,
                    };
                    slices.push(Slice { source, len: reader.varint("a length of a slice")? });
                }
                Self::Slices(slices)
            }
            3 => Self::Map { page: id, len },
            _ => return reader.fail("a form of a stream"),
        };
        if stream.len() == len { Ok(stream) } else { reader.fail("a stream of its length") }
    }

    /// The ids in order; whether an id is that of a map page is the second value.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (&ChunkId, bool)> {
        let (one, slices) = match self {
            Self::Empty => (None, [].as_slice()),
            Self::Chunk { id, .. } => (Some((id, false)), [].as_slice()),
            Self::Map { page, .. } => (Some((page, true)), [].as_slice()),
            Self::Slices(slices) => (None, slices.as_slice()),
        };
        one.into_iter().chain(slices.iter().filter_map(|slice| match &slice.source {
            Source::Chunk { id, .. } => Some((id, false)),
            Source::Hole => None,
        }))
    }

    /// The places of [`Stream::ids`], to be filled.
    pub(crate) fn ids_mut(&mut self) -> impl Iterator<Item = &mut ChunkId> {
        let (one, slices) = match self {
            Self::Empty => (None, [].as_mut_slice()),
            Self::Chunk { id, .. } => (Some(id), [].as_mut_slice()),
            Self::Map { page, .. } => (Some(page), [].as_mut_slice()),
            Self::Slices(slices) => (None, slices.as_mut_slice()),
        };
        one.into_iter().chain(slices.iter_mut().filter_map(|slice| match &mut slice.source {
            Source::Chunk { id, .. } => Some(id),
            Source::Hole => None,
        }))
    }
}

/// The rule for the length of a stream.
pub(crate) const fn check_len(len: u64) -> Result<(), Fault> {
    if len <= STREAM_BYTES_MAX {
        return Ok(());
    }
    Err(Fault::Rule("a stream of at most 2^63 - 1 bytes"))
}

#[cfg(test)]
mod tests;
