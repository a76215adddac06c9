//! Functions that others' compilers made, run to their limits.

#![allow(clippy::unwrap_used, reason = "this whole crate is tests")]

mod blobs;
mod bombs;
mod cache;
mod commands;
mod exchange;
mod files;
mod lab;
mod limits;
mod programs;
mod requests;
mod streams;
