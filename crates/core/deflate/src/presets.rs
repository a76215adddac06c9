//! The encoders that are known, by number.
//!
//! The number is stored in corrections: entries that were released are never changed nor moved,
//! only appended.

use crate::chain::Hash;
use crate::text::WINDOW_BYTES;

/// How matches are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// The first match that is found is taken; zlib's levels 1 to 3.
    Fast,
    /// A match is put off when a longer one begins at the next byte; zlib's levels 4 to 9.
    Lazy,
}

/// What an encoder's choices depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Params {
    pub(crate) style: Style,
    /// From this length of the match before on, a quarter of the steps is enough.
    pub(crate) good: u32,
    /// Lazy: a match of this length is never put off. Fast: positions within matches that are
    /// longer are in no chain.
    pub(crate) lazy: u32,
    /// A match of this length ends the search.
    pub(crate) nice: u32,
    /// Most steps of a search.
    pub(crate) steps: u32,
    /// Length of the shortest match.
    pub(crate) shortest: u32,
    /// Lazy: shortest matches that are farther are not taken.
    pub(crate) far: u32,
    /// Farthest distance of a match.
    pub(crate) distance: u32,
    pub(crate) hash: Hash,
}

const ZLIB_DISTANCE: u32 = 32768 - 262;
const ZLIB_FAR: u32 = 4096;

/// zlib's level, with this hash.
const fn zlib(level: usize, hash: Hash) -> Params {
    let (style, good, lazy, nice, steps) = match level {
        1 => (Style::Fast, 4, 4, 8, 4),
        2 => (Style::Fast, 4, 5, 16, 8),
        3 => (Style::Fast, 4, 6, 32, 32),
        4 => (Style::Lazy, 4, 4, 16, 16),
        5 => (Style::Lazy, 8, 16, 32, 32),
        6 => (Style::Lazy, 8, 16, 128, 128),
        7 => (Style::Lazy, 8, 32, 128, 256),
        8 => (Style::Lazy, 32, 128, 258, 1024),
        _ => (Style::Lazy, 32, 258, 258, 4096),
    };
    let (far, distance) = (ZLIB_FAR, ZLIB_DISTANCE);
    Params { style, good, lazy, nice, steps, shortest: 3, far, distance, hash }
}

/// The level of Go's `compress/flate`, from 2: zlib's with longer hashes and matches.
const fn go(level: usize) -> Params {
    let zlib = zlib(level, Hash::Four17);
    Params { good: u32::MAX, shortest: 4, distance: WINDOW_BYTES, ..zlib }
}

/// miniz with this number of steps, which does not read its levels from a table of zlib's.
const fn miniz(steps: u32) -> Params {
    Params {
        style: Style::Lazy,
        good: 32,
        lazy: 128,
        nice: 258,
        steps,
        shortest: 3,
        far: 8191,
        distance: WINDOW_BYTES,
        hash: Hash::Shift5,
    }
}

/// zlib's strategies that look for no matches, or for runs of one byte only.
const fn strategy(steps: u32, distance: u32) -> Params {
    let zlib = zlib(1, Hash::Shift5);
    Params { good: u32::MAX, lazy: 258, nice: 258, steps, distance, ..zlib }
}

/// All presets; the index is the number.
pub(crate) const PRESETS: [Params; 53] = {
    let mut presets = [zlib(6, Hash::Shift5); 53];
    let mut level = 1;
    while level <= 9 {
        presets[level - 1] = zlib(level, Hash::Shift5);
        presets[level + 8] = zlib(level, Hash::Shift6);
        presets[level + 17] = zlib(level, Hash::Four15);
        presets[level + 26] = zlib(level, if level < 6 { Hash::Crc4 } else { Hash::Crc3 });
        if level > 1 {
            presets[level + 34] = go(level);
        }
        level += 1;
    }
    let steps = [16, 32, 128, 256, 512, 768, 1500];
    let mut at = 0;
    while at < steps.len() {
        presets[44 + at] = miniz(steps[at]);
        at += 1;
    }
    presets[51] = strategy(0, 0);
    presets[52] = strategy(1, 1);
    presets
};

/// The presets in the order in which they are tried; of several that fit the first is taken.
pub(crate) const ORDER: [u8; PRESETS.len()] = {
    let levels = [5, 8, 0, 7, 6, 4, 3, 2, 1];
    let families = [0, 2, 1, 3];
    let others = [40, 46, 43, 39, 38, 37, 36, 41, 42, 44, 45, 47, 48, 49, 50, 51, 52];
    let mut order = [0; PRESETS.len()];
    let mut at = 0;
    while at < 36 {
        order[at] = families[at / 9] * 9 + levels[at % 9];
        at += 1;
    }
    while at < order.len() {
        order[at] = others[at - 36];
        at += 1;
    }
    order
};

/// The preset for streams that tell nothing: zlib's level 6.
pub(crate) const PRESET_USUAL: u8 = 5;
