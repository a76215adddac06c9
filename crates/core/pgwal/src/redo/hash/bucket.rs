use super::meta;
use super::opaque::{self, Opaque};
use crate::error::RedoError;
use crate::fields::Fields;
use crate::page::Page;
use crate::record::{Block, Record};

/// Begins the split of a bucket: 0 is its first page, 1 that of the new bucket, 2 the meta page.
pub(super) fn allocate(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut fields = Fields::new(record.main);
    let new = fields.u32()?;
    let (old_flags, new_flags) = (fields.u16()?, fields.u16()?);
    let meta_changes = fields.u8()?;
    match block.id {
        0 => opaque::change(page, |opaque| {
            opaque.flags = old_flags;
            opaque.previous = new;
        })?,
        1 => Opaque { previous: new, bucket: new, ..Opaque::new(new_flags) }.init(page)?,
        2 => meta::add_bucket(block, new, meta_changes, page)?,
        _ => return Err(record.unknown(block)),
    }
    Ok(())
}

/// Ends the split of a bucket: 0 is its first page, 1 that of the new bucket.
pub(super) fn complete(
    record: &Record<'_>,
    block: &Block<'_>,
    page: &mut Page,
) -> Result<(), RedoError> {
    let mut fields = Fields::new(record.main);
    let (old_flags, new_flags) = (fields.u16()?, fields.u16()?);
    let flags = match block.id {
        0 => old_flags,
        1 => new_flags,
        _ => return Err(record.unknown(block)),
    };
    Ok(opaque::change(page, |opaque| opaque.flags = flags)?)
}
