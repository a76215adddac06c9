//! What every layer shares: the kinds of errors, the names of things, varints.
//!
//! Pure and `no_std`. What lives here is what two crates need of which neither owns it.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod error_kind;
pub mod name;
pub mod varint;

pub use error_kind::ErrorKind;
pub use name::{DatasetName, ProjectName, Reference, TagName};
