//! Redo of generic WAL, which extensions use (`access/transam/generic_xlog.c`).
//!
//! Block data are fragments: 2 bytes where, 2 bytes n, n bytes to be put there. What lies between lower
//! and upper then is zero.

use crate::error::{PageError, RedoError};
use crate::fields::Fields;
use crate::mask;
use crate::page::Page;
use crate::record::{Block, Record};

pub(super) fn redo(
    _record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut fields = Fields::new(block.data);
    while !fields.is_empty() {
        let (at, len) = (usize::from(fields.u16()?), usize::from(fields.u16()?));
        page.put(at, fields.take(len)?)?;
    }
    page.check_header()?;
    page.bytes_at_mut(page.lower(), page.free_space())?.fill(0);
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
    use crate::rmgr::Rmgr;

    fn fragments(fragments: &[(u16, &[u8])]) -> RecordBytes {
        let mut data = Vec::new();
        for (at, bytes) in fragments {
            data.extend_from_slice(&at.to_le_bytes());
            data.extend_from_slice(&u16::try_from(bytes.len()).unwrap().to_le_bytes());
            data.extend_from_slice(bytes);
        }
        RecordBytes::new(Rmgr::Generic, 0).block(BlockBytes::new(0).data(&data))
    }

    #[test]
    fn fragments_are_put_and_the_hole_is_cleared() {
        let mut before = Page::zeroed();
        before.init(8).unwrap();
        before.0[24..8184].fill(7);
        let record =
            fragments(&[(12, &32_u16.to_le_bytes()), (14, &8176_u16.to_le_bytes()), (26, b"ab")]);
        let page = redone(&record, 0, &before).unwrap();
        assert_eq!(page.0[24..32], [7, 7, b'a', b'b', 7, 7, 7, 7]);
        assert!(page.0[32..8176].iter().all(|byte| *byte == 0));
        assert_eq!(page.0[8176..8184], [7; 8]);
    }

    #[test]
    fn a_fragment_outside_the_page_is_refused() {
        let mut before = Page::zeroed();
        before.init(0).unwrap();
        let refused = redone(&fragments(&[(30, b"x"), (8191, b"ab")]), 0, &before);
        assert_eq!(refused, Err(PageError::Outside(8191).into()));
        let refused =
            redone(&fragments(&[(12, &8192_u16.to_le_bytes()), (14, &[24, 0])]), 0, &before);
        assert!(matches!(refused, Err(RedoError::Page(PageError::Header { .. }))));
    }

    #[test]
    fn pgwal_4_a_hole_that_reaches_into_the_header_is_refused() {
        let mut before = Page::zeroed();
        before.init(0).unwrap();
        let refused = redone(&fragments(&[(12, &[8, 0])]), 0, &before);
        assert!(matches!(refused, Err(RedoError::Page(PageError::Header { lower: 8, .. }))));
    }
}
