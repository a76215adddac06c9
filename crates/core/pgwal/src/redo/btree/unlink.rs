use super::opaque::{self, LEAF, NONE, Opaque};
use super::{block_number_bytes, posting};
use crate::error::{PageError, RedoError};
use crate::fields::Fields;
use crate::page::Page;
use crate::record::{Block, Record};

/// Takes an empty leaf from its parent: 0 is the leaf, 1 the parent.
pub(super) fn mark_half_dead(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut fields = Fields::new(record.main);
    let number = fields.u16()?;
    fields.skip(2 + 4)?;
    let siblings = (fields.u32()?, fields.u32()?);
    let top_parent = fields.u32()?;
    match block.id {
        0 => Ok(opaque::init_half_dead(page, siblings, top_parent)?),
        1 => take_from_parent(page, number),
        _ => Err(record.unknown(block)),
    }
}

/// The entry leads to where the next one led, and the next one goes: key ranges stay as they are.
fn take_from_parent(page: &mut Page, number: u16) -> Result<(), RedoError> {
    let next = number.checked_add(1).ok_or(PageError::NoItem(number))?;
    let to = posting::downlink(page.item(next)?).ok_or(PageError::BadItem(next))?;
    let entry = page.item_mut(number)?.first_chunk_mut().ok_or(PageError::BadItem(number))?;
    *entry = block_number_bytes(to);
    page.delete_item(next)?;
    Ok(())
}

/// Takes a page out of its level: 0 is the page, 1 and 2 its siblings, 3 the leaf below it that is
/// to go last.
pub(super) fn unlink(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut fields = Fields::new(record.main);
    let (left, right, level) = (fields.u32()?, fields.u32()?, fields.u32()?);
    fields.skip(4)?;
    let safe = fields.u64()?;
    let leaf_siblings = (fields.u32()?, fields.u32()?);
    let leaf_top_parent = fields.u32()?;
    match block.id {
        0 => {
            let flags = if level == 0 { LEAF } else { 0 };
            let opaque = Opaque { previous: left, next: right, level, flags, cycle: 0 };
            opaque::init_deleted(page, opaque, safe)?;
        }
        1 if left != NONE => opaque::change(page, |opaque| opaque.next = right)?,
        2 => opaque::change(page, |opaque| opaque.previous = left)?,
        3 => opaque::init_half_dead(page, leaf_siblings, leaf_top_parent)?,
        _ => return Err(record.unknown(block)),
    }
    Ok(())
}
