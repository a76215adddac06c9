use thiserror::Error;

use crate::lsn::Lsn;

/// Why a stream of WAL cannot be read on. A log that ended by a crash ends like this too.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum WalError {
    /// Nothing was written here yet.
    #[error("the log ends at {at}")]
    End {
        /// Where the next record would be.
        at: Lsn,
    },
    /// The page is of another version, or none.
    #[error("the page at {at} has the magic {found:#06x} of no known version of PostgreSQL")]
    Magic {
        /// The page.
        at: Lsn,
        /// Its magic.
        found: u16,
    },
    /// The page is not what must follow.
    #[error("the page at {at} does not belong here: {detail}")]
    Page {
        /// The page.
        at: Lsn,
        /// Why.
        detail: &'static str,
    },
    /// The record's length cannot be.
    #[error("the record at {at} says it has {len} bytes")]
    Length {
        /// The record.
        at: Lsn,
        /// Its length.
        len: u64,
    },
    /// The record's checksum is wrong.
    #[error("the record at {at} is damaged: its CRC is wrong")]
    Crc {
        /// The record.
        at: Lsn,
    },
    /// The record is malformed.
    #[error("the record at {at} is malformed: {detail}")]
    Record {
        /// The record.
        at: Lsn,
        /// Why.
        detail: &'static str,
    },
}

/// Why a control file cannot be used.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ControlError {
    /// Its length is not that of one.
    #[error("it has {0} bytes; a control file has 8192")]
    Length(usize),
    /// It is of a version that is not known.
    #[error("its version is {0}; that of PostgreSQL 15 is 1300")]
    Version(u32),
    /// Its checksum is wrong.
    #[error("it is damaged: its CRC is wrong")]
    Crc,
    /// The server was compiled with other sizes, or the file is malformed.
    #[error("its state, or the size of pages or segments, is not one that is known")]
    Fields,
}

/// What is wrong with a page, or with what is to be done to it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PageError {
    /// Lower, upper and special are not in order.
    #[error("the page's header is damaged: lower {lower}, upper {upper}, special {special}")]
    Header {
        /// The end of the line pointers.
        lower: u16,
        /// The start of the items.
        upper: u16,
        /// The start of the special space.
        special: u16,
    },
    /// No item has this number.
    #[error("the page has no item {0}")]
    NoItem(u16),
    /// A line pointer leads out of the items, or the item is shorter than what is read of it.
    #[error("item {0} is not where an item can be")]
    BadItem(u16),
    /// The line pointer is taken.
    #[error("item {0} is in use")]
    Taken(u16),
    /// An item does not fit.
    #[error("{0} bytes do not fit into the page")]
    Full(usize),
    /// Bytes outside the page were meant.
    #[error("byte {0} is not in the page")]
    Outside(usize),
}

/// Why a record could not be done again. The page is as it was.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum RedoError {
    /// The page is not what the record was written for.
    #[error(transparent)]
    Page(#[from] PageError),
    /// The page holds something else than the record says.
    #[error("the page does not fit the record: {0}")]
    Mismatch(&'static str),
    /// The record is malformed.
    #[error("the record is malformed: {0}")]
    Record(&'static str),
    /// The record has no such block.
    #[error("the record has no block {0}")]
    NoBlock(u8),
    /// No redo is known for this record, or for this block of it.
    #[error("no redo is known for resource manager {rmgr}, info {info:#04x}, block {block}")]
    Unknown {
        /// The resource manager's number.
        rmgr: u8,
        /// Its bits of the record's info.
        info: u8,
        /// The block's number in the record.
        block: u8,
    },
}
