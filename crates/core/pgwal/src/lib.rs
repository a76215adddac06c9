//! PostgreSQL's write-ahead log: reading it, and doing again what its records say.
//!
//! Everything here is a pure function of bytes: no files, no clock, no state. A [`Record`] is decoded
//! from a stream of WAL; [`redo()`] applies one of its blocks to one page, as PostgreSQL's own recovery
//! would; [`mask`] blanks what the log does not determine, so that pages can be compared.
//!
//! Written from the formats of PostgreSQL 15 (`access/xlogrecord.h`, `storage/bufpage.h` and the
//! headers of each access method); each module names the C file whose behaviour it must equal.
//!
//! - PGWAL-1 No input makes a function panic, loop, or touch a byte outside the page it was given.
//! - PGWAL-2 A redo that fails leaves the page as it was.
//! - PGWAL-3 The result of a redo is a function of the page before and the record alone.
//! - PGWAL-4 A redo leaves a page that was in order in order: lower, upper and special do not cross,
//!   and items lie apart from each other between upper and special. A restored image is what it is.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod append;
mod control;
mod decode;
pub mod effects;
mod error;
mod fields;
#[doc(hidden)]
pub mod fuzzing;
mod image;
mod lsn;
pub mod mask;
pub mod page;
mod record;
pub mod redo;
mod rmgr;
mod state;
mod stream;

pub use append::Appender;
pub use control::{CONTROL_BYTES, Control, ServerState};
pub use error::{ControlError, PageError, RedoError, WalError};
pub use fields::Fields;
pub use lsn::Lsn;
pub use page::{PAGE_BYTES, Page};
pub use record::{Block, Fork, Image, Major, Record, Relation};
pub use redo::redo;
pub use rmgr::Rmgr;
pub use state::State;
pub use stream::{RawRecord, Stream, StreamOptions, WAL_PAGE_BYTES, checksum};
