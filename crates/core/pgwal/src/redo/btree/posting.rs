//! Posting lists: entries with one key and many rows (`nbtdedup.c`).
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | where the list begins: high half, low half; a multiple of 8 |
//! | 4 | 2 | 12 bits number of rows, bit 13 set |
//! | 6 | 2 | length and flags, the access method's bit set |
//! | 8 | | key |
//! | list | 6 n | rows: block (high half, low half), number of the item; they rise |
//! | | | zeros up to a multiple of 8 |

use alloc::vec::Vec;

use super::{Tid, index_tuple};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::aligned;

/// Where length and flags are.
const INFO_AT: usize = Tid::BYTES;
const LEN_MASK: u16 = 0x1fff;
/// The bit of the length that is the access method's.
pub(super) const METHOD_BIT: u16 = 0x2000;
const COUNT_MASK: u16 = 0x0fff;
const IS_LIST: u16 = 0x2000;

const NO_LIST: RedoError = RedoError::Mismatch("an index entry is not the posting list it was");
const NO_ENTRY: RedoError = RedoError::Mismatch("an index entry is shorter than it says");
const OUTSIDE: RedoError = RedoError::Mismatch("a posting list has no such rows");

/// The header of an entry.
#[derive(Clone, Copy)]
struct Header {
    /// Where it leads; in a posting list, offset and number of the rows.
    tid: Tid,
    /// Length and flags.
    info: u16,
}

impl Header {
    fn of(tuple: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(tuple);
        Some(Self { tid: Tid::read(&mut fields).ok()?, info: fields.u16().ok()? })
    }

    const fn is_list(self) -> bool {
        self.info & METHOD_BIT != 0 && self.tid.item & IS_LIST != 0
    }
}

/// The page that an entry of an inner page leads to.
pub(super) fn downlink(tuple: &[u8]) -> Option<u32> {
    Header::of(tuple).map(|header| header.tid.block)
}

/// A leaf's entry: its key, and the addresses of the rows that have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// All of it.
    pub(super) bytes: &'a [u8],
    /// What a list of rows is appended to: header and key.
    key: &'a [u8],
    /// The rows' addresses, one after the other.
    pub(super) tids: &'a [u8],
    is_list: bool,
}

impl<'a> Entry<'a> {
    /// Reads an item of a leaf.
    pub(super) fn of(item: &'a [u8]) -> Result<Self, RedoError> {
        let bytes = index_tuple::len(item).and_then(|len| item.get(..len)).ok_or(NO_ENTRY)?;
        let header = Header::of(bytes).ok_or(NO_ENTRY)?;
        if !header.is_list() {
            return Ok(Self { bytes, key: bytes, tids: &bytes[..Tid::BYTES], is_list: false });
        }
        let start = usize::try_from(header.tid.block).map_err(|_| NO_LIST)?;
        let len = usize::from(header.tid.item & COUNT_MASK) * Tid::BYTES;
        let (key, rest) = bytes.split_at_checked(start).ok_or(NO_LIST)?;
        let tids = rest.get(..len).filter(|tids| !tids.is_empty()).ok_or(NO_LIST)?;
        let aligned = start.is_multiple_of(8) && bytes.len().is_multiple_of(8);
        if start < index_tuple::HEADER_BYTES || !aligned {
            return Err(NO_LIST);
        }
        Ok(Self { bytes, key, tids, is_list: true })
    }

    /// Reads an item that must be a posting list.
    fn list(item: &'a [u8]) -> Result<Self, RedoError> {
        Self::of(item).and_then(|entry| if entry.is_list { Ok(entry) } else { Err(NO_LIST) })
    }

    /// How long it is with that many bytes of rows, which are more than one.
    pub(super) const fn len_with(&self, tids_len: usize) -> usize {
        aligned(self.key.len() + tids_len)
    }

    /// The same key with these rows: a posting list, or for a single row none.
    pub(super) fn with(&self, tids: &[u8]) -> Result<Vec<u8>, RedoError> {
        let count = u16::try_from(tids.len() / Tid::BYTES).map_err(|_| OUTSIDE)?;
        let is_list = count > 1;
        let len = if is_list { self.len_with(tids.len()) } else { self.key.len() };
        let len_bits = u16::try_from(len).ok().filter(|len| *len <= LEN_MASK);
        let (Some(len_bits), 1..=COUNT_MASK) = (len_bits, count) else {
            return Err(OUTSIDE);
        };
        let mut made = self.key.to_vec();
        let flags = Header::of(self.key).ok_or(NO_ENTRY)?.info & !(LEN_MASK | METHOD_BIT);
        let (pointer, info) = if is_list {
            made.extend_from_slice(tids);
            made.resize(len, 0);
            let start = u32::try_from(self.key.len()).map_err(|_| NO_LIST)?;
            (Tid { block: start, item: count | IS_LIST }.bytes(), flags | METHOD_BIT)
        } else {
            (*tids.first_chunk().ok_or(OUTSIDE)?, flags)
        };
        made[..INFO_AT].copy_from_slice(&pointer);
        made[INFO_AT..index_tuple::HEADER_BYTES].copy_from_slice(&(info | len_bits).to_le_bytes());
        Ok(made)
    }
}

/// Puts a new entry's row into a list, at `index`, and takes the list's last one out of it for the
/// entry (`_bt_swap_posting`). Returns list and entry, as long as they were.
pub(super) fn swap(item: &[u8], new: &[u8], index: u16) -> Result<(Vec<u8>, Vec<u8>), RedoError> {
    let old = Entry::list(item)?;
    let at = usize::from(index) * Tid::BYTES;
    let tid = new.get(..Tid::BYTES).ok_or(RedoError::Record("a new entry is too short"))?;
    if index == 0 || at >= old.tids.len() {
        return Err(OUTSIDE);
    }
    let (first, last) = old.tids.split_at(old.tids.len() - Tid::BYTES);
    let tids = [&first[..at], tid, &first[at..]].concat();
    let (mut list, mut entry) = (old.bytes.to_vec(), new.to_vec());
    list[old.key.len()..old.key.len() + tids.len()].copy_from_slice(&tids);
    entry[..Tid::BYTES].copy_from_slice(last);
    Ok((list, entry))
}

/// A list without the rows at `gone`, little-endian indexes that rise (`_bt_update_posting`).
pub(super) fn without(item: &[u8], gone: &[u8]) -> Result<Vec<u8>, RedoError> {
    let old = Entry::list(item)?;
    let mut gone = gone.chunks_exact(2).map(|at| usize::from(u16::from_le_bytes([at[0], at[1]])));
    let mut next = gone.next();
    let mut kept = Vec::with_capacity(old.tids.len());
    for (index, tid) in old.tids.chunks_exact(Tid::BYTES).enumerate() {
        if next == Some(index) {
            next = gone.next();
        } else {
            kept.extend_from_slice(tid);
        }
    }
    if next.is_some() {
        return Err(OUTSIDE);
    }
    old.with(&kept)
}
