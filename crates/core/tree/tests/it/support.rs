//! Pages in memory, builders that fill it, and walks that check every page on their way.

use std::collections::BTreeMap;

use cairn_chunk::{ChunkId, ChunkKey};
use cairn_tree::{
    Content, DirectoryBuilder, DirectoryPage, Entry, Error, Kind, MapPage, Meta, Slice, Source,
    Stream, StreamBuilder, Time, Totals,
};

pub(crate) const KEY: ChunkKey = ChunkKey::new([7; 32]);

/// Stored pages.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) pages: BTreeMap<ChunkId, Vec<u8>>,
}

impl Store {
    pub(crate) fn put(&mut self, bytes: Vec<u8>) -> Result<ChunkId, Error> {
        let id = KEY.id(&bytes);
        self.pages.insert(id, bytes);
        Ok(id)
    }

    pub(crate) fn directory(&mut self, entries: &[Entry]) -> (Option<ChunkId>, Totals) {
        let mut emit = |bytes| self.put(bytes);
        let mut builder = DirectoryBuilder::new();
        for entry in entries {
            builder.push(entry, &mut emit).expect("valid entries in order");
        }
        builder.finish(&mut emit).expect("a directory of valid entries")
    }

    pub(crate) fn stream(&mut self, slices: &[Slice]) -> Stream {
        let mut emit = |bytes| self.put(bytes);
        let mut builder = StreamBuilder::new();
        for slice in slices {
            builder.push(*slice, &mut emit).expect("a valid slice");
        }
        builder.finish(&mut emit).expect("a stream of valid slices")
    }

    pub(crate) fn directory_page(&self, id: &ChunkId) -> DirectoryPage {
        DirectoryPage::decode(&self.pages[id]).expect("a page that was built")
    }

    fn map_page(&self, id: &ChunkId) -> MapPage {
        MapPage::decode(&self.pages[id]).expect("a page that was built")
    }

    /// All entries of a directory, from left to right.
    pub(crate) fn entries(&self, top: Option<ChunkId>) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut open: Vec<_> = top.iter().map(|top| self.directory_page(top)).collect();
        while let Some(page) = open.pop() {
            match page {
                DirectoryPage::Leaf(leaf) => entries.extend(leaf.into_entries()),
                DirectoryPage::Index(index) => {
                    for child in index.children().iter().rev() {
                        let page = self.directory_page(&child.page);
                        child.check(&page).expect("a child as its parent says");
                        open.push(page);
                    }
                }
            }
        }
        entries
    }

    /// All slices of a stream.
    pub(crate) fn slices(&self, stream: &Stream) -> Vec<Slice> {
        let Stream::Map { page, len } = stream else {
            return stream.inline().expect("a stream without a map is inline");
        };
        let mut slices = Vec::new();
        let top = self.map_page(page);
        top.check_len(*len).expect("a map as long as its stream");
        let mut open = vec![top];
        while let Some(page) = open.pop() {
            match page {
                MapPage::Leaf(leaf) => slices.extend_from_slice(leaf.slices()),
                MapPage::Index(index) => {
                    for child in index.children().iter().rev() {
                        let page = self.map_page(&child.page);
                        child.check(&page).expect("a child as its parent says");
                        open.push(page);
                    }
                }
            }
        }
        slices
    }
}

/// A sequence of numbers that a seed decides (SplitMix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn id(&mut self) -> ChunkId {
        KEY.id(&self.next().to_le_bytes())
    }
}

/// A file of one chunk, as most are.
pub(crate) fn small_file(name: Vec<u8>, numbers: &mut Numbers) -> Entry {
    let len = 1 + numbers.below(1 + numbers.0 % 16_000);
    let stream = Stream::Chunk { id: numbers.id(), len };
    let content = Content { len, stream, ..Content::default() };
    let secs = 1_700_000_000 + i64::try_from(numbers.below(1000)).expect("a small number");
    let mtime = Time { secs, nanos: 0 };
    let mode = if numbers.below(20) == 0 { 0o755 } else { 0o644 };
    let meta = Meta { mode, uid: 1000, gid: 1000, mtime, ..Meta::default() };
    Entry { name, meta, kind: Kind::File { content } }
}

/// A file of many chunks, with a map, a root and a hash tree.
pub(crate) fn large_file(name: Vec<u8>, numbers: &mut Numbers) -> Entry {
    let mut entry = small_file(name, numbers);
    let len = 2_000_000 + numbers.below(1 << 30);
    let outboard = Stream::Chunk { id: numbers.id(), len: 64 * (len / 16_384) % 60_000 + 1 };
    let content = Content {
        len,
        stream: Stream::Map { page: numbers.id(), len },
        root: Some(numbers.id().0),
        outboard: Some(Box::new(outboard)),
        recipe: None,
    };
    entry.kind = Kind::File { content };
    entry
}

/// A slice that is the whole of a chunk.
pub(crate) fn whole_chunk(numbers: &mut Numbers) -> Slice {
    let len = 16_384 + numbers.below(114_688);
    Slice { source: Source::Chunk { id: numbers.id(), skip: 0 }, len }
}
