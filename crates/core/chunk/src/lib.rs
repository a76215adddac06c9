//! Chunks: where content is cut, what a chunk is called, and how a range of a file is verified.
//!
//! A chunk is the unit of deduplication. Its id is the BLAKE3 of its bytes keyed with the project's
//! key, so that outside the project nobody can test whether some content is stored.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod id;

pub use id::{ChunkId, ChunkKey, ID_BYTES};
