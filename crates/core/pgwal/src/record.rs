use alloc::vec::Vec;

use crate::error::RedoError;
use crate::lsn::Lsn;

/// A major version of PostgreSQL. What differs between them is asked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Major {
    /// PostgreSQL 15.
    V15,
}

impl Major {
    /// The magic of its pages of WAL.
    #[must_use]
    pub const fn wal_magic(self) -> u16 {
        match self {
            Self::V15 => 0xd110,
        }
    }
}

/// A relation's files: `base/DATABASE/RELATION` in a tablespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Relation {
    /// The tablespace's oid; 1663 is `pg_default`, 1664 is `pg_global`.
    pub tablespace: u32,
    /// The database's oid; 0 for what all share.
    pub database: u32,
    /// The number in the file's name.
    pub number: u32,
}

/// Which file of a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fork {
    /// Its rows or index entries.
    Main,
    /// Where there is room.
    FreeSpace,
    /// Which pages everyone sees.
    Visibility,
    /// What an unlogged relation is reset to.
    Init,
}

impl Fork {
    /// The fork with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Main),
            1 => Some(Self::FreeSpace),
            2 => Some(Self::Visibility),
            3 => Some(Self::Init),
            _ => None,
        }
    }
}

/// An image of a page, as it is in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// The bytes but for the hole, compressed as `info` says.
    pub bytes: &'a [u8],
    /// Where zeros were left out.
    pub hole_offset: u16,
    /// How many.
    pub hole_len: u16,
    /// Its flags, `BKPIMAGE_*`.
    pub info: u8,
    /// Whether redo is to take the page from here; otherwise the image is for comparison.
    pub apply: bool,
}

/// A block that a record changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// Its number in the record.
    pub id: u8,
    /// The relation.
    pub relation: Relation,
    /// The fork.
    pub fork: Fork,
    /// The block's number in the fork.
    pub number: u32,
    /// Redo begins with an empty page, whatever was there.
    pub will_init: bool,
    /// An image of the page after the change.
    pub image: Option<Image<'a>>,
    /// What the record says of this block.
    pub data: &'a [u8],
}

/// A record, decoded; its parts borrow from the bytes it was decoded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Whose record it is.
    pub major: Major,
    /// Its first byte.
    pub start: Lsn,
    /// The byte after its last, rounded up to 8: the LSN of pages it changes.
    pub end: Lsn,
    /// The start of the record before.
    pub previous: Lsn,
    /// The transaction, 0 for none.
    pub xid: u32,
    /// Flags; the upper four bits are the resource manager's.
    pub info: u8,
    /// The resource manager's number.
    pub rmgr: u8,
    /// The replication origin, 0 for none.
    pub origin: u16,
    /// The top-level transaction of a subtransaction whose first record this is, 0 for none.
    pub top_xid: u32,
    /// The blocks, by their ids, which have no gaps but where a record leaves a block out.
    pub blocks: Vec<Block<'a>>,
    /// What the record says of no block in particular.
    pub main: &'a [u8],
}

impl<'a> Record<'a> {
    /// The resource manager's bits of the info: what kind of record it is.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        self.info & 0xf0
    }

    /// The block with this id.
    #[must_use]
    pub fn block(&self, id: u8) -> Option<&Block<'a>> {
        self.blocks.iter().find(|block| block.id == id)
    }

    /// The block with this id, which the record must have.
    ///
    /// # Errors
    /// [`RedoError::NoBlock`].
    pub fn expect_block(&self, id: u8) -> Result<&Block<'a>, RedoError> {
        self.block(id).ok_or(RedoError::NoBlock(id))
    }

    /// The error of a block that its resource manager's redo does not know.
    #[must_use]
    pub const fn unknown(&self, block: &Block<'_>) -> RedoError {
        RedoError::Unknown { rmgr: self.rmgr, info: self.kind(), block: block.id }
    }
}
