//! Deflate streams as their plain bytes and a few bytes of corrections.
//!
//! Whoever stores archives wants the plain bytes of their members, which deduplicate and compress
//! well, and has to give back the compressed bytes exactly. A deflate stream (RFC 1951) tells more
//! than its plain bytes: which matches its encoder took, where blocks end, how the codes are
//! described. Nearly all streams come from a few encoders, and so nearly all of that can be
//! foretold. [`Splitter`] reads a stream, finds the encoder that is most like its own, and notes
//! where the stream is otherwise; [`Joiner`] foretells the same, heeds the notes, and makes the
//! stream again. Streams of zlib at any level take about ten bytes of corrections, whatever their
//! length; streams of encoders that are not known stay correct and take more: look at the length of
//! the corrections before you keep them.
//!
//! Both sides take pushes of any size and give away what they make in pieces of at most 128 KiB, in a
//! few MiB of memory, plus the corrections themselves. Nothing is ever durable here; the corrections are for their owner to store, for years.
//!
//! - DEFLATE-1 What a joiner has made when `finish` returns `Ok` is the stream that was split, but
//!   for a collision of CRC-32: corrections or plain bytes that were changed give an error.
//! - DEFLATE-2 A prediction depends on the preset, on the plain bytes up to a fixed number ahead,
//!   and on the tokens before; never on how the bytes were cut into pushes.
//! - DEFLATE-3 Corrections of a released version mean the same for ever. Tests pin the predictions
//!   of all presets and the corrections of real streams. What may change is which corrections
//!   a splitter finds.
//! - DEFLATE-4 Memory is bounded by constants, time by the bytes that go in: searches have a budget
//!   of steps per plain byte, and a block that stands for no plain byte takes a byte of corrections.
//!
//! # Corrections, version 1
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 1 | preset, the index in `presets::PRESETS` |
//! | 4 | CRC-32 of the deflate stream, little-endian |
//! | varint | length of the records, LEB128 in its shortest form |
//! | n | records of blocks, range coded |
//! | rest | corrections of tokens, range coded |
//!
//! Both coded parts are decisions of an adaptive binary range coder (`range`), with zeros at the
//! end left out. Symbols and numbers are made of decisions (`model`). What the decisions are is
//! said once, for writing and for reading, in `record` and in `correct`:
//!
//! - Record of a block: last or not; kind; for stored blocks the padding and the length; for others
//!   whether the tokens go on in another record (every 2^20), the number of tokens unless the block
//!   is the last and takes what is left, and for dynamic blocks the description of the codes, as
//!   zlib would write it for these tokens or in full relative to that. The padding after the last.
//! - Token: whether it is the predicted one; if not, literal or match; the length; the number of
//!   matches of that length that are nearer in the hash chain, or else the distance.
//!
//! Absent on purpose: the containers (gzip, zip, zlib, PNG), which belong to the caller; inflating
//! without corrections, and deflating anew.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bits;
mod chain;
mod correct;
mod error;
mod estimate;
mod header;
mod huffman;
mod join;
mod model;
mod parse;
mod predict;
mod presets;
mod range;
mod record;
mod split;
mod text;
mod token;
mod trees;

pub use error::Error;
pub use join::Joiner;
pub use split::{Corrections, Limits, Preset, Progress, Splitter};

/// The version of the corrections that are written.
const VERSION: u8 = 1;
