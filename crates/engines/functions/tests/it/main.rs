//! Functions on partitions in memory.

#![allow(clippy::unwrap_used, reason = "this whole crate is tests")]

mod lab;
mod plans;
mod releases;
mod routes;
mod triggers;
