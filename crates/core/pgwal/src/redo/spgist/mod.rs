//! SP-GiST: redo and mask of `access/spgist/spgxlog.c`.
//!
//! Records (`access/spgxlog.h`); a dash is a gap that the C compiler leaves. Tuples are not aligned in
//! records. A *state* is 8 bytes: u32 xid, u8 index is being built, - 3.
//!
//! | record | main data | blocks |
//! |---|---|---|
//! | `ADD_LEAF` | u8 new page, u8 nulls, u16 leaf, u16 head of its chain, u16 parent, u16 node; the leaf tuple | 0 leaf page, 1 parent |
//! | `MOVE_LEAFS` | u16 moves, u8 new page, u8 replace dead, u8 nulls, - 1, u16 parent, u16 node, - 2, state; u16 deleted, u16 inserted, leaf tuples | 0 from, 1 to, 2 parent |
//! | `ADD_NODE` | u16 old, u16 new, u8 new page, i8 block of the parent, u16 parent, u16 node, - 2, state; the inner tuple | 0 from, 1 to, 2 parent |
//! | `SPLIT_TUPLE` | u16 prefix, u16 postfix, u8 new page, u8 same page; both inner tuples | 0 prefix, 1 postfix |
//! | `PICKSPLIT` | u8 root, - 1, u16 deletes, u16 inserts, u8 new source, u8 new target, u16 inner, u8 new inner, u8 nulls, u8 inner is parent, - 1, u16 parent, u16 node, - 2, state; u16 deleted, u16 inserted, u8 which page, the inner tuple, leaf tuples | 0 source, 1 target, 2 inner, 3 parent |
//! | `VACUUM_LEAF` | u16 dead, u16 placeholders, u16 moves, u16 chains, state; u16 dead, placeholders, moved from, moved to, chained, next of it | 0 |
//! | `VACUUM_ROOT` | u16 deletes, - 2, state; u16 deleted | 0 |
//! | `VACUUM_REDIRECT` | u16 redirects, u16 first placeholder to go, u32 xid; u16 redirects | 0 |

mod inner;
mod leaf;
mod page;
mod pick_split;
#[cfg(test)]
mod tests;
mod vacuum;

use self::page::Tombstone;
use super::tid::Tid;
use crate::error::{PageError, RedoError};
use crate::fields::Fields;
use crate::mask;
use crate::page::{HEADER_BYTES, Page};
use crate::record::{Block, Record};

const ADD_LEAF: u8 = 0x10;
const MOVE_LEAFS: u8 = 0x20;
const ADD_NODE: u8 = 0x30;
const SPLIT_TUPLE: u8 = 0x40;
const PICKSPLIT: u8 = 0x50;
const VACUUM_LEAF: u8 = 0x60;
const VACUUM_ROOT: u8 = 0x70;
const VACUUM_REDIRECT: u8 = 0x80;

pub(super) fn redo(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    match (record.kind(), block.id) {
        (ADD_LEAF, _) => leaf::add(record, block, page),
        (MOVE_LEAFS, _) => leaf::move_chain(record, block, page),
        (ADD_NODE, _) => inner::add_node(record, block, page),
        (SPLIT_TUPLE, _) => inner::split_tuple(record, block, page),
        (PICKSPLIT, _) => pick_split::redo(record, block, page),
        (VACUUM_LEAF, 0) => vacuum::leaf(record, page),
        (VACUUM_ROOT, 0) => vacuum::root(record, page),
        (VACUUM_REDIRECT, 0) => vacuum::redirects(record, page),
        _ => Err(record.unknown(block)),
    }
}

/// What a record says of the transaction that wrote it.
#[derive(Clone, Copy)]
struct State {
    xid: u32,
    building: bool,
}

impl State {
    fn take(fields: &mut Fields<'_>) -> Result<Self, RedoError> {
        let state = Self { xid: fields.u32()?, building: fields.u8()? != 0 };
        fields.skip(3)?;
        Ok(state)
    }

    /// What is left of a tuple that went elsewhere: while the index is built nobody looks for it.
    const fn moved(self, to: Tid) -> Tombstone {
        if self.building {
            Tombstone::Placeholder
        } else {
            Tombstone::Redirect { to, xid: self.xid }
        }
    }
}

fn flag(fields: &mut Fields<'_>) -> Result<bool, RedoError> {
    Ok(fields.u8()? != 0)
}

const fn nulls_flag(stores_nulls: bool) -> u16 {
    if stores_nulls { page::NULLS } else { 0 }
}

/// Makes the page of this block empty if the record says that it is new.
fn begin(block: &Block<'_>, page: &mut Page, new: bool, flags: u16) -> Result<(), RedoError> {
    if block.will_init != new {
        return Err(RedoError::Record("it does not say clearly whether a page is new"));
    }
    if new {
        page::init(page, flags)?;
    }
    Ok(())
}

/// `spg_mask`.
pub(crate) fn mask(page: &mut Page) -> Result<(), PageError> {
    mask::lsn_and_checksum(page);
    mask::hints(page);
    if page.lower() >= HEADER_BYTES {
        mask::unused_space(page)?;
    }
    Ok(())
}
