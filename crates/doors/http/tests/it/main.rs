//! A real node on a real socket, over a bucket in memory.

mod support;
mod transfer;
