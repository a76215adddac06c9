//! A file on its way in: cut and hashed piece by piece. Computes; runs on workers.

use bytes::Bytes;
use cairn_chunk::{ChunkKey, SizeClass, TreeHasher};

use crate::push::{ContentBuilder, Cut, End, Part, whole};

/// What is known of a file whose end has not come.
pub(crate) struct Writing {
    cut: Cut,
    tree: TreeHasher,
    len: u64,
    /// What was cut so far.
    pub(crate) content: ContentBuilder,
}

impl Writing {
    /// A file that will have `size` bytes, which decides how it is cut.
    pub(crate) fn new(key: &ChunkKey, size: u64) -> Self {
        let cut = Cut::new(key, SizeClass::of(size));
        Self { cut, tree: TreeHasher::default(), len: 0, content: ContentBuilder::default() }
    }

    /// Takes the next bytes.
    pub(crate) fn feed(
        mut self: Box<Self>,
        bytes: &Bytes,
        ended: bool,
    ) -> (Box<Self>, Part, Option<End>) {
        self.tree.update(bytes);
        self.len += bytes.len() as u64;
        let (nodes, read) = (self.tree.take_nodes(), bytes.len() as u64);
        let mut part = Part { nodes, read, ..Part::default() };
        let mut chunk = |id, bytes: Bytes| {
            part.slices.push(whole(id, bytes.len()));
            part.chunks.push((id, bytes));
        };
        self.cut.take(bytes, &mut chunk);
        if !ended {
            return (self, part, None);
        }
        self.cut.end(&mut chunk);
        let (root, nodes) = std::mem::take(&mut self.tree).finish();
        let end = End { len: self.len, root, nodes, recipe: None };
        (self, part, Some(end))
    }
}
