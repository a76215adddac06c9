//! Entries of indexes (`access/itup.h`), as records and pages hold them.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 6 | where it leads: a [`Tid`](super::tid::Tid) |
//! | 6 | 2 | flags in the upper three bits; in the others its length in bytes with this header |

use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::aligned;

/// Bytes of an entry's header.
pub(super) const HEADER_BYTES: usize = 8;
const INFO_AT: usize = 6;
const LEN_MASK: u16 = 0x1fff;

/// The length of the entry that begins here, never less than its header; nothing where none can be.
pub(super) fn len(bytes: &[u8]) -> Option<usize> {
    let info = bytes.get(INFO_AT..)?.first_chunk()?;
    let len = usize::from(u16::from_le_bytes(*info) & LEN_MASK);
    (len >= HEADER_BYTES).then_some(len)
}

/// Takes one from a record.
pub(super) fn take<'a>(fields: &mut Fields<'a>) -> Result<&'a [u8], RedoError> {
    let len = len(fields.rest()).ok_or(RedoError::Record("no index entry where one must be"))?;
    fields.take(len)
}

/// Takes one from a record that has them with their padding to a multiple of 8.
pub(super) fn take_padded<'a>(fields: &mut Fields<'a>) -> Result<&'a [u8], RedoError> {
    let len = len(fields.rest()).ok_or(RedoError::Record("no index entry where one must be"))?;
    fields.take(aligned(len))
}
