//! Hash trees: what it takes to verify any range of a content against its BLAKE3 root without reading
//! the rest (see [`RangeVerifier`](crate::RangeVerifier)).
//!
//! The tree is BLAKE3's own (J. O'Connor et al., "BLAKE3: one function, fast everywhere", 2020,
//! section 2.1), kept from groups of 16 KiB upwards, so the root is the ordinary BLAKE3 hash of the
//! content. A content of `n` groups has `n - 1` parent nodes; a node is the chaining value of its
//! left child and that of its right child, 64 bytes. Nodes are stored in **post-order** (left
//! subtree, right subtree, parent), which is the order in which a single pass can write them:
//! 0.39 % of the content.

use alloc::vec::Vec;

use blake3::hazmat::{
    ChainingValue, HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root,
};

/// The bytes under one leaf of the tree.
pub const GROUP_BYTES: usize = 16 * 1024;
/// The bytes of one stored node.
pub const NODE_BYTES: usize = 64;

/// A parent: the chaining values of its left and right child.
pub type Node = [u8; NODE_BYTES];

fn node(left: &ChainingValue, right: &ChainingValue) -> Node {
    let mut bytes = [0; NODE_BYTES];
    bytes[..32].copy_from_slice(left);
    bytes[32..].copy_from_slice(right);
    bytes
}

/// The leaves of the tree of a content of `len` bytes; one for the empty content.
pub(crate) const fn group_count(len: u64) -> u64 {
    let groups = len.div_ceil(GROUP_BYTES as u64);
    if groups == 0 { 1 } else { groups }
}

/// Hashes a content that arrives in pieces, and gives its tree's nodes as they are complete.
/// Memory: one group's hash state and a chaining value per level.
#[derive(Debug)]
pub struct TreeHasher {
    group: blake3::Hasher,
    group_len: usize,
    groups: u64,
    whole: blake3::Hasher,
    stack: Vec<ChainingValue>,
    nodes: Vec<Node>,
}

impl Default for TreeHasher {
    fn default() -> Self {
        Self {
            group: blake3::Hasher::new(),
            group_len: 0,
            groups: 0,
            whole: blake3::Hasher::new(),
            stack: Vec::new(),
            nodes: Vec::new(),
        }
    }
}

impl TreeHasher {
    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.group_len == GROUP_BYTES {
                self.close_group();
            }
            let take = bytes.len().min(GROUP_BYTES - self.group_len);
            self.group.update(&bytes[..take]);
            if self.groups == 0 {
                self.whole.update(&bytes[..take]);
            }
            self.group_len += take;
            bytes = &bytes[take..];
        }
    }

    /// Closes a full group that has more behind it, so that no value on the stack is the root.
    fn close_group(&mut self) {
        self.merge_complete();
        self.stack.push(self.group.finalize_non_root());
        self.groups += 1;
        self.group = blake3::Hasher::new();
        self.group.set_input_offset(self.groups * GROUP_BYTES as u64);
        self.group_len = 0;
    }

    /// Merges the subtrees that are complete once a group follows the `groups` closed ones.
    fn merge_complete(&mut self) {
        let wanted = self.groups.count_ones() as usize;
        while self.stack.len() > wanted {
            let (left, right) = self.pop_pair();
            self.stack.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
    }

    fn pop_pair(&mut self) -> (ChainingValue, ChainingValue) {
        let right = self.stack.pop().expect("a merge has two values on the stack");
        let left = self.stack.pop().expect("a merge has two values on the stack");
        self.nodes.push(node(&left, &right));
        (left, right)
    }

    /// The nodes completed since the last call, in post-order.
    pub fn take_nodes(&mut self) -> Vec<Node> {
        core::mem::take(&mut self.nodes)
    }

    /// The root (the BLAKE3 hash of all bytes) and the nodes since the last
    /// [`TreeHasher::take_nodes`].
    #[must_use]
    pub fn finish(mut self) -> ([u8; 32], Vec<Node>) {
        if self.groups == 0 {
            return (*self.whole.finalize().as_bytes(), self.nodes);
        }
        self.close_group();
        loop {
            let (left, right) = self.pop_pair();
            if self.stack.is_empty() {
                let root = merge_subtrees_root(&left, &right, Mode::Hash);
                return (*root.as_bytes(), self.nodes);
            }
            self.stack.push(merge_subtrees_non_root(&left, &right, Mode::Hash));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
