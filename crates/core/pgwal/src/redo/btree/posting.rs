//! Posting lists: entries with one key and many rows (`nbtdedup.c`).
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | where the list begins: high half, low half; a multiple of 8 |
//! | 4 | 2 | 12 bits number of rows, bit 13 set |
//! | 6 | 2 | length and flags, the access method's bit set |
//! | 8 | | key |
//! | list | 6 n | rows: block high half, low half, number; they rise |
//! | | | zeros up to a multiple of 8 |

use alloc::vec::Vec;

use super::super::index_tuple::{
    INFO_AT, LEN_MASK, METHOD_BIT, NUMBER_AT, block, block_bytes, info, number, whole,
};
use crate::error::RedoError;
use crate::page::aligned;

/// Bytes of a row's address.
pub(super) const TID_BYTES: usize = 6;
const COUNT_MASK: u16 = 0x0fff;
const IS_POSTING: u16 = 0x2000;

const NO_LIST: RedoError = RedoError::Mismatch("an index entry is not the posting list it was");
const NO_ENTRY: RedoError = RedoError::Mismatch("an index entry is shorter than it says");

/// A leaf's entry: its key, and the addresses of the rows that have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// All of it.
    pub(super) bytes: &'a [u8],
    /// What a posting list would be appended to: header and key.
    key: &'a [u8],
    /// The rows' addresses, one after the other.
    pub(super) tids: &'a [u8],
    /// Whether it is a posting list.
    is_list: bool,
}

impl<'a> Entry<'a> {
    /// Reads an item of a leaf.
    pub(super) fn of(item: &'a [u8]) -> Result<Self, RedoError> {
        let bytes = whole(item).ok_or(NO_ENTRY)?;
        let (info, number) = (info(bytes).unwrap_or(0), number(bytes).unwrap_or(0));
        if info & METHOD_BIT == 0 || number & IS_POSTING == 0 {
            return Ok(Self { bytes, key: bytes, tids: &bytes[..TID_BYTES], is_list: false });
        }
        let len = usize::from(number & COUNT_MASK) * TID_BYTES;
        let start = block(bytes).and_then(|start| usize::try_from(start).ok());
        let start = start.filter(|start| *start >= HEADER && start.is_multiple_of(8));
        let split = start.and_then(|start| bytes.split_at_checked(start));
        let tids = split.and_then(|(key, rest)| Some((key, rest.get(..len)?)));
        let (key, tids) = tids.filter(|(_, tids)| !tids.is_empty()).ok_or(NO_LIST)?;
        if !bytes.len().is_multiple_of(8) {
            return Err(NO_LIST);
        }
        Ok(Self { bytes, key, tids, is_list: true })
    }

    /// Reads an item that must be a posting list.
    fn list(item: &'a [u8]) -> Result<Self, RedoError> {
        let entry = Self::of(item)?;
        if entry.is_list { Ok(entry) } else { Err(NO_LIST) }
    }

    /// How long the entry is without its rows.
    pub(super) const fn key_bytes(&self) -> usize {
        self.key.len()
    }

    /// The same key with other rows.
    pub(super) fn with(&self, tids: &[u8]) -> Result<Vec<u8>, RedoError> {
        let (count, start) = (tids.len() / TID_BYTES, self.key.len());
        let is_list = count > 1;
        let len = if is_list { aligned(start + tids.len()) } else { start };
        let fits = u16::try_from(len).ok().filter(|len| *len <= LEN_MASK);
        let counted = u16::try_from(count).ok().filter(|count| *count <= COUNT_MASK && *count > 0);
        let (Some(short_len), Some(count)) = (fits, counted) else {
            return Err(NO_LIST);
        };
        let mut made = Vec::with_capacity(len);
        made.extend_from_slice(self.key);
        let flags = info(self.key).ok_or(NO_ENTRY)? & !(LEN_MASK | METHOD_BIT);
        if is_list {
            let start = u32::try_from(start).map_err(|_| NO_LIST)?;
            made.extend_from_slice(tids);
            made.resize(len, 0);
            made[..NUMBER_AT].copy_from_slice(&block_bytes(start));
            made[NUMBER_AT..INFO_AT].copy_from_slice(&(count | IS_POSTING).to_le_bytes());
        } else {
            made[..TID_BYTES].copy_from_slice(tids);
        }
        let info = flags | short_len | if is_list { METHOD_BIT } else { 0 };
        made[INFO_AT..HEADER].copy_from_slice(&info.to_le_bytes());
        Ok(made)
    }
}

const HEADER: usize = super::super::index_tuple::TUPLE_HEADER_BYTES;

/// Puts a new entry's row into a list, at `index`, and takes the list's last one out of it for the
/// entry (`_bt_swap_posting`). Returns list and entry.
pub(super) fn swap(item: &[u8], new: &[u8], index: u16) -> Result<(Vec<u8>, Vec<u8>), RedoError> {
    const OUTSIDE: RedoError = RedoError::Mismatch("a posting list ends before it is to be split");
    let old = Entry::list(item)?;
    let at = usize::from(index) * TID_BYTES;
    if index == 0 || at >= old.tids.len() || new.len() < HEADER {
        return Err(OUTSIDE);
    }
    let (mut list, mut entry) = (old.bytes.to_vec(), new.to_vec());
    let (start, end) = (old.key.len(), old.key.len() + old.tids.len());
    list.copy_within(start + at..end - TID_BYTES, start + at + TID_BYTES);
    list[start + at..start + at + TID_BYTES].copy_from_slice(&new[..TID_BYTES]);
    entry[..TID_BYTES].copy_from_slice(&old.bytes[end - TID_BYTES..end]);
    Ok((list, entry))
}

/// A list without the rows at `gone`, little-endian indexes that rise (`_bt_update_posting`).
pub(super) fn without(item: &[u8], gone: &[u8]) -> Result<Vec<u8>, RedoError> {
    const STRANGE: RedoError = RedoError::Mismatch("a posting list has no such rows to delete");
    let old = Entry::list(item)?;
    let mut gone = gone.chunks_exact(2).map(|at| usize::from(u16::from_le_bytes([at[0], at[1]])));
    let mut next = gone.next();
    let mut kept = Vec::with_capacity(old.tids.len());
    for (index, tid) in old.tids.chunks_exact(TID_BYTES).enumerate() {
        if next == Some(index) {
            next = gone.next();
        } else {
            kept.extend_from_slice(tid);
        }
    }
    if next.is_some() || kept.is_empty() {
        return Err(STRANGE);
    }
    old.with(&kept)
}
