//! Files of datasets as HTTP sends them: the entry behind a path, conditions, ranges, media types.
//!
//! Who may read them was said before; nothing is kept here.

#![forbid(unsafe_code)]

mod conditional;
mod media;
mod range;
mod resolve;
mod serve;

pub use conditional::{Validators, Verdict, http_date};
pub use media::media_type;
pub use range::{Asked, RANGES_MAX, parse as range_of};
pub use resolve::{DEPTH_MAX, first_name, resolve, top};
pub use serve::{Ask, begun, logged, pieces, serve, set};

use thiserror::Error;

/// Why a file is not sent.
#[derive(Debug, Error)]
pub enum Error {
    /// Nothing is there.
    #[error("{detail}")]
    NoPath {
        /// What, and why.
        detail: String,
    },
    /// A ranged request asks for nothing that is there.
    #[error("no such range; the file has {len} bytes and one request takes {RANGES_MAX} ranges")]
    Range {
        /// The file's length.
        len: u64,
    },
    /// It cannot be read.
    #[error(transparent)]
    Data(#[from] cairn_datasets::Error),
}
