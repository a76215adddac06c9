//! Nodes that join.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A join token to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeJoinToken {
    /// How long it can be used: a minute to 30 days.
    #[schema(minimum = 60, maximum = 2_592_000)]
    pub expires_in_seconds: u64,
}

/// A join token, which is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinToken {
    /// The token.
    pub token: String,
    /// Until when it holds, in milliseconds since 1970.
    pub expires_ms: i64,
}

/// A node that joins.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The join token.
    #[schema(max_length = 256)]
    pub token: String,
    /// What its administrator calls the node.
    #[schema(pattern = "^[A-Za-z0-9._-]+$", min_length = 1, max_length = 64)]
    pub name: String,
    /// A certificate request (PKCS #10, PEM) that the node's key signed.
    #[schema(max_length = 16384)]
    pub request: String,
}

/// A node that joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterNode {
    /// Its id, which its certificate names as `cairn://node/ID`.
    pub id: String,
    /// What its administrator calls it.
    pub name: String,
    /// The SHA-256 of its certificate.
    pub fingerprint: String,
    /// When it joined, in milliseconds since 1970.
    pub created_ms: i64,
    /// Until when its certificate is valid, in milliseconds since 1970.
    pub expires_ms: i64,
}

/// What a node gets that joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JoinedNode {
    /// The node.
    pub node: ClusterNode,
    /// Its certificate and the authority's, PEM.
    pub chain: String,
}

/// The nodes that joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterNodes {
    /// In the order in which they joined.
    pub nodes: Vec<ClusterNode>,
}
