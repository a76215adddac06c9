use alloc::vec::Vec;

use super::opaque::{self, HAS_GARBAGE};
use super::{VACUUM, posting};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::Page;
use crate::record::{Block, Record};

/// Bytes of an item's number, and of an index in a posting list.
const NUMBER_BYTES: usize = 2;

/// Deletes entries, and rows from posting lists. The block's data:
///
/// | bytes | what |
/// |---|---|
/// | 2 d | numbers of the entries that are deleted |
/// | 2 u | numbers of the posting lists that lose rows |
/// | | for each of these: two bytes of count, two bytes of index for each row that is lost |
pub(super) fn delete(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut fields = Fields::new(record.main);
    if record.kind() != VACUUM {
        fields.skip(4)?;
    }
    let (deleted, updated) = (usize::from(fields.u16()?), usize::from(fields.u16()?));
    let mut fields = Fields::new(block.data);
    let deleted = fields.take(deleted * NUMBER_BYTES)?;
    let updated = fields.take(updated * NUMBER_BYTES)?;
    for number in numbers(updated) {
        let count = usize::from(fields.u16()?);
        let gone = fields.take(count * NUMBER_BYTES)?;
        let list = posting::without(page.item(number)?, gone)?;
        page.replace_item(number, &list)?;
    }
    let deleted: Vec<u16> = numbers(deleted).collect();
    page.delete_items(&deleted)?;
    Ok(opaque::change(page, |opaque| opaque.flags &= !HAS_GARBAGE)?)
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.chunks_exact(NUMBER_BYTES).map(|number| u16::from_le_bytes([number[0], number[1]]))
}
