//! Datasets as containers of objects, `[@PROJECT/]DATASET[:TAG]`: an object is a file by its path, a change a version of the
//! tag (FUNCTIONS-4).

mod change;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_access::{Access, Action, Resource, Visit};
use cairn_base::{ErrorKind, TagName};
use cairn_datasets::{Browser, Dataset, Datasets, Edits, Error as DataError, Store as _, Target};
use cairn_env::Env;
use cairn_tree::{Entry, Kind, Root};
use cairn_wasm::{Blob, BlobError, Blobs, Container, File, FileError, Files as _, Found};
use tokio::sync::Semaphore;

use self::change::Change;
use crate::files::FunctionFiles;
use crate::model::Function;
use crate::visits::admitted;

/// The container that a function has without naming one: the dataset of its own name.
const DEFAULT: &str = "default";
/// Names of objects that are listed at a time.
const NAMES_MAX: usize = 1000;
/// Changes of one function that are made at a time on a node; others wait.
const CHANGES_MAX: usize = 4;

/// The containers of one function.
#[derive(Clone)]
pub(crate) struct FunctionBlobs {
    shared: Arc<Shared>,
}

struct Shared {
    files: FunctionFiles,
    datasets: Datasets,
    edits: Edits,
    access: Access,
    env: Env,
    function: Function,
    turns: Arc<Semaphore>,
}

impl FunctionBlobs {
    pub(crate) fn new(
        files: &FunctionFiles,
        datasets: &Datasets,
        access: &Access,
        env: &Env,
        function: &Function,
    ) -> Self {
        let (files, datasets) = (files.clone(), datasets.clone());
        let (access, env, function) = (access.clone(), env.clone(), function.clone());
        let (edits, turns) = (Edits::new(datasets.clone()), Arc::new(Semaphore::new(CHANGES_MAX)));
        let shared = Shared { files, datasets, edits, access, env, function, turns };
        Self { shared: Arc::new(shared) }
    }

    /// What a container is.
    fn target(&self, container: &str) -> Result<Target, BlobError> {
        if container == DEFAULT {
            let Function { project, name } = self.shared.function.clone();
            let (dataset, tag) = (Dataset { project, name }, TagName::default());
            return Ok(Target { dataset, tag });
        }
        match self.shared.files.named(container) {
            Some((dataset, tag, below)) if below.is_empty() => Ok(Target { dataset, tag }),
            _ => Err(BlobError::NoContainer),
        }
    }

    fn owner(&self) -> String {
        format!("function/{}", self.shared.function)
    }

    /// Lets the function in, where it may do this now.
    async fn may(&self, action: Action, on: &Target) -> Result<Visit, BlobError> {
        let Shared { access, env, function, .. } = &*self.shared;
        let visit = admitted((access, env), function, "function").await;
        let visit = visit.map_err(|error| BlobError::Other(error.to_string()))?;
        let dataset = &on.dataset;
        let resource = Resource::Dataset(dataset.project.clone(), dataset.name.clone());
        // What is read is read too often for a record each.
        let decided = if action.only_reads() {
            visit.authorize_counted(action, &resource).map(drop)
        } else {
            visit.authorize(action, &resource).map(drop)
        };
        decided.map_err(|error| self.refused(&error, action, on))?;
        Ok(visit)
    }

    fn refused(&self, error: &cairn_access::Error, action: Action, on: &Target) -> BlobError {
        if error.kind() != ErrorKind::Denied {
            return BlobError::Other(error.to_string());
        }
        let (what, role) =
            if action.only_reads() { ("read", "reader") } else { ("change", "writer") };
        let (dataset, owner) = (&on.dataset, self.owner());
        BlobError::Denied(format!("{what} {dataset}: cairn grant add {owner} {role} {dataset}"))
    }

    /// A container that is there, of a function that may read it.
    async fn opened(&self, container: &str) -> Result<Opened, BlobError> {
        let target = self.target(container)?;
        // Who may not read it is not told whether it is there.
        self.may(Action::ReadDataset, &target).await?;
        let opened = Opened { blobs: self.clone(), target };
        opened.browser().version(&opened.target.tag).await.map_err(failed)?;
        Ok(opened)
    }
}

#[async_trait]
impl Blobs for FunctionBlobs {
    async fn open(&self, name: &str) -> Result<Arc<dyn Container>, BlobError> {
        Ok(Arc::new(self.opened(name).await?))
    }

    async fn create(&self, name: &str) -> Result<Arc<dyn Container>, BlobError> {
        let target = self.target(name)?;
        self.change(target.clone(), Change::Create).await?;
        Ok(Arc::new(Opened { blobs: self.clone(), target }))
    }

    async fn remove(&self, name: &str) -> Result<(), BlobError> {
        let target = self.target(name)?;
        self.change(target, Change::Remove).await
    }

    async fn copy(&self, from: &Blob, to: &Blob, moves: bool) -> Result<(), BlobError> {
        let source = self.opened(&from.container).await?;
        let to_target = self.target(&to.container)?;
        let (path, old) = (path(&to.name)?, path(&from.name)?);
        let object = source.object(&from.name).await?;
        let within = source.target == to_target;
        if within && path == old {
            return Ok(());
        }
        let gone = (moves && within).then(|| old.clone());
        self.change(to_target, Change::Copy { from: object, path, gone }).await?;
        if moves && !within {
            self.change(source.target, Change::Delete(vec![old])).await?;
        }
        Ok(())
    }
}

/// A container that a function has open.
struct Opened {
    blobs: FunctionBlobs,
    target: Target,
}

impl Opened {
    fn browser(&self) -> Browser {
        Browser::warm(&self.blobs.shared.datasets, self.target.dataset.clone())
    }

    /// Its paths among those that are files.
    async fn there(&self, names: &[String]) -> Result<Vec<Vec<Vec<u8>>>, BlobError> {
        let mut there = Vec::new();
        for name in names {
            match self.object(name).await {
                Ok(_) => there.push(path(name)?),
                Err(BlobError::NoObject) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(there)
    }
}

#[async_trait]
impl Container for Opened {
    async fn made(&self) -> Result<Duration, BlobError> {
        self.blobs.may(Action::ReadDataset, &self.target).await?;
        let tag = self.blobs.shared.datasets.tag(&self.target).await.map_err(failed)?;
        // Versions that are not kept any more are not known.
        let oldest = tag.history.last().unwrap_or(&tag.current);
        Ok(Duration::from_nanos(u64::try_from(oldest.time_ns).unwrap_or(0)))
    }

    async fn object(&self, name: &str) -> Result<Arc<dyn File>, BlobError> {
        path(name)?;
        let Target { dataset: Dataset { project, name: dataset }, tag } = &self.target;
        let found =
            self.blobs.shared.files.find(&format!("@{project}/{dataset}:{tag}/{name}")).await;
        match found {
            Ok(Found::File(file)) => Ok(file),
            Ok(Found::Folder) | Err(FileError::NotFound | FileError::NoFolder) => {
                Err(BlobError::NoObject)
            }
            // It may have been taken back meanwhile: that says so with what would give it again.
            Err(FileError::Denied) => {
                self.blobs.may(Action::ReadDataset, &self.target).await?;
                Err(BlobError::Other("the function may not read it: try again".to_owned()))
            }
            Err(error) => Err(BlobError::Other(error.to_string())),
        }
    }

    async fn list(&self, after: Option<&str>) -> Result<Vec<String>, BlobError> {
        self.blobs.may(Action::ReadDataset, &self.target).await?;
        let browser = self.browser();
        let (_, root) = browser.open(&self.target.tag).await.map_err(failed)?;
        names(&browser, &root, after).await.map_err(failed)
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), BlobError> {
        let change = Change::Put { path: path(name)?, bytes };
        self.blobs.change(self.target.clone(), change).await
    }

    async fn delete(&self, names: &[String]) -> Result<(), BlobError> {
        let there = self.there(names).await?;
        self.blobs.change(self.target.clone(), Change::Delete(there)).await
    }

    async fn clear(&self) -> Result<(), BlobError> {
        self.blobs.change(self.target.clone(), Change::Clear).await
    }
}

/// The names of a path; a name that is none is of nothing.
fn path(name: &str) -> Result<Vec<Vec<u8>>, BlobError> {
    let names: Vec<Vec<u8>> = name.split('/').map(|name| name.as_bytes().to_vec()).collect();
    let wrong = |name: &Vec<u8>| matches!(name.as_slice(), b"" | b"." | b"..");
    if names.iter().any(wrong) {
        let why = "the name of an object is a path of a file, without empty names, . and ..";
        return Err(BlobError::Other(why.to_owned()));
    }
    Ok(names)
}

/// Paths of files, in the order of their names, those of a folder where the folder stands.
async fn names(
    browser: &Browser,
    root: &Root,
    after: Option<&str>,
) -> Result<Vec<String>, DataError> {
    let (mut open, mut next) = match after {
        None => (vec![(String::new(), browser.entries(root.page))], None),
        Some(after) => from(browser, root, after).await?,
    };
    let mut found = Vec::new();
    while let Some((folder, entries)) = open.last_mut() {
        let entry = match next.take() {
            Some(entry) => Some(entry),
            None => entries.next().await?,
        };
        let Some(entry) = entry else {
            open.pop();
            continue;
        };
        // A name that is no text is none that a function could ask for.
        let Ok(name) = String::from_utf8(entry.name) else { continue };
        let path = format!("{folder}{name}");
        match entry.kind {
            Kind::Directory { page, .. } => open.push((format!("{path}/"), browser.entries(page))),
            Kind::File { .. } | Kind::Hardlink { .. } => found.push(path),
            Kind::Symlink { .. } => {}
        }
        if found.len() >= NAMES_MAX {
            break;
        }
    }
    Ok(found)
}

type Open = Vec<(String, cairn_datasets::Entries)>;

/// The folders that a path leads through, each at what follows the path, and what was read ahead in the last one.
async fn from(
    browser: &Browser,
    root: &Root,
    after: &str,
) -> Result<(Open, Option<Entry>), DataError> {
    let (mut open, mut page, mut at) = (Vec::new(), root.page, String::new());
    let mut names = after.split('/').peekable();
    while let Some(name) = names.next() {
        let mut entries = browser.entries(page);
        let first = entries.seek(name.as_bytes()).await?;
        open.push((at.clone(), entries));
        let same = first.as_ref().is_some_and(|first| first.name == name.as_bytes());
        let (last, kind) = (names.peek().is_none(), first.as_ref().map(|first| &first.kind));
        match kind {
            Some(Kind::Directory { page: below, .. }) if same && !last => page = *below,
            // It was told before.
            Some(kind) if same && last && !matches!(kind, Kind::Directory { .. }) => break,
            _ => return Ok((open, first)),
        }
        at = format!("{at}{name}/");
    }
    Ok((open, None))
}

fn failed(error: DataError) -> BlobError {
    match error {
        DataError::NoDataset { .. } | DataError::NoTag { .. } => BlobError::NoContainer,
        DataError::NoPath { .. } => BlobError::NoObject,
        error => BlobError::Other(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
