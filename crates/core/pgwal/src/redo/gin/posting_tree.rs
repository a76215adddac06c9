//! Pages of a posting tree (`access/gin/gindatapage.c`).
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 24 | 6 | the right bound: the greatest row address the page may have |
//! | 30 | 2 | padding |
//! | 32 | | posting lists of a leaf, posting items of an inner page; they end at lower |
//!
//! A posting item: 4 bytes the child, 6 bytes the greatest row address in it; without padding. They are
//! numbered from 1. Block data of INSERT into an inner page (`ginxlogInsertDataInternal`): 2 bytes the
//! item's number, 10 bytes the item.

use super::super::tid::block_number_bytes;
use super::{Opaque, flag};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::{HEADER_BYTES, Page, aligned};

/// Where lists or items begin.
pub(super) const DATA_AT: usize = HEADER_BYTES + aligned(super::super::tid::Tid::BYTES);

const ITEM_BYTES: usize = 10;

pub(super) fn create(main: &[u8], page: &mut Page) -> Result<(), RedoError> {
    let mut fields = Fields::new(main);
    let len = usize::try_from(fields.u32()?).unwrap_or(usize::MAX);
    let lists = fields.take(len)?;
    super::init(page, flag::DATA | flag::LEAF | flag::COMPRESSED)?;
    set_data(lists, page)
}

/// Writes lists or items and moves lower to their end.
pub(super) fn set_data(data: &[u8], page: &mut Page) -> Result<(), RedoError> {
    let end = DATA_AT + data.len();
    if end > page.special() {
        return Err(RedoError::Record("posting lists do not fit into a page"));
    }
    page.put(DATA_AT, data)?;
    page.set_lower(end);
    Ok(())
}

pub(super) fn insert(data: &[u8], right_child: u32, page: &mut Page) -> Result<(), RedoError> {
    let mut fields = Fields::new(data);
    let (number, item) = (fields.u16()?, fields.take(ITEM_BYTES)?);
    let (opaque, count) = inner(page)?;
    let at = item_at(number, count)?;
    if DATA_AT + (count + 1) * ITEM_BYTES > page.special() {
        return Err(RedoError::Mismatch("a posting item does not fit"));
    }
    page.put(at, &block_number_bytes(right_child))?;
    let end = DATA_AT + count * ITEM_BYTES;
    page.0.copy_within(at..end, at + ITEM_BYTES);
    page.put(at, item)?;
    set_count(count + 1, opaque, page)
}

pub(super) fn delete(number: u16, page: &mut Page) -> Result<(), RedoError> {
    let (opaque, count) = inner(page)?;
    let at = item_at(number, count)?;
    let end = DATA_AT + count * ITEM_BYTES;
    page.0.copy_within(at + ITEM_BYTES..end, at);
    set_count(count - 1, opaque, page)
}

/// The special space of an inner page, and how many items it has, all of which are in the page.
fn inner(page: &Page) -> Result<(Opaque, usize), RedoError> {
    let opaque = Opaque::of(page)?;
    let count = usize::from(opaque.count);
    if opaque.has(flag::LEAF) {
        return Err(RedoError::Mismatch("a leaf of a posting tree has no posting items"));
    }
    if DATA_AT + count * ITEM_BYTES > page.special() {
        return Err(RedoError::Mismatch("more posting items than a page has room for"));
    }
    Ok((opaque, count))
}

fn item_at(number: u16, count: usize) -> Result<usize, RedoError> {
    let before = usize::from(number).checked_sub(1).filter(|before| *before < count);
    before
        .map(|before| DATA_AT + before * ITEM_BYTES)
        .ok_or(RedoError::Mismatch("no posting item has this number"))
}

fn set_count(count: usize, opaque: Opaque, page: &mut Page) -> Result<(), RedoError> {
    let items = u16::try_from(count).expect("a page has room for 816 posting items");
    Opaque { count: items, ..opaque }.write(page)?;
    page.set_lower(DATA_AT + count * ITEM_BYTES);
    Ok(())
}
