//! Map pages: the slices of a stream that has more than a few.

mod builder;
mod index;
mod leaf;

use alloc::vec::Vec;

pub use builder::StreamBuilder;
pub use index::{MapChild, MapIndex};
pub use leaf::MapLeaf;

use crate::stream::Slice;
use crate::{Error, Page};

/// A page of a map. Offsets count from the first byte of the page's own range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapPage {
    /// Slices.
    Leaf(MapLeaf),
    /// Pages one level below.
    Index(MapIndex),
}

/// What a map page says of an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapFind<'a> {
    /// The slice with that byte.
    Slice {
        /// The slice.
        slice: &'a Slice,
        /// Its position on the page.
        index: usize,
        /// The offset of its first byte on the page.
        start: u64,
    },
    /// The page with that byte.
    Child {
        /// The page.
        child: &'a MapChild,
        /// Its position on the page.
        index: usize,
        /// The offset of its first byte on the page.
        start: u64,
    },
    /// The offset is not less than the page's length.
    Beyond,
}

impl MapPage {
    /// Decodes a page that has to be of a map.
    ///
    /// # Errors
    /// As [`Page::decode`], and when the page is of another kind.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        match Page::decode(bytes)? {
            Page::Map(page) => Ok(page),
            Page::Directory(_) | Page::Root(_) => Err(Error::Child { what: "kind (a map page)" }),
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

    /// Looks for a byte. Cost: a binary search.
    #[must_use]
    pub fn find(&self, offset: u64) -> MapFind<'_> {
        let (Self::Leaf(MapLeaf { ends, .. }) | Self::Index(MapIndex { ends, .. })) = self;
        let index = ends.partition_point(|&end| end <= offset);
        let start = index.checked_sub(1).map_or(0, |before| ends[before]);
        if index == ends.len() {
            return MapFind::Beyond;
        }
        match self {
            Self::Leaf(leaf) => MapFind::Slice { slice: &leaf.slices[index], index, start },
            Self::Index(page) => MapFind::Child { child: &page.children[index], index, start },
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

    /// The bytes of all slices on and below this page, at least one.
    #[must_use]
    pub fn byte_count(&self) -> u64 {
        let (Self::Leaf(MapLeaf { ends, .. }) | Self::Index(MapIndex { ends, .. })) = self;
        ends.last().copied().unwrap_or(0)
    }

    /// Checks that this can be the top page of a stream of `len` bytes.
    ///
    /// # Errors
    /// [`Error::Child`].
    pub fn check_len(&self, len: u64) -> Result<(), Error> {
        if self.byte_count() == len { Ok(()) } else { Err(Error::Child { what: "length" }) }
    }
}

/// The running sums of lengths, or the rule that they break.
fn ends(lens: impl Iterator<Item = u64>) -> Result<Vec<u64>, &'static str> {
    let mut end = 0_u64;
    lens.map(|len| {
        end = end.saturating_add(len);
        crate::stream::check_len(end).map(|()| end).map_err(crate::error::Fault::expected)
    })
    .collect()
}

#[cfg(test)]
mod tests;
