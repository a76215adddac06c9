//! Proofs: that a range of bytes stands where it is said to stand in the content with a BLAKE3 hash.
//!
//! A proof of a range is the part of the content's hash tree that leads from the root to every group
//! that the range touches: parents before children, left before right, each group's bytes at the
//! group's place. Whoever knows only the root checks each part the moment it comes, and needs a
//! chaining value per level to do so. This is the order in which Bao (J. O'Connor, "The Bao Spec",
//! version 0.13) puts the tree of a slice, with groups of 16 KiB in place of chunks of 1 KiB.
//!
//! A proof shows where bytes stand. It shows the length of the whole content only when it reaches the
//! content's last group, for only that group's place depends on it.

use alloc::vec::Vec;
use core::ops::Range;

use blake3::hazmat::{
    ChainingValue, HasherExt as _, Mode, left_subtree_len, merge_subtrees_non_root,
    merge_subtrees_root,
};

use crate::hash_tree::{GROUP_BYTES, NODE_BYTES, Node, group_count};

/// No content is longer. The functions here panic for one that is said to be, so a length from
/// outside is looked at first.
pub const CONTENT_BYTES_MAX: u64 = 1 << 63;

/// A part of a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofPart {
    /// A parent: [`NODE_BYTES`] bytes.
    Node {
        /// Its place among the stored nodes, which are in post-order.
        position: u64,
    },
    /// The bytes of a group: [`GROUP_BYTES`], or what is left of the content.
    Group {
        /// Where they stand.
        range: Range<u64>,
    },
}

/// A subtree: its first byte, its length, and the position of its first node in post-order.
#[derive(Clone, Copy, Debug)]
struct Subtree {
    start: u64,
    len: u64,
    nodes_before: u64,
}

impl Subtree {
    const fn whole(len: u64) -> Self {
        assert!(len <= CONTENT_BYTES_MAX, "a content is at most 2^63 bytes long");
        Self { start: 0, len, nodes_before: 0 }
    }

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

    /// The one group of an empty content belongs to every range of it.
    const fn meets(self, range: &Range<u64>) -> bool {
        self.len == 0 || (self.start < range.end && range.start < self.end())
    }

    const fn is_leaf(self) -> bool {
        self.len <= GROUP_BYTES as u64
    }

    const fn end(self) -> u64 {
        self.start + self.len
    }

    fn part(self) -> ProofPart {
        if self.is_leaf() {
            ProofPart::Group { range: self.start..self.end() }
        } else {
            ProofPart::Node { position: self.root_index() }
        }
    }
}

/// The range that the groups of a proof cover: `range`, widened to whole groups.
#[must_use]
pub fn proof_groups(len: u64, range: &Range<u64>) -> Range<u64> {
    let group = GROUP_BYTES as u64;
    let end = range.end.div_ceil(group).saturating_mul(group).min(len);
    (range.start / group * group).min(end)..end
}

/// The bytes of a proof: its nodes and groups. Takes a step per level.
#[must_use]
pub fn proof_bytes(len: u64, range: &Range<u64>) -> u64 {
    let groups = proof_groups(len, range);
    let mut nodes = 0;
    let mut open = alloc::vec![Subtree::whole(len)];
    while let Some(subtree) = open.pop() {
        if subtree.is_leaf() || !subtree.meets(range) {
            continue;
        }
        if groups.start <= subtree.start && subtree.end() <= groups.end {
            nodes += group_count(subtree.len) - 1;
            continue;
        }
        nodes += 1;
        open.extend(<[Subtree; 2]>::from(subtree.split()));
    }
    nodes * NODE_BYTES as u64 + (groups.end - groups.start)
}

/// The parts of the proof of `range` in a content of `len` bytes, in order. Holds a subtree per level.
#[derive(Clone, Debug)]
pub struct ProofParts {
    range: Range<u64>,
    open: Vec<Subtree>,
}

impl ProofParts {
    /// Begins with the root.
    #[must_use]
    pub fn new(len: u64, range: Range<u64>) -> Self {
        Self { range, open: alloc::vec![Subtree::whole(len)] }
    }
}

impl Iterator for ProofParts {
    type Item = ProofPart;

    fn next(&mut self) -> Option<ProofPart> {
        loop {
            let subtree = self.open.pop()?;
            if !subtree.meets(&self.range) {
                continue;
            }
            if !subtree.is_leaf() {
                let (left, right) = subtree.split();
                self.open.extend([right, left]);
            }
            return Some(subtree.part());
        }
    }
}

/// Why a range was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// There are fewer or more nodes or groups than the range needs, or not in their order.
    #[error("the proof has not the nodes and groups that the range needs")]
    Shape,
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

/// Checks the parts of a proof as they come. What a call accepted is a part of the content with the
/// root (CHUNK-3); after an error nothing more may be used. Holds a chaining value per level.
#[derive(Clone, Debug)]
pub struct RangeVerifier {
    range: Range<u64>,
    /// What is still to come, the next one last, with the value that its parent says it has.
    open: Vec<(Subtree, ChainingValue)>,
    len: u64,
}

impl RangeVerifier {
    /// Expects the proof of `range` in the content of `len` bytes with the BLAKE3 hash `root`.
    #[must_use]
    pub fn new(root: &[u8; 32], len: u64, range: Range<u64>) -> Self {
        let mut verifier = Self { range, open: Vec::new(), len };
        verifier.expect(Subtree::whole(len), *root);
        verifier
    }

    /// The part that comes next; none at the end.
    #[must_use]
    pub fn wants(&self) -> Option<ProofPart> {
        self.open.last().map(|(subtree, _)| subtree.part())
    }

    fn expect(&mut self, subtree: Subtree, value: ChainingValue) {
        if subtree.meets(&self.range) {
            self.open.push((subtree, value));
        }
    }

    /// Takes the node that comes next.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn node(&mut self, node: &Node) -> Result<(), ProofError> {
        let Some((subtree, expected)) = self.open.pop_if(|(subtree, _)| !subtree.is_leaf()) else {
            return Err(ProofError::Shape);
        };
        let (left, right) = children(node);
        let value = if subtree.len == self.len {
            *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
        } else {
            merge_subtrees_non_root(&left, &right, Mode::Hash)
        };
        if value != expected {
            return Err(ProofError::Mismatch { start: subtree.start });
        }
        let (left_tree, right_tree) = subtree.split();
        self.expect(right_tree, right);
        self.expect(left_tree, left);
        Ok(())
    }

    /// Takes the bytes of the group that comes next.
    ///
    /// # Errors
    /// [`ProofError`].
    pub fn group(&mut self, bytes: &[u8]) -> Result<(), ProofError> {
        let Some((subtree, expected)) = self.open.pop_if(|(subtree, _)| subtree.is_leaf()) else {
            return Err(ProofError::Shape);
        };
        let found = bytes.len() as u64;
        if found != subtree.len {
            return Err(ProofError::DataLength { found, expected: subtree.len });
        }
        let value = if subtree.len == self.len {
            *blake3::hash(bytes).as_bytes()
        } else {
            let mut hasher = blake3::Hasher::new();
            hasher.set_input_offset(subtree.start);
            hasher.update(bytes).finalize_non_root()
        };
        if value == expected { Ok(()) } else { Err(ProofError::Mismatch { start: subtree.start }) }
    }

    /// Ends the proof.
    ///
    /// # Errors
    /// [`ProofError::Shape`] when something is still to come.
    pub fn finish(self) -> Result<(), ProofError> {
        if self.open.is_empty() { Ok(()) } else { Err(ProofError::Shape) }
    }
}

fn children(node: &Node) -> (ChainingValue, ChainingValue) {
    let mut left = [0; 32];
    let mut right = [0; 32];
    left.copy_from_slice(&node[..32]);
    right.copy_from_slice(&node[32..]);
    (left, right)
}

/// The positions of the nodes of a proof, in its order.
#[must_use]
pub fn nodes_for_range(len: u64, range: &Range<u64>) -> Vec<u64> {
    let parts = ProofParts::new(len, range.clone());
    parts
        .filter_map(|part| match part {
            ProofPart::Node { position } => Some(position),
            ProofPart::Group { .. } => None,
        })
        .collect()
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
    let (found, groups) = (data.len() as u64, proof_groups(len, range));
    let expected = groups.end - groups.start;
    if found != expected {
        return Err(ProofError::DataLength { found, expected });
    }
    let mut verifier = RangeVerifier::new(root, len, range.clone());
    let (mut nodes, mut data) = (nodes.iter(), data);
    while let Some(part) = verifier.wants() {
        match part {
            ProofPart::Node { .. } => verifier.node(nodes.next().ok_or(ProofError::Shape)?)?,
            ProofPart::Group { range } => {
                let len = usize::try_from(range.end - range.start).expect("a group is 16 KiB");
                let (group, rest) = data.split_at(len);
                verifier.group(group)?;
                data = rest;
            }
        }
    }
    if nodes.next().is_some() { Err(ProofError::Shape) } else { verifier.finish() }
}

#[cfg(test)]
mod tests;
