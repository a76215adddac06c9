//! Method `deflate/cairn-1`: a raw deflate stream as its plain bytes and corrections.
//!
//! Most streams come from zlib, from gzip, or from something much like them. A predictor chooses
//! each token as they would, at the level that fits best, and the corrections say where the stream
//! has another one. A stream of zlib itself needs a few bytes per block. Corrections of a stream:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | level, 1 to 9 |
//! | 1 | hash, the index in `Hash::ALL` |
//! | varint | `n`, the bytes of the block table |
//! | `n` | block table |
//! | rest | token table |
//!
//! Block table, per block: a varint `count << 4 | raw << 3 | kind << 1 | last`; the kind is
//! deflate's (0 stored, 1 static, 2 dynamic), the count that of the plain bytes of a stored block,
//! of the tokens of others. If `raw` is 1 the header of a dynamic block follows, which zlib would
//! write otherwise: a varint of its bits, and the bits from the lowest of each byte.
//!
//! Token table, per token that the predictor misses: a varint of tokens that it gets right before,
//! a varint `length - 2` (0: a literal), and unless it is a literal a varint of the distance.
//!
//! - DEFLATE-1 Neither side holds more than one block and `LOOKAHEAD` bytes after it, whatever the
//!   corrections say: blocks have a largest size, and each takes bytes of the block table.
//! - DEFLATE-2 The predictor looks at `STEPS_PER_BYTE_MAX` candidates per plain byte on average, or
//!   the stream is refused, by both sides at the same token.
//! - DEFLATE-3 What the predictor says depends on the plain bytes up to `LOOKAHEAD` after a token's
//!   first and on the tokens before it, and on nothing else: both sides hear the same.

mod bits;
mod block;
mod code;
mod matcher;
mod rebuild;
mod recode;
mod text;

use std::io;

use matcher::Config;

pub(crate) use rebuild::{RebuildError, rebuild};
pub(crate) use recode::recode;

/// Positions are kept in 32 bits.
const STREAM_PLAIN_BYTES_MAX: u64 = (1 << 32) - (1 << 20);

/// Why a stream is given up.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The reader failed.
    Io(io::Error),
    /// The stream is damaged, odd or not worth it; or the corrections are no corrections.
    Refused,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What makes a stream again.
#[derive(Debug)]
pub(crate) struct Recoded {
    pub(crate) inner_len: u64,
    pub(crate) out_len: u64,
    pub(crate) corrections: Vec<u8>,
}

/// Bounds for one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) limits: crate::Limits,
    pub(crate) inner_bytes_max: u64,
    pub(crate) corrections_max: usize,
}

impl Bounds {
    fn hold(&self, inner: u64, outer: u64, corrections: usize) -> bool {
        inner <= self.inner_bytes_max.min(STREAM_PLAIN_BYTES_MAX)
            && self.limits.ratio_ok(inner, outer)
            && corrections <= self.corrections_max
            && corrections as u64 <= worthwhile(outer)
    }
}

/// Corrections that are still worth it for `outer` compressed bytes.
const fn worthwhile(outer: u64) -> u64 {
    256 + outer / 8
}

/// Streams of one archive that no configuration fits, one after the other, before it is believed
/// of the rest too: to find that out costs as much as thirty rebuilds of the sample.
const MISFITS_MAX: u32 = 8;

/// What the streams before in one archive were like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hint {
    /// The configuration that fitted the last, which is tried first.
    config: Option<Config>,
    misfits: u32,
}

impl Hint {
    /// Whether it is worth trying the next stream.
    pub(crate) const fn is_promising(&self) -> bool {
        self.misfits < MISFITS_MAX
    }
}

#[cfg(test)]
mod tests;
