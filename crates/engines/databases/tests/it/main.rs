//! The engine on real logs: what it makes, PostgreSQL starts on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod lab;
mod restoring;
