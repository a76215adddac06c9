//! A node as a store: push, pull and browsing work against it as against a bucket.
//!
//! Only missing chunks move. What arrives is checked against the project's key before anyone sees
//! it: neither the node nor the way to it is trusted with content.
//!
//! What is tried again, with growing pauses: a request that found no connection, and one that the
//! node refused for now (429, 503) before it did anything. A claim whose answer was lost is not
//! asked again, for the node gives a claim once: such a push fails and, pushed again, goes on where
//! it was. Reads are tried again after any failure of the connection.

mod admin;
mod edits;
mod follow;
mod functions;
mod header;
mod hooks;
mod http;
mod kv;
mod kv_watch;
mod people;
mod plans;
mod store;
mod trust;
mod upload;

pub use edits::{FilePart, NodeEdit};
pub use functions::{AskFor, Invoked};
pub use http::{Node, Wire};
pub use people::DevicePolled;
pub use trust::Trust;
