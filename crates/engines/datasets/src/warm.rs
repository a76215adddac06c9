//! What a node is asked for again and again, in memory: decoded pages, what paths led to, short chunks,
//! and where tags point.
//!
//! Pages, roots and chunks are named by what they hold, so they never go stale; they were verified when they
//! came (BUCKET-3). They are found by their project and their id: who may read one project learns
//! nothing of another by asking for its ids. Where a tag points is believed for a moment, see
//! [`crate::refs`].

use std::sync::Arc;

use bytes::Bytes;
use cairn_base::ProjectName;
use cairn_chunk::ChunkId;
use cairn_tree::{DirectoryPage, Entry, MapPage, Root};
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};

/// Memory for decoded pages, in bytes.
const PAGES_BYTES_MAX: u64 = 24 * 1024 * 1024;
/// Memory for what paths led to, in bytes.
const PATHS_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// Memory for chunks, in bytes.
const CHUNKS_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// Longer chunks are not kept here: they would pay for the room of many.
pub(crate) const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Who asks for more chunks at a time reads much, once.
pub(crate) const CHUNKS_ASKED_MAX: usize = 8;
/// About how many of each the tables are made for at first.
const ITEMS_AT_FIRST: usize = 64;
/// What an entry takes beside what it owns on the heap, and what that usually is.
const ENTRY_BYTES: usize = size_of::<Entry>() + 96;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    project: ProjectName,
    id: ChunkId,
}

/// A [`Key`] that is only looked for.
#[derive(Hash)]
struct Asked<'a> {
    project: &'a ProjectName,
    id: ChunkId,
}

impl Equivalent<Key> for Asked<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.id == key.id && *self.project == key.project
    }
}

/// A path below a root.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PathKey {
    key: Key,
    path: Vec<Vec<u8>>,
}

/// A [`PathKey`] that is only looked for.
#[derive(Hash)]
struct PathAsked<'a> {
    asked: Asked<'a>,
    path: &'a [Vec<u8>],
}

impl Equivalent<PathKey> for PathAsked<'_> {
    fn equivalent(&self, key: &PathKey) -> bool {
        self.asked.equivalent(&key.key) && *self.path == key.path
    }
}

/// A decoded page.
#[derive(Clone, Debug)]
pub(crate) enum Page {
    Root(Arc<Root>),
    Directory(Arc<DirectoryPage>),
    Map(Arc<MapPage>),
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Page> for Weight {
    fn weight(&self, _: &Key, page: &Page) -> u64 {
        let bytes = match page {
            Page::Root(_) => 1024,
            Page::Directory(page) => match &**page {
                DirectoryPage::Leaf(leaf) => leaf.entries().len() * ENTRY_BYTES,
                DirectoryPage::Index(index) => index.children().len() * ENTRY_BYTES,
            },
            Page::Map(page) => match &**page {
                MapPage::Leaf(leaf) => 2 * size_of_val(leaf.slices()),
                MapPage::Index(map) => map.children().len() * 64,
            },
        };
        bytes as u64 + 256
    }
}

impl Weighter<PathKey, Arc<Entry>> for Weight {
    fn weight(&self, key: &PathKey, _: &Arc<Entry>) -> u64 {
        let names = key.path.iter().map(|name| name.len() + size_of::<Vec<u8>>()).sum::<usize>();
        (names + ENTRY_BYTES) as u64 + 256
    }
}

impl Weighter<Key, Bytes> for Weight {
    fn weight(&self, _: &Key, chunk: &Bytes) -> u64 {
        chunk.len() as u64 + 256
    }
}

pub(crate) struct Warm {
    pages: Cache<Key, Page, Weight>,
    paths: Cache<PathKey, Arc<Entry>, Weight>,
    chunks: Cache<Key, Bytes, Weight>,
}

impl Warm {
    pub(crate) fn new() -> Self {
        Self {
            pages: Cache::with_weighter(ITEMS_AT_FIRST, PAGES_BYTES_MAX, Weight),
            paths: Cache::with_weighter(ITEMS_AT_FIRST, PATHS_BYTES_MAX, Weight),
            chunks: Cache::with_weighter(ITEMS_AT_FIRST, CHUNKS_BYTES_MAX, Weight),
        }
    }

    pub(crate) fn page(&self, project: &ProjectName, id: ChunkId) -> Option<Page> {
        self.pages.get(&Asked { project, id })
    }

    pub(crate) fn put_page(&self, project: &ProjectName, id: ChunkId, page: Page) {
        self.pages.insert(Key { project: project.clone(), id }, page);
    }

    pub(crate) fn path(
        &self,
        project: &ProjectName,
        root: ChunkId,
        path: &[Vec<u8>],
    ) -> Option<Arc<Entry>> {
        self.paths.get(&PathAsked { asked: Asked { project, id: root }, path })
    }

    pub(crate) fn put_path(
        &self,
        project: &ProjectName,
        root: ChunkId,
        path: Vec<Vec<u8>>,
        entry: Arc<Entry>,
    ) {
        let key = Key { project: project.clone(), id: root };
        self.paths.insert(PathKey { key, path }, entry);
    }

    pub(crate) fn chunk(&self, project: &ProjectName, id: ChunkId) -> Option<Bytes> {
        self.chunks.get(&Asked { project, id })
    }

    /// Keeps a short chunk, as a copy: what was read is a part of something larger.
    pub(crate) fn put_chunk(&self, project: &ProjectName, id: ChunkId, chunk: &Bytes) {
        if chunk.len() <= CHUNK_BYTES_MAX {
            let key = Key { project: project.clone(), id };
            self.chunks.insert(key, Bytes::copy_from_slice(chunk));
        }
    }
}

impl std::fmt::Debug for Warm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Warm({} pages, {} chunks)", self.pages.len(), self.chunks.len())
    }
}
