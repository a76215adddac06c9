//! Earlier positions with the same hash of their first bytes, newest first.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::text::{Text, WINDOW_BYTES};
use crate::token::MATCH_MAX;

const MASK: u32 = WINDOW_BYTES - 1;
type Links = [u16; WINDOW_BYTES as usize];
/// A link that leads out of the window from wherever it begins.
const END: u16 = 0xffff;
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
    /// Four bytes, multiplied, 15 bits: Chromium's zlib, which is also Node's.
    Four15,
    /// CRC-32C of three bytes, 15 bits: Chromium's zlib of 2014 to 2022 from level 6.
    Crc3,
    /// CRC-32C of four bytes, 15 bits: the same below level 6.
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
        let mut byte = 0u32;
        while byte < 256 {
            let mut value = byte;
            let mut bit = 0;
            while bit < 8 * (4 - place) {
                value = (value >> 1) ^ (0x82F6_3B78 * (value & 1));
                bit += 1;
            }
            tables[place][byte as usize] = value;
            byte += 1;
        }
        place += 1;
    }
    tables
}

impl Hash {
    const fn bits(self) -> u32 {
        match self {
            Self::Shift5 | Self::Four15 | Self::Crc3 | Self::Crc4 => 15,
            Self::Shift6 => 16,
            Self::Four17 => 17,
        }
    }
}

fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().zip(&CRC_TABLES).fold(0, |crc, (&byte, table)| crc ^ table[usize::from(byte)])
}

fn word_le(bytes: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*bytes)
}

/// The chains of all hashes.
#[derive(Debug)]
pub(crate) struct Chains {
    hash: Hash,
    heads: Vec<u32>,
    /// Distance of each position of the window to the one before it in its chain, or [`END`].
    links: Box<Links>,
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
            links: vec![END; WINDOW_BYTES as usize].try_into().expect("it is a window long"),
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
        let rest = &text.bytes()[text.index(self.next)..];
        match self.hash {
            Hash::Shift5 => self.insert_with(rest, count, |&[a, b, c]| {
                (u32::from(a) << 10 ^ u32::from(b) << 5 ^ u32::from(c)) & 0x7fff
            }),
            Hash::Shift6 => self.insert_with(rest, count, |&[a, b, c]| {
                (u32::from(a) << 12 ^ u32::from(b) << 6 ^ u32::from(c)) & 0xffff
            }),
            Hash::Four15 => self.insert_with(rest, count, |bytes| {
                word_le(bytes).wrapping_mul(66521).wrapping_add(66521) >> 16 & 0x7fff
            }),
            Hash::Crc3 => self.insert_with(rest, count, |bytes: &[u8; 3]| crc(bytes) & 0x7fff),
            Hash::Crc4 => self.insert_with(rest, count, |bytes: &[u8; 4]| crc(bytes) & 0x7fff),
            Hash::Four17 => self.insert_with(rest, count, |bytes| {
                u32::from_be_bytes(*bytes).wrapping_mul(0x1e35_a7bd) >> 15
            }),
        }
    }

    #[inline(always)]
    fn insert_with<const N: usize>(
        &mut self,
        rest: &[u8],
        count: u32,
        hash: impl Fn(&[u8; N]) -> u32,
    ) {
        let fronts = rest.windows(N).filter_map(|front| front.first_chunk());
        for front in fronts.take(count as usize) {
            let at = self.next;
            let head = &mut self.heads[hash(front) as usize];
            let distance = if *head == NONE { 0 } else { at.wrapping_sub(*head) };
            let near = distance.wrapping_sub(1) < WINDOW_BYTES;
            self.links[(at & MASK) as usize] = if near { (distance & 0xffff) as u16 } else { END };
            *head = at;
            self.next = at.wrapping_add(1);
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

    /// Distances from `at` to the positions before it in its chain, nearest first.
    pub(crate) fn walk(&self, at: u32) -> Walk<'_> {
        // A position that is in no chain yet has none.
        let held = self.next.wrapping_sub(at).wrapping_sub(1) < WINDOW_BYTES;
        Walk { links: &self.links, at, distance: if held { 0 } else { WINDOW_BYTES } }
    }
}

/// See [`Chains::walk`].
#[derive(Clone, Debug)]
pub(crate) struct Walk<'c> {
    links: &'c Links,
    at: u32,
    distance: u32,
}

impl Walk<'_> {
    /// The next distance if it is at most `max`, which is at most a window. After `None` the walk
    /// is over.
    #[inline(always)]
    pub(crate) fn next(&mut self, max: u32) -> Option<u32> {
        let slot = (self.at.wrapping_sub(self.distance) & MASK) as usize;
        // The slot of the farthest position is that of `at` itself: its link leads out of the
        // window, as does the end of a chain.
        self.distance += u32::from(self.links[slot]);
        (self.distance <= max).then_some(self.distance)
    }
}

/// Bytes from `at` on that are the same as those `distance` before, up to `max`.
#[inline]
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
