//! Archives: a tar or zip as the plain bytes of its members, and back byte for byte.

#![forbid(unsafe_code)]

mod content;
mod deflate;
mod error;
mod gzip;
mod inner;
mod limits;
mod piece;
mod plan;
mod proof;
mod rebuild;
mod recipe;
mod sniff;
mod tar;
mod varint;
mod window;
mod zip;
mod zstd;

pub use error::Error;
pub use inner::Inner;
pub use limits::{
    CORRECTIONS_BYTES_MAX, Limits, PAX_BYTES_MAX, PIECES_MAX, SEGMENTS_MAX, ZIP_ENTRIES_MAX,
};
pub use piece::{Piece, PieceIter, PieceKind, Pieces};
pub use plan::{Format, Plan, plan};
pub use rebuild::rebuild;
pub use recipe::{Recipe, Segment, ZstdParams};
pub use sniff::{Guess, sniff};
