//! The real binary: what it promises to people and scripts, and what survives when it is killed, when
//! the power fails and when the disk is full.
//!
//! Every test starts `cairn` as a process, with an environment and directories of its own.

#![allow(clippy::disallowed_methods, reason = "tests of processes measure real time")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::too_many_lines, reason = "a contract is a list")]

mod audit;
mod backups;
mod browser;
mod cached;
mod changes;
mod contract;
mod develop;
mod documented;
mod editing;
mod full;
mod functions;
mod grpc;
mod help;
mod hubs;
mod identity;
mod isolation;
mod json;
mod keys;
mod kill;
mod kv;
mod lab;
mod languages;
mod mount;
mod node;
mod nodes;
mod oidc;
mod outage;
mod outbound;
mod people;
mod pg;
mod places;
mod plans;
mod power;
mod process;
mod returning;
mod running_node;
mod seen;
#[cfg(feature = "otel")]
mod spans;
mod stores;
mod streams;
mod tls;
mod together;
mod tree;
mod triggers;
mod values;
mod walker;
mod web;
