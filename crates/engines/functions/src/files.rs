//! Datasets as functions read them: `data://[@PROJECT/]DATASET[:TAG]/PATH` (FUNCTIONS-4).

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_access::{Access, Action, Resource};
use cairn_base::{ErrorKind, TagName};
use cairn_datasets::{Browser, ContentStream, Dataset, Datasets, Error as DataError};
use cairn_env::Env;
use cairn_tree::{Content, Entry, Kind};
use cairn_wasm::{File, FileError, Files, Found, Listed};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use crate::model::Function;
use crate::visits::admitted;

/// Names of a folder that are listed at a time.
const NAMES_MAX: usize = 1000;
/// Files that a function reads on at a time on a node: others are opened anew for each read.
const PLACES_MAX: usize = 256;
/// Those that are archives, which are rebuilt while they are read.
const REBUILT_MAX: usize = 16;
/// How long it is not asked again whether a function may read a file that it has open.
const ALLOWED_FOR: Duration = Duration::from_secs(1);

/// What one function may read.
#[derive(Clone)]
pub(crate) struct FunctionFiles {
    shared: Arc<Shared>,
}

struct Shared {
    datasets: Datasets,
    access: Access,
    env: Env,
    function: Function,
    /// Room for files that are read on where they are, and for those of them that are rebuilt meanwhile.
    places: Arc<Semaphore>,
    rebuilt: Arc<Semaphore>,
}

impl FunctionFiles {
    pub(crate) fn new(
        datasets: &Datasets,
        access: &Access,
        env: &Env,
        function: &Function,
    ) -> Self {
        let (datasets, access, env) = (datasets.clone(), access.clone(), env.clone());
        let (places, rebuilt) = (Semaphore::new(PLACES_MAX), Semaphore::new(REBUILT_MAX));
        let (places, rebuilt) = (Arc::new(places), Arc::new(rebuilt));
        let function = function.clone();
        let shared = Arc::new(Shared { datasets, access, env, function, places, rebuilt });
        Self { shared }
    }

    /// Whether the function may read a dataset, as of now.
    async fn may(&self, dataset: &Dataset) -> Result<(), FileError> {
        let Shared { access, env, function, .. } = &*self.shared;
        let visit = admitted((access, env), function, "function").await;
        let resource = Resource::Dataset(dataset.project.clone(), dataset.name.clone());
        let used = visit.and_then(|visit| visit.authorize_counted(Action::ReadDataset, &resource));
        used.map(drop).map_err(refused)
    }

    /// The dataset and the tag that a path begins with, and the names below.
    pub(crate) fn named<'a>(&self, path: &'a str) -> Option<(Dataset, TagName, Vec<&'a str>)> {
        let mut names = path.split('/').filter(|name| !name.is_empty()).peekable();
        let project = match names.next_if(|name| name.starts_with('@')) {
            Some(project) => project[1..].parse().ok()?,
            None => self.shared.function.project.clone(),
        };
        let name = names.next()?;
        let (name, tag) = match name.split_once(':') {
            Some((name, tag)) => (name, tag.parse().ok()?),
            None => (name, TagName::default()),
        };
        let name = name.parse().ok()?;
        Some((Dataset { project, name }, tag, names.collect()))
    }

    /// What is at a path of a dataset that the function may read now.
    async fn entry(&self, path: &str) -> Result<(Browser, Entry), FileError> {
        let (dataset, tag, names) = self.named(path).ok_or(FileError::NotFound)?;
        self.may(&dataset).await?;
        let browser = Browser::warm(&self.shared.datasets, dataset);
        let (_, root) = browser.open(&tag).await.map_err(failed)?;
        let entry = browser.at(&root, &names).await.map_err(failed)?;
        Ok((browser, entry))
    }
}

#[async_trait]
impl Files for FunctionFiles {
    async fn find(&self, path: &str) -> Result<Found, FileError> {
        // Above the datasets there are folders, which are not listed.
        if path.is_empty() || path.starts_with('@') && !path.contains('/') {
            return Ok(Found::Folder);
        }
        let (browser, entry) = self.entry(path).await?;
        match entry.kind {
            Kind::Directory { .. } => Ok(Found::Folder),
            Kind::File { content } => {
                let modified = u64::try_from(entry.meta.mtime.secs).ok();
                let modified = modified.map(|s| Duration::new(s, entry.meta.mtime.nanos));
                let file = DataFile::new(browser, content);
                let file = DataFile { modified, of: Some(self.asker()), ..file };
                Ok(Found::File(Arc::new(file)))
            }
            Kind::Symlink { .. } | Kind::Hardlink { .. } => {
                Err(FileError::Other("it is a symbolic link, which is not followed".to_owned()))
            }
        }
    }

    async fn list(&self, path: &str, after: Option<&str>) -> Result<Vec<Listed>, FileError> {
        let (browser, entry) = self.entry(path).await?;
        let Kind::Directory { page, .. } = entry.kind else { return Err(FileError::NoFolder) };
        let mut after = after.map(|name| name.as_bytes().to_vec());
        loop {
            let children = browser.children(page, NAMES_MAX, after.as_deref()).await;
            let (entries, more) = children.map_err(failed)?;
            after = entries.last().map(|last| last.name.clone());
            // A name that is no text is none that a function could open.
            let listed = entries.into_iter().filter_map(|entry| {
                let folder = matches!(entry.kind, Kind::Directory { .. });
                Some(Listed { name: String::from_utf8(entry.name).ok()?, folder })
            });
            let listed: Vec<Listed> = listed.collect();
            if !listed.is_empty() || !more {
                return Ok(listed);
            }
        }
    }
}

/// A file of a version: what is read one after the other is read ahead.
pub(crate) struct DataFile {
    browser: Browser,
    content: Content,
    /// Where it ends for who reads it.
    end: u64,
    modified: Option<Duration>,
    /// Whose grants it is read by; none when that was decided before.
    of: Option<Asker>,
    place: Mutex<Option<Place>>,
}

struct Place {
    at: u64,
    ready: Bytes,
    stream: ContentStream,
    /// One that has none is read on, and not kept.
    room: Option<OwnedSemaphorePermit>,
}

/// Who reads a file, and when that was allowed last.
struct Asker {
    files: FunctionFiles,
    allowed: std::sync::Mutex<Duration>,
}

impl FunctionFiles {
    fn asker(&self) -> Asker {
        let allowed = std::sync::Mutex::new(self.shared.env.clock.monotonic());
        Asker { files: self.clone(), allowed }
    }
}

impl Asker {
    /// Whether it still may (ACCESS-5).
    async fn may(&self, dataset: &Dataset) -> Result<(), FileError> {
        let now = self.files.shared.env.clock.monotonic();
        let last = *self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(last) < ALLOWED_FOR {
            return Ok(());
        }
        self.files.may(dataset).await?;
        *self.allowed.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(())
    }

    /// Room for a file that is read on, which one that is rebuilt needs.
    fn room(&self, rebuilt: bool) -> Result<Option<OwnedSemaphorePermit>, FileError> {
        let Shared { places, rebuilt: few, .. } = &*self.files.shared;
        if !rebuilt {
            return Ok(Arc::clone(places).try_acquire_owned().ok());
        }
        let many = |_| {
            let why = format!("the function reads {REBUILT_MAX} archives at a time already");
            FileError::Other(why)
        };
        Arc::clone(few).try_acquire_owned().map(Some).map_err(many)
    }
}

impl DataFile {
    pub(crate) fn new(browser: Browser, content: Content) -> Self {
        let (end, place) = (content.len, Mutex::new(None));
        Self { browser, content, end, modified: None, of: None, place }
    }

    /// The same, of which nothing is read from `end` on.
    pub(crate) fn until(self, end: u64) -> Self {
        Self { end: end.min(self.end), ..self }
    }

    async fn place(&self, at: u64) -> Result<Place, FileError> {
        let rebuilt = self.content.recipe.is_some();
        let room = self.of.as_ref().map(|of| of.room(rebuilt)).transpose()?.flatten();
        let stream = self.browser.content(&self.content, at..self.end);
        Ok(Place { at, ready: Bytes::new(), stream: stream.await.map_err(failed)?, room })
    }
}

#[async_trait]
impl File for DataFile {
    async fn size(&self) -> Option<u64> {
        Some(self.end)
    }

    fn modified(&self) -> Option<Duration> {
        self.modified
    }

    async fn read(&self, at: u64, most: usize) -> Result<Bytes, FileError> {
        if let Some(of) = &self.of {
            of.may(self.browser.dataset()).await?;
        }
        let at = at.min(self.end);
        let mut kept = self.place.lock().await;
        let mut place = match kept.take().filter(|place| place.at == at) {
            Some(place) => place,
            None => self.place(at).await?,
        };
        while place.ready.is_empty() {
            match place.stream.next().await.map_err(failed)? {
                Some(bytes) => place.ready = bytes,
                None => return Ok(Bytes::new()),
            }
        }
        let some = place.ready.split_to(place.ready.len().min(most));
        place.at += some.len() as u64;
        // Of a plan's parts there are as many as there are runs.
        if self.of.is_none() || place.room.is_some() {
            *kept = Some(place);
        }
        Ok(some)
    }
}

fn refused(error: cairn_access::Error) -> FileError {
    match error.kind() {
        ErrorKind::Denied => FileError::Denied,
        _ => FileError::Other(error.to_string()),
    }
}

pub(crate) fn failed(error: DataError) -> FileError {
    match error {
        DataError::NoDataset { .. } | DataError::NoTag { .. } | DataError::NoPath { .. } => {
            FileError::NotFound
        }
        error => FileError::Other(error.to_string()),
    }
}
