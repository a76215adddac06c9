use super::meta;
use super::opaque::{self, BITMAP, OVERFLOW, Opaque};
use super::{entries, number_of};
use crate::error::{PageError, RedoError};
use crate::fields::Fields;
use crate::page::{HEADER_BYTES, Page};
use crate::record::{Block, Record};

/// Bytes of a bitmap that fit into a page at most.
const BITMAP_BYTES_MAX: usize = crate::page::PAGE_BYTES - HEADER_BYTES - opaque::OPAQUE_BYTES;

/// Makes a page a bitmap with all bits set.
pub(super) fn init_bitmap(record: &Record<'_>, page: &mut Page) -> Result<(), RedoError> {
    let len = usize::from(Fields::new(record.main).u16()?);
    if len > BITMAP_BYTES_MAX {
        return Err(PageError::Full(len).into());
    }
    Opaque::new(BITMAP).init(page)?;
    page.bytes_at_mut(HEADER_BYTES, len)?.fill(0xff);
    page.set_lower(HEADER_BYTES + len);
    Ok(())
}

/// Sets or clears the bit whose number is the block's data.
fn change_bit(block: &Block<'_>, page: &mut Page, set: bool) -> Result<(), RedoError> {
    const OUTSIDE: RedoError = RedoError::Record("a bit is not in the bitmap");
    opaque::expect_kind(page, BITMAP)?;
    let bit = number_of(block)?;
    let byte = usize::try_from(bit / 8).ok().filter(|byte| *byte < BITMAP_BYTES_MAX);
    let at = HEADER_BYTES + byte.ok_or(OUTSIDE)?;
    let [before] = page.array_at(at)?;
    let mask = 1 << (bit % 8);
    page.put(at, &[if set { before | mask } else { before & !mask }])?;
    Ok(())
}

/// Adds an overflow page to a bucket: 0 is that page (data: its bucket), 1 the one before it, 2 the
/// bitmap that it is in (data: its bit), 3 a new bitmap, 4 the meta page (data: the first page that
/// may be free).
pub(super) fn add(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    match block.id {
        0 => {
            let previous = record.expect_block(1)?.number;
            let bucket = number_of(block)?;
            Ok(Opaque { previous, bucket, ..Opaque::new(OVERFLOW) }.init(page)?)
        }
        1 => {
            let next = record.expect_block(0)?.number;
            Ok(opaque::change(page, |opaque| opaque.next = next)?)
        }
        2 => change_bit(block, page, true),
        3 => init_bitmap(record, page),
        4 => {
            let mut fields = Fields::new(record.main);
            fields.skip(2)?;
            let reused = fields.u8()? != 0;
            meta::set_first_free(block, page)?;
            let bitmap = record.block(3).map(|bitmap| bitmap.number);
            if reused { Ok(()) } else { meta::add_overflow(page, bitmap) }
        }
        _ => Err(record.unknown(block)),
    }
}

/// Frees an overflow page: 0 is its bucket's first page, only locked, 1 the page that its entries
/// go to, 2 the page itself, 3 and 4 those before and behind it, 5 the bitmap that it is in (data:
/// its bit), 6 the meta page (data: the first page that may be free).
pub(super) fn squeeze(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut fields = Fields::new(record.main);
    let (previous, next, count) = (fields.u32()?, fields.u32()?, fields.u16()?);
    fields.skip(1)?;
    let goes_to_previous = fields.u8()? != 0;
    match block.id {
        1 => {
            entries::add_moved(block, count, page)?;
            if goes_to_previous {
                opaque::change(page, |opaque| opaque.next = next)?;
            }
        }
        2 => Opaque::new(0).init(page)?,
        3 if !goes_to_previous => opaque::change(page, |opaque| opaque.next = next)?,
        4 => opaque::change(page, |opaque| opaque.previous = previous)?,
        5 => change_bit(block, page, false)?,
        6 => meta::set_first_free(block, page)?,
        _ => return Err(record.unknown(block)),
    }
    Ok(())
}
