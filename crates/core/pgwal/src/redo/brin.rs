//! Redo of BRIN, the index of block ranges (`access/brin/brin_xlog.c`).
//!
//! The last 4 bytes of each page's special space of 8 are flags and the kind of page. Metapage, from 24
//! on (`BrinMetaPageData`): 4 bytes each for magic, version, heap pages of a range, last page of the
//! map. Map pages: 1360 row addresses of 6 bytes, from 24 on. Regular pages: items.
//!
//! Main data of the records:
//!
//! | record | offset | bytes | what |
//! |---|---|---|---|
//! | CREATE_INDEX | 0 | 4 | heap pages of a range |
//! | | 4 | 2 | version |
//! | INSERT | 0 | 4 | the range's first heap page |
//! | | 4 | 4 | heap pages of a range |
//! | | 8 | 2 | the item's number |
//! | UPDATE | 0 | 2 | the old item's number |
//! | | 4 | 10 | as INSERT |
//! | SAMEPAGE_UPDATE | 0 | 2 | the item's number |
//! | REVMAP_EXTEND | 0 | 4 | the new map page |
//! | DESUMMARIZE | 0 | 4 | heap pages of a range |
//! | | 4 | 4 | the range's first heap page |
//! | | 8 | 2 | the item's number |
//!
//! Block data of INSERT, UPDATE and SAMEPAGE_UPDATE, block 0: the item.

#[cfg(test)]
mod tests;

use super::tid::Tid;
use crate::error::{PageError, RedoError};
use crate::fields::Fields;
use crate::mask;
use crate::page::{HEADER_BYTES, PAGE_BYTES, Page, Place};
use crate::record::{Block, Record};

/// The bits of the kind that tell what is done; the other one is [`INIT_PAGE`].
const OPERATION_MASK: u8 = 0x70;
const CREATE_INDEX: u8 = 0x00;
const INSERT: u8 = 0x10;
const UPDATE: u8 = 0x20;
const SAME_PAGE_UPDATE: u8 = 0x30;
const MAP_EXTEND: u8 = 0x40;
const DESUMMARIZE: u8 = 0x50;
/// The item is the first of a new page.
const INIT_PAGE: u8 = 0x80;

const SPECIAL_BYTES: usize = 8;
const FLAGS_AT: usize = 4;
const TYPE_AT: usize = 6;
const TYPE_META: u16 = 0xf091;
const TYPE_MAP: u16 = 0xf092;
const TYPE_REGULAR: u16 = 0xf093;
/// The page's items are being moved elsewhere; this is not logged.
const EVACUATE: u16 = 0x0001;

const META_MAGIC: u32 = 0xa810_9cfa;
const META_BYTES: usize = 16;
const META_LAST_MAP_PAGE_AT: usize = HEADER_BYTES + 12;

const MAP_ENTRIES: usize = (PAGE_BYTES - HEADER_BYTES - SPECIAL_BYTES) / Tid::BYTES;

pub(super) fn redo(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut fields = Fields::new(record.main);
    match (record.kind() & OPERATION_MASK, block.id) {
        (CREATE_INDEX, 0) => create_index(fields, page),
        (INSERT, 0 | 1) => insert(fields, record, block, page),
        (UPDATE, 0..=2) => {
            let old = fields.u16()?;
            fields.skip(2)?;
            if block.id == 2 {
                return delete(old, page);
            }
            insert(fields, record, block, page)
        }
        (SAME_PAGE_UPDATE, 0) => {
            expect_type(page, TYPE_REGULAR)?;
            Ok(page.replace_item(fields.u16()?, block.data)?)
        }
        (MAP_EXTEND, 0) => name_last_map_page(fields.u32()?, page),
        (MAP_EXTEND, 1) => Ok(init(page, TYPE_MAP)?),
        (DESUMMARIZE, 0 | 1) => desummarize(fields, block, page),
        _ => Err(record.unknown(block)),
    }
}

fn init(page: &mut Page, kind: u16) -> Result<(), PageError> {
    page.init(SPECIAL_BYTES)?;
    page.put(page.special() + TYPE_AT, &kind.to_le_bytes())
}

fn create_index(mut fields: Fields<'_>, page: &mut Page) -> Result<(), RedoError> {
    let (range_pages, version) = (fields.u32()?, u32::from(fields.u16()?));
    init(page, TYPE_META)?;
    for (at, value) in (HEADER_BYTES..).step_by(4).zip([META_MAGIC, version, range_pages, 0]) {
        page.put(at, &value.to_le_bytes())?;
    }
    page.set_lower(HEADER_BYTES + META_BYTES);
    Ok(())
}

fn insert(
    mut fields: Fields<'_>,
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let (heap_page, range_pages, item) = (fields.u32()?, fields.u32()?, fields.u16()?);
    if block.id == 1 {
        let to = Tid { block: record.expect_block(0)?.number, item };
        return set_map_entry(range_pages, heap_page, to, page);
    }
    if record.kind() & INIT_PAGE != 0 {
        init(page, TYPE_REGULAR)?;
    }
    expect_type(page, TYPE_REGULAR)?;
    page.add_item(block.data, Place::Overwrite(item))?;
    Ok(())
}

fn desummarize(
    mut fields: Fields<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let (range_pages, heap_page, item) = (fields.u32()?, fields.u32()?, fields.u16()?);
    if block.id == 0 {
        return set_map_entry(range_pages, heap_page, Tid::NONE, page);
    }
    delete(item, page)
}

fn delete(item: u16, page: &mut Page) -> Result<(), RedoError> {
    expect_type(page, TYPE_REGULAR)?;
    Ok(page.delete_item_in_place(item)?)
}

/// Points the map's entry of a range at an item, or nowhere when its number is 0.
fn set_map_entry(
    range_pages: u32,
    heap_page: u32,
    to: Tid,
    page: &mut Page,
) -> Result<(), RedoError> {
    let range = heap_page.checked_div(range_pages);
    let range = range.ok_or(RedoError::Record("a range has no pages"))?;
    expect_type(page, TYPE_MAP)?;
    let entry = usize::try_from(range).unwrap_or(usize::MAX) % MAP_ENTRIES;
    let to = if to.item == 0 { Tid::NONE } else { to };
    page.put(HEADER_BYTES + entry * Tid::BYTES, &to.bytes())?;
    Ok(())
}

fn name_last_map_page(last: u32, page: &mut Page) -> Result<(), RedoError> {
    expect_type(page, TYPE_META)?;
    page.put(META_LAST_MAP_PAGE_AT, &last.to_le_bytes())?;
    page.set_lower(HEADER_BYTES + META_BYTES);
    Ok(())
}

/// Whether a page is one of this type, so that what is changed of it is what it has there.
fn expect_type(page: &Page, wanted: u16) -> Result<(), RedoError> {
    page.check_special(SPECIAL_BYTES)?;
    if page_type(page)? == wanted {
        return Ok(());
    }
    Err(RedoError::Mismatch("a page of a BRIN index is of another type"))
}

fn page_type(page: &Page) -> Result<u16, PageError> {
    page.u16_at(page.special() + TYPE_AT)
}

pub(crate) fn mask(page: &mut Page) -> Result<(), PageError> {
    mask::lsn_and_checksum(page);
    mask::hints(page);
    let kind = page_type(page)?;
    if kind == TYPE_REGULAR || kind == TYPE_META && page.lower() > HEADER_BYTES {
        mask::unused_space(page)?;
    }
    let at = page.special() + FLAGS_AT;
    let flags = page.u16_at(at)? & !EVACUATE;
    page.put(at, &flags.to_le_bytes())
}
