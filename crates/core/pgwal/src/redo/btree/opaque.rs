use super::posting::METHOD_BIT;
use super::{Tid, index_tuple};
use crate::error::PageError;
use crate::page::{HEADER_BYTES, PAGE_BYTES, Page, Place};

/// Bytes of the special space.
pub(super) const OPAQUE_BYTES: usize = 16;
const OPAQUE_AT: usize = PAGE_BYTES - OPAQUE_BYTES;
const FLAGS_AT: usize = OPAQUE_AT + 12;

/// The length of an entry that is a header only.
const HEADER_LEN: u16 = 8;

/// No page: what a sibling is called that is not there.
pub(super) const NONE: u32 = 0;
/// The item of the high key.
pub(super) const HIGH_KEY: u16 = 1;

/// A page of the lowest level.
pub(super) const LEAF: u16 = 1 << 0;
/// The root.
pub(super) const ROOT: u16 = 1 << 1;
/// Not in the tree any more.
pub(super) const DELETED: u16 = 1 << 2;
/// The page about the index.
pub(super) const META: u16 = 1 << 3;
/// Empty, its parent does not know it any more.
pub(super) const HALF_DEAD: u16 = 1 << 4;
/// The last page of a chain of splits during a vacuum.
pub(super) const SPLIT_END: u16 = 1 << 5;
/// A hint: some entries are known to be dead.
pub(super) const HAS_GARBAGE: u16 = 1 << 6;
/// The parent does not know the right sibling yet.
pub(super) const INCOMPLETE_SPLIT: u16 = 1 << 7;
/// A deleted page says when it may be used again.
pub(super) const HAS_FULL_XID: u16 = 1 << 8;

/// The special space of a page (`BTPageOpaqueData`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Opaque {
    /// The left sibling's block number.
    pub(super) previous: u32,
    /// The right sibling's block number.
    pub(super) next: u32,
    /// 0 for leaves.
    pub(super) level: u32,
    /// What kind of page it is.
    pub(super) flags: u16,
    /// Which vacuum was going on when it was last split, 0 for none.
    pub(super) cycle: u16,
}

impl Opaque {
    /// Reads it from a page.
    pub(super) fn of(page: &Page) -> Result<Self, PageError> {
        page.check_special(OPAQUE_BYTES)?;
        Ok(Self {
            previous: page.u32_at(OPAQUE_AT)?,
            next: page.u32_at(OPAQUE_AT + 4)?,
            level: page.u32_at(OPAQUE_AT + 8)?,
            flags: page.u16_at(FLAGS_AT)?,
            cycle: page.u16_at(FLAGS_AT + 2)?,
        })
    }

    /// Writes it into a page.
    pub(super) fn write(&self, page: &mut Page) -> Result<(), PageError> {
        page.check_special(OPAQUE_BYTES)?;
        page.put(OPAQUE_AT, &self.previous.to_le_bytes())?;
        page.put(OPAQUE_AT + 4, &self.next.to_le_bytes())?;
        page.put(OPAQUE_AT + 8, &self.level.to_le_bytes())?;
        page.put(FLAGS_AT, &self.flags.to_le_bytes())?;
        page.put(FLAGS_AT + 2, &self.cycle.to_le_bytes())
    }

    /// Makes a page an empty one of this kind.
    pub(super) fn init(&self, page: &mut Page) -> Result<(), PageError> {
        page.init(OPAQUE_BYTES)?;
        self.write(page)
    }

    /// Where entries begin: behind the high key, which the rightmost page of a level has not.
    pub(super) const fn first_entry(&self) -> u16 {
        if self.next == NONE { HIGH_KEY } else { HIGH_KEY + 1 }
    }
}

/// Changes the special space of a page.
pub(super) fn change(page: &mut Page, to: impl FnOnce(&mut Opaque)) -> Result<(), PageError> {
    let mut opaque = Opaque::of(page)?;
    to(&mut opaque);
    opaque.write(page)
}

/// A page with the same special space and no items.
pub(super) fn emptied(page: &Page) -> Result<Page, PageError> {
    let mut empty = page.clone();
    Opaque::of(page)?.init(&mut empty)?;
    Ok(empty)
}

/// Makes a page a leaf that its parent does not know any more. Its high key leads to the topmost
/// page that goes with it, or nowhere.
pub(super) fn init_half_dead(
    page: &mut Page,
    (previous, next): (u32, u32),
    top_parent: u32,
) -> Result<(), PageError> {
    let flags = HALF_DEAD | LEAF;
    Opaque { previous, next, flags, ..Opaque::default() }.init(page)?;
    let mut tuple = [0; index_tuple::HEADER_BYTES];
    let (leads_to, info) = tuple.split_at_mut(Tid::BYTES);
    leads_to.copy_from_slice(&Tid { block: top_parent, item: 0 }.bytes());
    info.copy_from_slice(&(METHOD_BIT | HEADER_LEN).to_le_bytes());
    page.add_item(&tuple, Place::Insert(HIGH_KEY)).map(drop)
}

/// Makes a page one that is not in the tree any more, with the transaction from which on it may be
/// used again.
pub(super) fn init_deleted(page: &mut Page, opaque: Opaque, safe: u64) -> Result<(), PageError> {
    let flags = opaque.flags | DELETED | HAS_FULL_XID;
    Opaque { flags, ..opaque }.init(page)?;
    page.set_lower(HEADER_BYTES + size_of::<u64>());
    page.put(HEADER_BYTES, &safe.to_le_bytes())
}
