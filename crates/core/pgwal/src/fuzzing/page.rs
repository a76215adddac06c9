use alloc::boxed::Box;

use crate::fields::Fields;
use crate::page::{Line, LineState, PAGE_BYTES, Page, Place};
use crate::record::{Block, Record};
use crate::rmgr::Rmgr;

/// A page that begins and ends like this, with zeros between; nothing when that is too long.
pub(super) fn between(start: &[u8], end: &[u8]) -> Option<Box<Page>> {
    let mut page = Page::zeroed();
    page.put(0, start).ok()?;
    page.put(PAGE_BYTES.checked_sub(end.len())?, end).ok()?;
    Some(page)
}

/// A page in order with these items and this special space; nothing when they do not fit.
///
/// An item is a byte of its line pointer's state (2 bits) and whether it has no bytes (bit 2), a byte
/// of length or of where a redirect leads, and its bytes.
pub(super) fn in_order(items: &[u8], special: &[u8]) -> Option<Box<Page>> {
    let mut page = Page::zeroed();
    page.init(special.len()).ok()?;
    page.put(page.special(), special).ok()?;
    let mut items = Fields::new(items);
    while let (Ok(state), Ok(len)) = (items.u8(), items.u8()) {
        let has_bytes = state & 4 == 0;
        let item = if has_bytes { items.take(len.into()).ok()? } else { &[] };
        let number = page.add_item(item, Place::Insert(page.item_count() + 1)).ok()?;
        let line = page.line(number).ok()?;
        let offset = if has_bytes { line.offset } else { len.into() };
        let state = match state & 3 {
            0 => LineState::Normal,
            1 => LineState::Redirect,
            2 => LineState::Dead,
            _ => LineState::Unused,
        };
        page.set_line(number, Line { offset, state, ..line }).ok()?;
    }
    Some(page)
}

/// Whatever the record and the page are: an error changes nothing, a success comes again the same,
/// what was in order stays so, and a mask ends.
pub fn check_redo(record: &Record<'_>, block: &Block<'_>, before: &Page) {
    let mut page = before.clone();
    match crate::redo(record, block, &mut page) {
        Ok(()) => {
            let mut again = before.clone();
            crate::redo(record, block, &mut again).expect("it was done before");
            assert_eq!(page, again, "PGWAL-3");
            if block.image.is_none_or(|image| !image.apply) {
                check_order(record, before, &page);
            }
        }
        Err(_) => assert_eq!(page, *before, "PGWAL-2"),
    }
    // Where items are not where they may be, what is blanked of one is written into for another.
    let apart = page.check_items().is_ok() || !has_items(record, &page);
    if crate::mask::mask(record, &mut page, block.number).is_ok() {
        let once = page.clone();
        // A page of which nothing is left has no header to be masked by.
        if apart && crate::mask::mask(record, &mut page, block.number).is_ok() {
            assert_eq!(page, once, "what is masked stays so");
        }
    }
}

/// PGWAL-4
fn check_order(record: &Record<'_>, before: &Page, after: &Page) {
    if before.check_header().is_err() {
        return;
    }
    after.check_header().expect("PGWAL-4: the header stays in order");
    if before.check_items().is_ok() && has_items(record, after) {
        after.check_items().expect("PGWAL-4: items stay apart");
    }
}

/// Whether a page that this record changed has items behind its header, and not something else.
fn has_items(record: &Record<'_>, page: &Page) -> bool {
    const BTREE_META_OR_DELETED: u16 = 0x000c;
    const HASH_BITMAP_OR_META: u16 = 0x000c;
    const GIN_DATA_DELETED_OR_META: u16 = 0x000d;
    const GIST_DELETED: u16 = 0x0002;
    const BRIN_REGULAR: u16 = 0xf093;
    let word = |at: usize| page.u16_at(page.special() + at).unwrap_or_default();
    match Rmgr::from_number(record.rmgr) {
        Some(Rmgr::Btree) => word(12) & BTREE_META_OR_DELETED == 0,
        Some(Rmgr::Hash) => word(12) & HASH_BITMAP_OR_META == 0,
        Some(Rmgr::Gin) => word(6) & GIN_DATA_DELETED_OR_META == 0,
        Some(Rmgr::Gist) => word(12) & GIST_DELETED == 0,
        Some(Rmgr::Brin) => word(6) == BRIN_REGULAR,
        Some(Rmgr::Generic) => false,
        _ => true,
    }
}
