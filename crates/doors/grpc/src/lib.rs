//! The gRPC door: DatasetAPI, BlockAPI, KvAPI and FunctionAPI, health and reflection, on the port of the HTTP door.
//!
//! [`Door`] makes a router of the engine's handles, which a node mounts at [`PATTERNS`]. The messages
//! and services are published in `proto/`; [`proto`] is what is generated from them.
//!
//! The door owns nothing: datasets are in the bucket, uploads in the engine's `Uploads`, and who may
//! do what in `Access`. It translates, and holds no rules of its own. When an answer says that
//! something was published, it was durable in the bucket before.
//!
//! Invariants:
//!
//! - ACCESS-1 Every RPC has its permission in [`RPCS`], or the door is not built; every call but those
//!   of health and reflection is authenticated, and decided by what its message names before anything
//!   is done for it.
//! - ACCESS-6 What publishes or moves a tag is in the audit log before it is done, and before it is
//!   acknowledged. Of reads and changes of keys ACCESS-9 says it: they are counted.
//! - GRPC-1 What a client sends is bounded before it is held, and a client that stands still is not
//!   waited for.
//! - GRPC-2 The pages of a list have every entry once; a page token is good for its own list alone.
//! - GRPC-3 A push or an upload that breaks off publishes nothing.
//! - GRPC-4 A stream that lasts ends when its caller may not have it any more, within
//!   [`cairn_access::REFRESH_MAX`] and [`limits::ASK_EVERY`].
//! - GRPC-5 What was sent on a stream of commits is answered in its order, each commit by itself, and what
//!   is answered is durable.
//! - KV-3 A watch tells every change after its position in the order of commits, and none twice: what it
//!   cannot tell ends it.

#![forbid(unsafe_code)]

mod blocks;
pub mod codec;
mod datasets;
mod door;
mod download;
mod error;
mod follow;
mod functions;
mod gate;
mod health;
mod intake;
mod kv;
mod kv_messages;
mod kv_scan;
mod kv_watch;
mod kv_write;
pub mod limits;
mod names;
mod page;
pub mod proto;
mod publish;
mod rpc;
mod stream;
mod upload;

pub use door::{Door, Options, PATTERNS};
pub use error::Error;
pub use rpc::{Permission, RPCS, Rpc, Rule, Scope, described_paths};
