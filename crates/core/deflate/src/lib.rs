//! Deflate streams as their plain bytes and a few bytes of corrections.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod bits;
mod chain;
mod correct;
mod crc;
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
mod varint;

pub use error::Error;
pub use join::Joiner;
pub use split::{Corrections, Limits, Progress, Splitter};

/// The version of the corrections that are written.
const VERSION: u8 = 1;
