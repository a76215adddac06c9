//! What the log does not determine of a page, blanked as PostgreSQL blanks it before it compares
//! (`access/common/bufmask.c` and the mask of each access method).

use crate::error::PageError;
use crate::lsn::Lsn;
use crate::page::{
    ALL_VISIBLE, HAS_FREE_LINES, HEADER_BYTES, Line, LineState, PAGE_BYTES, PAGE_FULL, Page,
    aligned,
};
use crate::record::Record;
use crate::redo;
use crate::rmgr::Rmgr;

/// Blanks a page that a record of this resource manager changed; `number` is the page's number.
///
/// # Errors
/// [`PageError`]: the page cannot be a page of that kind. It may be blanked in part then.
pub fn mask(record: &Record<'_>, page: &mut Page, number: u32) -> Result<(), PageError> {
    Rmgr::from_number(record.rmgr).map_or(Ok(()), |kind| mask_kind(kind, page, number))
}

/// Blanks a page of this resource manager; `number` is the page's number.
///
/// # Errors
/// As [`mask`].
pub fn mask_kind(kind: Rmgr, page: &mut Page, number: u32) -> Result<(), PageError> {
    match kind {
        Rmgr::Heap | Rmgr::Heap2 => redo::heap::mask(page, number),
        Rmgr::Btree => redo::btree::mask(page),
        Rmgr::Hash => redo::hash::mask(page),
        Rmgr::Gin => redo::gin::mask(page),
        Rmgr::Gist => redo::gist::mask(page),
        Rmgr::SpGist => redo::spgist::mask(page),
        Rmgr::Brin => redo::brin::mask(page),
        Rmgr::Sequence => redo::sequence::mask(page),
        Rmgr::Generic => redo::generic::mask(page),
        _ => Ok(()),
    }
}

/// Blanks LSN and checksum.
pub(crate) fn lsn_and_checksum(page: &mut Page) {
    page.set_lsn(Lsn(0));
    page.0[8..10].fill(0);
}

/// Blanks what are hints: the transaction to prune for, and the flags of the header.
pub(crate) fn hints(page: &mut Page) {
    page.set_prune_xid(0);
    page.change_flags(0, PAGE_FULL | HAS_FREE_LINES | ALL_VISIBLE);
}

/// Blanks the bytes between line pointers and items.
pub(crate) fn unused_space(page: &mut Page) -> Result<(), PageError> {
    let (lower, upper, special) = (page.lower(), page.upper(), page.special());
    if lower < HEADER_BYTES || lower > upper || upper > special || special > PAGE_BYTES {
        page.check_header()?;
    }
    page.bytes_at_mut(lower, upper.saturating_sub(lower))?.fill(0);
    Ok(())
}

/// Blanks the states of line pointers that are in use.
pub(crate) fn line_states(page: &mut Page) -> Result<(), PageError> {
    for number in 1..=page.item_count() {
        let line = page.line(number)?;
        if line.is_used() {
            page.set_line(number, Line { state: LineState::Unused, ..line })?;
        }
    }
    Ok(())
}

/// Blanks what is between an item's end and the next multiple of 8.
pub(crate) fn padding(page: &mut Page, number: u16) -> Result<(), PageError> {
    let item = page.item_range(number)?;
    page.bytes_at_mut(item.end, aligned(item.len()) - item.len())?.fill(0);
    Ok(())
}

/// Blanks all but the header, and lower and upper.
pub(crate) fn content(page: &mut Page) {
    page.0[HEADER_BYTES..].fill(0);
    page.set_lower(0);
    page.set_upper(0);
}
