//! Backups: points in time of a whole cluster that share their bytes with the living data, and copies of
//! them that are clusters of their own.
//!
//! A backup is small: the objects that change (refs, rules, hooks, access, records of partitions) as they
//! were, and the names of those that never do. It holds what those need, so that neither a collection nor
//! a compaction takes it away.
//!
//! | key | what |
//! |---|---|
//! | `backups/ID/manifest` | [`Backup`], an envelope of kind 9 around JSON; it is written last |
//! | `backups/ID/NUMBER` | pages of records, envelopes of kind 9 |
//! | `holds/ID` | the versions and large values that it keeps |
//!
//! Invariants:
//!
//! - BACKUP-1 A backup that has a manifest is whole: all that it names is there, and stays until the
//!   backup is removed. What was acknowledged before it began is in it, for partitions at level `log`
//!   what was shipped by then.
//! - BACKUP-2 What is copied from a backup is a cluster only when all of it is there: `cairn.json` is
//!   written last. Until then nothing can open it, and a copy that was cut off goes on.
//! - BACKUP-3 A backup changes nothing of the cluster but its own objects, its hold and its checkpoints.

#![forbid(unsafe_code)]

mod backups;
mod copy;
mod error;
mod id;
mod manifest;
mod page;
mod restore;

pub use backups::{Backups, Checked, Listed, Told, Which};
pub use error::Error;
pub use id::BackupId;
pub use manifest::{Backup, PartitionPoint};
pub use restore::Restored;
