//! The log on a bucket: one chain for all hubs, whatever the bucket does.

#![allow(clippy::unwrap_used, reason = "this whole crate is tests")]

mod chain;
mod support;
mod tamper;
mod write;
