//! WebAssembly: what was uploaded is checked and made a component, compiled once, and run in instances of
//! its own within limits.
//!
//! Compiled code is a file that this node made ([`Runtime::code`]): it is mapped, never accepted from outside, and
//! believed only with this node's seal (WASM-1). Nothing here is durable: whatever is lost is compiled
//! again. This crate is the only one that knows the engine, wasmtime.

mod blobs;
mod body;
mod cache;
mod code;
mod command;
mod error;
mod exchange;
mod fate;
mod files;
mod guest;
mod http;
mod limits;
mod logging;
mod logs;
mod meter;
mod outside;
mod places;
mod prepare;
mod program;
mod runtime;
mod sink;
mod stores;

pub use blobs::{Blob, BlobError, Blobs, Container};
pub use body::{Body, Kept, streamed, whole};
pub use cache::Digest;
pub use code::{Code, Kind};
pub use command::{Call, Command, Done};
pub use error::{Error, Failure};
pub use files::{File, FileError, Files, Found, Listed, held};
pub use guest::World;
pub use http::HttpFunction;
pub use limits::{Limits, Reuse};
pub use logs::{Logs, Stream};
pub use meter::TICK;
pub use outside::{Chain, Outside, OutsideError};
pub use prepare::{COMPONENT_BYTES_MAX, Prepared, prepare};
pub use runtime::{Compiler, Options, Runtime, precompile};
pub use stores::{Store, StoreError, Stores};
