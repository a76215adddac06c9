//! The visibility map (`access/heap/visibilitymap.c`): two bits for each page of a heap.
//!
//! Byte `24 + n / 4` of a map's page is of its heap pages `n` to `n + 3`, the lowest two bits of the
//! first. A bit too few costs work, a bit too many answers wrong: what clears bits has to be applied
//! even where the heap's page is taken from an image.

use alloc::vec::Vec;

use super::change::{Change, DELETE_ALL_VISIBLE_CLEARED, LOCK_ALL_FROZEN_CLEARED};
use super::insert::{self, Insert, MultiInsert};
use super::update::{NEW_ALL_VISIBLE_CLEARED, OLD_ALL_VISIBLE_CLEARED, Update};
use super::{DELETE, HOT_UPDATE, INSERT, LOCK, LOCK_UPDATED, MULTI_INSERT, UPDATE, operation};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::{ALL_VISIBLE, HEADER_BYTES, PAGE_BYTES, Page};
use crate::record::{Block, Record, Relation};
use crate::rmgr::Rmgr;

/// Every transaction sees every row of the page.
pub const VISIBILITY_ALL_VISIBLE: u8 = 0x01;
/// Every row of the page is frozen.
pub const VISIBILITY_ALL_FROZEN: u8 = 0x02;
/// Both bits.
pub const VISIBILITY_BITS: u8 = VISIBILITY_ALL_VISIBLE | VISIBILITY_ALL_FROZEN;

const BITS_PER_HEAP_PAGE: u32 = 2;
const HEAP_PAGES_PER_BYTE: u32 = 8 / BITS_PER_HEAP_PAGE;
#[allow(clippy::cast_possible_truncation, reason = "a page's size fits")]
const HEAP_PAGES_PER_MAP_PAGE: u32 = (PAGE_BYTES - HEADER_BYTES) as u32 * HEAP_PAGES_PER_BYTE;

/// Bits that a record clears in a visibility map without a reference to the map's page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VisibilityClear {
    /// The heap; the map is its fork.
    pub relation: Relation,
    /// The heap's page.
    pub heap_block: u32,
    /// Which bits: of [`VISIBILITY_BITS`].
    pub bits: u8,
}

/// The bits of visibility maps that a record clears, whether its own blocks are done again or
/// restored from images: at most two, none for records that are no heap's.
///
/// # Errors
/// [`RedoError`]: the record is malformed.
pub fn visibility_clears(record: &Record<'_>) -> Result<Vec<VisibilityClear>, RedoError> {
    let mut clears = Vec::new();
    let mut clear = |id: u8, bits: u8| -> Result<(), RedoError> {
        let Block { relation, number: heap_block, .. } = *record.expect_block(id)?;
        clears.push(VisibilityClear { relation, heap_block, bits });
        Ok(())
    };
    for (id, bits) in cleared_blocks(record)?.into_iter().flatten() {
        clear(id, bits)?;
    }
    Ok(clears)
}

/// The blocks of a record whose bits it clears, and which bits.
fn cleared_blocks(record: &Record<'_>) -> Result<[Option<(u8, u8)>; 2], RedoError> {
    let main = record.main;
    let clear = |flags: u8, flag: u8, id: u8, bits: u8| (flags & flag != 0).then_some((id, bits));
    let first = match (Rmgr::from_number(record.rmgr), operation(record)) {
        (Some(Rmgr::Heap), INSERT) => {
            let flags = Insert::read(main)?.flags;
            clear(flags, insert::ALL_VISIBLE_CLEARED, 0, VISIBILITY_BITS)
        }
        (Some(Rmgr::Heap2), MULTI_INSERT) => {
            let flags = MultiInsert::read(main)?.flags;
            clear(flags, insert::ALL_VISIBLE_CLEARED, 0, VISIBILITY_BITS)
        }
        (Some(Rmgr::Heap), DELETE) => {
            let flags = Change::read(main)?.flags;
            clear(flags, DELETE_ALL_VISIBLE_CLEARED, 0, VISIBILITY_BITS)
        }
        (Some(Rmgr::Heap), LOCK) | (Some(Rmgr::Heap2), LOCK_UPDATED) => {
            let flags = Change::read(main)?.flags;
            clear(flags, LOCK_ALL_FROZEN_CLEARED, 0, VISIBILITY_ALL_FROZEN)
        }
        (Some(Rmgr::Heap), UPDATE | HOT_UPDATE) => {
            let flags = Update::read(main)?.flags;
            let old = u8::from(record.block(1).is_some());
            return Ok([
                clear(flags, OLD_ALL_VISIBLE_CLEARED, old, VISIBILITY_BITS),
                clear(flags, NEW_ALL_VISIBLE_CLEARED, 0, VISIBILITY_BITS),
            ]);
        }
        _ => None,
    };
    Ok([first, None])
}

/// The page of a map that holds the bits of a heap's page.
#[must_use]
pub const fn visibility_page(heap_block: u32) -> u32 {
    heap_block / HEAP_PAGES_PER_MAP_PAGE
}

/// The byte of a map's page, and the place in it, of a heap's page.
fn place(heap_block: u32) -> (usize, u32) {
    let index = heap_block % HEAP_PAGES_PER_MAP_PAGE;
    let byte = usize::try_from(index / HEAP_PAGES_PER_BYTE).expect("it is below a page's size");
    (HEADER_BYTES + byte, index % HEAP_PAGES_PER_BYTE * BITS_PER_HEAP_PAGE)
}

/// Sets bits of [`VISIBILITY_BITS`] of a heap's page in its page of the map
/// ([`visibility_page`]). Returns whether the page of the map gets a new LSN: the bits were others.
pub fn set_visibility(page: &mut Page, heap_block: u32, bits: u8) -> bool {
    if page.is_new() {
        page.init(0).expect("a page without special space fits");
    }
    let (byte, shift) = place(heap_block);
    let bits = bits & VISIBILITY_BITS;
    let changes = page.0[byte] >> shift & VISIBILITY_BITS != bits;
    page.0[byte] |= bits << shift;
    changes
}

/// Clears bits of [`VISIBILITY_BITS`] of a heap's page in its page of the map
/// ([`visibility_page`]). Returns whether any was set. The page keeps its LSN.
pub fn clear_visibility(page: &mut Page, heap_block: u32, bits: u8) -> bool {
    let (byte, shift) = place(heap_block);
    let mask = (bits & VISIBILITY_BITS) << shift;
    let changes = page.0[byte] & mask != 0;
    page.0[byte] &= !mask;
    changes
}

/// Clears the bits of all heap pages from this one on in the page of the map that has it
/// ([`visibility_page`]): the heap ends before it.
pub fn cut_visibility(page: &mut Page, heap_block: u32) {
    let (byte, shift) = place(heap_block);
    page.0[byte] &= (1 << shift) - 1;
    page.0[byte + 1..].fill(0);
}

pub(super) fn visible_map(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut main = Fields::new(record.main);
    main.skip(4)?;
    let bits = main.u8()?;
    let heap_block = record.expect_block(1)?.number;
    if visibility_page(heap_block) != block.number {
        return Err(RedoError::Record("the visibility map has the heap's page elsewhere"));
    }
    if bits == 0 || bits & !VISIBILITY_BITS != 0 {
        return Err(RedoError::Record("no such bits are in a visibility map"));
    }
    if !page.is_new() && page.lower() != HEADER_BYTES {
        return Err(RedoError::Mismatch("a page of a visibility map has no items"));
    }
    if set_visibility(page, heap_block, bits) {
        page.set_lsn(record.end);
    }
    Ok(())
}

pub(super) fn visible_heap(page: &mut Page) -> Result<(), RedoError> {
    if page.is_new() {
        return Err(RedoError::Mismatch("the page was never written"));
    }
    page.change_flags(ALL_VISIBLE, 0);
    Ok(())
}
