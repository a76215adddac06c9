use super::super::tid::NO_BLOCK;
use crate::error::{PageError, RedoError};
use crate::page::{PAGE_BYTES, Page};

/// Bytes of the special space.
pub(super) const OPAQUE_BYTES: usize = 16;
const OPAQUE_AT: usize = PAGE_BYTES - OPAQUE_BYTES;

/// No bucket.
pub(super) const NO_BUCKET: u32 = u32::MAX;

/// Further entries of a bucket.
pub(super) const OVERFLOW: u16 = 1 << 0;
/// The first page of a bucket.
pub(super) const BUCKET: u16 = 1 << 1;
/// Which overflow pages are taken.
pub(super) const BITMAP: u16 = 1 << 2;
/// The page about the index.
pub(super) const META: u16 = 1 << 3;
/// The bucket still has entries that were moved to another one.
pub(super) const NEEDS_SPLIT_CLEANUP: u16 = 1 << 6;
/// A hint: some entries are known to be dead.
pub(super) const HAS_DEAD: u16 = 1 << 7;
/// The bits that say what a page is; none of them for a free overflow page.
pub(super) const KIND_MASK: u16 = OVERFLOW | BUCKET | BITMAP | META;

const METHOD_ID: u16 = 0xff80;

/// The special space of a page (`HashPageOpaqueData`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opaque {
    /// The page before in the bucket; on its first page, the highest bucket when it was last split.
    pub(super) previous: u32,
    /// The page behind in the bucket.
    pub(super) next: u32,
    /// The bucket.
    pub(super) bucket: u32,
    /// What kind of page it is.
    pub(super) flags: u16,
    /// What marks pages of hash indexes.
    pub(super) method_id: u16,
}

impl Opaque {
    /// That of a page with these flags which belongs to nothing.
    pub(super) const fn new(flags: u16) -> Self {
        Self { previous: NO_BLOCK, next: NO_BLOCK, bucket: NO_BUCKET, flags, method_id: METHOD_ID }
    }

    /// Reads it from a page.
    pub(super) fn of(page: &Page) -> Result<Self, PageError> {
        page.check_special(OPAQUE_BYTES)?;
        Ok(Self {
            previous: page.u32_at(OPAQUE_AT)?,
            next: page.u32_at(OPAQUE_AT + 4)?,
            bucket: page.u32_at(OPAQUE_AT + 8)?,
            flags: page.u16_at(OPAQUE_AT + 12)?,
            method_id: page.u16_at(OPAQUE_AT + 14)?,
        })
    }

    /// Writes it into a page.
    pub(super) fn write(&self, page: &mut Page) -> Result<(), PageError> {
        page.check_special(OPAQUE_BYTES)?;
        page.put(OPAQUE_AT, &self.previous.to_le_bytes())?;
        page.put(OPAQUE_AT + 4, &self.next.to_le_bytes())?;
        page.put(OPAQUE_AT + 8, &self.bucket.to_le_bytes())?;
        page.put(OPAQUE_AT + 12, &self.flags.to_le_bytes())?;
        page.put(OPAQUE_AT + 14, &self.method_id.to_le_bytes())
    }

    /// Makes a page an empty one of this kind.
    pub(super) fn init(&self, page: &mut Page) -> Result<(), PageError> {
        page.init(OPAQUE_BYTES)?;
        self.write(page)
    }
}

/// Whether a page is one of this kind, so that what is changed of it is what it has there.
pub(super) fn expect_kind(page: &Page, kind: u16) -> Result<(), RedoError> {
    if Opaque::of(page)?.flags & KIND_MASK == kind {
        return Ok(());
    }
    Err(RedoError::Mismatch("a page of a hash index is of another kind"))
}

/// Changes the special space of a page.
pub(super) fn change(page: &mut Page, to: impl FnOnce(&mut Opaque)) -> Result<(), PageError> {
    let mut opaque = Opaque::of(page)?;
    to(&mut opaque);
    opaque.write(page)
}
