//! The block store through its public face.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod collect;
mod damage;
mod disk;
mod reframe;
mod store;
mod support;
