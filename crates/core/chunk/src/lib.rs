//! Chunks: where content is cut, what a chunk is called, and how a range of a file is verified.
//!
//! A chunk is the unit of deduplication. Its id is the BLAKE3 of its bytes keyed with the project's
//! key, so that outside the project nobody can test whether some content is stored.
//!
//! Everything here is a stored format: a change of the gear table, of the masks or of the sizes
//! makes new pushes share nothing with old ones. The tests pin cuts and ids of fixed inputs.
//!
//! - CHUNK-1 The cuts of a content depend on its bytes and its size class alone.
//! - CHUNK-2 The parts of a content are its bytes: nothing is lost, doubled or reordered by cutting.
//! - CHUNK-3 A range that a hash tree accepts is a range of the content with that root.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod cut;
mod gear;
mod hash_tree;
mod id;
mod proof;

pub use cut::{Cutter, SizeClass};
pub use hash_tree::{GROUP_BYTES, NODE_BYTES, Node, TreeHasher};
pub use id::{ChunkId, ChunkKey, ID_BYTES};
pub use proof::{
    CONTENT_BYTES_MAX, ProofError, ProofPart, ProofParts, RangeVerifier, nodes_for_range,
    proof_bytes, proof_groups, verify_range,
};

/// No chunk is larger than this, whatever its size class: a bound for everyone who decodes one.
pub const CHUNK_BYTES_MAX: usize = 256 * 1024;
