//! Reading one file: cut, hash, and look whether it changed meanwhile. Blocking; runs on workers.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::ops::Range;

use bytes::Bytes;
use cairn_chunk::{ChunkId, ChunkKey, Cutter, Node, SizeClass, TreeHasher};
use cairn_tree::{Slice, Source};

use super::Loaded;

/// Bytes read at a time from a large file.
const READ_BYTES: usize = 2 * 1024 * 1024;
/// A file up to this size is read in one piece.
pub(crate) const WHOLE_BYTES_MAX: u64 = 1024 * 1024;
/// Files above this size keep their hash tree.
pub(crate) const TREE_BYTES_MIN: u64 = 1024 * 1024;
/// The nodes of so much of a hole are handed on at once.
const HOLE_PART_BYTES: u64 = 256 * 1024 * 1024;
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A part of a file's content, in order.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) chunks: Vec<Loaded>,
    pub(crate) slices: Vec<Slice>,
    pub(crate) nodes: Vec<Node>,
    /// Bytes of the file that were read for it.
    pub(crate) read: u64,
}

/// What is known once a file was read to its end.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) len: u64,
    pub(crate) root: [u8; 32],
    pub(crate) nodes: Vec<Node>,
    /// The encoded recipe of an archive.
    pub(crate) recipe: Option<Vec<u8>>,
}

/// The slice of a whole chunk.
pub(crate) fn whole(id: ChunkId, len: usize) -> Slice {
    Slice { source: Source::Chunk { id, skip: 0 }, len: len as u64 }
}

/// Cuts a content that is in memory.
pub(crate) fn cut_whole(key: &ChunkKey, bytes: &Bytes) -> Vec<Loaded> {
    let cutter = Cutter::new(SizeClass::of(bytes.len() as u64));
    let mut chunks = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let len = cutter.cut(&bytes[at..]);
        let chunk = bytes.slice(at..at + len);
        chunks.push((key.id(&chunk), chunk));
        at += len;
    }
    chunks
}

/// Cuts a content that arrives in pieces.
pub(crate) struct Cut {
    key: ChunkKey,
    cutter: Cutter,
    buffer: Vec<u8>,
}

impl Cut {
    pub(crate) fn new(key: &ChunkKey, class: SizeClass) -> Self {
        Self { key: key.clone(), cutter: Cutter::new(class), buffer: Vec::new() }
    }

    /// Takes bytes and gives the chunks that are certain.
    pub(crate) fn take(&mut self, bytes: &[u8], chunk: &mut dyn FnMut(ChunkId, Bytes)) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= READ_BYTES {
            self.cut(false, chunk);
        }
    }

    /// Ends the content.
    pub(crate) fn end(&mut self, chunk: &mut dyn FnMut(ChunkId, Bytes)) {
        self.cut(true, chunk);
    }

    fn cut(&mut self, ended: bool, chunk: &mut dyn FnMut(ChunkId, Bytes)) {
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        let mut at = 0;
        while at < bytes.len() && (ended || bytes.len() - at >= self.cutter.max()) {
            let len = self.cutter.cut(&bytes[at..]);
            let part = bytes.slice(at..at + len);
            chunk(self.key.id(&part), part);
            at += len;
        }
        self.buffer = bytes[at..].to_vec();
    }
}

/// The parts of a file that have data, between holes. A file without holes is one part.
pub(crate) fn data_ranges(file: &File, len: u64, sparse: bool) -> io::Result<Vec<Range<u64>>> {
    if !sparse || len == 0 {
        return Ok(if len == 0 { Vec::new() } else { one(0..len) });
    }
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < len {
        let start = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
            Ok(start) => start.min(len),
            Err(rustix::io::Errno::NXIO) => break,
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOTSUP) => {
                return Ok(one(0..len));
            }
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(start))?.min(len);
        if start < end {
            ranges.push(start..end);
        }
        at = end.max(start + 1);
    }
    Ok(ranges)
}

fn one(range: Range<u64>) -> Vec<Range<u64>> {
    std::iter::once(range).collect()
}

/// Reads a file from start to end and gives its parts to `give`, which says whether to go on.
pub(crate) fn read_parts(
    file: &mut File,
    len: u64,
    sparse: bool,
    key: &ChunkKey,
    give: &mut dyn FnMut(Part) -> bool,
) -> io::Result<Option<End>> {
    let mut tree = TreeHasher::default();
    let mut at = 0;
    let class = SizeClass::of(len);
    for range in data_ranges(file, len, sparse)? {
        if !hole(&mut tree, at..range.start, give) {
            return Ok(None);
        }
        at = range.start;
        file.seek(SeekFrom::Start(at))?;
        let mut cut = Cut::new(key, class);
        while at < range.end {
            let want =
                usize::try_from((range.end - at).min(READ_BYTES as u64)).unwrap_or(READ_BYTES);
            let mut buffer = vec![0; want];
            let read = read_full(file, &mut buffer)?;
            buffer.truncate(read);
            tree.update(&buffer);
            at += read as u64;
            let ended = at == range.end || read < want;
            let mut part = Part { nodes: tree.take_nodes(), read: read as u64, ..Part::default() };
            let mut chunk = |id, bytes: Bytes| {
                part.slices.push(whole(id, bytes.len()));
                part.chunks.push((id, bytes));
            };
            cut.take(&buffer, &mut chunk);
            if ended {
                cut.end(&mut chunk);
            }
            if !give(part) {
                return Ok(None);
            }
            if read < want {
                break;
            }
        }
    }
    if !hole(&mut tree, at..len, give) {
        return Ok(None);
    }
    let (root, nodes) = tree.finish();
    Ok(Some(End { len, root, nodes, recipe: None }))
}

fn hole(tree: &mut TreeHasher, range: Range<u64>, give: &mut dyn FnMut(Part) -> bool) -> bool {
    let mut left = range.end.saturating_sub(range.start);
    if left == 0 {
        return true;
    }
    let slices = vec![Slice { source: Source::Hole, len: left }];
    let mut part = Part { slices, ..Part::default() };
    while left > 0 {
        let now = usize::try_from(left.min(ZEROS.len() as u64)).unwrap_or(ZEROS.len());
        tree.update(&ZEROS[..now]);
        left -= now as u64;
        part.read += now as u64;
        if left == 0 || part.read >= HOLE_PART_BYTES {
            part.nodes = tree.take_nodes();
            if !give(std::mem::take(&mut part)) {
                return false;
            }
        }
    }
    true
}

/// Reads until the buffer is full or the input ends.
pub(crate) fn read_full(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
