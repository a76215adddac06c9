//! The part of the plain bytes that is held: the window behind and the bytes ahead.
//!
//! Positions are those of the stream, in 32 bits that wrap around: only differences between near
//! ones are ever used.

use alloc::vec::Vec;

/// Farthest distance of a match.
pub(crate) const WINDOW_BYTES: u32 = 32 << 10;
/// Bytes ahead of a position that a prediction may look at: the longest match at the position
/// behind it, and what is hashed at its end.
pub(crate) const LOOKAHEAD_BYTES: u32 = 272;
/// Bytes that are dropped at once, so that what stays is moved seldom.
const DROP_BYTES_MIN: usize = 128 << 10;

/// Bytes with their positions.
#[derive(Debug)]
pub(crate) struct Text {
    bytes: Vec<u8>,
    /// Position of the first byte.
    base: u32,
    /// Bytes of the stream up to the end of `bytes`.
    len: u64,
    /// Whether nothing comes after.
    ended: bool,
}

impl Text {
    pub(crate) const fn new() -> Self {
        Self { bytes: Vec::new(), base: 0, len: 0, ended: false }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Index in [`Text::bytes`] of a position.
    pub(crate) fn index(&self, at: u32) -> usize {
        at.wrapping_sub(self.base) as usize
    }

    /// Position of the byte after the last.
    pub(crate) fn end(&self) -> u32 {
        (self.len & 0xffff_ffff) as u32
    }

    /// Bytes of the stream up to here, dropped ones included.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes that are held from `at` on.
    pub(crate) fn ahead(&self, at: u32) -> u32 {
        self.end().wrapping_sub(at)
    }

    /// Whether a prediction at `at` sees all that it may look at.
    pub(crate) fn is_ready(&self, at: u32) -> bool {
        self.ended || self.ahead(at) >= LOOKAHEAD_BYTES
    }

    /// Nothing comes after.
    pub(crate) fn finish(&mut self) {
        self.ended = true;
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn push(&mut self, byte: u8) {
        self.bytes.push(byte);
        self.len += 1;
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.len += bytes.len() as u64;
    }

    /// Appends a copy of the bytes `distance` before the end. False if there are not so many.
    pub(crate) fn copy(&mut self, distance: u32, len: u32) -> bool {
        let (distance, mut len) = (distance as usize, len as usize);
        let end = self.bytes.len();
        if distance > end {
            return false;
        }
        self.len += len as u64;
        let start = end - distance;
        // What is copied may be what was just written: the period doubles with each round.
        while len > 0 {
            let part = len.min(self.bytes.len() - start);
            self.bytes.extend_from_within(start..start + part);
            len -= part;
        }
        true
    }

    /// Drops what is no longer in the window of `at`, if it is worth it.
    pub(crate) fn trim(&mut self, at: u32) {
        let drop = self.index(at).saturating_sub(WINDOW_BYTES as usize);
        if drop >= DROP_BYTES_MIN {
            let dropped = u32::try_from(drop).expect("the text that is held is short");
            self.bytes.copy_within(drop.., 0);
            self.bytes.truncate(self.bytes.len() - drop);
            self.base = self.base.wrapping_add(dropped);
        }
    }
}
