//! Ordered keys with a log, a view and a fence: the ground of all small mutable state.
//!
//! [`Partition`] is the contract; `conformance` is the suite that every partition passes. [`Memory`]
//! keeps one in this process, for tests and as the model that others are compared with.

#![forbid(unsafe_code)]

mod commit;
#[cfg(feature = "conformance")]
pub mod conformance;
mod contract;
mod cursor;
mod error;
pub mod fuzzing;
mod ids;
pub mod limits;
mod live;
pub mod log;
mod memory;
mod node;
mod transaction;
mod view;

pub use commit::{Commit, Condition, KeyRange, Op, Reads, check_key};
pub use contract::{
    AnyPartition, AnyPartitions, At, Change, Changes, Committed, Durable, Entry, Here, Loss, Page,
    Partition, Partitions, Scan, Settings, Status, Step, Usage, What,
};
pub use cursor::Cursor;
pub use error::Error;
pub use ids::{Epoch, Name, PartitionId, Seq};
pub use log::Log;
pub use memory::{Memory, MemoryStore};
pub use node::{LeaseTimes, Node, NodeOptions, Readers, Snapshot, Snapshots};
pub use transaction::Transaction;
