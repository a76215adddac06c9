//! The door for clients of Redis, from outside.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests are on a runtime of their own"
)]

mod beside_redis;
mod clients;
mod gate;
mod hostile;
mod support;
mod transactions;
