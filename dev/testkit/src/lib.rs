//! What several crates need to test against the real thing.
//!
//! A program that is missing is an error that says how to get it, never a test that is skipped.

#![forbid(unsafe_code)]

mod ask;
mod clock;
pub mod guests;
pub mod postgres;
mod process;
pub mod store;
pub mod tool;

pub use clock::Shifted;
