//! Seeds, the same trace for the same seed, and scenarios that have names.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod marks;
mod scenarios;
mod seeds;
mod support;
