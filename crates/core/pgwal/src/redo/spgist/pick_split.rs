//! The record of a leaf's chain that became too long: its tuples are distributed to the nodes of a
//! new inner tuple.

use alloc::vec::Vec;

use super::page::{self, Downlink, LEAF, Tombstone};
use super::{State, begin, flag, nulls_flag};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::Page;
use crate::record::{Block, Record};
use crate::redo::tid::Tid;

struct PickSplit<'a> {
    root: bool,
    new_source: bool,
    new_target: bool,
    inner_number: u16,
    new_inner: bool,
    nulls: bool,
    inner_is_parent: bool,
    parent: Downlink,
    state: State,
    deleted: Vec<u16>,
    inserted: Vec<u16>,
    /// For each that is inserted: 0 goes to the source, all else to the target.
    pages: &'a [u8],
    inner: &'a [u8],
    leaves: Fields<'a>,
}

impl<'a> PickSplit<'a> {
    fn decode(main: &'a [u8]) -> Result<Self, RedoError> {
        let mut main = Fields::new(main);
        let root = flag(&mut main)?;
        main.skip(1)?;
        let (deletes, inserts) = (usize::from(main.u16()?), usize::from(main.u16()?));
        let (new_source, new_target) = (flag(&mut main)?, flag(&mut main)?);
        let (inner_number, new_inner) = (main.u16()?, flag(&mut main)?);
        let (nulls, inner_is_parent) = (flag(&mut main)?, flag(&mut main)?);
        main.skip(1)?;
        let parent = Downlink { number: main.u16()?, node: main.u16()? };
        main.skip(2)?;
        Ok(Self {
            root,
            new_source,
            new_target,
            inner_number,
            new_inner,
            nulls,
            inner_is_parent,
            parent,
            state: State::take(&mut main)?,
            deleted: main.u16s(deletes)?,
            inserted: main.u16s(inserts)?,
            pages: main.take(inserts)?,
            inner: page::take_inner(&mut main)?,
            leaves: main,
        })
    }

    /// Adds the leaf tuples of one of the two pages.
    fn add_leaves(&self, page: &mut Page, to_source: bool) -> Result<(), RedoError> {
        let mut leaves = self.leaves;
        for (number, selector) in self.inserted.iter().zip(self.pages) {
            let leaf = page::take_leaf(&mut leaves)?;
            if (*selector == 0) == to_source {
                page::add_or_replace(page, leaf, *number)?;
            }
        }
        Ok(())
    }
}

pub(super) fn redo(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let split = PickSplit::decode(record.main)?;
    let to = Tid { block: record.expect_block(2)?.number, item: split.inner_number };
    let nulls = nulls_flag(split.nulls);
    match block.id {
        0 if !split.root => {
            begin(block, page, split.new_source, LEAF | nulls)?;
            if !split.new_source {
                let first = split.state.moved(to);
                page::bury(page, &split.deleted, first, Tombstone::Placeholder)?;
            }
            split.add_leaves(page, true)
        }
        1 => {
            begin(block, page, split.new_target, LEAF | nulls)?;
            split.add_leaves(page, false)
        }
        2 => {
            begin(block, page, split.new_inner, nulls)?;
            page::add_or_replace(page, split.inner, split.inner_number)?;
            if split.inner_is_parent { page::set_downlink(page, split.parent, to) } else { Ok(()) }
        }
        3 => page::set_downlink(page, split.parent, to),
        _ => Err(record.unknown(block)),
    }
}
