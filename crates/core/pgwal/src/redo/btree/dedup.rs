use alloc::vec::Vec;

use super::append;
use super::opaque::{self, HAS_GARBAGE, HIGH_KEY, Opaque};
use super::posting::Entry;
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::Page;
use crate::record::{Block, Record};

/// Bytes of an entry at most: three must fit on a page.
const ENTRY_BYTES_MAX: usize = 2704;

const NOT_MERGED: RedoError = RedoError::Mismatch("entries cannot be merged as they were");

/// A run of entries that become one.
#[derive(Clone, Copy)]
struct Interval {
    /// The first entry's number.
    first: u16,
    /// How many they are.
    count: u16,
}

/// Merges runs of entries with equal keys into posting lists (`btree_xlog_dedup`). The block's data
/// are the runs: two bytes of first number, two bytes of count.
pub(super) fn deduplicate(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let intervals = intervals(record, block)?;
    let opaque = Opaque::of(page)?;
    let mut made = opaque::emptied(page)?;
    let first = opaque.first_entry();
    if first > HIGH_KEY {
        append(&mut made, page.item(HIGH_KEY)?)?;
    }
    let mut left = intervals.iter().copied().peekable();
    let mut number = first;
    while number <= page.item_count() {
        let count = if let Some(run) = left.next_if(|run| run.first == number) {
            append(&mut made, &merged(page, run)?)?;
            run.count
        } else {
            append(&mut made, Entry::of(page.item(number)?)?.bytes)?;
            1
        };
        number = number.checked_add(count).ok_or(NOT_MERGED)?;
    }
    if left.next().is_some() {
        return Err(NOT_MERGED);
    }
    *page = made;
    Ok(opaque::change(page, |opaque| opaque.flags &= !HAS_GARBAGE)?)
}

fn intervals(record: &Record<'_>, block: &Block<'_>) -> Result<Vec<Interval>, RedoError> {
    const SINGLE: RedoError = RedoError::Record("a run of entries to merge is not two or more");
    let count = Fields::new(record.main).u16()?;
    let mut fields = Fields::new(block.data);
    let interval = |_| {
        let (first, count) = (fields.u16()?, fields.u16()?);
        if count < 2 { Err(SINGLE) } else { Ok(Interval { first, count }) }
    };
    (0..count).map(interval).collect()
}

fn merged(page: &Page, run: Interval) -> Result<Vec<u8>, RedoError> {
    let base = Entry::of(page.item(run.first)?)?;
    let mut tids = base.tids.to_vec();
    for number in (run.first..=u16::MAX).take(usize::from(run.count)).skip(1) {
        tids.extend_from_slice(Entry::of(page.item(number)?)?.tids);
        if base.len_with(tids.len()) > ENTRY_BYTES_MAX {
            return Err(NOT_MERGED);
        }
    }
    base.with(&tids)
}
