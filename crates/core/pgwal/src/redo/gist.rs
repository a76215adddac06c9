use crate::error::{PageError, RedoError};
use crate::page::Page;
use crate::record::{Block, Record};

pub(super) fn redo(
    record: &Record<'_>,
    block: &Block<'_>,
    _page: &mut Page,
) -> Result<(), RedoError> {
    Err(record.unknown(block))
}

pub(crate) fn mask(_page: &mut Page) -> Result<(), PageError> {
    Ok(())
}
