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
//! An index tuple (`IndexTupleData`) begins with a row address, which in an inner page is the child,
//! and two bytes whose lower 13 bits are its length.

use super::super::tid::{NO_BLOCK, Tid};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::{Page, Place};

const TUPLE_HEADER_BYTES: usize = 8;
const TUPLE_LEN_MASK: u16 = 0x1fff;

pub(super) fn insert(data: &[u8], right_child: u32, page: &mut Page) -> Result<(), RedoError> {
    let mut fields = Fields::new(data);
    let (item, replaces) = (fields.u16()?, fields.u8()? != 0);
    fields.skip(1)?;
    let tuple = take_tuple(&mut fields)?;
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

/// The next index tuple.
pub(super) fn take_tuple<'a>(fields: &mut Fields<'a>) -> Result<&'a [u8], RedoError> {
    let mut header = *fields;
    header.skip(Tid::BYTES)?;
    let len = usize::from(header.u16()? & TUPLE_LEN_MASK);
    if len < TUPLE_HEADER_BYTES {
        return Err(RedoError::Record("an index tuple is shorter than its header"));
    }
    fields.take(len)
}
