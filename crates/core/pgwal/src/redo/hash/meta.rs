//! The page about a hash index, `HashMetaPageData`:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 24 | 4 | magic number |
//! | 28 | 4 | version |
//! | 32 | 8 | entries, a double |
//! | 40 | 2 | fill factor: entries of a bucket |
//! | 42 | 2 | bytes of a page that a bitmap could have |
//! | 44 | 2 | bytes of a bitmap: the power of 2 below |
//! | 46 | 2 | binary logarithm of its bits |
//! | 48 | 4 | highest bucket |
//! | 52 | 4 | mask for the whole table |
//! | 56 | 4 | mask for its lower half |
//! | 60 | 4 | the splitpoint that overflow pages are taken from |
//! | 64 | 4 | the first overflow page that may be free |
//! | 68 | 4 | number of bitmaps |
//! | 72 | 4 | hash function |
//! | 76 | 4 × 98 | overflow pages before each splitpoint |
//! | 468 | 4 × 1024 | block numbers of bitmaps |
//! | 4564 | 4 | padding |

use super::number_of;
use super::opaque::{META, OPAQUE_BYTES, Opaque, expect_kind};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::{HEADER_BYTES, PAGE_BYTES, Page};
use crate::record::{Block, Record};

const MAGIC: u32 = 0x0644_0640;
const VERSION: u32 = 4;
const COUNT_AT: usize = 32;
const FILL_FACTOR_AT: usize = 40;
const MAX_BUCKET_AT: usize = 48;
const HIGH_MASK_AT: usize = 52;
const LOW_MASK_AT: usize = 56;
const SPLITPOINT_AT: usize = 60;
const FIRST_FREE_AT: usize = 64;
const BITMAP_COUNT_AT: usize = 68;
const FUNCTION_AT: usize = 72;
const SPARES_AT: usize = 76;
const BITMAPS_AT: usize = 468;
const META_END: usize = 4568;

const SPLITPOINTS_MAX: u32 = 98;
const BITMAPS_MAX: u32 = 1024;
const BUCKETS_MAX: u32 = 0x4000_0000;

/// Splitpoints below this add their buckets at once; those of later groups in four phases.
const GROUPS_OF_ONE_PHASE: u32 = 10;
const PHASE_BITS: u32 = 2;
const PHASE_MASK: u32 = (1 << PHASE_BITS) - 1;

/// The masks for finding buckets change; the block's data has them.
const CHANGE_MASKS: u8 = 1 << 0;
/// The splitpoint changes; the block's data has it and its overflow pages.
const CHANGE_SPLITPOINT: u8 = 1 << 1;

/// The splitpoint at which there are so many buckets (`_hash_spareindex`).
fn splitpoint_of(buckets: u32) -> u32 {
    let below = buckets.saturating_sub(1);
    let group = u32::BITS - below.leading_zeros();
    let Some(beyond) = group.checked_sub(GROUPS_OF_ONE_PHASE) else {
        return group;
    };
    let phase = (below >> (group - (PHASE_BITS + 1))) & PHASE_MASK;
    GROUPS_OF_ONE_PHASE + (beyond << PHASE_BITS) + phase
}

/// How many buckets there are at a splitpoint (`_hash_get_totalbuckets`).
fn buckets_at(splitpoint: u32) -> u32 {
    let Some(beyond) = splitpoint.checked_sub(GROUPS_OF_ONE_PHASE) else {
        return 1 << splitpoint;
    };
    let before = 1 << (GROUPS_OF_ONE_PHASE + (beyond >> PHASE_BITS) - 1);
    before + (before >> PHASE_BITS) * ((beyond & PHASE_MASK) + 1)
}

/// How many buckets an index with so many entries begins with.
fn buckets_for(entries: f64, fill_factor: u16) -> u32 {
    let wanted = entries / f64::from(fill_factor);
    if wanted <= 2.0 {
        2
    } else if wanted >= f64::from(BUCKETS_MAX) {
        BUCKETS_MAX
    } else {
        #[allow(clippy::cast_possible_truncation, reason = "it was compared; C truncates too")]
        #[allow(clippy::cast_sign_loss, reason = "it is above 2")]
        let whole = wanted as u32;
        buckets_at(splitpoint_of(whole))
    }
}

/// Makes the page anew (`_hash_init_metabuffer`).
pub(super) fn init(record: &Record<'_>, page: &mut Page) -> Result<(), RedoError> {
    let mut fields = Fields::new(record.main);
    let entries = f64::from_bits(fields.u64()?);
    let (function, fill_factor) = (fields.u32()?, fields.u16()?);
    let buckets = buckets_for(entries, fill_factor);
    let splitpoint = splitpoint_of(buckets);
    let high_mask = (buckets + 1).next_power_of_two() - 1;
    Opaque::new(META).init(page)?;
    page.put(HEADER_BYTES, &MAGIC.to_le_bytes())?;
    page.put(HEADER_BYTES + 4, &VERSION.to_le_bytes())?;
    put_sizes(page, fill_factor)?;
    page.put(MAX_BUCKET_AT, &(buckets - 1).to_le_bytes())?;
    page.put(HIGH_MASK_AT, &high_mask.to_le_bytes())?;
    page.put(LOW_MASK_AT, &(high_mask >> 1).to_le_bytes())?;
    page.put(SPLITPOINT_AT, &splitpoint.to_le_bytes())?;
    page.put(FUNCTION_AT, &function.to_le_bytes())?;
    page.put(spare_at(splitpoint)?, &1_u32.to_le_bytes())?;
    page.set_lower(META_END);
    Ok(())
}

fn put_sizes(page: &mut Page, fill_factor: u16) -> Result<(), RedoError> {
    const BITMAP_ROOM: u16 = 8152;
    const { assert!(BITMAP_ROOM as usize == PAGE_BYTES - HEADER_BYTES - OPAQUE_BYTES) };
    const BITMAP_SHIFT: u16 = 12;
    const BITS_OF_BYTE_SHIFT: u16 = 3;
    let sizes = [fill_factor, BITMAP_ROOM, 1 << BITMAP_SHIFT, BITMAP_SHIFT + BITS_OF_BYTE_SHIFT];
    for (at, size) in (FILL_FACTOR_AT..).step_by(2).zip(sizes) {
        page.put(at, &size.to_le_bytes())?;
    }
    Ok(())
}

fn spare_at(splitpoint: u32) -> Result<usize, RedoError> {
    const OUTSIDE: RedoError = RedoError::Mismatch("a hash index has no such splitpoint");
    entry_at(SPARES_AT, splitpoint, SPLITPOINTS_MAX).ok_or(OUTSIDE)
}

fn entry_at(start: usize, index: u32, max: u32) -> Option<usize> {
    let index = usize::try_from(index).ok().filter(|_| index < max)?;
    Some(start + index * size_of::<u32>())
}

fn increment(page: &mut Page, at: usize) -> Result<(), RedoError> {
    let value = page.u32_at(at)?.wrapping_add(1);
    Ok(page.put(at, &value.to_le_bytes())?)
}

/// Appends to the list of bitmaps.
fn add_bitmap(page: &mut Page, number: u32) -> Result<(), RedoError> {
    const MANY: RedoError = RedoError::Mismatch("a hash index has all the bitmaps it can have");
    let count = page.u32_at(BITMAP_COUNT_AT)?;
    let at = entry_at(BITMAPS_AT, count, BITMAPS_MAX).ok_or(MANY)?;
    page.put(at, &number.to_le_bytes())?;
    increment(page, BITMAP_COUNT_AT)
}

/// The first bitmap is behind the buckets.
pub(super) fn add_first_bitmap(page: &mut Page) -> Result<(), RedoError> {
    expect_kind(page, META)?;
    let number = page.u32_at(MAX_BUCKET_AT)?.wrapping_add(2);
    add_bitmap(page, number)
}

/// One more overflow page at the splitpoint, and perhaps a new bitmap, which is one as well.
pub(super) fn add_overflow(page: &mut Page, bitmap: Option<u32>) -> Result<(), RedoError> {
    let spares = spare_at(page.u32_at(SPLITPOINT_AT)?)?;
    increment(page, spares)?;
    if let Some(number) = bitmap {
        add_bitmap(page, number)?;
        increment(page, spares)?;
    }
    Ok(())
}

/// The block's data is the first overflow page that may be free.
pub(super) fn set_first_free(block: &Block<'_>, page: &mut Page) -> Result<(), RedoError> {
    expect_kind(page, META)?;
    Ok(page.put(FIRST_FREE_AT, &number_of(block)?.to_le_bytes())?)
}

/// A new highest bucket. The block's data is, as `changes` says: low mask, high mask; splitpoint,
/// overflow pages before it; four bytes each.
pub(super) fn add_bucket(
    block: &Block<'_>,
    bucket: u32,
    changes: u8,
    page: &mut Page,
) -> Result<(), RedoError> {
    expect_kind(page, META)?;
    page.put(MAX_BUCKET_AT, &bucket.to_le_bytes())?;
    let mut fields = Fields::new(block.data);
    if changes & CHANGE_MASKS != 0 {
        page.put(LOW_MASK_AT, fields.take(4)?)?;
        page.put(HIGH_MASK_AT, fields.take(4)?)?;
    }
    if changes & CHANGE_SPLITPOINT != 0 {
        let splitpoint = fields.u32()?;
        page.put(spare_at(splitpoint)?, fields.take(4)?)?;
        page.put(SPLITPOINT_AT, &splitpoint.to_le_bytes())?;
    }
    Ok(())
}

/// Changes the number of entries.
pub(super) fn add_to_count(page: &mut Page, by: f64) -> Result<(), RedoError> {
    expect_kind(page, META)?;
    let count = f64::from_le_bytes(page.array_at(COUNT_AT)?) + by;
    Ok(page.put(COUNT_AT, &count.to_le_bytes())?)
}

/// The main data is the number of entries.
pub(super) fn set_count(record: &Record<'_>, page: &mut Page) -> Result<(), RedoError> {
    let count = Fields::new(record.main).take(8)?;
    expect_kind(page, META)?;
    Ok(page.put(COUNT_AT, count)?)
}
