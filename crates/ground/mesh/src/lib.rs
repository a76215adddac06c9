//! Who the nodes of a cluster are to each other and to their clients: the cluster's certificate
//! authority, the certificates that nodes show, how their listeners take connections, and the tokens by
//! which a node joins.
//!
//! The authority is made at the first start and kept in the bucket, in one small object that changes
//! by compare-and-swap and is sealed where the bucket is encrypted. So every node that opens the
//! bucket can make a certificate for itself, a fresh machine needs no backup of keys, and clients
//! trust one certificate for the whole cluster. A node's own key is made anew at each start and
//! never leaves its memory.
//!
//! # Invariants
//!
//! - MESH-1 A join token lets in one node, once, before it expires.
//! - MESH-2 A certificate that the authority signs for a node says only what the authority decides:
//!   of a request nothing is taken but its key.
//! - MESH-3 A listener with a broken certificate goes on with the one it has; it never goes on
//!   without one.
//!
//! # Absent on purpose
//!
//! Membership, and calls from node to node.

#![forbid(unsafe_code)]

mod authority;
pub mod certificate;
mod error;
mod join;
pub mod listen;
mod store;
pub mod tls;

pub use authority::{Authority, Identity, NODE_LIFE, SERVER_LIFE};
pub use error::Error;
pub use join::{JOINS_MAX, JoinToken, Joined, NODES_MAX, NodeInfo, request};
pub use store::AUTHORITY_KEY;
