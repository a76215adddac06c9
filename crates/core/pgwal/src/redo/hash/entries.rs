use alloc::vec::Vec;

use super::index_tuple;
use super::meta;
use super::opaque::{self, HAS_DEAD};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::{Page, Place};
use crate::record::{Block, Record};

/// Bytes of an item's number.
const NUMBER_BYTES: usize = 2;

fn numbers(bytes: &[u8]) -> Vec<u16> {
    let number = |bytes: &[u8]| u16::from_le_bytes([bytes[0], bytes[1]]);
    bytes.chunks_exact(NUMBER_BYTES).map(number).collect()
}

/// Inserts an entry. The block's data is the entry.
pub(super) fn insert(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let number = Fields::new(record.main).u16()?;
    page.add_item(block.data, Place::Insert(number))?;
    Ok(())
}

/// Adds entries that come from another page. The block's data is a row of `count` numbers, two
/// bytes each, and a row of as many entries with their padding.
pub(super) fn add_moved(block: &Block<'_>, count: u16, page: &mut Page) -> Result<(), RedoError> {
    const UNEQUAL: RedoError = RedoError::Record("there are more index entries than numbers");
    if count == 0 {
        return Ok(());
    }
    let mut fields = Fields::new(block.data);
    for number in numbers(fields.take(usize::from(count) * NUMBER_BYTES)?) {
        let entry = index_tuple::take_padded(&mut fields)?;
        page.add_item(entry, Place::Insert(number))?;
    }
    if fields.is_empty() { Ok(()) } else { Err(UNEQUAL) }
}

/// Moves entries to a page before in the bucket: 0 is the bucket's first page, only locked, 1 the
/// page they go to, 2 the one they come from. Block 2's data are the entries' numbers there.
pub(super) fn move_contents(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    match block.id {
        1 => add_moved(block, Fields::new(record.main).u16()?, page),
        2 => Ok(page.delete_items(&numbers(block.data))?),
        _ => Err(record.unknown(block)),
    }
}

/// Deletes the entries whose numbers are the block's data.
pub(super) fn delete(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let clear_hint = Fields::new(record.main).u8()? != 0;
    page.delete_items(&numbers(block.data))?;
    if clear_hint {
        opaque::change(page, |opaque| opaque.flags &= !HAS_DEAD)?;
    }
    Ok(())
}

/// Deletes entries that are known to be dead: 0 is their page, 1 the meta page.
pub(super) fn vacuum(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut fields = Fields::new(record.main);
    fields.skip(4)?;
    let count = fields.u32()?.cast_signed();
    match block.id {
        0 => {
            if !fields.is_empty() {
                const NEGATIVE: RedoError = RedoError::Record("a number of entries is negative");
                let count = usize::try_from(count).map_err(|_| NEGATIVE)?;
                page.delete_items(&numbers(fields.take(count.saturating_mul(NUMBER_BYTES))?))?;
            }
            Ok(opaque::change(page, |opaque| opaque.flags &= !HAS_DEAD)?)
        }
        1 => meta::add_to_count(page, -f64::from(count)),
        _ => Err(record.unknown(block)),
    }
}
