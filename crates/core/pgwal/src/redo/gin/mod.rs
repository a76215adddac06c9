//! Redo of GIN, the inverted index (`access/gin/ginxlog.c`).
//!
//! A GIN index has a metapage, an entry tree of index tuples, for each frequent key a posting tree of
//! row addresses, and a list of pending entries.
//!
//! The special space of each page (`GinPageOpaqueData`):
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | the page to the right |
//! | 4 | 2 | posting items of an inner page of a posting tree; rows of a pending page |
//! | 6 | 2 | flags |
//!
//! Main data of the records:
//!
//! | record | offset | bytes | what |
//! |---|---|---|---|
//! | CREATE_PTREE | 0 | 4 | bytes of the posting lists |
//! | | 4 | | the posting lists |
//! | INSERT | 0 | 2 | flags |
//! | | 2 | 4 + 4 | left and right child, halves high first; not for a leaf |
//! | SPLIT | 0 | 12 | the relation |
//! | | 12 | 4 + 4 + 4 | right link, left child, right child |
//! | | 24 | 2 | flags |
//! | DELETE_PAGE | 0 | 2 | the item of the parent |
//! | | 4 | 4 | the right link of the left sibling |
//! | | 8 | 4 | the next transaction when the page was deleted |
//!
//! The main data of the records of the pending list are in `pending`, the block data of INSERT in
//! `entry` and `posting_tree`, those of VACUUM_DATA_LEAF_PAGE in `recompress`.

mod entry;
mod pending;
mod posting_list;
mod posting_tree;
mod recompress;
#[cfg(test)]
mod tests;

use super::tid::{NO_BLOCK, block_number};
use crate::error::{PageError, RedoError};
use crate::fields::Fields;
use crate::mask;
use crate::page::{HEADER_BYTES, Page};
use crate::record::{Block, Record};

const CREATE_POSTING_TREE: u8 = 0x10;
const INSERT: u8 = 0x20;
const SPLIT: u8 = 0x30;
const VACUUM_PAGE: u8 = 0x40;
const DELETE_PAGE: u8 = 0x50;
const UPDATE_META_PAGE: u8 = 0x60;
const INSERT_LIST_PAGE: u8 = 0x70;
const DELETE_LIST_PAGES: u8 = 0x80;
const VACUUM_POSTING_LEAF: u8 = 0x90;

/// The insertion is into a posting tree, not into the entry tree.
const IS_DATA: u16 = 0x01;
/// The insertion is into a leaf.
const IS_LEAF: u16 = 0x02;

/// Bytes of a split's record before its flags.
const SPLIT_FLAGS_AT: usize = 24;

/// The block of a split that finishes another one.
const SPLIT_CHILD: u8 = 3;

/// Where a page's flags are in its special space.
const FLAGS_AT: usize = 6;

/// Flags of a page.
mod flag {
    pub(super) const DATA: u16 = 0x0001;
    pub(super) const LEAF: u16 = 0x0002;
    pub(super) const DELETED: u16 = 0x0004;
    pub(super) const META: u16 = 0x0008;
    pub(super) const LIST: u16 = 0x0010;
    pub(super) const LIST_FULL_ROW: u16 = 0x0020;
    pub(super) const INCOMPLETE_SPLIT: u16 = 0x0040;
    pub(super) const COMPRESSED: u16 = 0x0080;
}

/// The special space of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Opaque {
    right: u32,
    count: u16,
    flags: u16,
}

impl Opaque {
    const BYTES: usize = 8;

    fn of(page: &Page) -> Result<Self, RedoError> {
        page.check_header()?;
        let mut fields = Fields::new(page.special_space(Self::BYTES)?);
        Ok(Self { right: fields.u32()?, count: fields.u16()?, flags: fields.u16()? })
    }

    fn write(self, page: &mut Page) -> Result<(), PageError> {
        let at = page.special();
        page.put(at, &self.right.to_le_bytes())?;
        page.put(at + 4, &self.count.to_le_bytes())?;
        page.put(at + FLAGS_AT, &self.flags.to_le_bytes())
    }

    const fn has(self, flags: u16) -> bool {
        self.flags & flags != 0
    }
}

/// Makes it an empty page of the index.
fn init(page: &mut Page, flags: u16) -> Result<(), PageError> {
    page.init(Opaque::BYTES)?;
    Opaque { right: NO_BLOCK, count: 0, flags }.write(page)
}

pub(super) fn redo(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    match (record.kind(), block.id) {
        (CREATE_POSTING_TREE, 0) => posting_tree::create(record.main, page),
        (INSERT, 0) => insert(record, block, page),
        (INSERT, 1) | (SPLIT, SPLIT_CHILD) => finish_split(record, block, page),
        (SPLIT, 0..=2) | (VACUUM_PAGE, 0) => Err(RedoError::Record("it has no image of the page")),
        (VACUUM_POSTING_LEAF, 0) => recompress::redo(block.data, page),
        (DELETE_PAGE, 0..=2) => delete_page(record, block, page),
        (UPDATE_META_PAGE, 0 | 1) => pending::update_meta(record, block, page),
        (INSERT_LIST_PAGE, 0) => pending::insert_page(record.main, block.data, page),
        (DELETE_LIST_PAGES, _) => pending::delete_pages(record, block, page),
        _ => Err(record.unknown(block)),
    }
}

fn insert(record: &Record<'_>, block: &Block<'_>, page: &mut Page) -> Result<(), RedoError> {
    let mut fields = Fields::new(record.main);
    let flags = fields.u16()?;
    let right_child = if flags & IS_LEAF == 0 {
        block_number(&mut fields)?;
        block_number(&mut fields)?
    } else {
        NO_BLOCK
    };
    let opaque = Opaque::of(page)?;
    if opaque.has(flag::DATA) != (flags & IS_DATA != 0) {
        return Err(RedoError::Mismatch("an insertion into the other kind of GIN tree"));
    }
    if opaque.has(flag::LEAF) != (flags & IS_LEAF != 0) {
        return Err(RedoError::Mismatch("an insertion into another level of a GIN tree"));
    }
    match (opaque.has(flag::DATA), opaque.has(flag::LEAF)) {
        (true, true) => recompress::redo(block.data, page),
        (true, false) => posting_tree::insert(block.data, right_child, page),
        (false, _) => entry::insert(block.data, right_child, page),
    }
}

/// Clears the mark of a split whose parent has both halves now.
fn finish_split(record: &Record<'_>, block: &Block<'_>, page: &mut Page) -> Result<(), RedoError> {
    let flags_at = if record.kind() == SPLIT { SPLIT_FLAGS_AT } else { 0 };
    let mut fields = Fields::new(record.main);
    fields.skip(flags_at)?;
    if fields.u16()? & IS_LEAF != 0 {
        return Err(record.unknown(block));
    }
    let opaque = Opaque::of(page)?;
    Opaque { flags: opaque.flags & !flag::INCOMPLETE_SPLIT, ..opaque }.write(page)?;
    Ok(())
}

fn delete_page(record: &Record<'_>, block: &Block<'_>, page: &mut Page) -> Result<(), RedoError> {
    let mut fields = Fields::new(record.main);
    let parent_item = fields.u16()?;
    fields.skip(2)?;
    let (right, delete_xid) = (fields.u32()?, fields.u32()?);
    let opaque = Opaque::of(page)?;
    if !opaque.has(flag::DATA) {
        return Err(RedoError::Mismatch("a page is deleted outside a posting tree"));
    }
    match block.id {
        0 => {
            page.set_prune_xid(delete_xid);
            Opaque { flags: opaque.flags | flag::DELETED, ..opaque }.write(page)?;
        }
        1 => posting_tree::delete(parent_item, page)?,
        _ => Opaque { right, ..opaque }.write(page)?,
    }
    Ok(())
}

pub(crate) fn mask(page: &mut Page) -> Result<(), PageError> {
    mask::lsn_and_checksum(page);
    mask::hints(page);
    let flags = page.u16_at(page.special() + FLAGS_AT)?;
    if flags & flag::DELETED != 0 {
        mask::content(page);
    } else if page.lower() > HEADER_BYTES {
        mask::unused_space(page)?;
    }
    Ok(())
}
