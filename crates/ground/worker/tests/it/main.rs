//! Functions in workers, as real processes.

#![allow(clippy::unwrap_used, reason = "this whole crate is tests")]
#![cfg(target_os = "linux")]

mod compiler;
mod confined;
mod crashes;
mod lab;
mod rest;
mod same;
