//! The door on a real socket, over a bucket in memory, called by tonic's client.

#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "these are tests")]

mod audit;
mod blocks;
mod gate;
mod hostile;
mod kv;
mod kv_streams;
mod lists;
mod streams;
mod support;
