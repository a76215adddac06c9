//! Updates: the old row is marked, a new one is added, on the same page or on another.

use super::row::{Row, Shape, set_prunable};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::{ALL_VISIBLE, Page, Place};
use crate::record::{Block, Record};
use crate::redo::tid::Tid;

/// The old row's page was visible to all, and is not any more.
pub(super) const OLD_ALL_VISIBLE_CLEARED: u8 = 0x01;
/// The new row's page was visible to all, and is not any more.
pub(super) const NEW_ALL_VISIBLE_CLEARED: u8 = 0x02;
const PREFIX_FROM_OLD: u8 = 0x20;
const SUFFIX_FROM_OLD: u8 = 0x40;

/// The main data of an update.
pub(super) struct Update {
    old_xmax: u32,
    old_item: u16,
    old_lock_bits: u8,
    pub(super) flags: u8,
    new_xmax: u32,
    new_item: u16,
}

impl Update {
    pub(super) fn read(main: &[u8]) -> Result<Self, RedoError> {
        let mut fields = Fields::new(main);
        Ok(Self {
            old_xmax: fields.u32()?,
            old_item: fields.u16()?,
            old_lock_bits: fields.u8()?,
            flags: fields.u8()?,
            new_xmax: fields.u32()?,
            new_item: fields.u16()?,
        })
    }
}

pub(super) fn update(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
    hot: bool,
) -> Result<(), RedoError> {
    let update = Update::read(record.main)?;
    let new_block = record.expect_block(0)?.number;
    let crosses = record.block(1).is_some();
    if record.block(1).is_some_and(|old| hot || old.number == new_block) {
        return Err(RedoError::Record("an update names a page too many"));
    }
    let successor = Tid { block: new_block, item: update.new_item };
    if block.id == 1 || !crosses {
        mark_old(record, &update, successor, page, hot)?;
    }
    if block.id == 0 {
        let old = if crosses { None } else { Some(update.old_item) };
        add_new(record, block, &update, old, page)?;
    }
    Ok(())
}

fn mark_old(
    record: &Record<'_>,
    update: &Update,
    successor: Tid,
    page: &mut Page,
    hot: bool,
) -> Result<(), RedoError> {
    let mut row = Row::of(page, update.old_item)?;
    row.set_lock_bits(update.old_lock_bits);
    row.set_hot_updated(hot);
    row.set_xmax(update.old_xmax);
    row.reset_command();
    row.set_ctid(successor);
    set_prunable(page, record.xid);
    if update.flags & OLD_ALL_VISIBLE_CLEARED != 0 {
        page.change_flags(0, ALL_VISIBLE);
    }
    Ok(())
}

/// Adds the new row; `old` is the old row's number if it is on this page, and may lend its start
/// and its end.
fn add_new(
    record: &Record<'_>,
    block: &Block<'_>,
    update: &Update,
    old: Option<u16>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut fields = Fields::new(block.data);
    let mut shared = |flag: u8| match update.flags & flag {
        0 => Ok(0),
        _ => fields.u16().map(usize::from),
    };
    let (prefix_len, suffix_len) = (shared(PREFIX_FROM_OLD)?, shared(SUFFIX_FROM_OLD)?);
    let shape = Shape::read(&mut fields)?;
    let (prefix, suffix) = match old {
        Some(item) => lent(page, item, prefix_len, suffix_len)?,
        None if prefix_len == 0 && suffix_len == 0 => (&[][..], &[][..]),
        None => return Err(RedoError::Record("the old row is on another page and lends nothing")),
    };
    let bitmap = if prefix_len == 0 { &[] } else { fields.take(shape.bitmap_len()?)? };
    let ctid = Tid { block: block.number, item: update.new_item };
    let parts = [bitmap, prefix, fields.rest(), suffix];
    let row = shape.row(record.xid, update.new_xmax, ctid, &parts)?;
    page.add_heap_item(&row, Place::Overwrite(update.new_item))?;
    if update.flags & NEW_ALL_VISIBLE_CLEARED != 0 {
        page.change_flags(0, ALL_VISIBLE);
    }
    Ok(())
}

/// The first bytes behind a row's header, and its last ones.
fn lent(
    page: &mut Page,
    item: u16,
    prefix_len: usize,
    suffix_len: usize,
) -> Result<(&[u8], &[u8]), RedoError> {
    const SHORT: RedoError = RedoError::Mismatch("the old row is too short");
    let start = Row::of(page, item)?.header_len();
    let bytes = page.item(item)?;
    let prefix = bytes.get(start..start + prefix_len).ok_or(SHORT)?;
    let suffix_start = bytes.len().checked_sub(suffix_len).ok_or(SHORT)?;
    Ok((prefix, &bytes[suffix_start..]))
}
