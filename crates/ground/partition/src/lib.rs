//! Ordered keys with a log, a view and a fence: the ground of all small mutable state.

#![forbid(unsafe_code)]

mod error;
mod ids;
pub mod limits;
pub mod log;

pub use error::Error;
pub use ids::{Epoch, Name, PartitionId, Seq};
pub use log::Log;
