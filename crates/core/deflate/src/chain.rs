//! Earlier positions with the same hash of their first bytes, newest first.

use alloc::vec;
use alloc::vec::Vec;

use crate::text::{Text, WINDOW_BYTES};
use crate::token::MATCH_MAX;

const MASK: u32 = WINDOW_BYTES - 1;
/// No position. So the first byte of a stream is never found, as with zlib.
const NONE: u32 = 0;

/// How the first bytes of a position are hashed. Only which positions share a chain matters, and
/// so which of them use up the steps of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    /// Three bytes, shifted by 5 each, 15 bits: zlib with the usual memory level 8.
    Shift5,
    /// Three bytes, shifted by 6 each, 16 bits: zlib with memory level 9.
    Shift6,
    /// CRC-32C of three bytes, 15 bits: Chromium's and so Node's zlib from level 6.
    Crc3,
    /// CRC-32C of four bytes, 15 bits: the same at lower levels.
    Crc4,
    /// Four bytes, multiplied, 17 bits: Go's `compress/flate`.
    Four17,
}

const CRC_TABLES: [[u32; 256]; 4] = crc_tables();

/// The part that each byte of a word has in its CRC-32C without pre- and postconditioning.
const fn crc_tables() -> [[u32; 256]; 4] {
    let mut tables = [[0u32; 256]; 4];
    let mut place = 0;
    while place < 4 {
        let mut byte = 0;
        while byte < 256 {
            let mut value = byte as u32;
            let mut bit = 0;
            while bit < 8 * (4 - place) {
                value = (value >> 1) ^ (0x82F6_3B78 * (value & 1));
                bit += 1;
            }
            tables[place][byte] = value;
            byte += 1;
        }
        place += 1;
    }
    tables
}

impl Hash {
    /// Bytes that are hashed: fewer at the end of the text, and a position is not found.
    const fn bytes(self) -> usize {
        match self {
            Self::Shift5 | Self::Shift6 | Self::Crc3 => 3,
            Self::Crc4 | Self::Four17 => 4,
        }
    }

    const fn bits(self) -> u32 {
        match self {
            Self::Shift5 | Self::Crc3 | Self::Crc4 => 15,
            Self::Shift6 => 16,
            Self::Four17 => 17,
        }
    }

    /// The hash of the front of `bytes`, which are at least [`Hash::bytes`].
    fn of(self, bytes: &[u8]) -> usize {
        let at = |place: usize| usize::from(bytes[place]);
        let crc = |place: usize| CRC_TABLES[place][at(place)];
        match self {
            Self::Shift5 => (at(0) << 10 ^ at(1) << 5 ^ at(2)) & 0x7fff,
            Self::Shift6 => (at(0) << 12 ^ at(1) << 6 ^ at(2)) & 0xffff,
            Self::Crc3 => ((crc(0) ^ crc(1) ^ crc(2)) & 0x7fff) as usize,
            Self::Crc4 => ((crc(0) ^ crc(1) ^ crc(2) ^ crc(3)) & 0x7fff) as usize,
            Self::Four17 => {
                let word = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                (word.wrapping_mul(0x1e35_a7bd) >> 15) as usize
            }
        }
    }
}

/// The chains of all hashes.
#[derive(Debug)]
pub(crate) struct Chains {
    hash: Hash,
    heads: Vec<u32>,
    before: Vec<u32>,
    /// The first position that is in no chain yet.
    next: u32,
}

impl Chains {
    /// Chains of what comes after `start`, and of the window before it.
    pub(crate) fn new(hash: Hash, start: u64) -> Self {
        let next = start.saturating_sub(WINDOW_BYTES.into());
        Self {
            hash,
            heads: vec![NONE; 1 << hash.bits()],
            before: vec![NONE; WINDOW_BYTES as usize],
            next: (next & 0xffff_ffff) as u32,
        }
    }

    /// Puts all positions below `end` into their chains that have enough bytes after them.
    pub(crate) fn insert(&mut self, text: &Text, end: u32) {
        let count = end.wrapping_sub(self.next);
        // A search may have gone one further.
        if count > u32::MAX / 2 {
            return;
        }
        let bytes = text.bytes();
        for _ in 0..count {
            let index = text.index(self.next);
            let Some(front) = bytes.get(index..index + self.hash.bytes()) else { break };
            let head = &mut self.heads[self.hash.of(front)];
            self.before[(self.next & MASK) as usize] = *head;
            *head = self.next;
            self.next = self.next.wrapping_add(1);
        }
    }

    /// Leaves out the positions below `end` that are in no chain yet.
    pub(crate) fn skip(&mut self, end: u32) {
        if end.wrapping_sub(self.next) < u32::MAX / 2 {
            self.next = end;
        }
    }

    /// Leaves out positions that are out of the window at `at`.
    pub(crate) fn skip_far(&mut self, at: u32) {
        let behind = at.wrapping_sub(self.next);
        if behind > WINDOW_BYTES && behind < u32::MAX / 2 {
            self.next = at.wrapping_sub(WINDOW_BYTES);
        }
    }

    /// Positions in the chain of `at` before it, newest first, up to `distance_max`.
    pub(crate) fn walk(&self, at: u32, distance_max: u32) -> Walk<'_> {
        // A position that is in no chain yet has none.
        let held = self.next.wrapping_sub(at).wrapping_sub(1) < WINDOW_BYTES;
        let distance_max = if held { distance_max } else { 0 };
        Walk { before: &self.before, at, last: at, distance: 0, distance_max }
    }
}

/// See [`Chains::walk`].
#[derive(Clone, Debug)]
pub(crate) struct Walk<'c> {
    before: &'c [u32],
    at: u32,
    last: u32,
    distance: u32,
    distance_max: u32,
}

impl Iterator for Walk<'_> {
    /// The distance.
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let next = self.before[(self.last & MASK) as usize];
        let distance = self.at.wrapping_sub(next);
        // A slot that was taken by a newer position leads back to smaller distances.
        if next == NONE || distance <= self.distance || distance > self.distance_max {
            return None;
        }
        (self.last, self.distance) = (next, distance);
        Some(distance)
    }
}

/// Bytes from `at` on that are the same as those `distance` before, up to `max`.
pub(crate) fn common(text: &[u8], at: usize, distance: u32, max: usize) -> usize {
    let back = at - distance as usize;
    let (here, there) = (&text[at..at + max], &text[back..back + max]);
    let mut same = 0;
    for (a, b) in here.chunks_exact(8).zip(there.chunks_exact(8)) {
        let word = |bytes: &[u8]| bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        let differ = word(a) ^ word(b);
        if differ != 0 {
            return same + (differ.trailing_zeros() / 8) as usize;
        }
        same += 8;
    }
    same + here[same..].iter().zip(&there[same..]).take_while(|(a, b)| a == b).count()
}

/// Most bytes that a match at `at` can have.
pub(crate) fn match_max(text: &Text, at: u32) -> usize {
    text.ahead(at).min(MATCH_MAX) as usize
}
