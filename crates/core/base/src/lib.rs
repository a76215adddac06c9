//! What every layer shares: the kinds of errors and the names of things.
//!
//! Pure and `no_std`. A type lives here only when two crates that do not depend on each other
//! need it.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod error_kind;
pub mod name;

pub use error_kind::ErrorKind;
pub use name::{DatasetName, ProjectName, Reference, TagName};
