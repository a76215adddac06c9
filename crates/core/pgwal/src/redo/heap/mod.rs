//! Rows: `heap_redo`, `heap2_redo` and `heap_mask` of `access/heap/heapam.c`.
//!
//! The upper four bits of a record's info are its kind: three of the operation, and one, 0x80, of a
//! page that begins empty (only inserts and updates have it, for block 0). Numbers are little endian;
//! `-` marks what a compiler leaves between fields.
//!
//! | resource manager, operation | main data (bytes) | block 0's data |
//! |---|---|---|
//! | heap 0 insert | item 2, flags 1 | shape 5, row |
//! | heap 1 delete | xmax 4, item 2, lock bits 1, flags 1 (old row) | |
//! | heap 2 update, 4 update on the page | old xmax 4, old item 2, old lock bits 1, flags 1, new xmax 4, new item 2 (old row) | prefix 2 and suffix 2 where flagged, shape 5, row; block 1, if any, is the old row's page |
//! | heap 3 truncate | no blocks | |
//! | heap 5 confirm | item 2 | |
//! | heap 6 lock | xmax 4, item 2, lock bits 1, flags 1 | |
//! | heap 7 in place | item 2 | the row behind its header |
//! | heap2 0 rewrite | no blocks | |
//! | heap2 1 prune | horizon 4, redirected 2, dead 2 | items 2: pairs from, to; dead; free |
//! | heap2 2 vacuum | free 2 | items 2 |
//! | heap2 3 freeze | horizon 4, rows 2 | per row: xmax 4, item 2, infomask2 2, infomask 2, flags 1, - 1 |
//! | heap2 4 visible | horizon 4, flags 1 | block 0 is the map's page, block 1 the heap's |
//! | heap2 5 multi insert | flags 1, - 1, rows 2, items 2 (none where the page begins empty) | per row, at an even place: length 2, shape 5, row |
//! | heap2 6 lock updated | xmax 4, item 2, lock bits 1, flags 1 | |
//! | heap2 7 command id | no blocks | |
//!
//! A shape is infomask2 2, infomask 2, header length 1; a row is what follows the 23 bytes of its
//! header (`row.rs`).
//!
//! Command ids are not in the log: redo makes them 0. Free space is not kept either. Records that
//! make rows invisible to some clear bits of the visibility map without a reference to its page:
//! [`visibility_clears`] tells them.

mod change;
mod insert;
mod masking;
mod prune;
mod row;
#[cfg(test)]
mod tests;
mod update;
mod visibility;

pub(crate) use masking::mask;
pub use visibility::{
    VISIBILITY_ALL_FROZEN, VISIBILITY_ALL_VISIBLE, VISIBILITY_BITS, VisibilityClear,
    clear_visibility, cut_visibility, set_visibility, visibility_clears, visibility_page,
};

use crate::error::RedoError;
use crate::page::Page;
use crate::record::{Block, Record};
use crate::rmgr::Rmgr;

const OPERATION: u8 = 0x70;
const BEGINS_EMPTY: u8 = 0x80;

const INSERT: u8 = 0x00;
const DELETE: u8 = 0x10;
const UPDATE: u8 = 0x20;
const HOT_UPDATE: u8 = 0x40;
const CONFIRM: u8 = 0x50;
const LOCK: u8 = 0x60;
const INPLACE: u8 = 0x70;

const PRUNE: u8 = 0x10;
const VACUUM: u8 = 0x20;
const FREEZE_PAGE: u8 = 0x30;
const VISIBLE: u8 = 0x40;
const MULTI_INSERT: u8 = 0x50;
const LOCK_UPDATED: u8 = 0x60;

pub(super) fn redo_heap(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let operation = operation(record);
    begin(record, block, matches!(operation, INSERT | UPDATE), page)?;
    match (operation, block.id) {
        (INSERT, 0) => insert::insert(record, block, page),
        (DELETE, 0) => change::delete(record, block, page),
        (UPDATE, 0 | 1) => update::update(record, block, page, false),
        (HOT_UPDATE, 0) => update::update(record, block, page, true),
        (CONFIRM, 0) => change::confirm(record, block, page),
        (LOCK, 0) => change::lock(record, block, page),
        (INPLACE, 0) => change::in_place(record, block, page),
        // A truncation is logged for logical decoding alone; it has no blocks.
        _ => Err(record.unknown(block)),
    }
}

pub(super) fn redo_heap2(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let operation = operation(record);
    begin(record, block, operation == MULTI_INSERT, page)?;
    match (operation, block.id) {
        (PRUNE, 0) => prune::prune(record, block, page),
        (VACUUM, 0) => prune::vacuum(record, block, page),
        (FREEZE_PAGE, 0) => prune::freeze(record, block, page),
        (VISIBLE, 0) => visibility::visible_map(record, block, page),
        (VISIBLE, 1) => visibility::visible_heap(page),
        (MULTI_INSERT, 0) => insert::multi_insert(record, block, page),
        (LOCK_UPDATED, 0) => change::lock_updated(record, page),
        // Rewrites and command ids are logged for logical decoding alone; they have no blocks.
        _ => Err(record.unknown(block)),
    }
}

/// Whether a redo leaves the page's LSN as it is: the heap page that is marked visible keeps its own
/// (as long as hints are not logged), and the map's page gets one only where its bits change.
pub(super) fn keeps_lsn(record: &Record<'_>, _block: &Block<'_>) -> bool {
    Rmgr::from_number(record.rmgr) == Some(Rmgr::Heap2) && operation(record) == VISIBLE
}

fn operation(record: &Record<'_>) -> u8 {
    record.info & OPERATION
}

fn begins_empty(record: &Record<'_>) -> bool {
    record.info & BEGINS_EMPTY != 0
}

/// Empties the page where the record says so, which it must say of the block as well.
fn begin(
    record: &Record<'_>,
    block: &Block<'_>,
    may_be_empty: bool,
    page: &mut Page,
) -> Result<(), RedoError> {
    let empty = may_be_empty && block.id == 0 && begins_empty(record);
    if empty != block.will_init {
        return Err(RedoError::Record("kind and block differ in whether the page begins empty"));
    }
    if empty {
        page.init(0)?;
    }
    Ok(())
}
