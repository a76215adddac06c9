use alloc::vec::Vec;

use super::index_tuple;
use super::insert::item_before;
use super::opaque::{self, INCOMPLETE_SPLIT, LEAF, NONE, Opaque, ROOT};
use super::{SPLIT_L, append, finish_split, posting};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::Page;
use crate::record::{Block, Record};

struct Split {
    level: u32,
    /// The first entry of the page that is on the right page then.
    first_right: u16,
    /// Where the new entry goes on the page, were it not split.
    new_number: u16,
    /// Where in the posting list before it, or 0.
    list_index: u16,
    new_on_left: bool,
}

impl Split {
    fn of(record: &Record<'_>) -> Result<Self, RedoError> {
        let mut fields = Fields::new(record.main);
        Ok(Self {
            level: fields.u32()?,
            first_right: fields.u16()?,
            new_number: fields.u16()?,
            list_index: fields.u16()?,
            new_on_left: record.kind() == SPLIT_L,
        })
    }

    const fn leaf_flag(&self) -> u16 {
        if self.level == 0 { LEAF } else { 0 }
    }
}

/// Splits a page: 0 is the page, 1 the new one to its right, 2 the one behind that, 3 the child
/// whose split is finished by this.
pub(super) fn split(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let split = Split::of(record)?;
    match block.id {
        0 => left(record, block, &split, page),
        1 => {
            let next = record.block(2).map_or(NONE, |behind| behind.number);
            let previous = record.expect_block(0)?.number;
            let (level, flags) = (split.level, split.leaf_flag());
            Opaque { previous, next, level, flags, cycle: 0 }.init(page)?;
            restore_items(block, page)
        }
        2 => {
            let right = record.expect_block(1)?.number;
            Ok(opaque::change(page, |opaque| opaque.previous = right)?)
        }
        3 if split.level > 0 => finish_split(page),
        _ => Err(record.unknown(block)),
    }
}

/// Items as they lie between upper and special: the last one first (`_bt_restore_page`).
fn restore_items(block: &Block<'_>, page: &mut Page) -> Result<(), RedoError> {
    let mut fields = Fields::new(block.data);
    let mut items = Vec::new();
    while !fields.is_empty() {
        items.push(index_tuple::take_padded(&mut fields)?);
    }
    items.iter().rev().try_for_each(|item| append(page, item))?;
    Ok(())
}

/// What the record gives to the left page.
struct Given<'a> {
    high_key: &'a [u8],
    /// The new entry, where it is on the left.
    entry: Option<(u16, Vec<u8>)>,
    /// A posting list that is in the place of another.
    list: Option<(u16, Vec<u8>)>,
}

/// The block's data: the new entry, when it goes to the left page or belongs into a posting list
/// there, and the high key; each with its padding.
fn given<'a>(block: &Block<'a>, split: &Split, page: &Page) -> Result<Given<'a>, RedoError> {
    let mut fields = Fields::new(block.data);
    let (mut entry, mut list) = (None, None);
    if split.new_on_left || split.list_index != 0 {
        let mut new = index_tuple::take_padded(&mut fields)?.to_vec();
        if split.list_index != 0 {
            let (number, item) = item_before(page, split.new_number)?;
            let (changed, last) = posting::swap(item, &new, split.list_index)?;
            (list, new) = (Some((number, changed)), last);
        }
        entry = split.new_on_left.then_some((split.new_number, new));
    }
    Ok(Given { high_key: index_tuple::take_padded(&mut fields)?, entry, list })
}

/// Writes the left page in the order in which it was written: the order in which items lie on a
/// page depends on it.
fn left(
    record: &Record<'_>,
    block: &Block<'_>,
    split: &Split,
    page: &mut Page,
) -> Result<(), RedoError> {
    let old = Opaque::of(page)?;
    let given = given(block, split, page)?;
    let mut made = opaque::emptied(page)?;
    append(&mut made, given.high_key)?;
    let entry_at = |number: u16| given.entry.as_ref().filter(|(at, _)| *at == number);
    let list_at = |number: u16| given.list.as_ref().filter(|(at, _)| *at == number);
    let first = old.first_entry();
    for number in first..split.first_right {
        if let Some((_, list)) = list_at(number) {
            append(&mut made, list)?;
            continue;
        }
        if let Some((_, entry)) = entry_at(number) {
            append(&mut made, entry)?;
        }
        append(&mut made, page.item(number)?)?;
    }
    if let Some((_, entry)) = entry_at(split.first_right.max(first)) {
        append(&mut made, entry)?;
    }
    *page = made;
    let next = record.expect_block(1)?.number;
    let flags = INCOMPLETE_SPLIT | split.leaf_flag();
    Ok(Opaque { next, flags, cycle: 0, ..old }.write(page)?)
}

/// A new root: 0 is the root, 1 the page that was split.
pub(super) fn new_root(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut fields = Fields::new(record.main);
    fields.skip(4)?;
    let level = fields.u32()?;
    let leaf = if level == 0 { LEAF } else { 0 };
    match block.id {
        0 => {
            Opaque { level, flags: ROOT | leaf, ..Opaque::default() }.init(page)?;
            if level > 0 { restore_items(block, page) } else { Ok(()) }
        }
        1 if level > 0 => finish_split(page),
        _ => Err(record.unknown(block)),
    }
}
