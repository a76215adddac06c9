//! Walking a manifest page by page.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cairn_chunk::ChunkId;
use cairn_tree::{
    DirectoryChild, DirectoryPage, Entry, Find, Kind, MapChild, MapFind, MapPage, Meta, Root,
    Slice, Stream,
};

use crate::error::Error;
use crate::model::Dataset;
use crate::pull::Seeds;
use crate::store::Store;

/// Pages of siblings that are read with one request.
const PAGES_AHEAD: usize = 16;

/// Reads the manifests of one dataset.
#[derive(Clone)]
pub struct Browser {
    store: Arc<dyn Store>,
    dataset: Dataset,
    /// Where chunks may be found nearer than in the store.
    seeds: Option<Arc<Seeds>>,
    /// Directory pages that a walk will want soon.
    ahead: Option<Arc<Ahead>>,
}

/// Directory pages read before they are asked for: level by level below the one that is wanted, so
/// that a walk of a large tree costs a few requests and not one for each directory.
#[derive(Default)]
struct Ahead(Mutex<BTreeMap<ChunkId, bytes::Bytes>>);

/// Pages and bytes that one reading ahead fetches, and that wait at most.
const AHEAD_PAGES: usize = 512;
const AHEAD_BYTES: usize = 4 * 1024 * 1024;
const AHEAD_PAGES_MAX: usize = 4 * AHEAD_PAGES;

impl Ahead {
    fn pages(&self) -> MutexGuard<'_, BTreeMap<ChunkId, bytes::Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches a page and what is below it, as far as the bounds go.
    async fn fetch(&self, browser: &Browser, id: ChunkId) -> Result<bytes::Bytes, Error> {
        if self.pages().len() > AHEAD_PAGES_MAX {
            self.pages().clear();
        }
        let (mut wave, mut left, mut bytes) = (vec![id], AHEAD_PAGES, 0);
        let mut wanted = None;
        while !wave.is_empty() && bytes < AHEAD_BYTES {
            wave.truncate(left);
            left -= wave.len();
            let read = browser.store.read(&browser.dataset, &wave).await?;
            let mut below = Vec::new();
            for (page, content) in wave.into_iter().zip(read) {
                bytes += content.len();
                below.extend(directories_below(&content));
                if page == id {
                    wanted = Some(content);
                } else {
                    self.pages().insert(page, content);
                }
            }
            below.retain(|page| *page != id && !self.pages().contains_key(page));
            below.sort_unstable();
            below.dedup();
            wave = below;
        }
        Ok(wanted.expect("the first wave has the page that is wanted"))
    }
}

/// The directory pages that a page leads to. One that does not decode leads nowhere: whoever asks for
/// it learns what is wrong.
fn directories_below(page: &[u8]) -> Vec<ChunkId> {
    match DirectoryPage::decode(page) {
        Err(_) => Vec::new(),
        Ok(DirectoryPage::Index(index)) => {
            index.children().iter().map(|child| child.page).collect()
        }
        Ok(DirectoryPage::Leaf(leaf)) => leaf
            .entries()
            .iter()
            .filter_map(|entry| match entry.kind {
                Kind::Directory { page, .. } => page,
                _ => None,
            })
            .collect(),
    }
}

impl Browser {
    /// A browser of `dataset`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, dataset: Dataset) -> Self {
        Self { store, dataset, seeds: None, ahead: None }
    }

    pub(crate) fn with_seeds(self, seeds: Arc<Seeds>) -> Self {
        Self { seeds: Some(seeds), ..self }
    }

    /// For walks of whole trees: directory pages are read ahead.
    #[must_use]
    pub fn reading_ahead(self) -> Self {
        Self { ahead: Some(Arc::default()), ..self }
    }

    /// Chunks of file contents, in the order asked for.
    pub(crate) async fn chunks(&self, ids: &[ChunkId]) -> Result<Vec<bytes::Bytes>, Error> {
        match &self.seeds {
            Some(seeds) => seeds.read(&*self.store, &self.dataset, ids).await,
            None => self.store.read(&self.dataset, ids).await,
        }
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
        let mut pages = self.store.read(&self.dataset, &[id]).await?;
        Ok(pages.pop().expect("a read answers every id"))
    }

    /// The root of a manifest.
    ///
    /// # Errors
    /// [`Error::Tree`], [`Error::Blocks`].
    pub async fn root(&self, id: ChunkId) -> Result<Root, Error> {
        Ok(Root::decode(&self.page(id).await?)?)
    }

    /// A page of a directory.
    ///
    /// # Errors
    /// As [`Browser::root`].
    pub async fn directory(&self, id: ChunkId) -> Result<DirectoryPage, Error> {
        Ok(DirectoryPage::decode(&self.page(id).await?)?)
    }

    async fn directory_bytes(&self, id: ChunkId) -> Result<bytes::Bytes, Error> {
        let Some(ahead) = &self.ahead else { return self.page(id).await };
        let known = ahead.pages().remove(&id);
        match known {
            Some(bytes) => Ok(bytes),
            None => ahead.fetch(self, id).await,
        }
    }

    pub(crate) async fn map(&self, id: ChunkId) -> Result<MapPage, Error> {
        Ok(MapPage::decode(&self.page(id).await?)?)
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

    /// Finds one name in a directory: a page per level.
    ///
    /// # Errors
    /// As [`Browser::root`].
    pub async fn find(&self, page: Option<ChunkId>, name: &[u8]) -> Result<Option<Entry>, Error> {
        let mut next = page;
        let mut parent: Option<DirectoryChild> = None;
        while let Some(id) = next {
            let page = self.directory(id).await?;
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
        let read = self.browser.store.read(&self.browser.dataset, &ids).await?;
        for (at, bytes) in wanted.into_iter().zip(read) {
            self.pages[at].bytes = Some(bytes);
        }
        Ok(())
    }
}

/// The slices of a stream in order.
pub struct Slices {
    browser: Browser,
    ready: Vec<Slice>,
    pages: Vec<(ChunkId, Expected)>,
    /// Bytes to skip before the first slice.
    skip: u64,
}

enum Expected {
    Top(u64),
    Child(MapChild),
}

impl Slices {
    fn new(browser: Browser, stream: &Stream, offset: u64) -> Self {
        let mut slices = Self { browser, ready: Vec::new(), pages: Vec::new(), skip: offset };
        match stream {
            Stream::Map { page, len } => slices.pages.push((*page, Expected::Top(*len))),
            other => {
                slices.ready = other.inline().unwrap_or_default();
                slices.ready.reverse();
            }
        }
        slices
    }

    /// The next slice; the first may begin in the middle of one.
    ///
    /// # Errors
    /// [`Error::Tree`], [`Error::Blocks`].
    pub async fn next(&mut self) -> Result<Option<Slice>, Error> {
        loop {
            while let Some(slice) = self.ready.pop() {
                if self.skip < slice.len {
                    return Ok(Some(self.cut(slice)));
                }
                self.skip -= slice.len;
            }
            let Some((id, expected)) = self.pages.pop() else { return Ok(None) };
            let page = self.browser.map(id).await?;
            match &expected {
                Expected::Top(len) => page.check_len(*len)?,
                Expected::Child(child) => child.check(&page)?,
            }
            self.open(&page);
        }
    }

    fn cut(&mut self, mut slice: Slice) -> Slice {
        let skip = std::mem::take(&mut self.skip);
        slice.len -= skip;
        if let cairn_tree::Source::Chunk { skip: at, .. } = &mut slice.source {
            *at += u32::try_from(skip).expect("a slice of a chunk is below 1 MiB");
        }
        slice
    }

    fn open(&mut self, page: &MapPage) {
        let (index, start) = match page.find(self.skip) {
            MapFind::Slice { index, start, .. } | MapFind::Child { index, start, .. } => {
                (index, start)
            }
            MapFind::Beyond => {
                self.skip = self.skip.saturating_sub(page.byte_count());
                return;
            }
        };
        self.skip -= start;
        match page {
            MapPage::Leaf(leaf) => {
                self.ready = leaf.slices()[index..].to_vec();
                self.ready.reverse();
            }
            MapPage::Index(map) => {
                let children = map.children()[index..].iter().rev();
                self.pages.extend(children.map(|c| (c.page, Expected::Child(*c))));
            }
        }
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
