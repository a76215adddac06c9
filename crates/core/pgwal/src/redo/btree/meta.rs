use super::opaque::{META, Opaque};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::{HEADER_BYTES, Page};
use crate::record::Block;

const MAGIC: u32 = 0x0005_3162;
/// Bytes of magic number, version, roots and deleted pages; what follows is aligned to 8.
const CLEANUP_ROWS_AT: usize = HEADER_BYTES + 32;
const EQUAL_IMAGE_AT: usize = CLEANUP_ROWS_AT + 8;
const META_END: usize = EQUAL_IMAGE_AT + 8;
/// What stands for the number of rows, which is not kept any more.
const ROWS_UNKNOWN: f64 = -1.0;

/// Makes the page about the index anew. The block's data is `xl_btree_metadata`:
///
/// | offset | bytes | what |
/// |---|---|---|
/// | 0 | 4 | version |
/// | 4 | 4 + 4 | root and its level |
/// | 12 | 4 + 4 | fast root and its level |
/// | 20 | 4 | deleted pages at the last cleanup |
/// | 24 | 1 | whether equal keys have equal images |
/// | 25 | 3 | padding |
pub(super) fn restore(block: &Block<'_>, page: &mut Page) -> Result<(), RedoError> {
    let mut fields = Fields::new(block.data);
    let numbers = fields.take(24)?;
    let equal_image = fields.u8()?;
    Opaque { flags: META, ..Opaque::default() }.init(page)?;
    page.put(HEADER_BYTES, &MAGIC.to_le_bytes())?;
    page.put(HEADER_BYTES + 4, numbers)?;
    page.put(CLEANUP_ROWS_AT, &ROWS_UNKNOWN.to_le_bytes())?;
    page.put(EQUAL_IMAGE_AT, &[equal_image])?;
    page.set_lower(META_END);
    Ok(())
}
