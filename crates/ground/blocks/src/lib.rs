//! Blocks: large immutable bytes, named by their hash, stored once.
//!
//! A **chunk** (from `cairn-chunk`) is stored in a **frame** with its neighbours, frames in a
//! **pack**, and an **index run** says where each chunk is. All of them are immutable objects of the
//! bucket. The **catalog** is the one object that changes here, by compare-and-swap.
//!
//! Who owns what: the bucket owns everything. A [`Blocks`] handle holds a view of the catalog and
//! bounded caches; a [`Session`] holds one unfinished pack and the index entries of packs that no run
//! names yet. What a session has registered is durable and found by everyone; what it has not is
//! lost by a crash, and its objects are collected later.
//!
//! Invariants:
//!
//! - BLOCKS-1 A published manifest never refers to a block that is missing or about to be collected.
//! - BLOCKS-2, BLOCKS-3, BLOCKS-4: see [`catalog`].
//! - BLOCKS-5 Frames and packs are written once under names that are never used again.
//! - BLOCKS-7 Whatever a cache on disk holds, a read gives what the bucket has, or an error.
//! - BUCKET-3 No byte leaves this crate that was not checked: frames against the chunk ids, footers,
//!   runs and envelopes against their checksums.

#![forbid(unsafe_code)]

pub mod catalog;
mod collect;
pub mod config;
mod disk;
mod envelope;
mod error;
pub mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod inventory;
pub mod pack;
mod read;
mod reframe;
mod run;
mod seal;
mod session;
mod store;
mod verify;
mod wire;

pub use collect::{CollectOptions, CollectReport, Collection};
pub use config::Secret;
pub use disk::{DiskCacheOptions, DiskCacheStats};
pub use envelope::{ENVELOPE_BYTES_MAX, EnvelopeKind, Sealer};
pub use error::Error;
pub use frame::{ChunkLen, Frame, OpenFrame};
pub use index::Want;
pub use inventory::Inventory;
pub use run::{IndexEntry, RUN_ENTRIES_MAX};
pub use session::{CLAIM_IDS_MAX, Session, SessionId, SessionStats, Standing};
pub use store::{Blocks, Options, Usage};
pub use verify::{Damage, FINDINGS_MAX, Finding, Progress, VerifyReport};
