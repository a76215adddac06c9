//! The node's log.

/// The log of a node, shared by its partitions.
#[derive(Clone, Debug)]
pub struct Log;
