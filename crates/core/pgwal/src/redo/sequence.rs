//! Redo of sequences (`seq_redo` in `commands/sequence.c`).
//!
//! A sequence is one page with one row; each record has all of it. Main data: 12 bytes the relation,
//! then the row. Special space: 4 bytes of magic, padded to 8.

use crate::error::{PageError, RedoError};
use crate::fields::Fields;
use crate::mask;
use crate::page::{Page, Place};
use crate::record::{Block, Record};

const LOG: u8 = 0x00;
const RELATION_BYTES: usize = 12;
const MAGIC: u32 = 0x1717;

pub(super) fn redo(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    if (record.kind(), block.id) != (LOG, 0) {
        return Err(record.unknown(block));
    }
    let mut fields = Fields::new(record.main);
    fields.skip(RELATION_BYTES)?;
    let magic = MAGIC.to_le_bytes();
    page.init(magic.len())?;
    page.put(page.special(), &magic)?;
    page.add_item(fields.rest(), Place::Insert(1))?;
    Ok(())
}

pub(crate) fn mask(page: &mut Page) -> Result<(), PageError> {
    mask::lsn_and_checksum(page);
    mask::unused_space(page)
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::super::testing::{BlockBytes, RecordBytes, redone};
    use super::*;
    use crate::page::PAGE_BYTES;
    use crate::rmgr::Rmgr;

    #[test]
    fn a_sequence_is_written_anew() {
        let row: Vec<u8> = (1..=41).collect();
        let record = RecordBytes::new(Rmgr::Sequence, LOG)
            .main(&[&[0; 12][..], &row].concat())
            .block(BlockBytes::new(0));
        let mut before = Page::zeroed();
        before.0.fill(0xee);
        let page = redone(&record, 0, &before).unwrap();
        assert_eq!(page.item(1).unwrap(), row);
        assert_eq!((page.lower(), page.upper(), page.special()), (28, 8136, 8184));
        assert_eq!(page.special_space(8).unwrap(), [0x17, 0x17, 0, 0, 0, 0, 0, 0]);
        assert!(page.0[28..8136].iter().all(|byte| *byte == 0));
        assert!(page.0[8136 + 41..8184].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_row_that_no_page_holds_is_refused() {
        let record =
            RecordBytes::new(Rmgr::Sequence, LOG).main(&[0; PAGE_BYTES]).block(BlockBytes::new(0));
        let refused = redone(&record, 0, &Page::zeroed());
        assert_eq!(refused, Err(PageError::Full(PAGE_BYTES - 12).into()));
    }
}
