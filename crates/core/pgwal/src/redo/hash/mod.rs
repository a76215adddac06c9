//! Hash indexes: equal to `hash_xlog.c`, and to what it calls of `hashpage.c` and `hashovfl.c`.
//!
//! The special space of a page, `HashPageOpaqueData`:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | page before in the bucket; on its first page, the highest bucket when it was last split |
//! | 4 | 4 | page behind in the bucket |
//! | 8 | 4 | bucket |
//! | 12 | 2 | flags |
//! | 14 | 2 | what marks pages of hash indexes |
//!
//! The content of block 0, `HashMetaPageData`, is described in `meta.rs`; a bitmap page has its
//! bits, in words of 32, behind the header.
//!
//! The main data of records, by kind (the data of blocks is said where it is read):
//!
//! | kind | fields: offset, bytes |
//! |---|---|
//! | `INIT_META_PAGE` | 0, 8 expected entries, a double; 8, 4 hash function; 12, 2 fill factor |
//! | `INIT_BITMAP_PAGE` | 0, 2 bytes of bitmap |
//! | `INSERT` | 0, 2 number of the new entry |
//! | `ADD_OVFL_PAGE` | 0, 2 bytes of bitmap; 2, 1 whether a free page was found |
//! | `SPLIT_ALLOCATE_PAGE` | 0, 4 new bucket; 4, 2 flags of the old one; 6, 2 flags of the new one; 8, 1 what changes in the meta page |
//! | `SPLIT_PAGE` | none: the page comes with its image |
//! | `SPLIT_COMPLETE` | 0, 2 flags of the old bucket; 2, 2 flags of the new one |
//! | `MOVE_PAGE_CONTENTS` | 0, 2 number of entries; 2, 1 whether they go to the bucket's first page |
//! | `SQUEEZE_PAGE` | 0, 4 page before; 4, 4 page behind; 8, 2 number of entries; 10, 1 whether they go to the bucket's first page; 11, 1 whether to the page before |
//! | `DELETE` | 0, 1 whether no dead entries are left; 1, 1 whether it is the bucket's first page |
//! | `SPLIT_CLEANUP` | none |
//! | `UPDATE_META_PAGE` | 0, 8 entries, a double |
//! | `VACUUM_ONE_PAGE` | 0, 4 newest transaction removed; 4, 4 number of entries; 8, 2 n their numbers |

mod bucket;
mod entries;
mod meta;
mod opaque;
mod overflow;
#[cfg(test)]
mod tests;

use super::index_tuple;
use crate::error::{PageError, RedoError};
use crate::fields::Fields;
use crate::mask;
use crate::page::Page;
use crate::record::{Block, Record};
use crate::rmgr::Rmgr;
use opaque::{BUCKET, HAS_DEAD, KIND_MASK, NEEDS_SPLIT_CLEANUP, OVERFLOW, Opaque};

const INIT_META_PAGE: u8 = 0x00;
const INIT_BITMAP_PAGE: u8 = 0x10;
const INSERT: u8 = 0x20;
const ADD_OVFL_PAGE: u8 = 0x30;
const SPLIT_ALLOCATE_PAGE: u8 = 0x40;
const SPLIT_PAGE: u8 = 0x50;
const SPLIT_COMPLETE: u8 = 0x60;
const MOVE_PAGE_CONTENTS: u8 = 0x70;
const SQUEEZE_PAGE: u8 = 0x80;
const DELETE: u8 = 0x90;
const SPLIT_CLEANUP: u8 = 0xa0;
const UPDATE_META_PAGE: u8 = 0xb0;
const VACUUM_ONE_PAGE: u8 = 0xc0;

const NO_IMAGE: RedoError = RedoError::Record("a page of a split bucket has no image to apply");

pub(super) fn redo(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    if only_locked(record, block) {
        return Ok(());
    }
    match (record.kind(), block.id) {
        (INIT_META_PAGE, 0) => meta::init(record, page),
        (INIT_BITMAP_PAGE, 0) => overflow::init_bitmap(record, page),
        (INIT_BITMAP_PAGE, 1) => meta::add_first_bitmap(page),
        (INSERT, 0) => entries::insert(record, block, page),
        (INSERT, 1) => meta::add_to_count(page, 1.0),
        (ADD_OVFL_PAGE, _) => overflow::add(record, block, page),
        (SPLIT_ALLOCATE_PAGE, _) => bucket::allocate(record, block, page),
        (SPLIT_PAGE, 0) => Err(NO_IMAGE),
        (SPLIT_COMPLETE, _) => bucket::complete(record, block, page),
        (MOVE_PAGE_CONTENTS, _) => entries::move_contents(record, block, page),
        (SQUEEZE_PAGE, _) => overflow::squeeze(record, block, page),
        (DELETE, 1) => entries::delete(record, block, page),
        (SPLIT_CLEANUP, 0) => {
            Ok(opaque::change(page, |opaque| opaque.flags &= !NEEDS_SPLIT_CLEANUP)?)
        }
        (UPDATE_META_PAGE, 0) => meta::set_count(record, page),
        (VACUUM_ONE_PAGE, _) => entries::vacuum(record, block, page),
        _ => Err(record.unknown(block)),
    }
}

/// Whether the block is a bucket's first page that is only locked while another of its pages
/// changes. It keeps its LSN, too.
fn only_locked(record: &Record<'_>, block: &Block<'_>) -> bool {
    let first_page_changes_at = match record.kind() {
        MOVE_PAGE_CONTENTS => 2,
        SQUEEZE_PAGE => 10,
        DELETE => 1,
        _ => return false,
    };
    block.id == 0 && record.main.get(first_page_changes_at) == Some(&0)
}

/// Whether a redo leaves the page's LSN as it is.
pub(super) fn keeps_lsn(record: &Record<'_>, block: &Block<'_>) -> bool {
    record.rmgr == Rmgr::Hash.number() && only_locked(record, block)
}

/// The number that is a block's data.
fn number_of(block: &Block<'_>) -> Result<u32, RedoError> {
    Fields::new(block.data).u32()
}

pub(crate) fn mask(page: &mut Page) -> Result<(), PageError> {
    mask::lsn_and_checksum(page);
    mask::hints(page);
    mask::unused_space(page)?;
    let kind = Opaque::of(page)?.flags & KIND_MASK;
    if kind == 0 {
        mask::content(page);
        return Ok(());
    }
    if kind == BUCKET || kind == OVERFLOW {
        mask::line_states(page)?;
    }
    opaque::change(page, |opaque| opaque.flags &= !HAS_DEAD)
}
