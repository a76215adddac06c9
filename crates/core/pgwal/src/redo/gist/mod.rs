//! GiST: redo and mask of `access/gist/gistxlog.c`.
//!
//! The special space (`GISTPageOpaqueData`, `access/gist.h`), 16 bytes:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | NSN: the LSN of the last split that reached the parent; high half, low half |
//! | 8 | 4 | the page to the right |
//! | 12 | 2 | flags |
//! | 14 | 2 | `0xff81` |
//!
//! Records (`access/gistxlog.h`); a dash is a gap that the C compiler leaves:
//!
//! | record | main data | block 0 | block 1 | others |
//! |---|---|---|---|---|
//! | `PAGE_UPDATE` | u16 deleted, u16 inserted | the page: numbers deleted, entries inserted | the left half of a split that is complete now | |
//! | `DELETE` | u32 xid, u16 count, numbers | the page | | |
//! | `PAGE_REUSE` | the page, for standbys | | | |
//! | `PAGE_SPLIT` | u32 right of it, - 4, u64 NSN, u8 is a leaf, - 1, u16 pages, u8 follow right, - 3 | the left half of a split that is complete now | a page: u32 count, entries | as block 1 |
//! | `PAGE_DELETE` | u64 xid, u16 number | the page | its parent | |
//! | `ASSIGN_LSN` | | | | |
//!
//! The end of a split is not in the image of its left half: see [`completes_split`].

#[cfg(test)]
mod tests;

use super::index_tuple;
use super::tid::NO_BLOCK;
use crate::error::{PageError, RedoError};
use crate::fields::Fields;
use crate::lsn::Lsn;
use crate::mask;
use crate::page::{self, Page, Place};
use crate::record::{Block, Record};

const PAGE_UPDATE: u8 = 0x00;
const DELETE: u8 = 0x10;
const PAGE_SPLIT: u8 = 0x30;
const PAGE_DELETE: u8 = 0x60;

const LEAF: u16 = 1 << 0;
const DELETED: u16 = 1 << 1;
const TUPLES_DELETED: u16 = 1 << 2;
const FOLLOW_RIGHT: u16 = 1 << 3;
const HAS_GARBAGE: u16 = 1 << 4;

const SPECIAL_BYTES: usize = 16;
const PAGE_ID: u16 = 0xff81;
const ROOT: u32 = 0;

/// The end of what a deleted page keeps: the header and a transaction.
const DELETED_LOWER: usize = page::HEADER_BYTES + 8;

pub(super) fn redo(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    match (record.kind(), block.id) {
        _ if completes_split(record, block) => complete_split(record.end, page),
        (PAGE_UPDATE, 0) => page_update(record, block, page),
        (DELETE, 0) => delete(record, page),
        (PAGE_SPLIT, 1..) => page_split(record, block, page),
        (PAGE_DELETE, 0) => page_delete(record, page),
        (PAGE_DELETE, 1) => downlink_delete(record, page),
        _ => Err(record.unknown(block)),
    }
}

/// Whether this block is the left half of a split whose right half the record gives a downlink.
/// An image of it was made before that is noted on the page: redo goes on after restoring it.
pub(super) fn completes_split(record: &Record<'_>, block: &Block<'_>) -> bool {
    matches!((record.kind(), block.id), (PAGE_UPDATE, 1) | (PAGE_SPLIT, 0))
}

fn complete_split(lsn: Lsn, page: &mut Page) -> Result<(), RedoError> {
    let mut special = Special::of(page)?;
    special.set_nsn(lsn);
    special.change_flags(0, FOLLOW_RIGHT);
    Ok(())
}

fn page_update(record: &Record<'_>, block: &Block<'_>, page: &mut Page) -> Result<(), RedoError> {
    let mut main = Fields::new(record.main);
    let (deleted, inserted) = (main.u16()?, main.u16()?);
    let mut data = Fields::new(block.data);
    if (deleted, inserted) == (1, 1) {
        let number = data.u16()?;
        page.replace_item(number, index_tuple::take(&mut data)?)?;
    } else {
        if deleted > 0 {
            page.delete_items(&data.u16s(deleted.into())?)?;
            let mut special = Special::of(page)?;
            if special.flags() & LEAF != 0 {
                special.change_flags(TUPLES_DELETED, 0);
            }
        }
        fill(page, &mut data, inserted.into())?;
    }
    at_end(data)
}

/// Here C's redo also sets [`TUPLES_DELETED`], which C's insertion does not do: with
/// `wal_consistency_checking` PostgreSQL's own recovery stops at the first such record. Nothing reads
/// the flag; we leave it as the server that wrote the record did.
fn delete(record: &Record<'_>, page: &mut Page) -> Result<(), RedoError> {
    let mut main = Fields::new(record.main);
    main.skip(4)?;
    let count = main.u16()?;
    if !main.is_empty() {
        page.delete_items(&main.u16s(count.into())?)?;
    }
    Special::of(page)?.change_flags(0, HAS_GARBAGE);
    Ok(())
}

/// One of the pages that a page was split into: 1 is that page itself, or the root, which then holds
/// the downlinks to the others.
fn page_split(record: &Record<'_>, block: &Block<'_>, page: &mut Page) -> Result<(), RedoError> {
    let split = Split::decode(record.main)?;
    if u16::from(block.id) > split.pages {
        return Err(record.unknown(block));
    }
    if !block.will_init {
        return Err(RedoError::Record("a page of a split is not made anew"));
    }
    let (root, last) = (block.number == ROOT, u16::from(block.id) == split.pages);
    let root_was_split = record.expect_block(1)?.number == ROOT;
    page.init(SPECIAL_BYTES)?;
    let mut data = Fields::new(block.data);
    let count = data.u32()?;
    fill(page, &mut data, count)?;
    at_end(data)?;

    let mut special = Special::of(page)?;
    special.0[14..].copy_from_slice(&PAGE_ID.to_le_bytes());
    special.set_nsn(split.nsn);
    special.set_right(match (root, last) {
        (true, _) => NO_BLOCK,
        (false, true) => split.right,
        (false, false) => record.expect_block(block.id.saturating_add(1))?.number,
    });
    let follow_right = split.follow_right && !root && !last && !root_was_split;
    let leaf = split.leaf && !root;
    special
        .change_flags(if leaf { LEAF } else { 0 } | if follow_right { FOLLOW_RIGHT } else { 0 }, 0);
    Ok(())
}

fn page_delete(record: &Record<'_>, page: &mut Page) -> Result<(), RedoError> {
    let xid = Fields::new(record.main).u64()?;
    Special::of(page)?.change_flags(DELETED, 0);
    page.set_lower(DELETED_LOWER);
    page.put(page::HEADER_BYTES, &xid.to_le_bytes())?;
    Ok(())
}

fn downlink_delete(record: &Record<'_>, page: &mut Page) -> Result<(), RedoError> {
    let mut main = Fields::new(record.main);
    main.skip(8)?;
    Ok(page.delete_item(main.u16()?)?)
}

/// Adds so many entries behind those of the page.
fn fill(page: &mut Page, data: &mut Fields<'_>, count: u32) -> Result<(), RedoError> {
    for _ in 0..count {
        let next = page.item_count() + 1;
        page.add_item(index_tuple::take(data)?, Place::Insert(next))?;
    }
    Ok(())
}

fn at_end(data: Fields<'_>) -> Result<(), RedoError> {
    if data.is_empty() {
        Ok(())
    } else {
        Err(RedoError::Record("it has more entries than it counts"))
    }
}

struct Split {
    right: u32,
    nsn: Lsn,
    leaf: bool,
    pages: u16,
    follow_right: bool,
}

impl Split {
    fn decode(main: &[u8]) -> Result<Self, RedoError> {
        let mut main = Fields::new(main);
        let right = main.u32()?;
        main.skip(4)?;
        let nsn = Lsn(main.u64()?);
        let leaf = main.u8()? != 0;
        main.skip(1)?;
        Ok(Self { right, nsn, leaf, pages: main.u16()?, follow_right: main.u8()? != 0 })
    }
}

/// The special space of a page.
struct Special<'a>(&'a mut [u8; SPECIAL_BYTES]);

impl<'a> Special<'a> {
    fn of(page: &'a mut Page) -> Result<Self, PageError> {
        page.check_special(SPECIAL_BYTES)?;
        let special = page.special();
        let space = page.special_space_mut(SPECIAL_BYTES)?;
        space.first_chunk_mut().map(Self).ok_or(PageError::Outside(special))
    }

    fn flags(&self) -> u16 {
        u16::from_le_bytes([self.0[12], self.0[13]])
    }

    fn change_flags(&mut self, set: u16, clear: u16) {
        let flags = (self.flags() | set) & !clear;
        self.0[12..14].copy_from_slice(&flags.to_le_bytes());
    }

    fn set_right(&mut self, block: u32) {
        self.0[8..12].copy_from_slice(&block.to_le_bytes());
    }

    fn set_nsn(&mut self, nsn: Lsn) {
        let bytes = nsn.0.to_le_bytes();
        self.0[..4].copy_from_slice(&bytes[4..]);
        self.0[4..8].copy_from_slice(&bytes[..4]);
    }
}

/// `gist_mask`.
pub(crate) fn mask(page: &mut Page) -> Result<(), PageError> {
    mask::lsn_and_checksum(page);
    mask::hints(page);
    mask::unused_space(page)?;
    let mut special = Special::of(page)?;
    special.set_nsn(Lsn(0));
    special.change_flags(FOLLOW_RIGHT, HAS_GARBAGE);
    if special.flags() & LEAF != 0 {
        mask::line_states(page)?;
    }
    Ok(())
}
