//! The suite that every partition passes, on the one in memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod suite;
