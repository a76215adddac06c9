//! A real node on a real socket, over a bucket in memory.

#![allow(clippy::unwrap_used, clippy::too_many_lines, reason = "these are tests")]

mod audit;
mod clients;
mod console;
mod curl;
mod dav;
mod description;
mod edits;
mod files;
mod follow;
mod gate;
mod hooks;
mod hostile;
mod http2;
mod kv;
mod kv_watch;
mod numbers;
mod operating;
mod proofs;
mod roads;
mod support;
mod transfer;
