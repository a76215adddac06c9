//! Functions: WebAssembly that answers requests, kept and run by the nodes of a cluster.
//!
//! A [`Function`] is `@PROJECT/NAME`. It has releases, of which one answers; routes say which requests it is
//! asked. All of it is rows of one namespace of keys in each project (`rows`), so that it is backed up and
//! restored as keys are. [`Functions`] is the engine on a node.
//!
//! # Invariants
//!
//! - FUNCTIONS-1 Of the routes that fit a request the most particular one answers, whatever the order they were
//!   made in; no two routes are for the same requests.
//! - FUNCTIONS-2 A release answers whole or not at all: a call runs one release from its beginning to its end, and after an answer
//!   to a change of what answers no call begins on what was before.
//! - FUNCTIONS-3 A release that was acknowledged is compiled, also when the node dies meanwhile; what cannot be compiled
//!   never answers.
//!
//! # Who owns the state, what is durable when, what survives a crash
//!
//! The namespace does: a change is durable when it is acknowledged. Compiled code, logs and counts are this node's, and
//! lost with it. The node that has a project's partition runs its functions.

#![forbid(unsafe_code)]

mod error;
mod functions;
mod live;
mod logs;
mod model;
mod registry;
mod routes;
mod rows;
mod slot;

pub use cairn_wasm::{
    Body, COMPONENT_BYTES_MAX, Call, Done, Failure, Limits, Reuse, streamed as body, whole,
};
pub use error::Error;
pub use functions::{Counted, DECIDED_WAIT_MAX, Functions, Match, NoMatch};
pub use logs::{LINES_MAX, Line};
pub use model::{Auth, Function, Info, Release, RouteInfo, Settings, State};
pub use registry::{RELEASES_KEPT, ROWS_MAX};
pub use routes::{Host, Method, Pattern, Segment};
