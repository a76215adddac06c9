//! Archives of many makers are opened and made again.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails with the test")]

mod generated;
mod golden;
mod hostile;
mod support;
mod tools;
