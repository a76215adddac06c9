//! Directory pages: leaves hold entries, index pages hold children, both sorted by name.

mod builder;
mod columns;
mod diff;
mod index;
mod leaf;

use alloc::vec::Vec;

pub use builder::DirectoryBuilder;
pub use diff::{Diff, Side, Step};
pub use index::{DirectoryChild, DirectoryIndex};
pub use leaf::DirectoryLeaf;

use crate::entry::{Entry, Totals};
use crate::{Error, Page};
use cairn_chunk::ChunkId;

/// A page of a directory. Decoded pages are sorted and valid throughout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryPage {
    /// Entries.
    Leaf(DirectoryLeaf),
    /// Pages one level below.
    Index(DirectoryIndex),
}

/// What a directory page says of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find<'a> {
    /// The entry of that name.
    Entry(&'a Entry),
    /// The entry, if there is one, is below this child.
    Child(&'a DirectoryChild),
    /// There is no such entry.
    Missing,
}

impl DirectoryPage {
    /// Decodes a page that has to be of a directory.
    ///
    /// # Errors
    /// As [`Page::decode`], and when the page is of another kind.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        match Page::decode(bytes)? {
            Page::Directory(page) => Ok(page),
            Page::Map(_) | Page::Root(_) => Err(Error::Child { what: "kind (a directory page)" }),
        }
    }

    /// The bytes that decode to this page.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Leaf(leaf) => leaf.encode(),
            Self::Index(index) => index.encode(),
        }
    }

    /// Looks for an entry. Cost: a binary search.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Find<'_> {
        match self {
            Self::Leaf(leaf) => leaf.find(name).map_or(Find::Missing, Find::Entry),
            Self::Index(index) => index.find(name).map_or(Find::Missing, Find::Child),
        }
    }

    /// The levels below this page: 0 for a leaf.
    #[must_use]
    pub const fn level(&self) -> u8 {
        match self {
            Self::Leaf(_) => 0,
            Self::Index(index) => index.level(),
        }
    }

    /// The totals of all entries on and below this page.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        match self {
            Self::Leaf(leaf) => leaf.totals(),
            Self::Index(index) => index.totals(),
        }
    }

    /// The first name on or below this page.
    #[must_use]
    pub fn first_name(&self) -> &[u8] {
        match self {
            Self::Leaf(leaf) => &leaf.entries()[0].name,
            Self::Index(index) => &index.children()[0].first,
        }
    }

    /// The last name on this page: of an entry, or the first of the last child.
    pub(crate) fn last_name(&self) -> &[u8] {
        let none: &[u8] = &[];
        match self {
            Self::Leaf(leaf) => leaf.entries().last().map_or(none, |entry| &entry.name),
            Self::Index(index) => index.children().last().map_or(none, |child| &child.first),
        }
    }

    /// Checks that this can be the top page of a directory with these totals.
    ///
    /// # Errors
    /// [`Error::Child`].
    pub fn check_totals(&self, totals: &Totals) -> Result<(), Error> {
        if self.totals() == *totals { Ok(()) } else { Err(Error::Child { what: "totals" }) }
    }
}

/// The totals of a sequence, or none when they exceed 64 bits.
fn sum(totals: impl Iterator<Item = Result<Totals, Error>>) -> Result<Totals, Error> {
    totals.into_iter().try_fold(Totals::default(), |sum, next| {
        sum.checked_add(&next?).ok_or(Error::TotalsOverflow)
    })
}

/// The id that is in a page until the ids are read.
const NO_ID: ChunkId = ChunkId([0; 32]);

#[cfg(test)]
mod tests;
