use crate::error::{PageError, RedoError};
use crate::page::Page;
use crate::record::{Block, Record};

pub(super) fn redo_heap(
    record: &Record<'_>,
    block: &Block<'_>,
    _page: &mut Page,
) -> Result<(), RedoError> {
    Err(record.unknown(block))
}

pub(super) fn redo_heap2(
    record: &Record<'_>,
    block: &Block<'_>,
    _page: &mut Page,
) -> Result<(), RedoError> {
    Err(record.unknown(block))
}

/// Whether a redo leaves the page's LSN as it is.
pub(super) fn keeps_lsn(_record: &Record<'_>, _block: &Block<'_>) -> bool {
    false
}

pub(crate) fn mask(_page: &mut Page, _number: u32) -> Result<(), PageError> {
    Ok(())
}
