//! What the published `.proto` files say: messages, servers and clients.

#![allow(
    clippy::all,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::too_many_lines,
    clippy::disallowed_types,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub,
    reason = "it is generated"
)]

/// Datasets.
pub mod dataset {
    /// The first version.
    pub mod v1 {
        tonic::include_proto!("cairn.dataset.v1");
    }
}

/// Chunks.
pub mod block {
    /// The first version.
    pub mod v1 {
        tonic::include_proto!("cairn.block.v1");
    }
}

/// Keys and values.
pub mod kv {
    /// The first version.
    pub mod v1 {
        tonic::include_proto!("cairn.kv.v1");
    }
}

/// Functions.
pub mod function {
    /// The first version.
    pub mod v1 {
        tonic::include_proto!("cairn.function.v1");
    }
}

/// All of it as a `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cairn.bin"));
