//! Reading an archive as its members: each member is cut as the unpacked file would be, and what is
//! between them as one stream of its own, so that an archive shares chunks with its unpacked files
//! and with other archives. Blocking; runs on workers.

use std::collections::VecDeque;
use std::io::{self, Read, Seek};

use bytes::Bytes;
use cairn_archive::{Inner, Limits, PieceKind, Plan};
use cairn_chunk::{ChunkId, ChunkKey, SizeClass, TreeHasher};
use cairn_tree::{Slice, Source};

use super::file::{Cut, End, Part, read_full, whole};

const READ_BYTES: usize = 256 * 1024;

/// Looks whether a file is worth opening, and how. An error of the file is one.
pub(crate) fn plan<R: Read + Seek>(file: &mut R, head: &[u8]) -> io::Result<Option<Plan>> {
    if cairn_archive::sniff(head).is_none() {
        return Ok(None);
    }
    match cairn_archive::plan(file, &Limits::default()) {
        Ok(plan) => Ok(plan.filter(|plan| plan.pieces.count() > 1)),
        Err(cairn_archive::Error::Read(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// A slice whose chunk may not be complete yet.
enum Pending {
    Ready(Slice),
    Layout { start: u64, len: u64 },
}

struct Assembler {
    layout: Cut,
    /// Bytes of layout so far, and where the next layout chunk begins.
    layout_len: u64,
    layout_cut: u64,
    pending: VecDeque<Pending>,
    part: Part,
}

impl Assembler {
    fn member_chunk(&mut self, id: ChunkId, bytes: Bytes) {
        self.pending.push_back(Pending::Ready(whole(id, bytes.len())));
        self.part.chunks.push((id, bytes));
        self.release(None);
    }

    fn layout(&mut self, bytes: &[u8]) {
        let (start, len) = (self.layout_len, bytes.len() as u64);
        self.layout_len += len;
        match self.pending.back_mut() {
            Some(Pending::Layout { start: first, len: so_far }) if *first + *so_far == start => {
                *so_far += len;
            }
            _ => self.pending.push_back(Pending::Layout { start, len }),
        }
        let mut closed = Vec::new();
        self.layout.take(bytes, &mut |id, bytes| closed.push((id, bytes)));
        self.close(closed);
    }

    fn close(&mut self, closed: Vec<(ChunkId, Bytes)>) {
        for (id, bytes) in closed {
            let start = self.layout_cut;
            self.layout_cut += bytes.len() as u64;
            self.part.chunks.push((id, bytes));
            self.release(Some((id, start)));
        }
    }

    /// Gives on what is complete, in order. `chunk` is a layout chunk that has just been cut.
    fn release(&mut self, chunk: Option<(ChunkId, u64)>) {
        while let Some(front) = self.pending.front_mut() {
            match (front, chunk) {
                (Pending::Ready(slice), _) => {
                    self.part.slices.push(*slice);
                    self.pending.pop_front();
                }
                (Pending::Layout { start, len }, Some((id, begins)))
                    if *start < self.layout_cut =>
                {
                    let now = (*len).min(self.layout_cut - *start);
                    let skip = u32::try_from(*start - begins).expect("a chunk is below 4 GiB");
                    self.part.slices.push(Slice { source: Source::Chunk { id, skip }, len: now });
                    *start += now;
                    *len -= now;
                    if *len == 0 {
                        self.pending.pop_front();
                    }
                }
                (Pending::Layout { .. }, _) => break,
            }
        }
    }
}

/// Reads a planned archive and gives its parts to `give`, which says whether to go on.
pub(crate) fn read_parts<R: Read + Seek>(
    file: &mut R,
    plan: &Plan,
    key: &ChunkKey,
    give: &mut dyn FnMut(Part) -> bool,
) -> io::Result<Option<End>> {
    let Some((root, nodes)) = hash_outer(file, give)? else { return Ok(None) };
    let mut inner = Inner::new(file, &plan.recipe).map_err(io::Error::other)?;
    let mut assembler = Assembler {
        layout: Cut::new(key, SizeClass::Small),
        layout_len: 0,
        layout_cut: 0,
        pending: VecDeque::new(),
        part: Part::default(),
    };
    let mut buffer = vec![0; READ_BYTES];
    for piece in plan.pieces.iter() {
        let mut member = Cut::new(key, SizeClass::of(piece.len));
        let mut left = piece.len;
        while left > 0 {
            let want = usize::try_from(left.min(READ_BYTES as u64)).unwrap_or(READ_BYTES);
            let read = read_full(&mut inner, &mut buffer[..want])?;
            if read < want {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            left -= read as u64;
            if piece.kind == PieceKind::Layout {
                assembler.layout(&buffer[..read]);
            } else {
                let mut chunks = Vec::new();
                let mut chunk = |id, bytes| chunks.push((id, bytes));
                member.take(&buffer[..read], &mut chunk);
                if left == 0 {
                    member.end(&mut chunk);
                }
                chunks.into_iter().for_each(|(id, bytes)| assembler.member_chunk(id, bytes));
            }
        }
        let ready: usize = assembler.part.chunks.iter().map(|(_, bytes)| bytes.len()).sum();
        if ready >= READ_BYTES && !give(std::mem::take(&mut assembler.part)) {
            return Ok(None);
        }
    }
    let mut closed = Vec::new();
    assembler.layout.end(&mut |id, bytes| closed.push((id, bytes)));
    assembler.close(closed);
    assembler.release(None);
    assert!(assembler.pending.is_empty(), "all layout is in a chunk once its stream has ended");
    if !give(assembler.part) {
        return Ok(None);
    }
    let recipe = (!plan.recipe.is_identity()).then(|| plan.recipe.encode());
    Ok(Some(End { len: plan.outer_len, root, nodes, recipe }))
}

/// The hash tree of the archive as it stands in the file system.
fn hash_outer<R: Read + Seek>(
    file: &mut R,
    give: &mut dyn FnMut(Part) -> bool,
) -> io::Result<Option<([u8; 32], Vec<cairn_chunk::Node>)>> {
    file.rewind()?;
    let mut tree = TreeHasher::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = read_full(file, &mut buffer)?;
        tree.update(&buffer[..read]);
        let part = Part { nodes: tree.take_nodes(), read: read as u64, ..Part::default() };
        if read < buffer.len() {
            let (root, mut nodes) = tree.finish();
            nodes.splice(0..0, part.nodes);
            return Ok(Some((root, nodes)));
        }
        if !give(part) {
            return Ok(None);
        }
    }
}
