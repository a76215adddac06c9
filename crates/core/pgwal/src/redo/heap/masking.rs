//! What the log does not determine of a heap's page.

use super::row::{Row, XMAX_COMMITTED, XMAX_INVALID, XMIN_FROZEN};
use crate::error::PageError;
use crate::mask;
use crate::page::{LineState, Page};
use crate::redo::tid::Tid;

/// Every flag of infomask that tells of transactions.
const TRANSACTION_FLAGS: u16 = 0xfff0;

/// Blanks hints, command ids, tokens of unconfirmed rows, free space and what is behind rows. The
/// pages of a visibility map are masked by it as well: all but their headers is free space.
pub(crate) fn mask(page: &mut Page, number: u32) -> Result<(), PageError> {
    mask::lsn_and_checksum(page);
    mask::hints(page);
    mask::unused_space(page)?;
    for item in 1..=page.item_count() {
        let line = page.line(item)?;
        if line.state == LineState::Normal {
            mask_row(page, number, item)?;
        }
        if line.has_item() {
            mask::padding(page, item)?;
        }
    }
    Ok(())
}

fn mask_row(page: &mut Page, number: u32, item: u16) -> Result<(), PageError> {
    let mut row = Row::in_storage(page, item)?;
    let infomask = row.infomask();
    let hints = match infomask & XMIN_FROZEN {
        XMIN_FROZEN => XMAX_INVALID | XMAX_COMMITTED,
        _ => TRANSACTION_FLAGS,
    };
    row.set_infomask(infomask & !hints);
    row.set_command(0);
    if row.is_speculative() {
        row.set_ctid(Tid { block: number, item });
    }
    Ok(())
}
