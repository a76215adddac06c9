//! The metapage and the list of pending entries (`access/gin/ginfast.c`).
//!
//! The metapage's data (`GinMetaPageData`, 56 bytes from 24 on); redo copies them as they are.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 + 4 | head and tail of the list |
//! | 8 | 4 | free bytes in its tail |
//! | 12 | 4 | its pages |
//! | 16 | 8 | its rows |
//! | 24 | 4 + 4 + 4 | pages: all, of entries, of postings |
//! | 36 | 4 | padding |
//! | 40 | 8 | entries |
//! | 48 | 4 | version |
//! | 52 | 4 | padding |
//!
//! Main data of the records; block data of UPDATE_META_PAGE and INSERT_LISTPAGE are index tuples.
//!
//! | record | offset | bytes | what |
//! |---|---|---|---|
//! | UPDATE_META_PAGE | 0 | 12 | the relation |
//! | | 12 | 4 | padding |
//! | | 16 | 56 | the metapage's data |
//! | | 72 | 4 | the tail before, none when the list was empty |
//! | | 76 | 4 | the page that follows it now |
//! | | 80 | 4 | tuples added to the tail; 0 when pages were |
//! | | 84 | 4 | padding |
//! | INSERT_LISTPAGE | 0 | 4 | the page that follows |
//! | | 4 | 4 | tuples |
//! | DELETE_LISTPAGE | 0 | 56 | the metapage's data |
//! | | 56 | 4 | pages deleted |
//! | | 60 | 4 | padding |

use super::super::index_tuple;
use super::super::tid::NO_BLOCK;
use super::{Opaque, flag, init};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::{HEADER_BYTES, Page, Place};
use crate::record::{Block, Record};

const META_BYTES: usize = 56;
const META_PAGE: u8 = 0;
const RELATION_BYTES: usize = 12;

pub(super) fn update_meta(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut fields = Fields::new(record.main);
    fields.skip(RELATION_BYTES + 4)?;
    let meta = fields.take(META_BYTES)?;
    let (tail_before, next) = (fields.u32()?, fields.u32()?);
    let tuples = fields.u32()?.cast_signed();
    if block.id == META_PAGE {
        return write_meta(meta, page);
    }
    let opaque = Opaque::of(page)?;
    if tuples > 0 {
        add_tuples(tuples, block.data, page)?;
        Opaque { count: opaque.count.wrapping_add(1), ..opaque }.write(page)?;
    } else if tail_before != NO_BLOCK {
        Opaque { right: next, ..opaque }.write(page)?;
    } else {
        return Err(record.unknown(block));
    }
    Ok(())
}

pub(super) fn insert_page(main: &[u8], tuples: &[u8], page: &mut Page) -> Result<(), RedoError> {
    let mut fields = Fields::new(main);
    let (right, count) = (fields.u32()?, fields.u32()?.cast_signed());
    init(page, flag::LIST)?;
    let opaque = if right == NO_BLOCK {
        Opaque { right, count: 1, flags: flag::LIST | flag::LIST_FULL_ROW }
    } else {
        Opaque { right, count: 0, flags: flag::LIST }
    };
    opaque.write(page)?;
    add_tuples(count, tuples, page)
}

pub(super) fn delete_pages(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut fields = Fields::new(record.main);
    let (meta, deleted) = (fields.take(META_BYTES)?, fields.u32()?.cast_signed());
    if block.id == META_PAGE {
        return write_meta(meta, page);
    }
    if i32::from(block.id) > deleted {
        return Err(record.unknown(block));
    }
    init(page, flag::DELETED)?;
    Ok(())
}

fn write_meta(meta: &[u8], page: &mut Page) -> Result<(), RedoError> {
    init(page, flag::META)?;
    page.put(HEADER_BYTES, meta)?;
    page.set_lower(HEADER_BYTES + META_BYTES);
    Ok(())
}

/// Adds tuples behind those that are there.
fn add_tuples(count: i32, tuples: &[u8], page: &mut Page) -> Result<(), RedoError> {
    let mut fields = Fields::new(tuples);
    for _ in 0..count {
        let tuple = index_tuple::take(&mut fields)?;
        page.add_item(tuple, Place::Insert(page.item_count() + 1))?;
    }
    if fields.is_empty() { Ok(()) } else { Err(RedoError::Record("more tuples than it counts")) }
}
