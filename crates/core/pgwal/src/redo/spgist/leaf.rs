//! Records that put tuples into leaf pages.

use alloc::vec::Vec;

use super::page::{self, Downlink, LEAF, Tombstone};
use super::{State, begin, flag, nulls_flag};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::Page;
use crate::record::{Block, Record};
use crate::redo::tid::Tid;

pub(super) fn add(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut main = Fields::new(record.main);
    let (new_page, nulls) = (flag(&mut main)?, flag(&mut main)?);
    let (number, head) = (main.u16()?, main.u16()?);
    let parent = Downlink { number: main.u16()?, node: main.u16()? };
    match block.id {
        0 => {
            begin(block, page, new_page, LEAF | nulls_flag(nulls))?;
            add_to_chain(page, page::take_leaf(&mut main)?, number, head)
        }
        1 if parent.number != 0 => {
            let to = Tid { block: record.expect_block(0)?.number, item: number };
            page::set_downlink(page, parent, to)
        }
        _ => Err(record.unknown(block)),
    }
}

/// Adds a tuple as the second of a chain, or alone. A chain whose head is where the tuple goes is dead.
fn add_to_chain(page: &mut Page, tuple: &[u8], number: u16, head: u16) -> Result<(), RedoError> {
    if number == head {
        return page::replace(page, tuple, number);
    }
    page::add_or_replace(page, tuple, number)?;
    if head == 0 { Ok(()) } else { page::set_next(page, head, number) }
}

struct Move<'a> {
    new_page: bool,
    nulls: bool,
    parent: Downlink,
    state: State,
    deleted: Vec<u16>,
    inserted: Vec<u16>,
    tuples: Fields<'a>,
}

impl<'a> Move<'a> {
    fn decode(main: &'a [u8]) -> Result<Self, RedoError> {
        let mut main = Fields::new(main);
        let moves = usize::from(main.u16()?);
        let (new_page, replace_dead) = (flag(&mut main)?, flag(&mut main)?);
        let nulls = flag(&mut main)?;
        main.skip(1)?;
        let parent = Downlink { number: main.u16()?, node: main.u16()? };
        main.skip(2)?;
        let state = State::take(&mut main)?;
        let deleted = main.u16s(moves)?;
        let inserted = main.u16s(if replace_dead { 1 } else { moves + 1 })?;
        Ok(Self { new_page, nulls, parent, state, deleted, inserted, tuples: main })
    }
}

pub(super) fn move_chain(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let moved = Move::decode(record.main)?;
    let item = moved.inserted.last().copied().unwrap_or_default();
    let to = Tid { block: record.expect_block(1)?.number, item };
    match block.id {
        0 => page::bury(page, &moved.deleted, moved.state.moved(to), Tombstone::Placeholder),
        1 => {
            begin(block, page, moved.new_page, LEAF | nulls_flag(moved.nulls))?;
            let mut tuples = moved.tuples;
            for number in moved.inserted {
                page::add_or_replace(page, page::take_leaf(&mut tuples)?, number)?;
            }
            Ok(())
        }
        2 => page::set_downlink(page, moved.parent, to),
        _ => Err(record.unknown(block)),
    }
}
