//! Archives: a tar or a zip as the plain bytes of its members, and back byte for byte.
//!
//! A dataset that holds archives would find nothing twice in them: one changed member changes all
//! compressed bytes after it, and the padding of a tar moves all cuts. So an archive is opened when
//! it is pushed. [`plan()`] reads it and says what its **inner stream** is made of ([`Pieces`]: members
//! in plain bytes, and the layout between them) and how the archive is made from it again
//! ([`Recipe`]). [`Inner`] reads the inner stream, [`rebuild()`] is the way back. Where an exact way
//! back cannot be proved, the answer is `None`, and the archive is stored as it is.
//!
//! Pure: bytes come and go through `Read`, `Seek` and `Write`; no files, no clock, no threads.
//!
//! | archive | inner stream | way back |
//! |---|---|---|
//! | tar | the tar | none needed: [`Recipe::is_identity`] |
//! | tar, or anything, in gzip | header, content, trailer | `deflate/cairn-1` |
//! | tar, or anything, in zstd | content | `zstd/1.5.7` |
//! | zip | headers, members, directory | `deflate/cairn-1` for each member where it can be proved |
//!
//! - ARCHIVE-1 A plan that compresses was carried out before it is given: the archive was read as
//!   [`Inner`] reads it, made again as [`rebuild()`] makes it, and compared in every byte.
//! - ARCHIVE-2 Nothing in an archive's bytes is an error or a panic: what is damaged, odd or too
//!   large is `None`.
//! - ARCHIVE-3 The pieces of a plan are its inner stream: their lengths add up to it.
//! - ARCHIVE-4 Whatever a recipe says, a rebuild ends in time linear in the recipe and the inner
//!   stream, and writes no more than the recipe's outer length.
//! - ARCHIVE-5 Memory does not grow with the archive: at most about 10 MiB for deflate, 34 MiB for
//!   zstd at its highest level, and the recipe and the pieces, which [`CORRECTIONS_BYTES_MAX`], [`SEGMENTS_MAX`] and [`PIECES_MAX`] bound.
//!
//! # The encoded recipe
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `CArc` |
//! | 1 | version of this table, 1 |
//! | varint | number of segments |
//! | ... | segments |
//! | 4 | CRC-32 of everything before, little-endian |
//!
//! A segment begins with the byte of its method, which names a version too:
//!
//! | method | name | then |
//! |---|---|---|
//! | `0x00` | copy | varint length |
//! | `0x10` | `deflate/cairn-1` | varints inner length, outer length, `n`; `n` bytes of corrections |
//! | `0x20` | `zstd/1.5.7` | varints inner length, outer length; level; flags (1 checksum, 2 content size) |
//!
//! A varint is unsigned LEB128 in its shortest form. The corrections are those of
//! the crate `cairn-deflate`, which describes them.
//!
//! # What has to stay
//!
//! Recipes live as long as the data. `deflate/cairn-1` is our own code and depends on no foreign
//! crate's version; `cairn-deflate` says what it promises (DEFLATE-3). `zstd/1.5.7` is what libzstd 1.5.7 makes, which is
//! why the workspace pins `zstd-safe` and `zstd-sys` exactly. The files in `tests/golden` hold both
//! to it. When libzstd is upgraded and they fail, the new version becomes method `0x21`, and 1.5.7
//! has to stay linked under its old number; when they pass, the old name covers the new version.
//!
//! # Absent on purpose
//!
//! - Archives inside archives: one level (a tar in gzip or zstd counts as one).
//! - zstd above level 11, with long windows, dictionaries, or made with several threads: to read
//!   back would take 90 MiB and more, or threads.
//! - Deflate streams whose corrections exceed an eighth of them: those of Go's and miniz's fastest
//!   levels, of libdeflate from level 10, of windows below 4 KiB. 7-Zip and zopfli come close.
//! - Random access: a rebuild is sequential.

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
