//! Records that replace inner tuples.

use super::page::{self, Downlink, Tombstone};
use super::{State, begin, flag};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::Page;
use crate::record::{Block, Record};
use crate::redo::tid::Tid;

/// Which block holds the parent of the tuple that got a node; -1 is none.
const PARENT_IS_OLD: u8 = 0;
const PARENT_IS_NEW: u8 = 1;
const PARENT_IS_OTHER: u8 = 2;

pub(super) fn add_node(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut main = Fields::new(record.main);
    let (old, new) = (main.u16()?, main.u16()?);
    let (new_page, parent_block) = (flag(&mut main)?, main.u8()?);
    let parent = Downlink { number: main.u16()?, node: main.u16()? };
    main.skip(2)?;
    let state = State::take(&mut main)?;
    let tuple = page::take_inner(&mut main)?;
    let to = match record.block(1) {
        Some(page_of_new) => Tid { block: page_of_new.number, item: new },
        None if block.id == 0 => return page::replace(page, tuple, old),
        None => return Err(record.unknown(block)),
    };
    match block.id {
        0 => page::bury(page, &[old], state.moved(to), Tombstone::Placeholder)?,
        1 => {
            begin(block, page, new_page, 0)?;
            page::add_or_replace(page, tuple, new)?;
        }
        2 if parent_block == PARENT_IS_OTHER => {}
        _ => return Err(record.unknown(block)),
    }
    let parent_is_here = match block.id {
        0 => parent_block == PARENT_IS_OLD,
        1 => parent_block == PARENT_IS_NEW,
        _ => true,
    };
    if parent_is_here { page::set_downlink(page, parent, to) } else { Ok(()) }
}

pub(super) fn split_tuple(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut main = Fields::new(record.main);
    let (prefix_number, postfix_number) = (main.u16()?, main.u16()?);
    let (new_page, same_page) = (flag(&mut main)?, flag(&mut main)?);
    let (prefix, postfix) = (page::take_inner(&mut main)?, page::take_inner(&mut main)?);
    match block.id {
        0 => {
            page::replace(page, prefix, prefix_number)?;
            if same_page { page::add_or_replace(page, postfix, postfix_number) } else { Ok(()) }
        }
        1 if !same_page => {
            begin(block, page, new_page, 0)?;
            page::add_or_replace(page, postfix, postfix_number)
        }
        _ => Err(record.unknown(block)),
    }
}
