//! Doing again what a record says, to one page at a time.
//!
//! A module for each resource manager; each equals the redo functions of its C file, block by block:
//! where C changes several pages together, here each is changed by itself, from the record alone.

pub(crate) mod brin;
pub(crate) mod btree;
pub(crate) mod generic;
pub(crate) mod gin;
pub(crate) mod gist;
pub(crate) mod hash;
pub(crate) mod heap;
mod index_tuple;
pub(crate) mod sequence;
pub(crate) mod spgist;
#[cfg(test)]
mod testing;
mod tid;
mod xlog;

pub use heap::{
    VISIBILITY_ALL_FROZEN, VISIBILITY_ALL_VISIBLE, VISIBILITY_BITS, VisibilityClear,
    clear_visibility, cut_visibility, set_visibility, visibility_clears, visibility_page,
};

use crate::error::RedoError;
use crate::page::Page;
use crate::record::{Block, Image, Record};
use crate::rmgr::Rmgr;

const OUT_OF_ORDER: RedoError = RedoError::Mismatch("the page's header would be out of order");

/// Does a record again on the page of one of its blocks. The caller brings pages and records in the
/// order of the log; nothing is compared with the LSN that the page has.
///
/// # Errors
/// [`RedoError`]; the page is as it was then (PGWAL-2).
pub fn redo(record: &Record<'_>, block: &Block<'_>, page: &mut Page) -> Result<(), RedoError> {
    let before = page.clone();
    let done = match block.image.filter(|image| image.apply) {
        Some(image) => restore(record, block, &image, page),
        None => apply(record, block, page).and_then(|()| stays_in_order(&before, page)),
    };
    if done.is_err() {
        *page = before;
    }
    done
}

/// The image is the page after the record, but for the LSN and what a GiST completes after it.
fn restore(
    record: &Record<'_>,
    block: &Block<'_>,
    image: &Image<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    image.restore(page)?;
    let of_gist = Rmgr::from_number(record.rmgr) == Some(Rmgr::Gist);
    if of_gist && gist::completes_split(record, block) {
        gist::redo(record, block, page)?;
    }
    if !page.is_new() {
        page.set_lsn(record.end);
    }
    Ok(())
}

/// What an access method keeps behind the header instead of items moves lower without a look at upper.
fn stays_in_order(before: &Page, after: &Page) -> Result<(), RedoError> {
    if before.check_header().is_ok() {
        after.check_header().map_err(|_| OUT_OF_ORDER)?;
    }
    Ok(())
}

fn apply(record: &Record<'_>, block: &Block<'_>, page: &mut Page) -> Result<(), RedoError> {
    match Rmgr::from_number(record.rmgr) {
        Some(Rmgr::Xlog) => xlog::redo(record, block, page)?,
        Some(Rmgr::Heap2) => heap::redo_heap2(record, block, page)?,
        Some(Rmgr::Heap) => heap::redo_heap(record, block, page)?,
        Some(Rmgr::Btree) => btree::redo(record, block, page)?,
        Some(Rmgr::Hash) => hash::redo(record, block, page)?,
        Some(Rmgr::Gin) => gin::redo(record, block, page)?,
        Some(Rmgr::Gist) => gist::redo(record, block, page)?,
        Some(Rmgr::Sequence) => sequence::redo(record, block, page)?,
        Some(Rmgr::SpGist) => spgist::redo(record, block, page)?,
        Some(Rmgr::Brin) => brin::redo(record, block, page)?,
        Some(Rmgr::Generic) => generic::redo(record, block, page)?,
        _ => return Err(record.unknown(block)),
    }
    let keeps_lsn =
        heap::keeps_lsn(record, block) || hash::keeps_lsn(record, block) || xlog::keeps_lsn(record);
    if !keeps_lsn {
        page.set_lsn(record.end);
    }
    Ok(())
}
