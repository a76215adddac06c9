use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use cairn_chunk::ChunkId;

use super::ends;
use crate::cut::mix;
use crate::page::{MAP_LEAF, Reference};
use crate::stream::{SLICE_END_MAX, STREAM_BYTES_MAX, Slice, Source};
use crate::wire::{Reader, VERSION, put_varint, unzigzag, varint_len, zigzag};
use crate::{Error, PAGE_BYTES_MAX};

/// The head of a hole.
const HOLE: u64 = 0;
/// The head of a slice from the start of a chunk that the page has not named before.
const NEW: u64 = 1;
/// The same, from further on in that chunk.
const NEW_SKIP: u64 = 2;
/// The head of a slice of the chunk that the slice before, holes left aside, is of.
const SAME: u64 = 3;
/// From here on: the ordinal of a chunk on the page.
const ORDINAL: u64 = 4;

/// The fewest bytes of a slice: head and length.
const SLICE_BYTES_MIN: usize = 2;
/// The most bytes of a slice: head, length, skip, id.
const SLICE_BYTES_MAX: usize = 5 + 10 + 5 + 32;
/// The weights of a slice of another chunk than the one before, and of the same.
const WEIGHT_OTHER: u64 = 36;
const WEIGHT_SAME: u64 = 5;

/// A page of slices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapLeaf {
    pub(super) slices: Vec<Slice>,
    pub(super) ends: Vec<u64>,
    ids: Vec<ChunkId>,
}

/// Where a slice's bytes are, its chunk as an ordinal on the page.
#[derive(Clone, Copy)]
enum Place {
    Hole,
    Chunk { ordinal: usize, skip: u32 },
}

impl MapLeaf {
    /// The slices in order, at least one.
    #[must_use]
    pub fn slices(&self) -> &[Slice] {
        &self.slices
    }

    /// The chunks that the slices are of, each once, in order of first use.
    #[must_use]
    pub fn ids(&self) -> &[ChunkId] {
        &self.ids
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut columns = LeafColumns::default();
        for slice in &self.slices {
            columns.push(slice);
        }
        columns.encode()
    }

    pub(crate) fn references(&self) -> Vec<Reference> {
        self.ids.iter().copied().map(Reference::Data).collect()
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<Self, Error> {
        let reader = &mut reader;
        let count = reader.count(SLICE_BYTES_MIN)?;
        let mut heads = Vec::with_capacity(count);
        for _ in 0..count {
            heads.push(reader.varint("a head of a slice")?);
        }
        let mut lens = Vec::with_capacity(count);
        for _ in 0..count {
            lens.push(reader.varint_max(STREAM_BYTES_MAX, "a length of a slice")?);
        }
        let (places, id_count) = read_places(reader, &heads, &lens)?;
        let mut ids = Vec::with_capacity(id_count.min(reader.left() / 32));
        for _ in 0..id_count {
            ids.push(reader.id()?);
        }
        reader.end()?;
        if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
            return reader.fail("distinct chunk ids");
        }
        let slice = |(place, len): (&Place, &u64)| {
            let source = match *place {
                Place::Hole => Source::Hole,
                Place::Chunk { ordinal, skip } => Source::Chunk { id: ids[ordinal], skip },
            };
            Slice { source, len: *len }
        };
        let slices: Vec<Slice> = places.iter().zip(&lens).map(slice).collect();
        for slice in &slices {
            slice.check().or_else(|fault| reader.fail(fault.expected()))?;
        }
        if slices.windows(2).any(|pair| pair[0].join(&pair[1]).is_some()) {
            return reader.fail("slices that do not join");
        }
        let ends = ends(lens.into_iter()).or_else(|expected| reader.fail(expected))?;
        Ok(Self { slices, ends, ids })
    }
}

/// Reads the column of skips, and gives the place of each slice and the number of chunks.
fn read_places(
    reader: &mut Reader<'_>,
    heads: &[u64],
    lens: &[u64],
) -> Result<(Vec<Place>, usize), Error> {
    let mut places = Vec::with_capacity(heads.len());
    // Per chunk, where its last slice ended: slices of one chunk mostly follow each other.
    let mut chunk_ends: Vec<u64> = Vec::new();
    let mut last = None;
    for (&head, &len) in heads.iter().zip(lens) {
        let ordinal = match head {
            HOLE => {
                places.push(Place::Hole);
                continue;
            }
            NEW | NEW_SKIP => {
                chunk_ends.push(0);
                chunk_ends.len() - 1
            }
            SAME => match last {
                Some(ordinal) => ordinal,
                None => return reader.fail("a chunk before a slice of the same chunk"),
            },
            _ => match usize::try_from(head - ORDINAL) {
                Ok(ordinal) if ordinal < chunk_ends.len() && last != Some(ordinal) => ordinal,
                _ => return reader.fail("the ordinal of another chunk before"),
            },
        };
        let skip = match head {
            NEW => Some(0),
            NEW_SKIP => Some(reader.varint("bytes to skip")?).filter(|&skip| skip > 0),
            _ => {
                let step = unzigzag(reader.varint("a step between slices")?);
                chunk_ends[ordinal].checked_add_signed(step)
            }
        };
        let skip = match skip.and_then(|skip| u32::try_from(skip).ok()) {
            Some(skip) if u64::from(skip) < SLICE_END_MAX => skip,
            _ => return reader.fail("bytes to skip within 1 MiB"),
        };
        chunk_ends[ordinal] = u64::from(skip).saturating_add(len);
        last = Some(ordinal);
        places.push(Place::Chunk { ordinal, skip });
    }
    Ok((places, chunk_ends.len()))
}

/// The columns of a leaf while it is built.
#[derive(Debug, Default)]
pub(super) struct LeafColumns {
    count: usize,
    heads: Vec<u8>,
    lens: Vec<u8>,
    skips: Vec<u8>,
    ids: Vec<u8>,
    /// Per chunk: its ordinal.
    ordinals: BTreeMap<ChunkId, u32>,
    /// Per ordinal: where its last slice ended.
    chunk_ends: Vec<i64>,
    last: Option<(ChunkId, u32)>,
}

impl LeafColumns {
    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the page is certain to be within its limit with one slice more.
    pub(super) const fn has_room(&self) -> bool {
        let now = self.heads.len() + self.lens.len() + self.skips.len() + self.ids.len();
        2 + varint_len(self.count as u64 + 1) + now + SLICE_BYTES_MAX <= PAGE_BYTES_MAX
    }

    /// Appends a valid slice that does not join the one before.
    pub(super) fn push(&mut self, slice: &Slice) {
        self.count += 1;
        put_varint(&mut self.lens, slice.len);
        let Source::Chunk { id, skip } = slice.source else {
            put_varint(&mut self.heads, HOLE);
            return;
        };
        let last = self.last.filter(|last| last.0 == id).map(|last| last.1);
        let ordinal = match last.or_else(|| self.ordinals.get(&id).copied()) {
            Some(ordinal) => {
                let head = last.map_or(ORDINAL + u64::from(ordinal), |_| SAME);
                put_varint(&mut self.heads, head);
                let step = i64::from(skip) - self.chunk_ends[ordinal as usize];
                put_varint(&mut self.skips, zigzag(step));
                ordinal
            }
            None => self.push_new(id, skip),
        };
        let end = u64::from(skip) + slice.len;
        self.chunk_ends[ordinal as usize] = end.cast_signed();
        self.last = Some((id, ordinal));
    }

    fn push_new(&mut self, id: ChunkId, skip: u32) -> u32 {
        if skip == 0 {
            put_varint(&mut self.heads, NEW);
        } else {
            put_varint(&mut self.heads, NEW_SKIP);
            put_varint(&mut self.skips, u64::from(skip));
        }
        let ordinal = u32::try_from(self.ordinals.len()).expect("a page has few chunks");
        self.ordinals.insert(id, ordinal);
        self.chunk_ends.push(0);
        self.ids.extend_from_slice(&id.0);
        ordinal
    }

    /// The weight and the hash that decide whether a page ends after `slice`: of its chunk and
    /// place in it, with no regard to where the page began.
    pub(super) fn mark(slice: &Slice, before: Option<&Slice>) -> (u64, u64) {
        let Source::Chunk { id, skip } = slice.source else {
            return (WEIGHT_SAME, u64::MAX);
        };
        let same = matches!(before, Some(Slice { source: Source::Chunk { id: last, .. }, .. })
            if *last == id);
        let hash = if skip == 0 { id.prefix() } else { mix(id.prefix() ^ u64::from(skip)) };
        (if same { WEIGHT_SAME } else { WEIGHT_OTHER }, hash)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = alloc::vec![MAP_LEAF, VERSION];
        put_varint(&mut out, self.count as u64);
        for column in [&self.heads, &self.lens, &self.skips, &self.ids] {
            out.extend_from_slice(column);
        }
        assert!(out.len() <= PAGE_BYTES_MAX, "a page is within its limit (TREE-3)");
        out
    }
}
