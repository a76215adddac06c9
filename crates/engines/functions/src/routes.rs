//! Routes: which function answers which requests.

mod pattern;
#[cfg(test)]
mod property;
mod table;

pub use pattern::{Host, Method, Pattern, Segment};
pub(crate) use table::{Found, Table};
