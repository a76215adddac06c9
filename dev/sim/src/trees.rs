//! Small random trees, made in memory with the builders of the manifest format.

use std::collections::BTreeMap;

use bytes::Bytes;
use cairn_chunk::{ChunkId, ChunkKey};
use cairn_env::{Rng as _, SeededRng};
use cairn_tree::{
    Content, DirectoryBuilder, Entry, Kind, Meta, Root, Slice, Source, StreamBuilder, Totals,
};

/// What a version has: contents by path.
pub type Files = BTreeMap<String, Bytes>;

/// Distinct chunks that all trees are made of, so that versions share them.
const POOL_CHUNKS: usize = 48;
const DIRECTORIES: [&str; 4] = ["", "d/", "e/", "d/f/"];

/// Chunks by number.
#[derive(Debug)]
pub struct Pool(Vec<Bytes>);

impl Default for Pool {
    fn default() -> Self {
        let rng = SeededRng::new(7);
        let chunk = |_| {
            let len = 1 + rng.next_u64() % 3000;
            let mut bytes = vec![0; usize::try_from(len).expect("it is small")];
            rng.fill(&mut bytes);
            Bytes::from(bytes)
        };
        Self((0..POOL_CHUNKS).map(chunk).collect())
    }
}

/// A tree by the numbers of its chunks.
pub type Numbers = BTreeMap<String, Vec<usize>>;

impl Pool {
    /// A random tree, or a change of `base`.
    #[must_use]
    pub fn tree(&self, rng: &SeededRng, base: Option<&Numbers>) -> Numbers {
        let mut tree = base.cloned().unwrap_or_default();
        let changes = if base.is_some() { 1 + rng.next_u64() % 3 } else { rng.next_u64() % 10 };
        for _ in 0..changes {
            let directory = DIRECTORIES[below(rng, DIRECTORIES.len())];
            let path = format!("{directory}file{}", rng.next_u64() % 12);
            if one_in(rng, 5) {
                tree.remove(&path);
                continue;
            }
            let count = [0, 1, 1, 1, 2, 3, 6, 12][below(rng, 8)];
            tree.insert(path, (0..count).map(|_| below(rng, POOL_CHUNKS)).collect());
        }
        tree
    }

    /// The contents of a tree.
    #[must_use]
    pub fn files(&self, tree: &Numbers) -> Files {
        let content = |numbers: &Vec<usize>| {
            let bytes: Vec<u8> = numbers.iter().flat_map(|n| self.0[*n].to_vec()).collect();
            Bytes::from(bytes)
        };
        tree.iter().map(|(path, numbers)| (path.clone(), content(numbers))).collect()
    }
}

/// A random number below `end`.
pub(crate) fn below(rng: &SeededRng, end: usize) -> usize {
    usize::try_from(rng.next_u64() % end as u64).expect("it is below a usize")
}

/// True once in so many times.
pub(crate) fn one_in(rng: &SeededRng, times: u64) -> bool {
    rng.next_u64().is_multiple_of(times)
}

/// A manifest with all that it reaches.
#[derive(Clone, Debug)]
pub struct Built {
    /// The manifest's root.
    pub root: ChunkId,
    /// What is below it.
    pub totals: Totals,
    /// Chunks and pages, what is referred to before what refers to it.
    pub chunks: Vec<(ChunkId, Bytes)>,
    /// What it should read as.
    pub files: Files,
}

struct Making<'a> {
    pool: &'a Pool,
    key: &'a ChunkKey,
    chunks: Vec<(ChunkId, Bytes)>,
}

/// Makes the manifest of a tree.
#[must_use]
pub fn build(pool: &Pool, key: &ChunkKey, tree: &Numbers) -> Built {
    let mut making = Making { pool, key, chunks: Vec::new() };
    let entries: Vec<(&str, &Vec<usize>)> =
        tree.iter().map(|(path, numbers)| (path.as_str(), numbers)).collect();
    let (page, totals) = making.directory(&entries);
    let root = Root { meta: meta(0o755), page, totals }.encode().expect("a sound root");
    let root = making.keep(root);
    Built { root, totals, chunks: making.chunks, files: pool.files(tree) }
}

fn meta(mode: u32) -> Meta {
    Meta { mode, ..Meta::default() }
}

impl Making<'_> {
    fn keep(&mut self, bytes: Vec<u8>) -> ChunkId {
        let id = self.key.id(&bytes);
        self.chunks.push((id, Bytes::from(bytes)));
        id
    }

    fn directory(&mut self, entries: &[(&str, &Vec<usize>)]) -> (Option<ChunkId>, Totals) {
        let mut names: BTreeMap<&str, Vec<(&str, &Vec<usize>)>> = BTreeMap::new();
        for (path, numbers) in entries {
            let (name, rest) = path.split_once('/').unwrap_or((path, ""));
            names.entry(name).or_default().push((rest, numbers));
        }
        let mut builder = DirectoryBuilder::new();
        for (name, inside) in names {
            let (kind, mode) = match inside.as_slice() {
                [("", numbers)] => (Kind::File { content: self.content(numbers) }, 0o644),
                below => {
                    let (page, totals) = self.directory(below);
                    (Kind::Directory { page, totals }, 0o755)
                }
            };
            let entry = Entry { name: name.as_bytes().to_vec(), meta: meta(mode), kind };
            let mut emit = |page| Ok::<_, cairn_tree::Error>(self.keep(page));
            builder.push(&entry, &mut emit).expect("names are sorted and sound");
        }
        let mut emit = |page| Ok::<_, cairn_tree::Error>(self.keep(page));
        builder.finish(&mut emit).expect("a small directory")
    }

    fn content(&mut self, numbers: &[usize]) -> Content {
        let mut builder = StreamBuilder::new();
        let mut whole = Vec::new();
        for number in numbers {
            let chunk = self.pool.0[*number].clone();
            whole.extend_from_slice(&chunk);
            let id = self.keep(chunk.to_vec());
            let slice = Slice { source: Source::Chunk { id, skip: 0 }, len: chunk.len() as u64 };
            let mut emit = |page| Ok::<_, cairn_tree::Error>(self.keep(page));
            builder.push(slice, &mut emit).expect("a sound slice");
        }
        let mut emit = |page| Ok::<_, cairn_tree::Error>(self.keep(page));
        let stream = builder.finish(&mut emit).expect("a short stream");
        let len = whole.len() as u64;
        Content { len, stream, ..Content::default() }
    }
}

/// The ids that a manifest reaches, each once.
#[must_use]
pub fn names_of(built: &Built) -> Vec<ChunkId> {
    let mut ids: Vec<ChunkId> = built.chunks.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
