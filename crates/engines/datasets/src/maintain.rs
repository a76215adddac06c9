//! Retention, collection, verification: what an operator runs, and what proves a publication.

mod collect;
mod verify;
mod walk;

pub use collect::Collected;
pub(crate) use collect::Reached;
pub use verify::Verified;

/// References marked or looked up with one call, and pages read with one.
const WAVE: usize = 512;
