//! Namespaces of keys and values: small state that programs read and change at any moment.
//!
//! A [`Namespace`] is `@PROJECT/NAME`, as a dataset is, and a partition of the name `kv/PROJECT/NAME`:
//! its unit of consistency. [`Kv`] is the engine on the partitions of a node; [`Store`] is the face that
//! commands are written against, which a node's client has too.
//!
//! # Invariants
//!
//! - KV-1 What is exported is one state of the namespace, and imported elsewhere it gives the same keys
//!   with the same values and ends.
//! - KV-2 A namespace's keys are reached through its grants alone.
//! - KV-3 A watch tells every change after its position in the order of commits, and none twice: what
//!   cannot be told is an error, never a gap.
//! - KV-4 Whatever a line of an import holds, it ends in an entry or in an error that names the line, within
//!   memory bounded by [`LINE_BYTES_MAX`].
//! - KV-5 A large value can be read in every state that shows it; what no state shows, a sweep lets go.
//!
//! # Who owns the state, what is durable when, what survives a crash
//!
//! The partition does, and promises it ([`cairn_partition::Partition`]). Nothing is kept here: a handle is
//! as good as any other. A value of more than [`limits::VALUE_BYTES_MAX`] bytes is stored in the bucket
//! as a file of a dataset is, before its key refers to it.
//!
//! # Absent on purpose
//!
//! Values of more than [`LARGE_BYTES_MAX`]; large ones in commits of several keys and in exports; indexes;
//! changes of keys in two namespaces at once.

#![forbid(unsafe_code)]

mod clones;
mod error;
mod follow;
mod kv;
mod large;
mod lines;
mod namespace;
mod store;
mod sweep;
mod text;
mod transfer;

pub use cairn_partition::Error as PartitionError;
pub use cairn_partition::{
    At, Change, Changes, Commit, Committed, Condition, Cursor, Durable, Entry, KeyRange, Loss, Op,
    Page, Scan, Seq, Settings, Transaction, What, limits,
};
pub use error::Error;
pub use follow::{Follow, concerns};
pub use kv::{Kv, TTL_MAX};
pub use large::{LARGE_BYTES_MAX, LARGE_WRITES_MAX, Value, large_reference, large_size, not_kept};
pub use lines::{LINE_BYTES_MAX, Lines, decode, encode};
pub use namespace::{Info, Namespace};
pub use store::{Only, Pieces, Put, SettingsChange, Store, Touched, Watch};
pub use sweep::{SWEEP_EVERY, Swept};
pub use text::{joined, split};
pub use transfer::Imported;
