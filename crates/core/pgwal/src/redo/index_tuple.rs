//! The part of an index entry that access methods read in records (`access/itup.h`).
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | a block number: high half, low half |
//! | 4 | 2 | an item's number on that block, or flags of the access method |
//! | 6 | 2 | 13 bits length of the entry in bytes, 1 bit of the access method, has varying widths, has nulls |
//! | 8 | | null bitmap, values |

use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::aligned;

/// Bytes of the header.
pub(super) const TUPLE_HEADER_BYTES: usize = 8;
/// The length of an entry that is a header only.
pub(super) const HEADER_LEN: u16 = 8;
/// Where the item's number is.
pub(super) const NUMBER_AT: usize = 4;
/// Where length and flags are.
pub(super) const INFO_AT: usize = 6;
/// The bits of the length.
pub(super) const LEN_MASK: u16 = 0x1fff;
/// Of the access method's own use.
pub(super) const METHOD_BIT: u16 = 0x2000;

const MALFORMED: RedoError = RedoError::Record("an index entry's length is wrong");

/// Two bytes of an entry, little endian; `at` is in its header.
fn half(tuple: &[u8; TUPLE_HEADER_BYTES], at: usize) -> u16 {
    u16::from_le_bytes([tuple[at], tuple[at + 1]])
}

/// Length and flags; none when there is no whole header.
pub(super) fn info(tuple: &[u8]) -> Option<u16> {
    tuple.first_chunk().map(|header| half(header, INFO_AT))
}

/// The item's number, or the flags in its place.
pub(super) fn number(tuple: &[u8]) -> Option<u16> {
    tuple.first_chunk().map(|header| half(header, NUMBER_AT))
}

/// The block number.
pub(super) fn block(tuple: &[u8]) -> Option<u32> {
    let header = tuple.first_chunk()?;
    Some(u32::from(half(header, 0)) << 16 | u32::from(half(header, 2)))
}

/// A block number as it is stored: the high half first.
pub(super) fn block_bytes(block: u32) -> [u8; 4] {
    let [a, b, c, d] = block.to_le_bytes();
    [c, d, a, b]
}

/// The bytes that an entry says it has; none when it is shorter.
pub(super) fn whole(tuple: &[u8]) -> Option<&[u8]> {
    let len = usize::from(info(tuple)? & LEN_MASK);
    if len < TUPLE_HEADER_BYTES { None } else { tuple.get(..len) }
}

/// Takes the next entry of a row of them, with its padding to a multiple of 8.
pub(super) fn take<'a>(fields: &mut Fields<'a>) -> Result<&'a [u8], RedoError> {
    let len = info(fields.rest()).map_or(0, |info| usize::from(info & LEN_MASK));
    if len < TUPLE_HEADER_BYTES {
        return Err(MALFORMED);
    }
    fields.take(aligned(len))
}
