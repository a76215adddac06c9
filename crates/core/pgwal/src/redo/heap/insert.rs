//! New rows: one, or many at once.

use super::begins_empty;
use super::row::Shape;
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::{ALL_VISIBLE, Page, Place};
use crate::record::{Block, Record};
use crate::redo::tid::Tid;

/// The page was visible to all, and is not any more.
pub(super) const ALL_VISIBLE_CLEARED: u8 = 0x01;
/// All rows are visible to all; the page is told so.
const ALL_FROZEN_SET: u8 = 0x20;

/// The main data of an insert.
pub(super) struct Insert {
    item: u16,
    pub(super) flags: u8,
}

impl Insert {
    pub(super) fn read(main: &[u8]) -> Result<Self, RedoError> {
        let mut fields = Fields::new(main);
        Ok(Self { item: fields.u16()?, flags: fields.u8()? })
    }
}

pub(super) fn insert(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let Insert { item, flags } = Insert::read(record.main)?;
    let mut fields = Fields::new(block.data);
    let shape = Shape::read(&mut fields)?;
    let ctid = Tid { block: block.number, item };
    let row = shape.row(record.xid, 0, ctid, &[fields.rest()])?;
    page.add_heap_item(&row, Place::Overwrite(item))?;
    if flags & ALL_VISIBLE_CLEARED != 0 {
        page.change_flags(0, ALL_VISIBLE);
    }
    Ok(())
}

/// The main data of an insert of many rows.
pub(super) struct MultiInsert<'a> {
    pub(super) flags: u8,
    count: u16,
    items: Fields<'a>,
}

impl<'a> MultiInsert<'a> {
    pub(super) fn read(main: &'a [u8]) -> Result<Self, RedoError> {
        let mut fields = Fields::new(main);
        let flags = fields.u8()?;
        fields.skip(1)?;
        let count = fields.u16()?;
        Ok(Self { flags, count, items: fields })
    }
}

pub(super) fn multi_insert(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let MultiInsert { flags, count, mut items } = MultiInsert::read(record.main)?;
    let mut fields = Fields::new(block.data);
    for index in 0..count {
        let item = if begins_empty(record) { index.saturating_add(1) } else { items.u16()? };
        if !(block.data.len() - fields.rest().len()).is_multiple_of(2) {
            fields.skip(1)?;
        }
        let len = fields.u16()?;
        let shape = Shape::read(&mut fields)?;
        let ctid = Tid { block: block.number, item };
        let row = shape.row(record.xid, 0, ctid, &[fields.take(usize::from(len))?])?;
        page.add_heap_item(&row, Place::Overwrite(item))?;
    }
    if !fields.is_empty() {
        return Err(RedoError::Record("there is more than its rows"));
    }
    if flags & ALL_VISIBLE_CLEARED != 0 {
        page.change_flags(0, ALL_VISIBLE);
    }
    if flags & ALL_FROZEN_SET != 0 {
        page.change_flags(ALL_VISIBLE, 0);
    }
    Ok(())
}
