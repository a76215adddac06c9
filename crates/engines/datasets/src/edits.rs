//! Edits: a dataset changed file by file, for clients that cannot cut chunks: browsers, curl.
//!
//! An edit is kept by id between requests, as an upload is: files come in pieces, are cut and stored as
//! they come, and publishing puts them into what the tag points to then. A file gets the chunks and the
//! entry that a push would give it, but for archives, which are stored as they are: a push reads them
//! twice.
//!
//! What was received is in the memory and the session of this process. A node that dies takes its edits
//! along; chunks that were registered are found again when the files are sent again.

mod apply;
mod draft;
mod links;
mod plan;
mod writing;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cairn_blocks::catalog::pause;
use cairn_tree::Time;
use serde::Serialize;

use self::draft::Draft;
pub use self::draft::EditFile;
pub(crate) use self::writing::Writing;
use crate::error::Error;
use crate::local::{Datasets, LocalUpload};
use crate::meter::Meter;
use crate::model::{Publication, Target};
use crate::owned::Owned;
use crate::pages::Browser;
use crate::push::{Sink, To, kept};
use crate::refs::On;
use crate::store::{Published, Upload as _};
use crate::uploads::UploadId;

/// The most edits at a time; each holds a few unfinished megabytes, as an upload does.
pub const EDITS_MAX: usize = 64;
/// The most files and removals of an edit.
pub const EDIT_FILES_MAX: usize = 100_000;
/// Bytes of their paths.
pub const EDIT_NAMES_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest path, in bytes.
pub const EDIT_PATH_BYTES_MAX: usize = 4096;
/// The most names of a path.
pub const EDIT_DEPTH_MAX: usize = 256;
/// Files of an edit that have begun and are not done.
pub const EDIT_OPEN_FILES_MAX: usize = 8;
/// Bytes that are taken at a time.
pub const EDIT_WRITE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often a publication begins again because the tag moved meanwhile.
const PUBLISH_ATTEMPTS_MAX: u32 = 32;
const LEVEL: i32 = 3;

/// The name of an edit: 128 random bits, known only to its client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct EditId(UploadId);

impl EditId {
    /// Parses 32 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        UploadId::from_hex(text).map(Self)
    }
}

impl fmt::Display for EditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names from the top of the tree down.
type PathNames = Vec<Vec<u8>>;

/// A piece of a file.
#[derive(Clone, Debug)]
pub struct FileWrite {
    /// Its path, as names from the top of the tree down.
    pub path: Vec<Vec<u8>>,
    /// Where the piece begins: what was received before.
    pub offset: u64,
    /// The length of the whole file.
    pub size: u64,
    /// When its content last changed; now unless it is said.
    pub mtime: Option<Time>,
    /// Whether it may be run. Unless it is said, a file that is replaced keeps its mode, and a new one
    /// may not.
    pub executable: Option<bool>,
}

/// Where the tag must point when an edit is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// Anywhere.
    #[default]
    Anything,
    /// Nowhere: it is not there.
    Nothing,
    /// To the version with this root or this [`Version::id`](crate::Version::id).
    Version(String),
}

/// How an edit is published.
#[derive(Clone, Debug, Default)]
pub struct EditPublication {
    /// Where the tag must point.
    pub expect: Expect,
    /// Why.
    pub message: Option<String>,
}

/// A page of what an edit has so far.
#[derive(Clone, Debug, Serialize)]
pub struct EditStatus {
    /// The project of its dataset.
    pub project: String,
    /// The name of its dataset.
    pub name: String,
    /// The tag that is to move.
    pub tag: String,
    /// Files, by path.
    pub files: Vec<EditFile>,
    /// Paths that are taken out of the version to come.
    pub removed: Vec<String>,
    /// The last path of this page, when there are more.
    pub next: Option<String>,
}

/// One edit.
struct Edit {
    datasets: Datasets,
    target: Target,
    upload: Arc<LocalUpload>,
    /// Where chunks go. It is taken out while it is used: one that is not there broke, and what it had
    /// claimed may not be stored (DATASETS-2).
    sink: tokio::sync::Mutex<Option<Sink<'static>>>,
    draft: Mutex<Draft>,
}

/// The edits that a node has open. Cheap to clone.
#[derive(Clone)]
pub struct Edits {
    datasets: Datasets,
    open: Owned<EditId, Edit>,
}

impl Edits {
    /// No edits yet.
    #[must_use]
    pub fn new(datasets: Datasets) -> Self {
        let open = Owned::new(Arc::clone(&datasets.blocks.env().clock));
        Self { datasets, open }
    }

    /// Opens an edit for `owner` of what `target` points to when it is published.
    ///
    /// # Errors
    /// [`Error::TooMany`] over [`EDITS_MAX`]; [`Error::Blocks`].
    pub async fn begin(&self, target: &Target, owner: &str) -> Result<EditId, Error> {
        self.open.room("number of edits at a time", EDITS_MAX)?;
        let targets = [target.clone()];
        let upload = Arc::new(self.datasets.upload_to(&targets, true).await?);
        let edit = Arc::new(Edit {
            sink: tokio::sync::Mutex::new(Some(sink(&self.datasets, target, &upload))),
            datasets: self.datasets.clone(),
            target: target.clone(),
            upload,
            draft: Mutex::default(),
        });
        let id = EditId(UploadId::fresh(self.datasets.blocks.env()));
        self.open.keep(id, owner, edit);
        Ok(id)
    }

    /// What an edit changes, for the question whether its owner may still write it.
    ///
    /// # Errors
    /// [`Error::NoEdit`], also when it is somebody else's.
    pub fn target(&self, id: EditId, owner: &str) -> Result<Target, Error> {
        Ok(self.get(id, owner)?.target.clone())
    }

    /// Takes the next piece of a file, at most [`EDIT_WRITE_BYTES_MAX`] bytes. To be carried to its end:
    /// a write that is dropped breaks the edit.
    ///
    /// # Errors
    /// [`Error::Offset`] when it does not go on there; [`Error::Invalid`] for a path or a length that
    /// cannot be; [`Error::Edit`]; [`Error::TooMany`]; [`Error::NoEdit`]; [`Error::Blocks`].
    pub async fn write(
        &self,
        id: EditId,
        owner: &str,
        write: FileWrite,
        bytes: Bytes,
    ) -> Result<EditFile, Error> {
        assert!(bytes.len() <= EDIT_WRITE_BYTES_MAX, "the caller cuts what comes in");
        let edit = self.get(id, owner)?;
        edit.upload.keep().await?;
        edit.write(write, bytes).await
    }

    /// Takes a path out of the version to come: a file, or a directory with all that is below it.
    ///
    /// # Errors
    /// [`Error::NoPath`] when it is neither in the edit nor where the tag points; [`Error::Edit`] while a
    /// file below it is written; [`Error::TooMany`]; [`Error::NoEdit`]; [`Error::Blocks`].
    pub async fn remove(&self, id: EditId, owner: &str, path: Vec<Vec<u8>>) -> Result<(), Error> {
        let edit = self.get(id, owner)?;
        draft::check_path(&path)?;
        let there = edit.has(&path).await?;
        edit.draft().remove(path, there)
    }

    /// Takes everything out of the version to come: what the edit has so far, and what the tag points to. A tag that is
    /// not there gets a version without files, if nothing is written after this.
    ///
    /// # Errors
    /// [`Error::Edit`] while a file is written; [`Error::NoEdit`].
    pub fn clear(&self, id: EditId, owner: &str) -> Result<(), Error> {
        self.get(id, owner)?.draft().clear()
    }

    /// At most `limit` of the paths that an edit has so far, those after `after`.
    ///
    /// # Errors
    /// [`Error::NoEdit`]; [`Error::Blocks`].
    pub async fn status(
        &self,
        id: EditId,
        owner: &str,
        limit: usize,
        after: Option<&[Vec<u8>]>,
    ) -> Result<EditStatus, Error> {
        let edit = self.get(id, owner)?;
        edit.upload.keep().await?;
        let (files, removed, next) = edit.draft().page(limit, after);
        let Target { dataset, tag } = &edit.target;
        let (project, name) = (dataset.project.to_string(), dataset.name.to_string());
        Ok(EditStatus { project, name, tag: tag.to_string(), files, removed, next })
    }

    /// Puts the changes into what the tag points to and moves it there. When it returns, the version is
    /// durable and the edit has ended. When it fails the edit stays.
    ///
    /// # Errors
    /// [`Error::Moved`] when the tag is not where it is expected; [`Error::Edit`] while a file is not
    /// done; [`Error::WrongKind`] for a file where a directory is, or below a file; [`Error::NoEdit`];
    /// [`Error::Blocks`].
    pub async fn publish(
        &self,
        id: EditId,
        owner: &str,
        publication: &EditPublication,
    ) -> Result<Published, Error> {
        let edit = self.get(id, owner)?;
        edit.draft().seal()?;
        let env = self.datasets.blocks.env();
        let work = Box::pin(edit.publish(owner, publication));
        let published = kept(edit.upload.as_ref(), env, work).await;
        edit.draft().unseal();
        let published = published?;
        self.open.forget(&id);
        Ok(published)
    }

    /// Ends an edit and changes nothing.
    ///
    /// # Errors
    /// [`Error::NoEdit`]; [`Error::Blocks`].
    pub async fn abandon(&self, id: EditId, owner: &str) -> Result<(), Error> {
        let edit = self.get(id, owner)?;
        self.open.forget(&id);
        edit.upload.abandon().await
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.open.count()
    }

    fn get(&self, id: EditId, owner: &str) -> Result<Arc<Edit>, Error> {
        self.open.get(&id, owner).ok_or_else(|| Error::NoEdit { id: id.to_string() })
    }
}

impl fmt::Debug for Edits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Edits({})", self.count())
    }
}

/// A sink of an upload that is kept elsewhere.
fn sink(datasets: &Datasets, target: &Target, upload: &Arc<LocalUpload>) -> Sink<'static> {
    let key = datasets.key(&target.dataset.project);
    let to = To::Shared(Arc::clone(upload) as Arc<dyn crate::store::Upload>);
    Sink::new(to, datasets.blocks.env(), key, LEVEL, Arc::<Meter>::default())
}

impl Edit {
    fn draft(&self) -> MutexGuard<'_, Draft> {
        self.draft.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn browser(&self) -> Browser {
        Browser::new(Arc::new(self.datasets.clone()), self.target.dataset.clone())
    }

    /// Whether the version that the tag points to has this path.
    async fn has(&self, path: &[Vec<u8>]) -> Result<bool, Error> {
        let loaded = self.datasets.refs.load(&self.target).await?;
        let Some(version) = loaded.and_then(|(state, _)| state.current) else { return Ok(false) };
        let browser = self.browser();
        let root = browser.root(version.root).await?;
        Ok(browser.lookup(&root, path).await?.is_some())
    }

    async fn write(&self, write: FileWrite, bytes: Bytes) -> Result<EditFile, Error> {
        let env = self.datasets.blocks.env();
        let key = self.datasets.key(&self.target.dataset.project);
        let begun = self.draft().begin(&write, bytes.len() as u64, || {
            (Box::new(Writing::new(&key, write.size)), env.clock.wall_ns())
        })?;
        let Some(writing) = begun else { return self.draft().file(&write.path) };
        let ended = write.offset + bytes.len() as u64 == write.size;
        let len = bytes.len() as u64;
        let stored = self.store(writing, bytes, ended).await;
        let mut draft = self.draft();
        match stored {
            Ok(stored) => draft.took(&write.path, len, stored),
            Err(error) => {
                draft.lost(&write.path);
                return Err(error);
            }
        }
        draft.file(&write.path)
    }

    /// Cuts a piece and hands its chunks on.
    async fn store(
        &self,
        writing: Box<Writing>,
        bytes: Bytes,
        ended: bool,
    ) -> Result<draft::Stored, Error> {
        let env = self.datasets.blocks.env();
        let (mut writing, part, end) = env.spawn.run(move || writing.feed(&bytes, ended)).await?;
        let mut place = self.sink.lock().await;
        let mut sink = place.take().ok_or_else(broken)?;
        writing.content.part(part, &mut sink).await?;
        let stored = match end {
            None => draft::Stored::Part(writing),
            Some(end) => draft::Stored::Whole(Box::new(writing.content.end(end, &mut sink).await?)),
        };
        *place = Some(sink);
        Ok(stored)
    }

    async fn publish(&self, by: &str, asked: &EditPublication) -> Result<Published, Error> {
        {
            let mut place = self.sink.lock().await;
            let mut sink = place.take().ok_or_else(broken)?;
            sink.flush().await?;
            *place = Some(sink);
        }
        for attempt in 0..PUBLISH_ATTEMPTS_MAX {
            match self.publish_once(by, asked).await {
                Err(Error::Moved { .. }) if asked.expect == Expect::Anything => {
                    pause(self.datasets.blocks.env(), attempt).await;
                }
                other => return other,
            }
        }
        Err(self.target.moved())
    }

    async fn publish_once(&self, by: &str, asked: &EditPublication) -> Result<Published, Error> {
        let loaded = self.datasets.refs.load(&self.target).await?;
        let base = loaded.and_then(|(state, _)| state.current);
        let holds = match (&asked.expect, &base) {
            (Expect::Anything, _) | (Expect::Nothing, None) => true,
            (Expect::Version(id), Some(base)) => *id == base.id() || *id == base.root.to_string(),
            (Expect::Nothing, Some(_)) | (Expect::Version(_), None) => false,
        };
        if !holds {
            return Err(self.target.moved());
        }
        let mut sink = sink(&self.datasets, &self.target, &self.upload);
        let plan = self.draft().plan();
        let (root, totals) = apply::apply(&self.browser(), base.as_ref(), plan, &mut sink).await?;
        if let Some(base) = &base
            && base.root == root
            && asked.message.is_none()
        {
            let (version, stored) = (base.clone(), cairn_blocks::SessionStats::default());
            self.upload.abandon().await?;
            return Ok(Published { version, stored });
        }
        let publication = Publication {
            root,
            totals,
            by: by.to_owned(),
            message: asked.message.clone(),
            expires_ns: base.as_ref().and_then(|base| base.expires_ns),
        };
        self.upload.publish_on(&publication, &On(base)).await
    }
}

fn broken() -> Error {
    let detail = "a part of this edit could not be stored before; open another and send it again";
    Error::Edit { detail: detail.to_owned() }
}
