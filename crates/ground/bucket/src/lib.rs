//! The seam to the only thing that must last: the bucket.
//!
//! One URL selects the store: `file:///srv/cairn`, `s3://bucket/prefix`, `gs://bucket/prefix`,
//! `az://container/prefix` or `memory://`. [`Bucket`] is the cheap handle everything above uses;
//! [`Bucket::store`] gives the same place as an [`object_store::ObjectStore`].
//!
//! # Invariants
//!
//! - BUCKET-1 A write that returned `Ok` is durable: `file://` has synced the object, its name and
//!   the directories that lead to it; a remote store has confirmed the PUT.
//! - BUCKET-4 A reader sees a whole old or a whole new object, never a mixture and never a part.
//! - BUCKET-5 Of any number of concurrent `create`s of a key at most one succeeds, and of any number
//!   of concurrent `replace`s of one version at most one succeeds, between tasks, handles, processes
//!   and nodes.
//! - BUCKET-6 A conditional write whose answer was lost is told apart by the id it carried: it ends as
//!   a success, as a refusal that had no effect, or as [`Error::InDoubt`], never as a guess.
//!
//! Absent on purpose: checksums. A store may hand out what its disk made of the bytes; whoever knows
//! what they should be checks them (BUCKET-3 is kept by the layer above).
//!
//! # Who owns the state, and what survives a crash
//!
//! The store does. This crate keeps no state that outlives the process; what a crash of a local
//! writer leaves behind (staged files) is swept at the next open.

mod address;
mod bucket;
mod cause;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
pub mod faulty;
mod key;
mod local;
mod memory;
mod probe;
#[cfg(any(feature = "s3", feature = "gs", feature = "az"))]
mod remote;
mod retry;
mod seal;
mod settings;

pub use bucket::{Bucket, Head, Object, Version};
pub use cause::Cause;
pub use error::Error;
pub use faulty::Faulty;
pub use key::{KEY_BYTES_MAX, PART_BYTES_MAX, RESERVED};
pub use local::Engine;
pub use memory::Memory;
pub use seal::{Plain, Seal, SealError};
pub use settings::Settings;

use std::time::Duration;

/// The largest object that [`Bucket::get`] returns and that [`Bucket::put`] takes, in bytes. Larger
/// ones are read by ranges and written in parts through [`Bucket::store`].
pub const OBJECT_BYTES_MAX: u64 = 1 << 30;

/// How a bucket is opened. `Options::default()` fits production.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Credentials, endpoints and the like for remote stores.
    pub settings: Settings,
    /// Which engine moves the bytes of `file://`.
    pub engine: Engine,
    /// Whether opening `file://` makes a directory that is missing and the store's own directory in
    /// it. Without, opening changes nothing, and the first write makes the store's own directory.
    pub make: bool,
    /// How long one request to a remote store may take before it is tried again, not counting
    /// [`Options::per_mib`].
    pub attempt: Duration,
    /// How long one operation may take with all its retries, not counting [`Options::per_mib`].
    pub deadline: Duration,
    /// Added to both for each MiB that the operation writes.
    pub per_mib: Duration,
    /// How many requests one operation may send.
    pub attempts_max: u32,
    /// How many requests each of the two clients of a remote store may have under way.
    pub remote_in_flight_max: u32,
    /// How many operations may be under way in one `file://` store; more wait their turn.
    pub local_in_flight_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            make: true,
            engine: Engine::Auto,
            attempt: Duration::from_secs(20),
            deadline: Duration::from_secs(90),
            per_mib: Duration::from_secs(2),
            attempts_max: 10,
            remote_in_flight_max: 64,
            local_in_flight_max: 256,
        }
    }
}
