//! The task in the middle of a push: takes what workers read, in order, and builds the manifest.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cairn_chunk::ChunkId;
use cairn_env::{Env, Lost};
use cairn_tree::{
    Content, DirectoryBuilder, Entry, Kind, Meta, Root, Slice, Source as SliceSource, Stream,
    StreamBuilder, Totals,
};
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::file::{End, Part, TREE_BYTES_MIN};
use super::read::{self, Done, Piece, READS_MAX, Read};
use super::scan::{FileEvent, Scan};
use super::sink::{Sink, To};
use super::unpack::Archive;
use super::{Loaded, PushOptions, Skipped, Source, unpack};
use crate::error::Error;
use crate::model::{Project, Target};
use crate::pages::{Alongside, Browser, default_directory_meta};
use crate::stat_cache::{CacheFile, CacheWriter};
use crate::store::{Store, Upload};

/// Batches of files that workers read ahead; each has at most a megabyte of them.
const BATCHES_AHEAD: usize = 4;
/// Chunks of a hash tree's nodes.
const OUTBOARD_CHUNK_BYTES: usize = 64 * 1024;

/// A finished manifest.
pub(crate) struct Built {
    pub(crate) root: ChunkId,
    pub(crate) totals: Totals,
    pub(crate) files_read: u64,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) unstable: Vec<String>,
    pub(crate) cache: Option<CacheWriter>,
}

/// Keeps what is known of the files for the next push. A cache that cannot be written costs time
/// then, and nothing else.
pub(crate) async fn save_cache(cache: Option<CacheWriter>, root: ChunkId, env: &Env) {
    let Some(cache) = cache else { return };
    match env.spawn.run(move || cache.finish(root)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the stat cache was not written"),
        Err(error) => tracing::warn!(%error, "the stat cache was not written"),
    }
}

/// A directory that is being built.
struct Directory {
    name: Vec<u8>,
    meta: Meta,
    builder: DirectoryBuilder,
    base: Alongside,
}

pub(crate) struct Tree<'a> {
    pub(crate) sink: Sink<'a>,
    pub(crate) env: Env,
    pub(crate) options: &'a PushOptions,
    browser: Option<Browser>,
    directories: Vec<Directory>,
    cache: Option<CacheWriter>,
    pub(crate) files_read: u64,
    /// Bytes of the entry that comes next that the meter has already.
    counted: u64,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) unstable: Vec<String>,
}

/// Builds the manifest of a source and hands its chunks to the upload.
pub(crate) async fn build(
    store: &Arc<dyn Store>,
    upload: &dyn Upload,
    source: &Source,
    targets: &[Target],
    project: &Project,
    options: &PushOptions,
) -> Result<Built, Error> {
    let env = store.env().clone();
    let key = project.key.clone();
    let mut tree = Tree {
        sink: Sink::new(To::Lent(upload), &env, key, options.level, Arc::clone(&options.meter)),
        env,
        options,
        browser: None,
        directories: Vec::new(),
        cache: None,
        files_read: 0,
        counted: 0,
        skipped: Vec::new(),
        unstable: Vec::new(),
    };
    match source {
        Source::Path(path) => tree.path(store, path, targets, project).await?,
        Source::Stdin(name) => tree.stdin(name).await?,
        Source::Unpack(path) => unpack::unpack(&mut tree, Archive::File(path.clone())).await?,
        Source::Stream(stream) => {
            unpack::unpack(&mut tree, Archive::Stream(stream.clone())).await?;
        }
    }
    tree.finish().await
}

impl Tree<'_> {
    async fn path(
        &mut self,
        store: &Arc<dyn Store>,
        path: &Path,
        targets: &[Target],
        project: &Project,
    ) -> Result<(), Error> {
        let path = std::path::absolute(path).map_err(|e| Error::local("find", path, e))?;
        let stat = std::fs::metadata(&path).map_err(|e| Error::local("push", &path, e))?;
        if !stat.is_dir() {
            let (scan, meta) = Scan::single(&path)?;
            self.enter(Vec::new(), meta, Alongside::new(None, None));
            return self.scan(scan).await;
        }
        let mut known = None;
        let mut top = None;
        if let Some(directory) = &self.options.cache_dir {
            let file = CacheFile::new(directory, "push", &path, project);
            if let Some((reader, root)) = file.open()
                && let Some(browser) = live_base(store, targets, root).await?
            {
                top = browser.root(root).await?.page;
                self.browser = Some(browser);
                known = Some(reader);
            }
            let now = self.env.clock.wall_ns();
            self.cache = file
                .create(now.saturating_sub(crate::stat_cache::SETTLED_NS))
                .map_err(|e| Error::local("write", directory, e))
                .ok();
        }
        let scanned = self.env.spawn.run(move || Scan::open(&path, known)).await?;
        let (scan, meta) = scanned?;
        self.enter(Vec::new(), meta, Alongside::new(self.browser.as_ref(), top));
        self.scan(scan).await
    }

    /// Keeps a few batches with the workers, and takes them back in order.
    async fn scan(&mut self, scan: Scan) -> Result<(), Error> {
        let mut scan = Some(scan);
        let mut ahead: VecDeque<BoxFuture<'static, Result<Vec<Done>, Lost>>> = VecDeque::new();
        loop {
            while ahead.len() < BATCHES_AHEAD
                && let Some(mut scanner) = scan.take()
            {
                let step =
                    self.env.spawn.run(move || scanner.step().map(|events| (scanner, events)));
                let (scanner, events) = step.await??;
                if events.is_empty() {
                    break;
                }
                scan = Some(scanner);
                let (key, open_archives) = (self.sink.key().clone(), self.options.open_archives);
                let work = move || read::read_batch(events, &key, open_archives);
                ahead.push_back(Box::pin(self.env.spawn.run(work)));
            }
            let Some(batch) = ahead.pop_front() else { return Ok(()) };
            for done in batch.await? {
                self.take(done).await?;
            }
        }
    }

    async fn take(&mut self, done: Done) -> Result<(), Error> {
        match done {
            Done::Enter { name, meta } => {
                let base = match self.top().base.find(&name).await? {
                    Some(Entry { kind: Kind::Directory { page, .. }, .. }) => page,
                    _ => None,
                };
                let base = Alongside::new(self.browser.as_ref(), base);
                self.enter(name, meta, base);
                Ok(())
            }
            Done::Leave => self.leave().await,
            Done::Entry(read) => self.entry(*read).await,
            Done::Known(file) => self.known(file).await,
            Done::Large(file) => self.large(file).await,
            Done::Skipped { path, why } => {
                let path = String::from_utf8_lossy(&path).into_owned();
                self.skipped.push(Skipped { path, why });
                Ok(())
            }
        }
    }

    fn top(&mut self) -> &mut Directory {
        self.directories.last_mut().expect("the top directory is left last")
    }

    fn enter(&mut self, name: Vec<u8>, meta: Meta, base: Alongside) {
        self.directories.push(Directory { name, meta, builder: DirectoryBuilder::new(), base });
    }

    pub(crate) fn enter_new(&mut self, name: Vec<u8>, meta: Meta) {
        self.enter(name, meta, Alongside::new(None, None));
    }

    pub(crate) async fn leave(&mut self) -> Result<(), Error> {
        let directory = self.directories.pop().expect("a directory is left once");
        let (page, totals) = self.sink.directory(directory.builder).await?;
        let kind = Kind::Directory { page, totals };
        self.push(Entry { name: directory.name, meta: directory.meta, kind }).await
    }

    /// Appends an entry to the directory that is open.
    pub(crate) async fn push(&mut self, entry: Entry) -> Result<(), Error> {
        if let Kind::File { content } = &entry.kind {
            self.options.meter.files.add(1);
            let counted = std::mem::take(&mut self.counted);
            self.options.meter.bytes.add(content.len.saturating_sub(counted));
        }
        let mut pages = Vec::new();
        let key = self.sink.key().clone();
        self.top().builder.push(&entry, &mut emit(&key, &mut pages))?;
        self.sink.pages(&mut pages).await
    }

    async fn entry(&mut self, read: Read) -> Result<(), Error> {
        let Read { entry, chunks, mut pages, stamp, unstable } = read;
        self.files_read += u64::from(matches!(entry.kind, Kind::File { .. }));
        self.sink.data(chunks).await?;
        self.sink.pages(&mut pages).await?;
        if let (Some(cache), Some((path, stamp))) = (&mut self.cache, &stamp) {
            cache.add(path, stamp);
        }
        self.unstable.extend(unstable.map(|path| String::from_utf8_lossy(&path).into_owned()));
        self.push(entry).await
    }

    /// A file that the stat cache saw: its content is that of the base version.
    async fn known(&mut self, file: FileEvent) -> Result<(), Error> {
        let base = self.top().base.find(&file.name).await?;
        if let Some(entry) = base
            && let Kind::File { content } = &entry.kind
            && content.len == file.stamp.size
            && entry.meta.mtime == file.meta.mtime
            && entry.meta.mode == file.meta.mode
        {
            if let Some(cache) = &mut self.cache {
                cache.add(&file.relative, &file.stamp);
            }
            return self.push(entry).await;
        }
        let (key, open_archives) = (self.sink.key().clone(), self.options.open_archives);
        let read = self.env.spawn.run(move || read::read_file(file, &key, open_archives)).await?;
        for done in read {
            Box::pin(self.take(done)).await?;
        }
        Ok(())
    }

    async fn large(&mut self, file: FileEvent) -> Result<(), Error> {
        self.files_read += 1;
        self.counted = 0;
        for attempt in 1..=READS_MAX {
            let key = self.sink.key().clone();
            let open_archives = self.options.open_archives;
            let pieces = read::read_large(&self.env, &file.path, &key, open_archives);
            match self.content(pieces).await {
                Err(error) => {
                    if error.kind() != std::io::ErrorKind::Other || error.get_ref().is_none() {
                        let path = String::from_utf8_lossy(&file.relative).into_owned();
                        self.skipped.push(Skipped { path, why: error.to_string() });
                        return Ok(());
                    }
                    return Err(unwrap_io(&file.path, error));
                }
                Ok(Whole { changed: true, .. }) if attempt < READS_MAX => {}
                Ok(whole) => {
                    let path = String::from_utf8_lossy(&file.relative).into_owned();
                    if let Some(why) = whole.warning {
                        let why = format!("its extended attributes are not stored: {why}");
                        self.skipped.push(Skipped { path: path.clone(), why });
                    }
                    if whole.changed {
                        self.unstable.push(path);
                    } else if let Some(cache) = &mut self.cache {
                        cache.add(&file.relative, &whole.stamp);
                    }
                    let kind = Kind::File { content: whole.content };
                    return self.push(Entry { name: file.name, meta: whole.meta, kind }).await;
                }
            }
        }
        unreachable!("the last attempt returns")
    }

    async fn stdin(&mut self, name: &str) -> Result<(), Error> {
        let now = self.env.clock.wall_ns();
        let mtime = cairn_tree::Time {
            secs: now.div_euclid(1_000_000_000),
            nanos: u32::try_from(now.rem_euclid(1_000_000_000)).unwrap_or_default(),
        };
        self.enter_new(Vec::new(), default_directory_meta(mtime));
        self.files_read += 1;
        let pieces = read::read_stdin(&self.env, self.sink.key());
        let whole = self.content(pieces).await;
        let whole = whole.map_err(|error| unwrap_io(&PathBuf::from("standard input"), error))?;
        let meta = Meta { mode: 0o644, mtime, ..Meta::default() };
        let name = name.as_bytes().to_vec();
        self.push(Entry { name, meta, kind: Kind::File { content: whole.content } }).await
    }

    /// Takes the parts of one file and builds its content. Errors of the store travel inside an
    /// [`std::io::Error`] of the kind `Other`.
    pub(crate) async fn content(
        &mut self,
        mut pieces: mpsc::Receiver<Piece>,
    ) -> std::io::Result<Whole> {
        let mut building = ContentBuilder::default();
        while let Some(piece) = pieces.recv().await {
            match piece {
                Piece::Failed(error) => return Err(error),
                Piece::Part(part) => {
                    self.options.meter.bytes.add(part.read);
                    self.counted += part.read;
                    let taken = building.part(part, &mut self.sink).await;
                    taken.map_err(std::io::Error::other)?;
                }
                Piece::End { end, meta, stamp, changed, warning } => {
                    let content = building.end(end, &mut self.sink).await;
                    let content = content.map_err(std::io::Error::other)?;
                    return Ok(Whole { content, meta, stamp, changed, warning });
                }
            }
        }
        Err(std::io::Error::other(Error::Worker(Lost)))
    }

    async fn finish(mut self) -> Result<Built, Error> {
        let top = self.directories.pop().expect("the top directory is left last");
        assert!(self.directories.is_empty(), "every directory was left");
        let (page, totals) = self.sink.directory(top.builder).await?;
        let root = Root { meta: top.meta, page, totals }.encode()?;
        let id = self.sink.key().id(&root);
        self.sink.pages(&mut vec![(id, Bytes::from(root))]).await?;
        self.sink.flush().await?;
        Ok(Built {
            root: id,
            totals,
            files_read: self.files_read,
            skipped: self.skipped,
            unstable: self.unstable,
            cache: self.cache,
        })
    }
}

/// The content of a file of which parts come in order.
#[derive(Default)]
pub(crate) struct ContentBuilder {
    stream: Streamed,
    outboard: Streamed,
    nodes: Vec<u8>,
}

impl ContentBuilder {
    /// Takes the next part.
    pub(crate) async fn part(&mut self, part: Part, sink: &mut Sink<'_>) -> Result<(), Error> {
        sink.data(part.chunks).await?;
        for slice in part.slices {
            self.stream.push(slice, sink).await?;
        }
        self.nodes.extend(part.nodes.iter().flatten());
        while self.nodes.len() >= OUTBOARD_CHUNK_BYTES {
            let rest = self.nodes.split_off(OUTBOARD_CHUNK_BYTES);
            self.outboard.chunk(std::mem::replace(&mut self.nodes, rest), sink).await?;
        }
        Ok(())
    }

    /// The content, now that its last part was taken.
    pub(crate) async fn end(mut self, end: End, sink: &mut Sink<'_>) -> Result<Content, Error> {
        let stream = self.stream.finish(sink).await?;
        self.nodes.extend(end.nodes.iter().flatten());
        let mut tree = None;
        if end.len > TREE_BYTES_MIN {
            for chunk in self.nodes.chunks(OUTBOARD_CHUNK_BYTES) {
                self.outboard.chunk(chunk.to_vec(), sink).await?;
            }
            tree = Some(Box::new(self.outboard.finish(sink).await?));
        }
        let mut recipe = None;
        if let Some(bytes) = end.recipe {
            let mut stored = Streamed::default();
            for chunk in bytes.chunks(OUTBOARD_CHUNK_BYTES) {
                stored.chunk(chunk.to_vec(), sink).await?;
            }
            recipe = Some(Box::new(stored.finish(sink).await?));
        }
        let one_chunk = matches!(stream, Stream::Empty | Stream::Chunk { .. }) && recipe.is_none();
        let root = (!one_chunk).then_some(end.root);
        Ok(Content { len: end.len, stream, root, outboard: tree, recipe })
    }
}

/// A file that was read to its end.
pub(crate) struct Whole {
    pub(crate) content: Content,
    pub(crate) meta: Meta,
    stamp: super::Stamp,
    changed: bool,
    warning: Option<String>,
}

/// A stream whose map pages go to the sink.
#[derive(Default)]
struct Streamed {
    builder: StreamBuilder,
    pages: Vec<Loaded>,
}

impl Streamed {
    async fn push(&mut self, slice: Slice, sink: &mut Sink<'_>) -> Result<(), Error> {
        self.builder.push(slice, &mut emit(sink.key(), &mut self.pages))?;
        sink.pages(&mut self.pages).await
    }

    async fn chunk(&mut self, bytes: Vec<u8>, sink: &mut Sink<'_>) -> Result<(), Error> {
        let (id, len) = (sink.key().id(&bytes), bytes.len() as u64);
        sink.data(vec![(id, Bytes::from(bytes))]).await?;
        self.push(Slice { source: SliceSource::Chunk { id, skip: 0 }, len }, sink).await
    }

    async fn finish(mut self, sink: &mut Sink<'_>) -> Result<Stream, Error> {
        let stream = self.builder.finish(&mut emit(sink.key(), &mut self.pages))?;
        sink.pages(&mut self.pages).await?;
        Ok(stream)
    }
}

/// Names pages for a builder and keeps them for the sink.
pub(crate) fn emit(
    key: &cairn_chunk::ChunkKey,
    pages: &mut Vec<Loaded>,
) -> impl FnMut(Vec<u8>) -> Result<ChunkId, Error> {
    move |page| {
        let id = key.id(&page);
        pages.push((id, Bytes::from(page)));
        Ok(id)
    }
}

fn unwrap_io(path: &Path, error: std::io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(inner) => inner,
        Err(error) => read::io_error(path, error),
    }
}

/// A browser of the version `root`, when a tag of one of the targets' datasets has it: then all that
/// it reaches was stored when this push began.
async fn live_base(
    store: &Arc<dyn Store>,
    targets: &[Target],
    root: ChunkId,
) -> Result<Option<Browser>, Error> {
    for target in targets {
        let tags = crate::local::missing_is_none(store.tags(&target.dataset).await)?;
        let versions =
            tags.iter().flatten().flat_map(|tag| std::iter::once(&tag.current).chain(&tag.history));
        if versions.into_iter().any(|version| version.root == root) {
            let browser = Browser::new(Arc::clone(store), target.dataset.clone());
            return Ok(Some(browser.reading_ahead(false)));
        }
    }
    Ok(None)
}
