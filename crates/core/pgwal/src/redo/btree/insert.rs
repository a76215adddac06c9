use super::{index_tuple, posting};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::{Page, Place};
use crate::record::{Block, Record};

fn entry_number(record: &Record<'_>) -> Result<u16, RedoError> {
    Fields::new(record.main).u16()
}

/// Inserts an entry. The block's data is the entry.
pub(super) fn insert(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    page.add_item(block.data, Place::Insert(entry_number(record)?))?;
    Ok(())
}

/// Inserts an entry whose row lies within the posting list before it: the row goes there, and the
/// entry gets the list's last. The block's data is two bytes of index in the list, and the entry as
/// it was before.
pub(super) fn insert_into_list(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let number = entry_number(record)?;
    let mut fields = Fields::new(block.data);
    let (index, new) = (fields.u16()?, fields.rest());
    if index_tuple::len(new) != Some(new.len()) {
        return Err(RedoError::Record("a new entry is not as long as it says"));
    }
    let (list_number, item) = item_before(page, number)?;
    let (list, entry) = posting::swap(item, new, index)?;
    page.put(page.item_range(list_number)?.start, &list)?;
    page.add_item(&entry, Place::Insert(number))?;
    Ok(())
}

/// The posting list that an entry with this number is taken from, and its number.
pub(super) fn item_before(page: &Page, number: u16) -> Result<(u16, &[u8]), RedoError> {
    let number = number.checked_sub(1).ok_or(RedoError::Record("an entry has the number 0"))?;
    Ok((number, page.item(number)?))
}
