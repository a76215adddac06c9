//! Pages of the entry tree: index tuples.
//!
//! Block data of INSERT (`ginxlogInsertEntry`):
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 2 | the item's number |
//! | 2 | 1 | whether the item that was there goes |
//! | 3 | 1 | padding |
//! | 4 | | the index tuple |
//!
//! The row address that an index tuple begins with is in an inner page the child.

use super::super::index_tuple;
use super::super::tid::{NO_BLOCK, Tid};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::{Page, Place};

pub(super) fn insert(data: &[u8], right_child: u32, page: &mut Page) -> Result<(), RedoError> {
    let mut fields = Fields::new(data);
    let (item, replaces) = (fields.u16()?, fields.u8()? != 0);
    fields.skip(1)?;
    let tuple = index_tuple::take(&mut fields)?;
    if right_child != NO_BLOCK {
        let link = Tid { block: right_child, item: 0 }.bytes();
        page.item_mut(item)?
            .first_chunk_mut()
            .map(|tid| *tid = link)
            .ok_or(RedoError::Mismatch("an item is shorter than a link"))?;
    }
    if replaces {
        page.delete_item(item)?;
    }
    page.add_item(tuple, Place::Insert(item))?;
    Ok(())
}
