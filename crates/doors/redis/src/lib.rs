//! The door for clients of Redis: the keys of a namespace by the protocol that they speak, RESP2 and RESP3.
//!
//! The user is the namespace and the password a token: `redis://PROJECT%2FNAME:TOKEN@HOST:PORT`. What a
//! client changes is acknowledged as every change of the namespace is, when it is durable; what a client
//! reads is durable. A transaction (MULTI, EXEC, WATCH) is one commit.
//!
//! # Invariants
//!
//! - REDIS-1 Whatever a client sends ends in answers, or in one error and the end of its connection, within
//!   bounded memory.
//! - REDIS-2 Answers come in the order of the commands, and what one connection asked for is done in that
//!   order.
//! - REDIS-3 A command is done whole or not at all, and so are those between MULTI and EXEC: none of
//!   another client comes between them, and with WATCH none comes between the look and the change.
//! - REDIS-4 A cursor leads to keys of its own namespace alone.
//!
//! # Who owns the state, what is durable when, what survives a crash
//!
//! The namespace does ([`cairn_kv::Kv`]). Kept here, and lost with the process, are the positions of scans.
//!
//! # Absent on purpose
//!
//! Types of values other than strings, scripts, messages between clients, replication and its commands.

#![forbid(unsafe_code)]

mod command;
mod connection;
mod door;
mod error;
mod expiry;
mod generic;
mod glob;
mod keys;
pub mod limits;
mod reply;
mod request;
mod scans;
mod session;
mod strings;
mod words;
mod work;

pub use door::{Door, Numbers};
pub use request::{Reader, Unreadable};
