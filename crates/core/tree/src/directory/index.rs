use alloc::vec::Vec;

use cairn_chunk::ChunkId;

use super::{DirectoryPage, sum};
use crate::column::{NameColumns, read_names};
use crate::entry::Totals;
use crate::page::{DIRECTORY_INDEX, Reference};
use crate::tower::IndexColumns;
use crate::wire::{Reader, VERSION, put_totals, put_varint, varint_len};
use crate::{Error, LEVEL_MAX, PAGE_BYTES_MAX};

/// The fewest bytes of a child: shared, rest's length, rest, five totals, id.
const CHILD_BYTES_MIN: usize = 3 + 5 + 32;
/// The most bytes of a child besides its name: two lengths, five totals, id.
const CHILD_FIXED_BYTES_MAX: usize = 2 * 2 + 5 * 10 + 32;

/// A page below an index page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryChild {
    /// The first name on or below it.
    pub first: Vec<u8>,
    /// The page.
    pub page: ChunkId,
    /// The totals of all entries on and below it.
    pub totals: Totals,
    /// The levels below it: 0 for a leaf.
    pub level: u8,
}

impl DirectoryChild {
    /// Checks that `page` is what its parent says. Whoever walks a tree checks each page so: levels
    /// that descend bound the walk, and totals and order hold across pages.
    ///
    /// # Errors
    /// [`Error::Child`].
    pub fn check(&self, page: &DirectoryPage) -> Result<(), Error> {
        if page.level() != self.level {
            return Err(Error::Child { what: "level" });
        }
        if page.first_name() != self.first {
            return Err(Error::Child { what: "first name" });
        }
        page.check_totals(&self.totals)
    }
}

/// A page of pages one level below.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryIndex {
    level: u8,
    children: Vec<DirectoryChild>,
    totals: Totals,
}

impl DirectoryIndex {
    /// The levels below: at least one.
    #[must_use]
    pub const fn level(&self) -> u8 {
        self.level
    }

    /// The children in ascending order of their first names, at least one.
    #[must_use]
    pub fn children(&self) -> &[DirectoryChild] {
        &self.children
    }

    /// The children, owned.
    #[must_use]
    pub fn into_children(self) -> Vec<DirectoryChild> {
        self.children
    }

    /// The totals of all children.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// The child that has `name` on or below it, if any has.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&DirectoryChild> {
        let after = self.children.partition_point(|child| child.first.as_slice() <= name);
        self.children.get(after.checked_sub(1)?)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut columns = DirectoryIndexColumns::default();
        for child in &self.children {
            columns.put(child);
        }
        columns.encode(self.level)
    }

    pub(crate) fn references(&self) -> Vec<Reference> {
        self.children.iter().map(|child| Reference::DirectoryPage(child.page)).collect()
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<Self, Error> {
        let reader = &mut reader;
        let level = reader.u8("a level")?;
        if !(1..=LEVEL_MAX).contains(&level) {
            return reader.fail("a level of 1 to 64");
        }
        let count = reader.count(CHILD_BYTES_MIN)?;
        let names = read_names(reader, count)?;
        let mut children = Vec::with_capacity(count);
        for first in names {
            let totals = reader.totals()?;
            if let Err(fault) = totals.check(Some(&super::NO_ID)) {
                return reader.fail(fault.expected());
            }
            children.push(DirectoryChild { first, page: super::NO_ID, totals, level: level - 1 });
        }
        for child in &mut children {
            child.page = reader.id()?;
        }
        reader.end()?;
        let totals = sum(children.iter().map(|child| Ok(child.totals)))
            .or_else(|_| reader.fail("totals of 64 bits"))?;
        Ok(Self { level, children, totals })
    }
}

/// The columns of an index page while it is built.
#[derive(Debug, Default)]
pub(crate) struct DirectoryIndexColumns {
    count: usize,
    names: NameColumns,
    totals: Vec<u8>,
    ids: Vec<u8>,
}

impl DirectoryIndexColumns {
    fn put(&mut self, child: &DirectoryChild) {
        self.count += 1;
        self.names.push(&child.first);
        put_totals(&mut self.totals, &child.totals);
        self.ids.extend_from_slice(&child.page.0);
    }
}

impl IndexColumns for DirectoryIndexColumns {
    type Child = DirectoryChild;

    fn has_room(&self, child: &DirectoryChild) -> bool {
        let now = 3
            + varint_len(self.count as u64 + 1)
            + self.names.len()
            + self.totals.len()
            + self.ids.len();
        now + child.first.len() + CHILD_FIXED_BYTES_MAX <= PAGE_BYTES_MAX
    }

    fn push(&mut self, child: &DirectoryChild) {
        self.put(child);
    }

    fn mark(child: &DirectoryChild) -> (u64, u64) {
        super::builder::mark(&child.first)
    }

    fn join(range: &mut DirectoryChild, next: &DirectoryChild) -> Result<(), Error> {
        range.totals = range.totals.checked_add(&next.totals).ok_or(Error::TotalsOverflow)?;
        Ok(())
    }

    fn rise(mut range: DirectoryChild, page: ChunkId) -> DirectoryChild {
        range.page = page;
        range.level += 1;
        range
    }

    fn encode(&self, level: u8) -> Vec<u8> {
        let mut out = alloc::vec![DIRECTORY_INDEX, VERSION, level];
        put_varint(&mut out, self.count as u64);
        self.names.write(&mut out);
        out.extend_from_slice(&self.totals);
        out.extend_from_slice(&self.ids);
        assert!(out.len() <= PAGE_BYTES_MAX, "a page is within its limit (TREE-3)");
        out
    }
}
