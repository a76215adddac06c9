//! The second walk: does what the check decided.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use cairn_env::Lost;
use cairn_tree::{Content, Entry, Kind, Meta, Root, Slice};
use futures::future::BoxFuture;
use futures::stream::{FuturesOrdered, StreamExt as _};

use super::check::{Action, Memory, check};
use super::seeds::{Seeds, below, local};
use super::write::{self, FileJob, Staged};
use super::{PullOptions, Pulled};
use crate::content::{Piece, read_slices};
use crate::error::Error;
use crate::model::{Project, Version};
use crate::pages::{Browser, Entries};
use crate::push::Stamp;
use crate::stat_cache::{CacheFile, CacheWriter};

/// A file up to this size is written together with others.
const SMALL_BYTES_MAX: u64 = 1024 * 1024;
const BATCH_BYTES: u64 = 4 * 1024 * 1024;
const BATCH_FILES: usize = 128;
const BATCHES_AT_ONCE: usize = 3;
const WARNINGS_MAX: usize = 100;

struct Level {
    path: Vec<u8>,
    directory: Arc<OwnedFd>,
    entries: Entries,
    /// Names of the version here, when others are to be deleted.
    names: BTreeSet<Vec<u8>>,
}

/// A small file on its way: where it goes, and what it is made of.
struct Small {
    path: Vec<u8>,
    directory: Arc<OwnedFd>,
    name: Vec<u8>,
    meta: Meta,
    len: u64,
    slices: Vec<Slice>,
}

type Written = Result<(Vec<(Vec<u8>, Stamp)>, Vec<String>), Error>;

struct Apply<'a> {
    browser: Browser,
    destination: &'a Path,
    options: &'a PullOptions,
    actions: Option<std::vec::IntoIter<Action>>,
    top: Arc<OwnedFd>,
    clean_up: bool,
    batch: Vec<Small>,
    batch_bytes: u64,
    writing: FuturesOrdered<BoxFuture<'static, Written>>,
    /// Rows of the memory that is being written, in the order of the walk.
    rows: Option<CacheWriter>,
    links: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    finish: Vec<(Vec<u8>, Meta)>,
    pulled: Pulled,
}

pub(crate) async fn apply(
    browser: &Browser,
    version: &Version,
    root: &Root,
    destination: &Path,
    project: &Project,
    options: &PullOptions,
) -> Result<Pulled, Error> {
    let failed =
        |operation| move |error: std::io::Error| Error::local(operation, destination, error);
    let absolute = std::path::absolute(destination).map_err(failed("find"))?;
    let fresh = !absolute.exists();
    std::fs::create_dir_all(&absolute).map_err(failed("make"))?;
    let top = Arc::new(write::open_top(&absolute).map_err(|e| failed("open")(e.into()))?);
    let file =
        options.state_dir.as_ref().map(|dir| CacheFile::new(dir, "pull", &absolute, project));
    let seeds = Arc::new(Seeds::new(project.key.clone(), Arc::clone(&options.meter)));
    let empty = fresh || write::names(&top).map_err(failed("list"))?.is_empty();
    let mut actions = None;
    if !empty {
        let memory = match file.as_ref().and_then(CacheFile::open) {
            Some((reader, old)) => Some(Memory { reader, root: browser.root(old).await.ok() }),
            None => None,
        };
        if let Some(old) = memory.as_ref().and_then(|memory| memory.root.as_ref()) {
            seeds.learn(browser, old, root, &absolute).await?;
        }
        let key = &project.key;
        actions = Some(check(browser, root, &absolute, memory, key, options).await?.into_iter());
    }
    let marker = file.as_ref().map(CacheFile::marker);
    let cut_off = marker.as_ref().is_some_and(|marker| marker.exists());
    let rows = file.as_ref().and_then(|file| file.create(i64::MAX).ok());
    if let Some(marker) = &marker {
        std::fs::write(marker, b"").map_err(|error| Error::local("write", marker, error))?;
    }
    let mut work = Apply {
        browser: browser.clone().with_seeds(Arc::clone(&seeds)),
        destination: &absolute,
        options,
        actions,
        top,
        clean_up: cut_off || (options.delete && !empty),
        batch: Vec::new(),
        batch_bytes: 0,
        writing: FuturesOrdered::new(),
        rows,
        links: Vec::new(),
        finish: vec![(Vec::new(), root.meta.clone())],
        pulled: empty_report(version),
    };
    work.walk(root).await?;
    work.end().await?;
    if let Some(rows) = work.rows.take() {
        rows.finish(version.root).map_err(failed("remember the pull of"))?;
    }
    if let Some(marker) = &marker {
        std::fs::remove_file(marker).map_err(|error| Error::local("remove", marker, error))?;
    }
    work.pulled.reused_bytes = seeds.reused_bytes();
    work.pulled.fetched_bytes = options.meter.moved.get();
    Ok(work.pulled)
}

fn empty_report(version: &Version) -> Pulled {
    Pulled {
        version: version.clone(),
        files_written: 0,
        files_kept: 0,
        deleted: 0,
        fetched_bytes: 0,
        reused_bytes: 0,
        warnings: Vec::new(),
    }
}

impl Apply<'_> {
    fn error(
        &self,
        operation: &'static str,
        path: &[u8],
        error: impl Into<std::io::Error>,
    ) -> Error {
        Error::local(operation, local(self.destination, path), error)
    }

    async fn walk(&mut self, root: &Root) -> Result<(), Error> {
        let mut levels = vec![Level {
            path: Vec::new(),
            directory: Arc::clone(&self.top),
            entries: self.browser.entries(root.page),
            names: BTreeSet::new(),
        }];
        while let Some(level) = levels.last_mut() {
            let Some(entry) = level.entries.next().await? else {
                let level = levels.pop().expect("the loop has just seen it");
                self.leave(&level)?;
                continue;
            };
            let action = match &mut self.actions {
                None => Action::Write,
                Some(actions) => actions.next().expect("the check went the same way"),
            };
            if self.clean_up {
                level.names.insert(entry.name.clone());
            }
            let path = below(&level.path, &entry.name);
            let directory = Arc::clone(&level.directory);
            if let Some(below) = self.entry(&path, &directory, entry, action).await? {
                levels.push(below);
            }
        }
        Ok(())
    }

    async fn entry(
        &mut self,
        path: &[u8],
        directory: &Arc<OwnedFd>,
        entry: Entry,
        action: Action,
    ) -> Result<Option<Level>, Error> {
        if action == Action::Replace {
            write::remove(directory, &entry.name).map_err(|e| self.error("replace", path, e))?;
        }
        let Entry { name, meta, kind } = entry;
        match kind {
            Kind::Directory { page, .. } => {
                write::make_directory(directory, &name).map_err(|e| self.error("make", path, e))?;
                let opened = write::open_directory(directory, &name);
                let opened = opened.map_err(|e| self.error("open", path, e))?;
                self.finish.push((path.to_vec(), meta));
                return Ok(Some(Level {
                    path: path.to_vec(),
                    directory: Arc::new(opened),
                    entries: self.browser.entries(page),
                    names: BTreeSet::new(),
                }));
            }
            Kind::Symlink { target } => match action {
                Action::Keep | Action::Attributes => {
                    write::fix_symlink(directory, &name, &meta)
                        .map_err(|e| self.error("set the attributes of", path, e))?;
                }
                Action::Write | Action::Replace => {
                    write::write_symlink(directory, &name, &target, &meta)
                        .map_err(|e| self.error("write", path, e))?;
                }
            },
            Kind::Hardlink { target } => {
                let parent = path[..path.len() - name.len()].to_vec();
                self.links.push((target, parent, name));
            }
            Kind::File { content } => {
                self.file(path, directory, name, meta, content, action).await?
            }
        }
        Ok(None)
    }

    async fn file(
        &mut self,
        path: &[u8],
        directory: &Arc<OwnedFd>,
        name: Vec<u8>,
        meta: Meta,
        content: Content,
        action: Action,
    ) -> Result<(), Error> {
        let slices = content.stream.inline();
        match (action, slices) {
            (Action::Keep | Action::Attributes, _) => {
                self.flush().await?;
                let mut warnings = Vec::new();
                // What needs no change is not touched: its change time tells who watches it.
                let stamp = if action == Action::Keep {
                    write::stamp(directory, &name).map_err(|e| self.error("look at", path, e))?
                } else {
                    write::fix_attributes(directory, &name, &meta, &mut warnings)
                        .map_err(|e| self.error("set the attributes of", path, e))?
                };
                self.warn(warnings);
                self.pulled.files_kept += 1;
                self.remember(path, &stamp, content.len);
                Ok(())
            }
            (_, Some(slices)) if content.recipe.is_none() && content.len <= SMALL_BYTES_MAX => {
                self.batch_bytes += content.len;
                let (path, directory) = (path.to_vec(), Arc::clone(directory));
                self.batch.push(Small { path, directory, name, meta, len: content.len, slices });
                if self.batch_bytes >= BATCH_BYTES || self.batch.len() >= BATCH_FILES {
                    self.start_batch().await?;
                }
                Ok(())
            }
            _ => self.large(path, directory, &name, &meta, &content).await,
        }
    }

    async fn large(
        &mut self,
        path: &[u8],
        directory: &Arc<OwnedFd>,
        name: &[u8],
        meta: &Meta,
        content: &Content,
    ) -> Result<(), Error> {
        self.flush().await?;
        let env = self.browser.store().env().clone();
        let mut staged = Staged::create(directory).map_err(|e| self.error("write", path, e))?;
        let mut pieces = self.browser.content(content, 0..content.len).await?;
        while let Some(piece) = pieces.next_piece().await? {
            let len = piece.len();
            let write = move || staged.write(&piece).map(|()| staged);
            staged = env.spawn.run(write).await?.map_err(|e| self.error("write", path, e))?;
            self.options.meter.bytes.add(len);
        }
        let mut warnings = Vec::new();
        let stamp = staged.finish(name, meta, &mut warnings);
        let stamp = stamp.map_err(|e| self.error("write", path, e))?;
        self.warn(warnings);
        self.pulled.files_written += 1;
        self.remember(path, &stamp, 0);
        Ok(())
    }

    /// Starts fetching and writing what was gathered.
    async fn start_batch(&mut self) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        while self.writing.len() >= BATCHES_AT_ONCE {
            self.take_batch().await?;
        }
        self.batch_bytes = 0;
        let files = std::mem::take(&mut self.batch);
        let (browser, destination) = (self.browser.clone(), self.destination.to_path_buf());
        self.writing.push_back(Box::pin(async move {
            let slices: Vec<Slice> = files.iter().flat_map(|file| file.slices.clone()).collect();
            let mut pieces = read_slices(&browser, &slices).await?.into_iter();
            let jobs: Vec<(Vec<u8>, FileJob)> = files
                .into_iter()
                .map(|file| {
                    let Small { path, directory, name, meta, len, slices } = file;
                    let pieces: Vec<Piece> = pieces.by_ref().take(slices.len()).collect();
                    (path, FileJob { directory, name, meta, len, pieces })
                })
                .collect();
            let work = move || write_batch(jobs, &destination);
            browser.store().env().spawn.run(work).await.map_err(|Lost| Error::Worker(Lost))?
        }));
        Ok(())
    }

    async fn take_batch(&mut self) -> Result<(), Error> {
        let Some(written) = self.writing.next().await else { return Ok(()) };
        let (files, warnings) = written?;
        self.warn(warnings);
        for (path, stamp) in files {
            self.pulled.files_written += 1;
            self.remember(&path, &stamp, stamp.size);
        }
        Ok(())
    }

    /// Waits until all that came before is written, so that rows stay in order.
    async fn flush(&mut self) -> Result<(), Error> {
        self.start_batch().await?;
        while !self.writing.is_empty() {
            self.take_batch().await?;
        }
        Ok(())
    }

    fn remember(&mut self, path: &[u8], stamp: &Stamp, bytes: u64) {
        self.options.meter.files.add(1);
        self.options.meter.bytes.add(bytes);
        if let Some(rows) = &mut self.rows {
            rows.add(path, stamp);
        }
    }

    fn warn(&mut self, warnings: Vec<String>) {
        let room = WARNINGS_MAX.saturating_sub(self.pulled.warnings.len());
        self.pulled.warnings.extend(warnings.into_iter().take(room));
    }

    /// Deletes what the version has not, and what a pull that was cut off left behind.
    fn leave(&mut self, level: &Level) -> Result<(), Error> {
        if !self.clean_up {
            return Ok(());
        }
        let failed = |error| self.error("list", &level.path, error);
        let there = write::names(&level.directory).map_err(failed)?;
        for name in there {
            let staged = name.starts_with(write::STAGED);
            // Files of batches on their way have staged names of this process.
            let ours = staged && self.is_ours(&name);
            if level.names.contains(&name) || ours || !(staged || self.options.delete) {
                continue;
            }
            let path = below(&level.path, &name);
            write::remove(&level.directory, &name).map_err(|e| self.error("delete", &path, e))?;
            self.pulled.deleted += u64::from(!staged);
        }
        Ok(())
    }

    fn is_ours(&self, name: &[u8]) -> bool {
        let process = format!("{:x}.", std::process::id());
        name.strip_prefix(write::STAGED).is_some_and(|rest| rest.starts_with(process.as_bytes()))
    }

    /// Links, then attributes of directories from the deepest up: both need all files in place.
    async fn end(&mut self) -> Result<(), Error> {
        self.flush().await?;
        for (target, parent, name) in std::mem::take(&mut self.links) {
            let path = below(&parent, &name);
            let directory = write::open_path(&self.top, &parent);
            let directory = directory.map_err(|e| self.error("open", &parent, e))?;
            write::write_hardlink(&self.top, &target, &directory, &name)
                .map_err(|e| self.error("link", &path, e))?;
        }
        let mut warnings = Vec::new();
        for (path, meta) in std::mem::take(&mut self.finish).into_iter().rev() {
            let directory = write::open_path(&self.top, &path);
            let directory = directory.map_err(|e| self.error("open", &path, e))?;
            let file = std::fs::File::from(directory);
            write::set_attributes(&file, &path, &meta, &mut warnings)
                .map_err(|e| self.error("set the attributes of", &path, e))?;
        }
        self.warn(warnings);
        Ok(())
    }
}

fn write_batch(jobs: Vec<(Vec<u8>, FileJob)>, destination: &Path) -> Written {
    let mut warnings = Vec::new();
    let mut written = Vec::with_capacity(jobs.len());
    for (path, job) in jobs {
        let stamp = write::write_file(&job, &mut warnings)
            .map_err(|error| Error::local("write", local(destination, &path), error))?;
        written.push((path, stamp));
    }
    Ok((written, warnings))
}
