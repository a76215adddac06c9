//! A page, and what PostgreSQL does with the items on it.
//!
//! Equal to `storage/page/bufpage.c` byte for byte: also in what it leaves in the padding behind an
//! item, and in the order in which items are packed.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | LSN: high half, low half |
//! | 8 | 2 | checksum |
//! | 10 | 2 | flags |
//! | 12 | 2 | lower: the end of the line pointers |
//! | 14 | 2 | upper: the start of the items |
//! | 16 | 2 | special: the start of the space of the access method |
//! | 18 | 2 | page size and layout version |
//! | 20 | 4 | the oldest transaction that may leave something to prune |
//! | 24 | 4 n | line pointers: 15 bits offset, 2 bits state, 15 bits length |

mod checksum;
mod items;
#[cfg(test)]
mod tests;

pub use items::Place;

use alloc::boxed::Box;

use crate::error::PageError;
use crate::lsn::Lsn;

/// Bytes of a page.
pub const PAGE_BYTES: usize = 8192;
/// Bytes of its header.
pub const HEADER_BYTES: usize = 24;
/// Bytes of a line pointer.
pub const LINE_POINTER_BYTES: usize = 4;
/// Items of a heap page at most.
pub const HEAP_ITEMS_MAX: u16 = 291;

/// There is a line pointer that is not in use.
pub const HAS_FREE_LINES: u16 = 0x0001;
/// An update found no room.
pub const PAGE_FULL: u16 = 0x0002;
/// Every transaction sees every row.
pub const ALL_VISIBLE: u16 = 0x0004;

const LAYOUT_VERSION: u16 = 4;

/// A length rounded up to a multiple of 8, as items are placed.
#[must_use]
pub const fn aligned(len: usize) -> usize {
    (len + 7) & !7
}

/// The state of a line pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineState {
    /// Free.
    Unused,
    /// It leads to an item.
    Normal,
    /// It leads to another line pointer, whose number is its offset.
    Redirect,
    /// Dead; it may still have an item.
    Dead,
}

/// A line pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// The item's first byte, or where a redirect leads.
    pub offset: u16,
    /// Its state.
    pub state: LineState,
    /// The item's length in bytes; 0 for no item.
    pub len: u16,
}

impl Line {
    /// One that is free.
    pub const UNUSED: Self = Self { offset: 0, state: LineState::Unused, len: 0 };
    /// A dead one without an item.
    pub const DEAD: Self = Self { offset: 0, state: LineState::Dead, len: 0 };

    /// One that leads to another.
    #[must_use]
    pub const fn redirect(to: u16) -> Self {
        Self { offset: to, state: LineState::Redirect, len: 0 }
    }

    /// Whether it is in use.
    #[must_use]
    pub const fn is_used(self) -> bool {
        !matches!(self.state, LineState::Unused)
    }

    /// Whether it has an item.
    #[must_use]
    pub const fn has_item(self) -> bool {
        self.len != 0
    }

    const fn from_bits(bits: u32) -> Self {
        let state = match (bits >> 15) & 3 {
            0 => LineState::Unused,
            1 => LineState::Normal,
            2 => LineState::Redirect,
            _ => LineState::Dead,
        };
        Self { offset: low_15(bits), state, len: low_15(bits >> 17) }
    }

    const fn bits(self) -> u32 {
        let state = match self.state {
            LineState::Unused => 0,
            LineState::Normal => 1,
            LineState::Redirect => 2,
            LineState::Dead => 3,
        };
        (self.offset as u32 & 0x7fff) | state << 15 | (self.len as u32 & 0x7fff) << 17
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the mask leaves 15 bits")]
const fn low_15(bits: u32) -> u16 {
    (bits & 0x7fff) as u16
}

/// A page of 8 KiB. Whatever its bytes are, no method panics.
#[derive(Clone, PartialEq, Eq)]
#[repr(transparent)]
pub struct Page(pub [u8; PAGE_BYTES]);

impl Page {
    /// A page of zeros: one that was never written.
    #[must_use]
    pub fn zeroed() -> Box<Self> {
        Box::new(Self([0; PAGE_BYTES]))
    }

    /// Two bytes, little endian.
    ///
    /// # Errors
    /// [`PageError::Outside`]; so for all that take an offset.
    pub fn u16_at(&self, at: usize) -> Result<u16, PageError> {
        Ok(u16::from_le_bytes(self.array_at(at)?))
    }

    /// Four bytes, little endian.
    ///
    /// # Errors
    /// As [`Page::u16_at`].
    pub fn u32_at(&self, at: usize) -> Result<u32, PageError> {
        Ok(u32::from_le_bytes(self.array_at(at)?))
    }

    /// Bytes of a fixed number.
    ///
    /// # Errors
    /// As [`Page::u16_at`].
    pub fn array_at<const N: usize>(&self, at: usize) -> Result<[u8; N], PageError> {
        let bytes = self.0.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().ok_or(PageError::Outside(at))
    }

    /// Bytes of any number.
    ///
    /// # Errors
    /// As [`Page::u16_at`].
    pub fn bytes_at(&self, at: usize, len: usize) -> Result<&[u8], PageError> {
        at.checked_add(len).and_then(|end| self.0.get(at..end)).ok_or(PageError::Outside(at))
    }

    /// Bytes of any number, to be changed.
    ///
    /// # Errors
    /// As [`Page::u16_at`].
    pub fn bytes_at_mut(&mut self, at: usize, len: usize) -> Result<&mut [u8], PageError> {
        at.checked_add(len).and_then(|end| self.0.get_mut(at..end)).ok_or(PageError::Outside(at))
    }

    /// Writes bytes.
    ///
    /// # Errors
    /// As [`Page::u16_at`].
    pub fn put(&mut self, at: usize, bytes: &[u8]) -> Result<(), PageError> {
        self.bytes_at_mut(at, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    fn header(&self, at: usize) -> u16 {
        u16::from_le_bytes([self.0[at], self.0[at + 1]])
    }

    fn set_header(&mut self, at: usize, value: u16) {
        self.0[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    /// The LSN in its header.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        let half = |at: usize| {
            u64::from(u32::from_le_bytes([
                self.0[at],
                self.0[at + 1],
                self.0[at + 2],
                self.0[at + 3],
            ]))
        };
        Lsn(half(0) << 32 | half(4))
    }

    /// Writes the LSN into its header.
    pub fn set_lsn(&mut self, lsn: Lsn) {
        let bytes = lsn.0.to_le_bytes();
        self.0[..4].copy_from_slice(&bytes[4..]);
        self.0[4..8].copy_from_slice(&bytes[..4]);
    }

    /// Its flags.
    #[must_use]
    pub fn flags(&self) -> u16 {
        self.header(10)
    }

    /// Sets some flags and then clears some.
    pub fn change_flags(&mut self, set: u16, clear: u16) {
        self.set_header(10, (self.flags() | set) & !clear);
    }

    /// The end of the line pointers.
    #[must_use]
    pub fn lower(&self) -> usize {
        usize::from(self.header(12))
    }

    /// The start of the items.
    #[must_use]
    pub fn upper(&self) -> usize {
        usize::from(self.header(14))
    }

    /// The start of the special space.
    #[must_use]
    pub fn special(&self) -> usize {
        usize::from(self.header(16))
    }

    /// Moves the end of the line pointers. What is above a page's size is cut off.
    pub fn set_lower(&mut self, lower: usize) {
        self.set_header(12, clipped(lower));
    }

    /// Moves the start of the items. What is above a page's size is cut off.
    pub fn set_upper(&mut self, upper: usize) {
        self.set_header(14, clipped(upper));
    }

    /// The transaction that may have left something to prune.
    #[must_use]
    pub fn prune_xid(&self) -> u32 {
        u32::from(self.header(20)) | u32::from(self.header(22)) << 16
    }

    /// Sets it.
    pub fn set_prune_xid(&mut self, xid: u32) {
        self.0[20..24].copy_from_slice(&xid.to_le_bytes());
    }

    /// Whether it was never initialised.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.upper() == 0
    }

    /// Makes it an empty page with a special space of so many bytes, all of it zero.
    ///
    /// # Errors
    /// [`PageError::Full`] when the special space does not fit.
    pub fn init(&mut self, special_bytes: usize) -> Result<(), PageError> {
        let special = PAGE_BYTES
            .checked_sub(aligned(special_bytes))
            .filter(|special| *special >= HEADER_BYTES)
            .ok_or(PageError::Full(special_bytes))?;
        self.0.fill(0);
        self.set_lower(HEADER_BYTES);
        self.set_upper(special);
        self.set_header(16, clipped(special));
        self.set_header(18, clipped(PAGE_BYTES) | LAYOUT_VERSION);
        Ok(())
    }

    /// The space of the access method.
    ///
    /// # Errors
    /// [`PageError::Header`] when it is shorter than `len` or not in the page.
    pub fn special_space(&self, len: usize) -> Result<&[u8], PageError> {
        let special = self.special();
        self.0.get(special..).filter(|space| space.len() >= len).ok_or_else(|| self.bad_header())
    }

    /// The space of the access method, to be changed.
    ///
    /// # Errors
    /// As [`Page::special_space`].
    pub fn special_space_mut(&mut self, len: usize) -> Result<&mut [u8], PageError> {
        let (special, bad) = (self.special(), self.bad_header());
        self.0.get_mut(special..).filter(|space| space.len() >= len).ok_or(bad)
    }

    /// Whether the header is in order and the space of the access method has this many bytes.
    ///
    /// # Errors
    /// [`PageError::Header`].
    pub fn check_special(&self, len: usize) -> Result<(), PageError> {
        self.check_header()?;
        if PAGE_BYTES - self.special() == len { Ok(()) } else { Err(self.bad_header()) }
    }

    /// Whether lower, upper and special are in order.
    ///
    /// # Errors
    /// [`PageError::Header`].
    pub fn check_header(&self) -> Result<(), PageError> {
        let (lower, upper, special) = (self.lower(), self.upper(), self.special());
        let fine = HEADER_BYTES <= lower
            && lower <= upper
            && upper <= special
            && special <= PAGE_BYTES
            && special.is_multiple_of(8);
        if fine { Ok(()) } else { Err(self.bad_header()) }
    }

    fn bad_header(&self) -> PageError {
        PageError::Header {
            lower: self.header(12),
            upper: self.header(14),
            special: self.header(16),
        }
    }
}

fn clipped(offset: usize) -> u16 {
    u16::try_from(offset.min(PAGE_BYTES)).expect("8192 fits")
}

impl core::fmt::Debug for Page {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Page")
            .field("lsn", &self.lsn())
            .field("flags", &self.flags())
            .field("lower", &self.lower())
            .field("upper", &self.upper())
            .field("special", &self.special())
            .finish()
    }
}
