//! Proofs: the bytes of a range together with what shows that they belong to the file's BLAKE3 hash.
//!
//! Whoever knows only that hash need not trust the node, the way to it or who pushed the version. A
//! proof is written for reading front to back, and each part can be checked before the next one
//! comes ([`cairn_chunk::RangeVerifier`] does it). Numbers are little endian.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | the length of the file |
//! | 64 | of a subtree of more than 16384 bytes: the chaining value of its left child (32 bytes), then that of its right child (32 bytes) |
//! | 1 to 16384 | of a subtree of at most 16384 bytes, a **group**: the bytes of the file |
//!
//! The second and the third row repeat for every subtree that the range touches, from the whole file
//! on: a node, then all of its left child, then all of its right child. The left child has the
//! largest number of bytes that is 16384 times a power of two and less than the subtree has; the right
//! child has the rest. So the length and the range say which part comes where, nothing marks it, and
//! the proof covers the range widened to whole groups. An empty file's proof is its length alone.
//!
//! Chaining values are BLAKE3's own: a group that begins at byte `n` is hashed from the chunk counter
//! `n / 1024` on, a node is a parent node, and the last compression of the whole file has the root
//! flag. The first part must therefore give the file's hash, and each other part the value that its
//! parent's node names. A length that is not the file's is found out when the range reaches the end
//! of the file; of other ranges it says nothing.
//!
//! Nothing leaves here that does not belong to the hash in the manifest: a hash tree that is not the
//! one of the stored bytes is an error, and what came before it is true all the same.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use cairn_chunk::{
    GROUP_BYTES, NODE_BYTES, Node, ProofPart, ProofParts, RangeVerifier, TreeHasher, proof_bytes,
    proof_groups,
};
use cairn_tree::Content;

use crate::content::ContentStream;
use crate::error::Error;
use crate::pages::Browser;
use crate::push::TREE_BYTES_MIN;

/// The bytes before the first part: the length of the file.
const HEAD_BYTES: u64 = 8;
/// Bytes of groups that are read and checked at a time.
const BATCH_BYTES: u64 = 2 * 1024 * 1024;
/// Stored nodes are read in blocks of so many bytes.
const BLOCK_BYTES: u64 = 64 * 1024;

/// A proof that is made while it is read.
pub struct Proof {
    browser: Browser,
    root: [u8; 32],
    len: u64,
    len_bytes: u64,
    parts: ProofParts,
    verifier: RangeVerifier,
    source: Source,
    begun: bool,
}

enum Source {
    /// A small file, and the nodes of its tree.
    Held { content: Bytes, nodes: Vec<Node> },
    /// A file that was stored with its tree.
    Stored(Box<Stored>),
}

impl Browser {
    /// The proof of the bytes `range` of a file.
    ///
    /// # Errors
    /// [`Error::NoHashTree`]; as [`Browser::content`]. The range must lie inside the file, and be
    /// empty only when the file is.
    pub async fn proof(&self, content: &Content, range: Range<u64>) -> Result<Proof, Error> {
        let len = content.len;
        assert!(range.end <= len && (range.start < range.end || len == 0));
        let (source, root) = if len <= TREE_BYTES_MIN {
            self.held(content).await?
        } else {
            let (Some(nodes), Some(root)) = (&content.outboard, content.root) else {
                return Err(Error::NoHashTree);
            };
            let nodes =
                Content { len: nodes.len(), stream: (**nodes).clone(), ..Content::default() };
            if nodes.len != (len.div_ceil(GROUP_BYTES as u64) - 1) * NODE_BYTES as u64 {
                return Err(damaged());
            }
            let groups = self.content(content, proof_groups(len, &range)).await?;
            let blocks = BTreeMap::new();
            (
                Source::Stored(Box::new(Stored { nodes, blocks, groups, read: BytesMut::new() })),
                root,
            )
        };
        Ok(Proof {
            browser: self.clone(),
            root,
            len,
            len_bytes: HEAD_BYTES + proof_bytes(len, &range),
            parts: ProofParts::new(len, range.clone()),
            verifier: RangeVerifier::new(&root, len, range),
            source,
            begun: false,
        })
    }

    /// A small file and its tree, which is not stored.
    async fn held(&self, content: &Content) -> Result<(Source, [u8; 32]), Error> {
        let mut stream = self.content(content, 0..content.len).await?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = stream.next().await? {
            bytes.extend_from_slice(&piece);
        }
        let content_root = content.root;
        let bytes = bytes.freeze();
        let hashed = self.store().env().spawn.run(move || {
            let mut tree = TreeHasher::default();
            tree.update(&bytes);
            (tree.finish(), bytes)
        });
        let ((root, nodes), content) = hashed.await?;
        if content_root.is_some_and(|claimed| claimed != root) {
            return Err(damaged());
        }
        Ok((Source::Held { content, nodes }, root))
    }
}

impl Proof {
    /// The BLAKE3 hash of the file.
    #[must_use]
    pub fn root(&self) -> &[u8; 32] {
        &self.root
    }

    /// How many bytes the whole proof has.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// The next bytes of the proof, `None` at the end. Not cancel safe: a call that was dropped leaves
    /// a gap.
    ///
    /// # Errors
    /// As [`ContentStream::next`]; [`Error::Tree`] when the hash tree is not that of the stored bytes.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if !self.begun {
            self.begun = true;
            return Ok(Some(Bytes::copy_from_slice(&self.len.to_le_bytes())));
        }
        let (mut batch, mut group_bytes) = (Vec::new(), 0);
        while group_bytes < BATCH_BYTES
            && let Some(part) = self.parts.next()
        {
            if let ProofPart::Group { range } = &part {
                group_bytes += range.end - range.start;
            }
            batch.push(part);
        }
        if batch.is_empty() {
            return Ok(None);
        }
        let (nodes, groups) = match &mut self.source {
            Source::Held { content, nodes } => {
                (held_nodes(nodes, &batch), held_groups(content, &batch))
            }
            Source::Stored(stored) => {
                let nodes = stored.nodes(&self.browser, &batch).await?;
                (nodes, stored.groups(group_bytes).await?)
            }
        };
        let verifier = self.verifier.clone();
        let work = move || assemble(verifier, &batch, &nodes, &groups);
        let (verifier, bytes) = self.browser.store().env().spawn.run(work).await??;
        self.verifier = verifier;
        // The proof of an empty file is its length alone.
        Ok(Some(bytes).filter(|bytes| !bytes.is_empty()))
    }
}

fn damaged() -> Error {
    cairn_tree::Error::Child { what: "hash tree of a file" }.into()
}

fn at(place: u64) -> usize {
    usize::try_from(place).expect("it lies within what is in memory")
}

fn positions(batch: &[ProofPart]) -> impl Iterator<Item = u64> {
    batch.iter().filter_map(|part| match part {
        ProofPart::Node { position } => Some(*position),
        ProofPart::Group { .. } => None,
    })
}

fn held_nodes(nodes: &[Node], batch: &[ProofPart]) -> Vec<Node> {
    positions(batch).map(|position| nodes[at(position)]).collect()
}

/// The groups of a batch stand side by side.
fn held_groups(content: &Bytes, batch: &[ProofPart]) -> Bytes {
    let mut ranges = batch.iter().filter_map(|part| match part {
        ProofPart::Group { range } => Some(range),
        ProofPart::Node { .. } => None,
    });
    let first = ranges.clone().next().map_or(0, |range| range.start);
    let end = ranges.next_back().map_or(first, |range| range.end);
    content.slice(at(first)..at(end))
}

/// Checks the parts of a batch and puts them one behind the other.
fn assemble(
    mut verifier: RangeVerifier,
    batch: &[ProofPart],
    nodes: &[Node],
    groups: &Bytes,
) -> Result<(RangeVerifier, Bytes), Error> {
    let mut out = BytesMut::with_capacity(size_of_val(nodes) + groups.len());
    let (mut nodes, mut groups) = (nodes.iter(), groups.clone());
    for part in batch {
        match part {
            ProofPart::Node { .. } => {
                let node = nodes.next().expect("every node of the batch was read");
                verifier.node(node).map_err(|_| damaged())?;
                out.extend_from_slice(node);
            }
            ProofPart::Group { range } => {
                let group = groups.split_to(at(range.end - range.start));
                verifier.group(&group).map_err(|_| damaged())?;
                out.extend_from_slice(&group);
            }
        }
    }
    Ok((verifier, out.freeze()))
}

/// Where the parts of a large file's proof come from.
struct Stored {
    /// The nodes of the hash tree, in post-order.
    nodes: Content,
    /// Those blocks of them that the last batch needed.
    blocks: BTreeMap<u64, Bytes>,
    groups: ContentStream,
    /// Bytes of groups that were read and not yet used.
    read: BytesMut,
}

impl Stored {
    async fn nodes(&mut self, browser: &Browser, batch: &[ProofPart]) -> Result<Vec<Node>, Error> {
        let mut blocks = BTreeMap::new();
        let mut nodes = Vec::new();
        for position in positions(batch) {
            let place = position * NODE_BYTES as u64;
            let (block, skip) = (place / BLOCK_BYTES, at(place % BLOCK_BYTES));
            if let std::collections::btree_map::Entry::Vacant(vacant) = blocks.entry(block) {
                vacant.insert(match self.blocks.remove(&block) {
                    Some(bytes) => bytes,
                    None => self.block(browser, block).await?,
                });
            }
            let mut node = [0; NODE_BYTES];
            node.copy_from_slice(&blocks[&block][skip..skip + NODE_BYTES]);
            nodes.push(node);
        }
        self.blocks = blocks;
        Ok(nodes)
    }

    async fn block(&self, browser: &Browser, block: u64) -> Result<Bytes, Error> {
        let start = block * BLOCK_BYTES;
        let range = start..(start + BLOCK_BYTES).min(self.nodes.len);
        let mut stream = browser.content(&self.nodes, range).await?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = stream.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.freeze())
    }

    async fn groups(&mut self, len: u64) -> Result<Bytes, Error> {
        while (self.read.len() as u64) < len {
            match self.groups.next().await? {
                Some(piece) => self.read.extend_from_slice(&piece),
                None => return Err(cairn_tree::Error::Child { what: "length" }.into()),
            }
        }
        Ok(self.read.split_to(at(len)).freeze())
    }
}
