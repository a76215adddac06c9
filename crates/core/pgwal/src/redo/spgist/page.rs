//! What is on a page of SP-GiST (`access/spgist_private.h`), and what is done with it.
//!
//! The special space (`SpGistPageOpaqueData`), 8 bytes:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 2 | flags |
//! | 2 | 2 | how many redirects are on the page |
//! | 4 | 2 | how many placeholders |
//! | 6 | 2 | `0xff82` |
//!
//! A leaf tuple, or a dead one, which stands for a tuple that is gone from a leaf or an inner page:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | 2 bits state, 30 bits length in bytes |
//! | 4 | 2 | 14 bits number of the next in the chain, 2 bits flags; 0 in a dead one |
//! | 6 | 6 | the row; in a dead one where a redirect leads: a [`Tid`] |
//! | 12 | 4 | in a dead one the transaction that made the redirect; 16 bytes in all |
//!
//! An inner tuple:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | 2 bits state, 1 bit all the same, 13 bits count of nodes, 16 bits length of the prefix |
//! | 4 | 2 | length in bytes |
//! | 6 | 2 | gap of the C compiler |
//! | 8 | | the prefix, then the nodes: entries as in other indexes |

use crate::error::{PageError, RedoError};
use crate::fields::Fields;
use crate::page::{Page, Place};
use crate::redo::index_tuple;
use crate::redo::tid::Tid;

/// A page of leaf tuples.
pub(super) const LEAF: u16 = 1 << 2;
/// A page of the tree of nulls.
pub(super) const NULLS: u16 = 1 << 3;

const SPECIAL_BYTES: usize = 8;
const REDIRECTS_AT: usize = 2;
const PLACEHOLDERS_AT: usize = 4;
const PAGE_ID: u16 = 0xff82;

const LEAF_HEADER_BYTES: usize = 12;
const DEAD_BYTES: usize = 16;
const INNER_HEADER_BYTES: usize = 8;
const NEXT_AT: usize = 4;
const NEXT_MASK: u16 = 0x3fff;
const POINTER_AT: usize = 6;

const STATE_MASK: u8 = 3;
const REDIRECT: u8 = 1;
const DEAD: u8 = 2;
const PLACEHOLDER: u8 = 3;

const NO_TUPLE: RedoError = RedoError::Mismatch("an item is too short for its tuple");

/// Where a downlink is: a node of an inner tuple.
#[derive(Clone, Copy)]
pub(super) struct Downlink {
    pub(super) number: u16,
    pub(super) node: u16,
}

/// What is left in the place of a tuple, so that the others keep their numbers.
#[derive(Clone, Copy)]
pub(super) enum Tombstone {
    /// Leads to where the tuple went.
    Redirect { to: Tid, xid: u32 },
    /// The head of a chain that has nothing left.
    Dead,
    /// May be replaced by any tuple.
    Placeholder,
}

impl Tombstone {
    fn bytes(self) -> [u8; DEAD_BYTES] {
        let (state, to, xid) = match self {
            Self::Redirect { to, xid } => (REDIRECT, to, xid),
            Self::Dead => (DEAD, Tid::NONE, 0),
            Self::Placeholder => (PLACEHOLDER, Tid::NONE, 0),
        };
        let mut bytes = [0; DEAD_BYTES];
        bytes[0] = (16 << 2) | state;
        bytes[POINTER_AT..12].copy_from_slice(&to.bytes());
        bytes[12..].copy_from_slice(&xid.to_le_bytes());
        bytes
    }

    fn count(self, page: &mut Page) -> Result<(), PageError> {
        match self {
            Self::Redirect { .. } => count_redirects(page, |count| count.wrapping_add(1)),
            Self::Placeholder => count_placeholders(page, |count| count.wrapping_add(1)),
            Self::Dead => Ok(()),
        }
    }
}

/// Takes a leaf tuple from a record.
pub(super) fn take_leaf<'a>(fields: &mut Fields<'a>) -> Result<&'a [u8], RedoError> {
    let len = Fields::new(fields.rest()).u32()? >> 2;
    let len = usize::try_from(len).ok().filter(|len| *len >= LEAF_HEADER_BYTES);
    fields.take(len.ok_or(RedoError::Record("a leaf tuple is shorter than its header"))?)
}

/// Takes an inner tuple from a record.
pub(super) fn take_inner<'a>(fields: &mut Fields<'a>) -> Result<&'a [u8], RedoError> {
    let mut header = Fields::new(fields.rest());
    header.skip(4)?;
    let len = usize::from(header.u16()?);
    if len < INNER_HEADER_BYTES {
        return Err(RedoError::Record("an inner tuple is shorter than its header"));
    }
    fields.take(len)
}

/// Makes it an empty page.
pub(super) fn init(page: &mut Page, flags: u16) -> Result<(), PageError> {
    page.init(SPECIAL_BYTES)?;
    let at = page.special();
    page.put(at, &flags.to_le_bytes())?;
    page.put(at + 6, &PAGE_ID.to_le_bytes())
}

/// Changes how many redirects the page says it has. As in PostgreSQL's release builds a count that is
/// wrong from before wraps around.
pub(super) fn count_redirects(
    page: &mut Page,
    change: impl Fn(u16) -> u16,
) -> Result<(), PageError> {
    count(page, REDIRECTS_AT, change)
}

/// As [`count_redirects`], of placeholders.
pub(super) fn count_placeholders(
    page: &mut Page,
    change: impl Fn(u16) -> u16,
) -> Result<(), PageError> {
    count(page, PLACEHOLDERS_AT, change)
}

fn count(page: &mut Page, at: usize, change: impl Fn(u16) -> u16) -> Result<(), PageError> {
    page.check_header()?;
    page.special_space(SPECIAL_BYTES)?;
    let at = page.special() + at;
    let count = change(page.u16_at(at)?);
    page.put(at, &count.to_le_bytes())
}

/// Adds a tuple at a number where there is none, or a placeholder (`addOrReplaceTuple`).
pub(super) fn add_or_replace(page: &mut Page, tuple: &[u8], number: u16) -> Result<(), RedoError> {
    if number <= page.item_count() {
        let state = page.item(number)?.first().map(|byte| byte & STATE_MASK);
        if state != Some(PLACEHOLDER) {
            return Err(RedoError::Mismatch("the tuple to be replaced is not a placeholder"));
        }
        count_placeholders(page, |count| count.wrapping_sub(1))?;
        page.delete_item(number)?;
    }
    page.add_item(tuple, Place::Insert(number))?;
    Ok(())
}

/// Puts a tuple in the place of one, whatever that is.
pub(super) fn replace(page: &mut Page, tuple: &[u8], number: u16) -> Result<(), RedoError> {
    page.delete_item(number)?;
    page.add_item(tuple, Place::Insert(number))?;
    Ok(())
}

/// Buries tuples: `first` is left in the place of the first in the list, `rest` in that of the
/// others (`spgPageIndexMultiDelete`).
pub(super) fn bury(
    page: &mut Page,
    numbers: &[u16],
    first: Tombstone,
    rest: Tombstone,
) -> Result<(), RedoError> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    page.delete_items(&sorted)?;
    for number in sorted {
        let tombstone = if numbers.first() == Some(&number) { first } else { rest };
        page.add_item(&tombstone.bytes(), Place::Insert(number))?;
        tombstone.count(page)?;
    }
    Ok(())
}

/// Turns a redirect into a placeholder. What it holds of the transaction stays.
pub(super) fn forget_redirect(page: &mut Page, number: u16) -> Result<(), RedoError> {
    let tuple = page.item_mut(number)?.first_chunk_mut::<DEAD_BYTES>().ok_or(NO_TUPLE)?;
    tuple[0] |= PLACEHOLDER;
    tuple[POINTER_AT..12].copy_from_slice(&Tid::NONE.bytes());
    Ok(())
}

/// Writes the number of the next in the chain into a leaf tuple.
pub(super) fn set_next(page: &mut Page, number: u16, next: u16) -> Result<(), RedoError> {
    let tuple = page.item_mut(number)?.first_chunk_mut::<LEAF_HEADER_BYTES>().ok_or(NO_TUPLE)?;
    let old = u16::from_le_bytes([tuple[NEXT_AT], tuple[NEXT_AT + 1]]);
    let new = (old & !NEXT_MASK) | (next & NEXT_MASK);
    tuple[NEXT_AT..NEXT_AT + 2].copy_from_slice(&new.to_le_bytes());
    Ok(())
}

/// Leads a node of an inner tuple to another tuple (`spgUpdateNodeLink`).
pub(super) fn set_downlink(page: &mut Page, link: Downlink, to: Tid) -> Result<(), RedoError> {
    let tuple = page.item_mut(link.number)?;
    let header = tuple.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)).ok_or(NO_TUPLE)?;
    let (nodes, prefix_len) = ((header >> 3) & 0x1fff, (header >> 16) & 0xffff);
    if u32::from(link.node) >= nodes {
        return Err(RedoError::Mismatch("an inner tuple has fewer nodes than the record says"));
    }
    let mut at = INNER_HEADER_BYTES + usize::try_from(prefix_len).map_err(|_| NO_TUPLE)?;
    for _ in 0..link.node {
        at += tuple.get(at..).and_then(index_tuple::len).ok_or(NO_TUPLE)?;
    }
    let pointer = tuple.get_mut(at..).and_then(<[u8]>::first_chunk_mut).ok_or(NO_TUPLE)?;
    *pointer = to.bytes();
    Ok(())
}
