//! Hash trees: verify any range of a content against its BLAKE3 root without reading the rest.
//!
//! The tree is BLAKE3's own (J. O'Connor et al., "BLAKE3: one function, fast everywhere", 2020,
//! section 2.1), kept from groups of 16 KiB upwards, so the root is the ordinary BLAKE3 hash of the
//! content. A content of `n` groups has `n - 1` parent nodes; a node is the chaining value of its
//! left child and that of its right child, 64 bytes. Nodes are stored in **post-order** (left
//! subtree, right subtree, parent), which is the order in which a single pass can write them:
//! 0.39 % of the content.

use alloc::vec::Vec;
use core::ops::Range;

use blake3::hazmat::{
    ChainingValue, HasherExt as _, Mode, left_subtree_len, merge_subtrees_non_root,
    merge_subtrees_root,
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

fn children(node: &Node) -> (ChainingValue, ChainingValue) {
    let mut left = [0; 32];
    let mut right = [0; 32];
    left.copy_from_slice(&node[..32]);
    right.copy_from_slice(&node[32..]);
    (left, right)
}

fn group_count(len: u64) -> u64 {
    len.div_ceil(GROUP_BYTES as u64).max(1)
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

/// A subtree: its first byte, its length, and the position of its first node in post-order.
#[derive(Clone, Copy)]
struct Subtree {
    start: u64,
    len: u64,
    nodes_before: u64,
}

impl Subtree {
    fn root_index(self) -> u64 {
        self.nodes_before + group_count(self.len) - 2
    }

    fn split(self) -> (Self, Self) {
        let left_len = left_subtree_len(self.len);
        let left = Self { len: left_len, ..self };
        let right = Self {
            start: self.start + left_len,
            len: self.len - left_len,
            nodes_before: self.nodes_before + group_count(left_len) - 1,
        };
        (left, right)
    }

    fn meets(self, range: &Range<u64>) -> bool {
        self.start < range.end && range.start < self.start + self.len
    }

    const fn is_leaf(self) -> bool {
        self.len <= GROUP_BYTES as u64
    }
}

/// The positions of the nodes that verify `range` of a content of `len` bytes, in the order in which
/// [`verify_range`] takes them: parents before children, left before right.
#[must_use]
pub fn nodes_for_range(len: u64, range: &Range<u64>) -> Vec<u64> {
    let mut positions = Vec::new();
    let mut open = alloc::vec![Subtree { start: 0, len, nodes_before: 0 }];
    while let Some(subtree) = open.pop() {
        if subtree.is_leaf() || !subtree.meets(range) {
            continue;
        }
        positions.push(subtree.root_index());
        let (left, right) = subtree.split();
        open.push(right);
        open.push(left);
    }
    positions
}

/// Why a range was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There are fewer or more nodes than the range needs.
    #[error("the proof has not the number of nodes that the range needs")]
    NodeCount,
    /// The data does not cover the groups that the range touches.
    #[error("the data has {found} bytes, the groups of the range have {expected}")]
    DataLength {
        /// Bytes given.
        found: u64,
        /// Bytes needed.
        expected: u64,
    },
    /// A node or the data is not what the root names.
    #[error("the bytes from {start} on do not belong to the root")]
    Mismatch {
        /// The first byte of the subtree that does not match.
        start: u64,
    },
}

/// Checks that `data` stands at `range`, widened to whole groups, in the content of `len` bytes with
/// the BLAKE3 hash `root`. `nodes` are those of [`nodes_for_range`], in its order.
///
/// # Errors
/// [`ProofError`], and nothing of `data` may then be used (CHUNK-3).
pub fn verify_range(
    root: &[u8; 32],
    len: u64,
    range: &Range<u64>,
    nodes: &[Node],
    data: &[u8],
) -> Result<(), ProofError> {
    let group = GROUP_BYTES as u64;
    let first = range.start / group * group;
    let end = range.end.div_ceil(group).saturating_mul(group).min(len);
    let expected = end.saturating_sub(first);
    if data.len() as u64 != expected {
        return Err(ProofError::DataLength { found: data.len() as u64, expected });
    }
    let mut nodes = nodes.iter();
    let mut open = alloc::vec![(Subtree { start: 0, len, nodes_before: 0 }, *root, true)];
    while let Some((subtree, expected, is_root)) = open.pop() {
        if !subtree.meets(range) {
            continue;
        }
        let mismatch = ProofError::Mismatch { start: subtree.start };
        if subtree.is_leaf() {
            let from = usize::try_from(subtree.start - first).map_err(|_| mismatch)?;
            let to = from + usize::try_from(subtree.len).map_err(|_| mismatch)?;
            if leaf_value(&data[from..to], subtree.start, is_root) != expected {
                return Err(mismatch);
            }
            continue;
        }
        let parent = nodes.next().ok_or(ProofError::NodeCount)?;
        let (left, right) = children(parent);
        let value = if is_root {
            *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
        } else {
            merge_subtrees_non_root(&left, &right, Mode::Hash)
        };
        if value != expected {
            return Err(mismatch);
        }
        let (left_tree, right_tree) = subtree.split();
        open.push((right_tree, right, false));
        open.push((left_tree, left, false));
    }
    if nodes.next().is_some() { Err(ProofError::NodeCount) } else { Ok(()) }
}

fn leaf_value(bytes: &[u8], start: u64, is_root: bool) -> ChainingValue {
    if is_root {
        return *blake3::hash(bytes).as_bytes();
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(start);
    hasher.update(bytes).finalize_non_root()
}

#[cfg(test)]
mod tests;
