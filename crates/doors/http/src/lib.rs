//! The HTTP door: REST below `/api/v1`, files below `/fs` and, as WebDAV, `/dav`, the web console below
//! `/console/`, and the client that speaks to them.
//!
//! [`DoorBuilder`] makes a [`Door`] of the engine's handles; [`Door::serve`] answers on a listener.
//! [`client::Node`] is the other side, a `Store` like the engine itself.
//!
//! The door owns nothing: datasets are in the bucket, uploads in the engine's `Uploads`, and who may
//! do what in `Access`. It translates, and holds no rules of its own. When an answer says that
//! something was published, it was durable in the bucket before.
//!
//! Invariants:
//!
//! - ACCESS-1 Every route declares its permission, or the door is not built; every request but those
//!   for `/livez` and `/readyz` is authenticated, and authorized before its handler runs. The
//!   description of the API and the files of the web console take no credential, for they are the
//!   same whatever the bucket holds.
//! - ACCESS-2 A credential that does not hold is refused, never taken for none.
//! - HTTP-1 A response never looks whole when it is not: an error in the middle breaks the connection.
//! - HTTP-2 What a client sends is bounded before it is held, and an operation on an upload runs to
//!   its end whether or not its client is still there.
//! - HTTP-3 The author of a version is who was authenticated, never the client's word.

#![forbid(unsafe_code)]

pub mod api;
mod args;
mod call;
mod checks;
pub mod client;
mod connection;
mod console;
mod courier;
mod dav;
mod door;
mod error;
mod fs;
pub mod fuzzing;
mod guard;
pub mod limits;
mod login;
mod metrics;
pub mod openapi;
mod options;
mod place;
mod rest;
mod rest_of_body;
pub mod route;
mod serve;
mod socket;
mod tls;
mod trace;
pub mod wire;

pub use args::Args;
pub use cairn_mesh::listen::Transport;
pub use call::Call;
pub use checks::{LastCollection, SelfChecks, collected_what, disk_space};
pub use console::has_console;
pub use courier::{Post, secret_text};
pub use door::{Door, DoorBuilder};
pub use error::Error;
pub use metrics::{Metric, MoreMetrics};
pub use options::{Options, Waits};
pub use place::{ErrorBody, ErrorDetail};
