//! A row: its header, and how it is made from what a record holds of it.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | xmin: the transaction that made it |
//! | 4 | 4 | xmax: the transaction that deleted or locked it |
//! | 8 | 4 | command id |
//! | 12 | 6 | ctid, the row or its successor: block (high half, low half), item |
//! | 18 | 2 | infomask2: number of columns, flags |
//! | 20 | 2 | infomask: flags |
//! | 22 | 1 | length of the header with the bitmap of nulls |

use alloc::vec::Vec;

use crate::error::{PageError, RedoError};
use crate::fields::Fields;
use crate::page::{HEADER_BYTES, LINE_POINTER_BYTES, LineState, PAGE_BYTES, Page, aligned};
use crate::redo::tid::{NO_BLOCK, Tid};

/// Bytes of a row's header, without the bitmap of nulls.
pub(super) const ROW_HEADER_BYTES: usize = 23;
/// Bytes of a row at most: it is alone on its page.
const ROW_BYTES_MAX: usize = PAGE_BYTES - aligned(HEADER_BYTES + LINE_POINTER_BYTES);

const XMIN: usize = 0;
const XMAX: usize = 4;
const COMMAND: usize = 8;
const CTID: usize = 12;
const INFOMASK2: usize = 18;
const INFOMASK: usize = 20;
const HEADER_LEN: usize = 22;

const XMAX_KEY_SHARE: u16 = 0x0010;
const COMBO_COMMAND: u16 = 0x0020;
const XMAX_EXCLUSIVE: u16 = 0x0040;
const XMAX_LOCK_ONLY: u16 = 0x0080;
/// Both bits of xmin: the row is older than any transaction.
pub(super) const XMIN_FROZEN: u16 = 0x0300;
/// Xmax is known to have committed.
pub(super) const XMAX_COMMITTED: u16 = 0x0400;
/// Xmax is known to have aborted, or is none.
pub(super) const XMAX_INVALID: u16 = 0x0800;
const XMAX_IS_MULTI: u16 = 0x1000;
const MOVED: u16 = 0xc000;
const XMAX_LOCKS: u16 = XMAX_KEY_SHARE | XMAX_EXCLUSIVE;
const XMAX_BITS: u16 = XMAX_COMMITTED | XMAX_INVALID | XMAX_IS_MULTI | XMAX_LOCKS | XMAX_LOCK_ONLY;

const KEYS_UPDATED: u16 = 0x2000;
const HOT_UPDATED: u16 = 0x4000;

/// A bit of what records call the lock bits, and the bit of infomask that it stands for.
const LOCK_BITS: [(u8, u16); 4] =
    [(0x01, XMAX_IS_MULTI), (0x02, XMAX_LOCK_ONLY), (0x04, XMAX_EXCLUSIVE), (0x08, XMAX_KEY_SHARE)];
const LOCK_KEYS_UPDATED: u8 = 0x10;

/// The item of the ctid of a row that an `INSERT … ON CONFLICT` has not confirmed.
const SPECULATIVE_ITEM: u16 = 0xfffe;

/// Where a row points that went to another partition.
pub(super) const MOVED_PARTITIONS: Tid = Tid { block: NO_BLOCK, item: 0xfffd };

/// The header of a row on a page, and what follows it.
pub(super) struct Row<'a> {
    header: &'a mut [u8; ROW_HEADER_BYTES],
    len: usize,
}

impl<'a> Row<'a> {
    /// The row with this number, whose line pointer must lead to a row.
    pub(super) fn of(page: &'a mut Page, item: u16) -> Result<Self, RedoError> {
        if page.line(item)?.state != LineState::Normal {
            return Err(RedoError::Mismatch("the line pointer leads to no row"));
        }
        Ok(Self::in_storage(page, item)?)
    }

    /// The row with this number, whatever the state of its line pointer.
    pub(super) fn in_storage(page: &'a mut Page, item: u16) -> Result<Self, PageError> {
        let bytes = page.item_mut(item)?;
        let len = bytes.len();
        let header = bytes.first_chunk_mut().ok_or(PageError::BadItem(item))?;
        Ok(Self { header, len })
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.header[at], self.header[at + 1]])
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.header[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn change(&mut self, at: usize, set: u16, clear: u16) {
        let changed = (self.u16(at) & !clear) | set;
        self.put(at, &changed.to_le_bytes());
    }

    /// Its bytes, with the header.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The bytes of its header with the bitmap of nulls, as it says.
    pub(super) fn header_len(&self) -> usize {
        usize::from(self.header[HEADER_LEN])
    }

    pub(super) fn infomask(&self) -> u16 {
        self.u16(INFOMASK)
    }

    pub(super) fn set_infomask(&mut self, infomask: u16) {
        self.put(INFOMASK, &infomask.to_le_bytes());
    }

    pub(super) fn set_infomask2(&mut self, infomask2: u16) {
        self.put(INFOMASK2, &infomask2.to_le_bytes());
    }

    pub(super) fn set_xmin(&mut self, xid: u32) {
        self.put(XMIN, &xid.to_le_bytes());
    }

    pub(super) fn set_xmax(&mut self, xid: u32) {
        self.put(XMAX, &xid.to_le_bytes());
    }

    pub(super) fn set_ctid(&mut self, row: Tid) {
        self.put(CTID, &row.bytes());
    }

    /// Writes the field of the command id alone; it may hold a transaction instead.
    pub(super) fn set_command(&mut self, command: u32) {
        self.put(COMMAND, &command.to_le_bytes());
    }

    /// Makes the command id the first one of a transaction, and no combination.
    pub(super) fn reset_command(&mut self) {
        self.set_command(0);
        self.change(INFOMASK, 0, COMBO_COMMAND);
    }

    /// Forgets what is known of xmax and takes a record's lock bits for it.
    pub(super) fn set_lock_bits(&mut self, bits: u8) {
        let chosen = LOCK_BITS.iter().filter(|(bit, _)| bits & bit != 0);
        let locks = chosen.fold(0, |locks, (_, lock)| locks | lock);
        let keys = if bits & LOCK_KEYS_UPDATED == 0 { 0 } else { KEYS_UPDATED };
        self.change(INFOMASK, locks, XMAX_BITS | MOVED);
        self.change(INFOMASK2, keys, KEYS_UPDATED);
    }

    /// Says whether its successor is on the same page and in no index.
    pub(super) fn set_hot_updated(&mut self, hot: bool) {
        self.change(INFOMASK2, if hot { HOT_UPDATED } else { 0 }, HOT_UPDATED);
    }

    /// Whether xmax locked it and did not change it. Releases before 9.3 said so by the exclusive
    /// lock alone.
    pub(super) fn is_only_locked(&self) -> bool {
        let infomask = self.infomask();
        infomask & XMAX_LOCK_ONLY != 0 || infomask & (XMAX_IS_MULTI | XMAX_LOCKS) == XMAX_EXCLUSIVE
    }

    /// Whether its ctid is a token of an insertion that was not confirmed.
    pub(super) fn is_speculative(&self) -> bool {
        self.u16(CTID + 4) == SPECULATIVE_ITEM
    }
}

/// What a record holds of a new row's header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    infomask2: u16,
    infomask: u16,
    header_len: u8,
}

impl Shape {
    pub(super) fn read(fields: &mut Fields<'_>) -> Result<Self, RedoError> {
        let (infomask2, infomask) = (fields.u16()?, fields.u16()?);
        Ok(Self { infomask2, infomask, header_len: fields.u8()? })
    }

    /// Bytes of the bitmap of nulls and of the padding behind it.
    pub(super) fn bitmap_len(self) -> Result<usize, RedoError> {
        usize::from(self.header_len)
            .checked_sub(ROW_HEADER_BYTES)
            .ok_or(RedoError::Record("a row's header is shorter than a header"))
    }

    /// The bytes of a row: its header, and the parts of what follows.
    pub(super) fn row(
        self,
        xmin: u32,
        xmax: u32,
        ctid: Tid,
        parts: &[&[u8]],
    ) -> Result<Vec<u8>, RedoError> {
        let len = parts.iter().fold(ROW_HEADER_BYTES, |len, part| len + part.len());
        if len > ROW_BYTES_MAX {
            return Err(RedoError::Record("a row is longer than a page"));
        }
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(&xmin.to_le_bytes());
        bytes.extend_from_slice(&xmax.to_le_bytes());
        bytes.extend_from_slice(&0_u32.to_le_bytes());
        bytes.extend_from_slice(&ctid.bytes());
        bytes.extend_from_slice(&self.infomask2.to_le_bytes());
        bytes.extend_from_slice(&(self.infomask & !COMBO_COMMAND).to_le_bytes());
        bytes.push(self.header_len);
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        Ok(bytes)
    }
}

/// Notes on the page that this transaction may leave something to prune, if none before it does.
pub(super) fn set_prunable(page: &mut Page, xid: u32) {
    let before = page.prune_xid();
    if before == 0 || precedes(xid, before) {
        page.set_prune_xid(xid);
    }
}

/// Whether a transaction is older than another; numbers below 3 are older than all.
fn precedes(xid: u32, other: u32) -> bool {
    const FIRST_NORMAL: u32 = 3;
    if xid < FIRST_NORMAL || other < FIRST_NORMAL {
        return xid < other;
    }
    xid.wrapping_sub(other).cast_signed() < 0
}
