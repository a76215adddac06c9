//! Changes of one row in its place: deleted, locked, confirmed, overwritten.

use super::row::{MOVED_PARTITIONS, Row, set_prunable};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::{ALL_VISIBLE, Page};
use crate::record::{Block, Record};
use crate::redo::tid::Tid;

/// Of a delete: the page was visible to all, and is not any more.
pub(super) const DELETE_ALL_VISIBLE_CLEARED: u8 = 0x01;
/// Of a delete: an insertion that was not confirmed is taken back.
const DELETE_IS_SUPER: u8 = 0x08;
/// Of a delete: the row went to another partition.
const DELETE_IS_PARTITION_MOVE: u8 = 0x10;
/// Of a lock: the page was frozen, and is not any more.
pub(super) const LOCK_ALL_FROZEN_CLEARED: u8 = 0x01;

/// The main data of a delete and of both locks.
pub(super) struct Change {
    xmax: u32,
    item: u16,
    lock_bits: u8,
    pub(super) flags: u8,
}

impl Change {
    pub(super) fn read(main: &[u8]) -> Result<Self, RedoError> {
        let mut fields = Fields::new(main);
        Ok(Self {
            xmax: fields.u32()?,
            item: fields.u16()?,
            lock_bits: fields.u8()?,
            flags: fields.u8()?,
        })
    }
}

pub(super) fn delete(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let Change { xmax, item, lock_bits, flags } = Change::read(record.main)?;
    let mut row = Row::of(page, item)?;
    row.set_lock_bits(lock_bits);
    row.set_hot_updated(false);
    if flags & DELETE_IS_SUPER == 0 {
        row.set_xmax(xmax);
    } else {
        row.set_xmin(0);
    }
    row.reset_command();
    row.set_ctid(match flags & DELETE_IS_PARTITION_MOVE {
        0 => Tid { block: block.number, item },
        _ => MOVED_PARTITIONS,
    });
    set_prunable(page, record.xid);
    if flags & DELETE_ALL_VISIBLE_CLEARED != 0 {
        page.change_flags(0, ALL_VISIBLE);
    }
    Ok(())
}

pub(super) fn lock(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let Change { xmax, item, lock_bits, .. } = Change::read(record.main)?;
    let mut row = Row::of(page, item)?;
    row.set_lock_bits(lock_bits);
    if row.is_only_locked() {
        row.set_hot_updated(false);
        row.set_ctid(Tid { block: block.number, item });
    }
    row.set_xmax(xmax);
    row.reset_command();
    Ok(())
}

/// Locks a successor of the row that was asked for; its own successors and its command id stay.
pub(super) fn lock_updated(record: &Record<'_>, page: &mut Page) -> Result<(), RedoError> {
    let Change { xmax, item, lock_bits, .. } = Change::read(record.main)?;
    let mut row = Row::of(page, item)?;
    row.set_lock_bits(lock_bits);
    row.set_xmax(xmax);
    Ok(())
}

pub(super) fn confirm(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let item = Fields::new(record.main).u16()?;
    Row::of(page, item)?.set_ctid(Tid { block: block.number, item });
    Ok(())
}

pub(super) fn in_place(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let item = Fields::new(record.main).u16()?;
    let row = Row::of(page, item)?;
    let start = row.header_len();
    if row.len().checked_sub(start) != Some(block.data.len()) {
        return Err(RedoError::Mismatch("the row has another length"));
    }
    page.item_mut(item)?[start..].copy_from_slice(block.data);
    Ok(())
}
