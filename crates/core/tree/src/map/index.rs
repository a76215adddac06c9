use alloc::vec::Vec;

use cairn_chunk::ChunkId;

use super::{MapPage, ends};
use crate::page::{MAP_INDEX, Reference};
use crate::stream::{STREAM_BYTES_MAX, check_len};
use crate::tower::IndexColumns;
use crate::wire::{Reader, VERSION, put_varint, varint_len};
use crate::{Error, LEVEL_MAX, PAGE_BYTES_MAX};

/// The fewest and the most bytes of a child: length and id.
const CHILD_BYTES_MIN: usize = 1 + 32;
const CHILD_BYTES_MAX: usize = 10 + 32;
/// The bytes of a child, about.
const CHILD_WEIGHT: u64 = 36;

/// A page below an index page of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapChild {
    /// The page.
    pub page: ChunkId,
    /// The bytes of its range, at least one.
    pub len: u64,
    /// The levels below it: 0 for a leaf.
    pub level: u8,
}

impl MapChild {
    /// Checks that `page` is what its parent says. Whoever walks a map checks each page so: levels
    /// that descend bound the walk, and lengths hold across pages.
    ///
    /// # Errors
    /// [`Error::Child`].
    pub fn check(&self, page: &MapPage) -> Result<(), Error> {
        if page.level() != self.level {
            return Err(Error::Child { what: "level" });
        }
        page.check_len(self.len)
    }
}

/// A page of map pages one level below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapIndex {
    level: u8,
    pub(super) children: Vec<MapChild>,
    pub(super) ends: Vec<u64>,
}

impl MapIndex {
    /// The levels below: at least one.
    #[must_use]
    pub const fn level(&self) -> u8 {
        self.level
    }

    /// The children in order, at least one.
    #[must_use]
    pub fn children(&self) -> &[MapChild] {
        &self.children
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut columns = MapIndexColumns::default();
        for child in &self.children {
            columns.push(child);
        }
        columns.encode(self.level)
    }

    pub(crate) fn references(&self) -> Vec<Reference> {
        self.children.iter().map(|child| Reference::MapPage(child.page)).collect()
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<Self, Error> {
        let reader = &mut reader;
        let level = reader.u8("a level")?;
        if !(1..=LEVEL_MAX).contains(&level) {
            return reader.fail("a level of 1 to 64");
        }
        let count = reader.count(CHILD_BYTES_MIN)?;
        let mut lens = Vec::with_capacity(count);
        for _ in 0..count {
            let len = reader.varint_max(STREAM_BYTES_MAX, "a length of a child")?;
            if len == 0 {
                return reader.fail("a child of at least one byte");
            }
            lens.push(len);
        }
        let mut children = Vec::with_capacity(count);
        for &len in &lens {
            children.push(MapChild { page: reader.id()?, len, level: level - 1 });
        }
        reader.end()?;
        let ends = ends(lens.into_iter()).or_else(|expected| reader.fail(expected))?;
        Ok(Self { level, children, ends })
    }
}

/// The columns of an index page while it is built.
#[derive(Debug, Default)]
pub(super) struct MapIndexColumns {
    count: usize,
    lens: Vec<u8>,
    ids: Vec<u8>,
}

impl IndexColumns for MapIndexColumns {
    type Child = MapChild;

    fn has_room(&self, _child: &MapChild) -> bool {
        let now = 3 + varint_len(self.count as u64 + 1) + self.lens.len() + self.ids.len();
        now + CHILD_BYTES_MAX <= PAGE_BYTES_MAX
    }

    fn push(&mut self, child: &MapChild) {
        self.count += 1;
        put_varint(&mut self.lens, child.len);
        self.ids.extend_from_slice(&child.page.0);
    }

    /// The id of a page is a hash of all it holds, so it serves as one.
    fn mark(child: &MapChild) -> (u64, u64) {
        (CHILD_WEIGHT, child.page.prefix())
    }

    fn join(range: &mut MapChild, next: &MapChild) -> Result<(), Error> {
        let len = range.len.saturating_add(next.len);
        check_len(len).map_err(|fault| Error::Slice { expected: fault.expected() })?;
        range.len = len;
        Ok(())
    }

    fn rise(range: MapChild, page: ChunkId) -> MapChild {
        MapChild { page, level: range.level + 1, ..range }
    }

    fn encode(&self, level: u8) -> Vec<u8> {
        let mut out = alloc::vec![MAP_INDEX, VERSION, level];
        put_varint(&mut out, self.count as u64);
        out.extend_from_slice(&self.lens);
        out.extend_from_slice(&self.ids);
        assert!(out.len() <= PAGE_BYTES_MAX, "a page is within its limit (TREE-3)");
        out
    }
}
