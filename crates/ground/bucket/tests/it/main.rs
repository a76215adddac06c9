//! The bucket from outside.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod basics;
mod conform;
#[cfg(feature = "s3")]
mod s3;
