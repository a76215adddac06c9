//! Functions in workers, as real processes.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "this whole crate is tests")]
#![cfg(target_os = "linux")]

mod compiler;
mod confined;
mod crashes;
mod lab;
mod rest;
mod same;
