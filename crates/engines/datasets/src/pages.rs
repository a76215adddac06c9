//! Walking a manifest page by page.

mod ahead;
mod slices;

use std::ops::Range;
use std::sync::Arc;

use cairn_chunk::ChunkId;
use cairn_tree::{
    Content, DirectoryChild, DirectoryPage, Entry, Find, Kind, MapPage, Meta, Root, Stream,
};

use self::ahead::Ahead;
pub(crate) use self::slices::Slices;
use crate::error::Error;
use crate::local::Datasets;
use crate::model::Dataset;
use crate::page_file::PageFile;
use crate::pull::Seeds;
use crate::store::Store;
use crate::warm::{self, Page};

/// Pages of siblings that are read with one request.
const PAGES_AHEAD: usize = 16;

/// Reads the manifests of one dataset.
#[derive(Clone)]
pub struct Browser {
    store: Arc<dyn Store>,
    dataset: Dataset,
    /// Where chunks may be found nearer than in the store.
    seeds: Option<Arc<Seeds>>,
    /// Pages that a walk will want soon.
    ahead: Option<Arc<Ahead>>,
    /// Pages of the last pull.
    near: Option<Arc<PageFile>>,
    /// What is in memory of the engine in this process.
    warm: Option<Datasets>,
}

impl Browser {
    /// A browser of `dataset`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, dataset: Dataset) -> Self {
        Self { store, dataset, seeds: None, ahead: None, near: None, warm: None }
    }

    /// A browser of `dataset` for one of many requests: it finds what was read before in memory, and
    /// [`Browser::open`] sees a move of a tag through `datasets` at once and one by another process
    /// within [`TAG_AGE_MAX`](crate::TAG_AGE_MAX).
    #[must_use]
    pub fn warm(datasets: &Datasets, dataset: Dataset) -> Self {
        let warm = Some(datasets.clone());
        Self { warm, ..Self::new(Arc::new(datasets.clone()), dataset) }
    }

    pub(crate) fn with_seeds(self, seeds: Arc<Seeds>) -> Self {
        Self { seeds: Some(seeds), ..self }
    }

    pub(crate) fn with_pages(self, near: Arc<PageFile>) -> Self {
        Self { near: Some(near), ..self }
    }

    /// For walks of whole trees: directory pages are read ahead, with `maps` also what says where the
    /// contents of files are.
    #[must_use]
    pub fn reading_ahead(self, maps: bool) -> Self {
        Self { ahead: Some(Arc::new(Ahead::new(maps))), ..self }
    }

    /// Chunks of file contents, in the order asked for.
    pub(crate) async fn chunks(&self, ids: &[ChunkId]) -> Result<Vec<bytes::Bytes>, Error> {
        match (&self.seeds, &self.warm) {
            (Some(seeds), _) => seeds.read(&*self.store, &self.dataset, ids).await,
            (None, Some(datasets)) if ids.len() <= warm::CHUNKS_ASKED_MAX => {
                self.warm_chunks(&datasets.warm, ids).await
            }
            (None, _) => self.store.read(&self.dataset, ids).await,
        }
    }

    async fn warm_chunks(
        &self,
        warm: &warm::Warm,
        ids: &[ChunkId],
    ) -> Result<Vec<bytes::Bytes>, Error> {
        let project = &self.dataset.project;
        let found: Option<Vec<_>> = ids.iter().map(|id| warm.chunk(project, *id)).collect();
        if let Some(found) = found {
            return Ok(found);
        }
        let read = self.store.read(&self.dataset, ids).await?;
        for (id, chunk) in ids.iter().zip(&read) {
            warm.put_chunk(project, *id, chunk);
        }
        Ok(read)
    }

    fn warm_page(&self, id: ChunkId) -> Option<Page> {
        self.warm.as_ref()?.warm.page(&self.dataset.project, id)
    }

    fn keep_warm(&self, id: ChunkId, page: Page) {
        if let Some(datasets) = &self.warm {
            datasets.warm.put_page(&self.dataset.project, id, page);
        }
    }

    /// What this path below this root led to before, for a browser of one of many requests. Whoever
    /// remembers it says how links are followed.
    #[must_use]
    pub fn remembered(&self, root: ChunkId, path: &[Vec<u8>]) -> Option<Arc<Entry>> {
        self.warm.as_ref()?.warm.path(&self.dataset.project, root, path)
    }

    /// Remembers it.
    pub fn remember(&self, root: ChunkId, path: Vec<Vec<u8>>, entry: &Arc<Entry>) {
        if let Some(datasets) = &self.warm {
            datasets.warm.put_path(&self.dataset.project, root, path, Arc::clone(entry));
        }
    }

    /// The bytes `range` of a file, when one short chunk in memory has them all.
    #[must_use]
    pub fn at_hand(&self, content: &Content, range: &Range<u64>) -> Option<bytes::Bytes> {
        let (Stream::Chunk { id, len }, None) = (&content.stream, &content.recipe) else {
            return None;
        };
        let chunk = self.warm.as_ref()?.warm.chunk(&self.dataset.project, *id)?;
        let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
        let inside = start <= end && range.end <= *len && end <= chunk.len();
        inside.then(|| chunk.slice(start..end))
    }

    pub(crate) fn is_warm(&self) -> bool {
        self.warm.is_some()
    }

    /// Whether what is read comes from far away.
    pub(crate) fn is_remote(&self) -> bool {
        self.warm.as_ref().is_none_or(|datasets| datasets.blocks.bucket().is_remote())
    }

    pub(crate) fn warm_engine(&self) -> Option<&Datasets> {
        self.warm.as_ref()
    }

    /// The store below.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The dataset.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    async fn page(&self, id: ChunkId) -> Result<bytes::Bytes, Error> {
        let mut pages = self.read_pages(&[id]).await?;
        Ok(pages.pop().expect("a read answers every id"))
    }

    /// Pages, from the last pull where it had them, else from the store.
    async fn read_pages(&self, ids: &[ChunkId]) -> Result<Vec<bytes::Bytes>, Error> {
        let Some(near) = &self.near else { return self.store.read(&self.dataset, ids).await };
        let mut pages: Vec<Option<bytes::Bytes>> = ids.iter().map(|id| near.take(*id)).collect();
        let missing: Vec<usize> = (0..ids.len()).filter(|at| pages[*at].is_none()).collect();
        let wanted: Vec<ChunkId> = missing.iter().map(|at| ids[*at]).collect();
        if !wanted.is_empty() {
            for (at, page) in
                missing.into_iter().zip(self.store.read(&self.dataset, &wanted).await?)
            {
                near.put(ids[at], &page);
                pages[at] = Some(page);
            }
        }
        Ok(pages.into_iter().flatten().collect())
    }

    /// The root of a manifest.
    ///
    /// # Errors
    /// [`Error::Tree`], [`Error::Blocks`].
    pub async fn root(&self, id: ChunkId) -> Result<Root, Error> {
        if let Some(Page::Root(root)) = self.warm_page(id) {
            return Ok((*root).clone());
        }
        let root = Root::decode(&self.page(id).await?)?;
        self.keep_warm(id, Page::Root(Arc::new(root.clone())));
        Ok(root)
    }

    /// A page of a directory.
    ///
    /// # Errors
    /// As [`Browser::root`].
    pub async fn directory(&self, id: ChunkId) -> Result<DirectoryPage, Error> {
        Ok(DirectoryPage::decode(&self.page(id).await?)?)
    }

    /// A page of a directory, shared with others who look into it.
    async fn directory_shared(&self, id: ChunkId) -> Result<Arc<DirectoryPage>, Error> {
        if let Some(Page::Directory(page)) = self.warm_page(id) {
            return Ok(page);
        }
        let page = Arc::new(self.directory(id).await?);
        self.keep_warm(id, Page::Directory(Arc::clone(&page)));
        Ok(page)
    }

    fn page_ahead(&self, id: ChunkId) -> Option<bytes::Bytes> {
        self.ahead.as_ref()?.take(id)
    }

    async fn directory_bytes(&self, id: ChunkId) -> Result<bytes::Bytes, Error> {
        match (self.page_ahead(id), &self.ahead) {
            (Some(bytes), _) => Ok(bytes),
            (None, Some(ahead)) => ahead.fetch(self, id).await,
            (None, None) => self.page(id).await,
        }
    }

    pub(crate) async fn map(&self, id: ChunkId) -> Result<Arc<MapPage>, Error> {
        if let Some(Page::Map(page)) = self.warm_page(id) {
            return Ok(page);
        }
        let bytes = match self.page_ahead(id) {
            Some(bytes) => bytes,
            None => self.page(id).await?,
        };
        let page = Arc::new(MapPage::decode(&bytes)?);
        self.keep_warm(id, Page::Map(Arc::clone(&page)));
        Ok(page)
    }

    /// The entries of the directory with this top page, in the order of their names.
    #[must_use]
    pub fn entries(&self, page: Option<ChunkId>) -> Entries {
        Entries {
            browser: self.clone(),
            ready: Vec::new(),
            pages: page
                .map(|page| PageAhead { page, child: None, bytes: None })
                .into_iter()
                .collect(),
        }
    }

    /// At most `limit` entries of the directory with this top page, those after the name `after`, and
    /// whether there are more. Pages before it are not read.
    ///
    /// # Errors
    /// As [`Browser::root`].
    pub async fn children(
        &self,
        page: Option<ChunkId>,
        limit: usize,
        after: Option<&[u8]>,
    ) -> Result<(Vec<Entry>, bool), Error> {
        let mut entries = self.entries(page);
        let mut found = Vec::new();
        if let Some(after) = after {
            let first = entries.seek(after).await?;
            found.extend(first.filter(|first| first.name != after));
        }
        while found.len() <= limit {
            match entries.next().await? {
                Some(entry) => found.push(entry),
                None => return Ok((found, false)),
            }
        }
        found.truncate(limit);
        Ok((found, true))
    }

    /// Finds one name in a directory: a page per level.
    ///
    /// # Errors
    /// As [`Browser::root`].
    pub async fn find(&self, page: Option<ChunkId>, name: &[u8]) -> Result<Option<Entry>, Error> {
        let mut next = page;
        let mut parent: Option<DirectoryChild> = None;
        while let Some(id) = next {
            let page = self.directory_shared(id).await?;
            if let Some(parent) = &parent {
                parent.check(&page)?;
            }
            match page.find(name) {
                Find::Entry(entry) => return Ok(Some(entry.clone())),
                Find::Missing => return Ok(None),
                Find::Child(child) => {
                    next = Some(child.page);
                    parent = Some(child.clone());
                }
            }
        }
        Ok(None)
    }

    /// Finds a path from the root. The empty path is the root itself, as a directory without a name.
    ///
    /// # Errors
    /// `None` when there is no such path; else as [`Browser::root`].
    pub async fn lookup(&self, root: &Root, path: &[Vec<u8>]) -> Result<Option<Entry>, Error> {
        let mut entry = top_entry(root);
        for name in path {
            let Kind::Directory { page, .. } = entry.kind else { return Ok(None) };
            match self.find(page, name).await? {
                Some(found) => entry = found,
                None => return Ok(None),
            }
        }
        Ok(Some(entry))
    }

    /// Like [`Browser::lookup`], with the first name in place of a further name of the same file.
    ///
    /// # Errors
    /// As [`Browser::lookup`]; [`Error::Tree`] for a link to what is no file.
    pub async fn lookup_file(&self, root: &Root, path: &[Vec<u8>]) -> Result<Option<Entry>, Error> {
        let Some(entry) = self.lookup(root, path).await? else { return Ok(None) };
        let Kind::Hardlink { target } = &entry.kind else { return Ok(Some(entry)) };
        let first: Vec<Vec<u8>> = target.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
        match self.lookup(root, &first).await? {
            Some(found) if matches!(found.kind, Kind::File { .. }) => {
                Ok(Some(Entry { name: entry.name, ..found }))
            }
            _ => Err(cairn_tree::Error::Child { what: "file behind a hard link" }.into()),
        }
    }

    /// The slices of a stream from byte `offset` on.
    #[must_use]
    pub fn slices(&self, stream: &Stream, offset: u64) -> Slices {
        Slices::new(self.clone(), stream, offset)
    }
}

/// The root's directory as an entry without a name.
pub(crate) fn top_entry(root: &Root) -> Entry {
    Entry {
        name: Vec::new(),
        meta: root.meta.clone(),
        kind: Kind::Directory { page: root.page, totals: root.totals },
    }
}

/// What a directory entry's kind is called.
pub(crate) fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::File { .. } | Kind::Hardlink { .. } => "a file",
        Kind::Directory { .. } => "a directory",
        Kind::Symlink { .. } => "a symbolic link",
    }
}

struct PageAhead {
    page: ChunkId,
    child: Option<DirectoryChild>,
    bytes: Option<bytes::Bytes>,
}

/// A directory's entries, read ahead a few pages at a time.
pub struct Entries {
    browser: Browser,
    /// Decoded and not yet given, the next one last.
    ready: Vec<Entry>,
    /// Pages to come, the next one last.
    pages: Vec<PageAhead>,
}

impl Entries {
    /// The next entry.
    ///
    /// # Errors
    /// [`Error::Tree`], [`Error::Blocks`].
    pub async fn next(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            if let Some(entry) = self.ready.pop() {
                return Ok(Some(entry));
            }
            if self.pages.is_empty() {
                return Ok(None);
            }
            self.read_ahead().await?;
            let Some(ahead) = self.pages.pop() else { return Ok(None) };
            let bytes = ahead.bytes.expect("the last page was read");
            let page = DirectoryPage::decode(&bytes)?;
            if let Some(child) = &ahead.child {
                child.check(&page)?;
            }
            match page {
                DirectoryPage::Leaf(leaf) => {
                    self.ready = leaf.into_entries();
                    self.ready.reverse();
                }
                DirectoryPage::Index(index) => {
                    self.pages.extend(index.into_children().into_iter().rev().map(|child| {
                        PageAhead { page: child.page, child: Some(child), bytes: None }
                    }));
                }
            }
        }
    }

    /// Skips to the first entry whose name is not below `name`. Pages in between are not read.
    ///
    /// # Errors
    /// As [`Entries::next`].
    pub async fn seek(&mut self, name: &[u8]) -> Result<Option<Entry>, Error> {
        loop {
            while let [.., next, last] = self.pages.as_slice()
                && self.ready.is_empty()
                && last.child.is_some()
                && next.child.as_ref().is_some_and(|child| child.first.as_slice() <= name)
            {
                self.pages.pop();
            }
            match self.next().await? {
                Some(entry) if entry.name.as_slice() < name => {}
                other => return Ok(other),
            }
        }
    }

    async fn read_ahead(&mut self) -> Result<(), Error> {
        if self.pages.last().is_none_or(|page| page.bytes.is_some()) {
            return Ok(());
        }
        if self.browser.ahead.is_some() {
            let last = self.pages.last_mut().expect("it was looked at above");
            last.bytes = Some(self.browser.directory_bytes(last.page).await?);
            return Ok(());
        }
        let from = self.pages.len().saturating_sub(PAGES_AHEAD);
        let wanted: Vec<usize> = (from..self.pages.len())
            .rev()
            .take_while(|at| self.pages[*at].bytes.is_none())
            .collect();
        let ids: Vec<ChunkId> = wanted.iter().map(|at| self.pages[*at].page).collect();
        let read = self.browser.read_pages(&ids).await?;
        for (at, bytes) in wanted.into_iter().zip(read) {
            self.pages[at].bytes = Some(bytes);
        }
        Ok(())
    }
}

/// A directory of an older version, walked beside the same directory of a newer one.
pub(crate) struct Alongside {
    entries: Option<Entries>,
    next: Option<Entry>,
}

impl Alongside {
    pub(crate) fn new(browser: Option<&Browser>, page: Option<ChunkId>) -> Self {
        let entries = browser.filter(|_| page.is_some()).map(|browser| browser.entries(page));
        Self { entries, next: None }
    }

    /// The entry of this name. Names must be asked for in order.
    pub(crate) async fn find(&mut self, name: &[u8]) -> Result<Option<Entry>, Error> {
        let Some(entries) = &mut self.entries else { return Ok(None) };
        loop {
            if self.next.is_none() {
                self.next = entries.next().await?;
            }
            match &self.next {
                None => return Ok(None),
                Some(entry) if entry.name.as_slice() < name => self.next = None,
                Some(entry) if entry.name == name => return Ok(self.next.take()),
                Some(_) => return Ok(None),
            }
        }
    }
}

/// Attributes of the top directory where there are none to take over.
pub(crate) fn default_directory_meta(mtime: cairn_tree::Time) -> Meta {
    Meta { mode: 0o755, uid: 0, gid: 0, mtime, ..Meta::default() }
}
