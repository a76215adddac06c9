//! B-trees: equal to `nbtxlog.c`, and to the posting lists of `nbtdedup.c`.
//!
//! The special space of a page, `BTPageOpaqueData`:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | left sibling |
//! | 4 | 4 | right sibling |
//! | 8 | 4 | level, 0 for leaves |
//! | 12 | 2 | flags |
//! | 14 | 2 | vacuum cycle of the last split |
//!
//! The content of block 0, `BTMetaPageData`:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 24 | 4 | magic number |
//! | 28 | 4 | version |
//! | 32 | 4 + 4 | root and its level |
//! | 40 | 4 + 4 | fast root and its level |
//! | 48 | 4 | deleted pages at the last cleanup |
//! | 52 | 4 | padding |
//! | 56 | 8 | rows at the last cleanup: always -1.0 |
//! | 64 | 1 | whether equal keys have equal images |
//! | 65 | 7 | padding |
//!
//! The main data of records, by kind (the data of blocks is said where it is read):
//!
//! | kind | fields: offset, bytes |
//! |---|---|
//! | `INSERT_*` | 0, 2 number of the new entry |
//! | `SPLIT_*` | 0, 4 level; 4, 2 first entry of the right page; 6, 2 number of the new entry; 8, 2 index in a posting list, 0 for none |
//! | `DEDUP` | 0, 2 number of intervals |
//! | `VACUUM` | 0, 2 entries deleted; 2, 2 posting lists changed |
//! | `DELETE` | 0, 4 newest transaction removed; 4, 2 entries deleted; 6, 2 posting lists changed |
//! | `MARK_PAGE_HALFDEAD` | 0, 2 number in the parent; 2, 2 padding; 4, 4 leaf; 8, 4 its left; 12, 4 its right; 16, 4 top parent |
//! | `UNLINK_PAGE*` | 0, 4 left; 4, 4 right; 8, 4 level; 12, 4 padding; 16, 8 safe transaction; 24, 4 leaf's left; 28, 4 leaf's right; 32, 4 leaf's top parent |
//! | `NEWROOT` | 0, 4 root; 4, 4 level |
//! | `REUSE_PAGE` | for standbys only; no blocks |
//! | `META_CLEANUP` | none |

mod dedup;
mod delete;
mod insert;
mod meta;
mod opaque;
mod posting;
mod split;
#[cfg(test)]
mod tests;
mod unlink;

use super::index_tuple;
use super::tid::{Tid, block_number_bytes};
use crate::error::{PageError, RedoError};
use crate::mask;
use crate::page::{Page, Place};
use crate::record::{Block, Record};
use opaque::{HAS_GARBAGE, INCOMPLETE_SPLIT, LEAF, Opaque, SPLIT_END};

const INSERT_LEAF: u8 = 0x00;
const INSERT_UPPER: u8 = 0x10;
const INSERT_META: u8 = 0x20;
const SPLIT_L: u8 = 0x30;
const SPLIT_R: u8 = 0x40;
const INSERT_POST: u8 = 0x50;
const DEDUP: u8 = 0x60;
const DELETE: u8 = 0x70;
const UNLINK_PAGE: u8 = 0x80;
const UNLINK_PAGE_META: u8 = 0x90;
const NEWROOT: u8 = 0xa0;
const MARK_PAGE_HALFDEAD: u8 = 0xb0;
const VACUUM: u8 = 0xc0;
const META_CLEANUP: u8 = 0xe0;

pub(super) fn redo(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    match (record.kind(), block.id) {
        (INSERT_LEAF | INSERT_UPPER | INSERT_META, 0) => insert::insert(record, block, page),
        (INSERT_POST, 0) => insert::insert_into_list(record, block, page),
        (INSERT_UPPER | INSERT_META, 1) => finish_split(page),
        (INSERT_META, 2) => meta::restore(block, page),
        (SPLIT_L | SPLIT_R, _) => split::split(record, block, page),
        (DEDUP, 0) => dedup::deduplicate(record, block, page),
        (DELETE | VACUUM, 0) => delete::delete(record, block, page),
        (MARK_PAGE_HALFDEAD, _) => unlink::mark_half_dead(record, block, page),
        (UNLINK_PAGE_META, 4) => meta::restore(block, page),
        (UNLINK_PAGE | UNLINK_PAGE_META, _) => unlink::unlink(record, block, page),
        (NEWROOT, 2) => meta::restore(block, page),
        (NEWROOT, _) => split::new_root(record, block, page),
        (META_CLEANUP, 0) => meta::restore(block, page),
        _ => Err(record.unknown(block)),
    }
}

/// The parent knows the right sibling now.
fn finish_split(page: &mut Page) -> Result<(), RedoError> {
    Ok(opaque::change(page, |opaque| opaque.flags &= !INCOMPLETE_SPLIT)?)
}

/// Appends an item.
fn append(page: &mut Page, item: &[u8]) -> Result<(), PageError> {
    let number = page.item_count() + 1;
    page.add_item(item, Place::Insert(number)).map(drop)
}

pub(crate) fn mask(page: &mut Page) -> Result<(), PageError> {
    mask::lsn_and_checksum(page);
    mask::hints(page);
    mask::unused_space(page)?;
    if Opaque::of(page)?.flags & LEAF != 0 {
        mask::line_states(page)?;
    }
    opaque::change(page, |opaque| {
        opaque.flags &= !(HAS_GARBAGE | SPLIT_END);
        opaque.cycle = 0;
    })
}
