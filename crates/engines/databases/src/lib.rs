//! Databases: PostgreSQL's log, and what follows from it.
//!
//! An [`Archive`] is where segments of WAL are; a [`Base`] is a copy of a stopped cluster. [`verify()`]
//! replays one over the other and compares every image that the log carries with what redo made;
//! [`verify_against()`] compares in the end every page with the files of other servers as well.
//! [`restore()`] makes a data directory on which a server starts at any position.

#![forbid(unsafe_code)]

mod archive;
mod base;
mod compare;
mod error;
mod history;
mod inspect;
mod layout;
mod pages;
mod restore;
mod server;
mod verify;

pub use archive::{Archive, Records, Store};
pub use base::Base;
pub use compare::{Comparison, Difference, Side};
pub use error::Error;
pub use history::History;
pub use inspect::{BlockLine, InspectOptions, Inspected, KindCounts, Line, inspect};
pub use restore::{Progress, RestoreOptions, Restored, Role, Target, restore};
pub use server::{CERTIFIED, MAJOR, Running, Server};
pub use verify::{Counts, Mismatch, Report, VerifyOptions, verify, verify_against};
