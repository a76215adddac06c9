//! Redo of the log's own records that name blocks: images of pages (`xlog_redo` in
//! `access/transam/xlog.c`). An image that is to be applied never comes here.

use crate::error::RedoError;
use crate::page::Page;
use crate::record::{Block, Record};
use crate::rmgr::Rmgr;

const IMAGE_FOR_HINT: u8 = 0xa0;
const IMAGE: u8 = 0xb0;

pub(super) fn redo(
    record: &Record<'_>,
    block: &Block<'_>,
    _page: &mut Page,
) -> Result<(), RedoError> {
    match record.kind() {
        // Without full-page writes the record says only that a hint was set.
        IMAGE_FOR_HINT if block.image.is_none() => Ok(()),
        IMAGE | IMAGE_FOR_HINT => Err(RedoError::Record("it has no image of the page")),
        _ => Err(record.unknown(block)),
    }
}

/// Whether a redo leaves the page's LSN as it is.
pub(super) fn keeps_lsn(record: &Record<'_>) -> bool {
    record.rmgr == Rmgr::Xlog.number() && record.kind() == IMAGE_FOR_HINT
}

#[cfg(test)]
mod tests {
    use super::super::testing::{BlockBytes, RecordBytes, redone};
    use super::*;

    #[test]
    fn a_hint_without_an_image_changes_nothing() {
        let record = RecordBytes::new(Rmgr::Xlog, IMAGE_FOR_HINT).block(BlockBytes::new(0));
        let mut before = Page::zeroed();
        before.0.fill(3);
        assert_eq!(redone(&record, 0, &before), Ok(before));
    }

    #[test]
    fn an_image_that_is_missing_is_an_error() {
        let record = RecordBytes::new(Rmgr::Xlog, IMAGE).block(BlockBytes::new(0));
        let refused = redone(&record, 0, &Page::zeroed());
        assert!(matches!(refused, Err(RedoError::Record(_))));
    }
}
