//! The second walk: does what the check decided.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use cairn_chunk::ChunkKey;
use cairn_tree::{Entry, Kind, Meta, Root};

use super::check::{Action, Memory, check};
use super::queue::{Done, Queue, Target};
use super::seeds::{Seeds, below, local};
use super::{PullOptions, Pulled, write};
use crate::error::Error;
use crate::model::{Project, Version};
use crate::page_file::PageFile;
use crate::pages::{Browser, Entries};
use crate::stat_cache::{CacheFile, CacheWriter};

const WARNINGS_MAX: usize = 100;

struct Level {
    path: Vec<u8>,
    directory: Arc<OwnedFd>,
    entries: Entries,
    /// Names of the version here, when others are to be deleted.
    names: BTreeSet<Vec<u8>>,
}

struct Apply<'a> {
    browser: Browser,
    destination: &'a Path,
    options: &'a PullOptions,
    actions: Option<std::vec::IntoIter<Action>>,
    top: Arc<OwnedFd>,
    clean_up: bool,
    queue: Queue,
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
    let pages = file.as_ref().and_then(|file| {
        let pages = file.make().and_then(|()| PageFile::create(&file.pages(), project.key.clone()));
        // Without it pages are fetched, that is all.
        pages.inspect_err(|error| tracing::debug!(%error, "pages are not kept")).ok().map(Arc::new)
    });
    let browser = match &pages {
        Some(pages) => browser.clone().with_pages(Arc::clone(pages)),
        None => browser.clone(),
    };
    let seeds = Arc::new(Seeds::new(project.key.clone(), Arc::clone(&options.meter)));
    let empty = fresh || write::names(&top).map_err(failed("list"))?.is_empty();
    let mut actions = None;
    if !empty {
        let place = Place { browser: &browser, root, destination: &absolute, key: &project.key };
        actions = Some(decide(&place, file.as_ref(), &seeds, options).await?.into_iter());
    }
    let marker = file.as_ref().map(CacheFile::marker);
    let cut_off = marker.as_ref().is_some_and(|marker| marker.exists());
    let rows = file.as_ref().and_then(|file| file.create(i64::MAX).ok());
    if let Some(marker) = &marker {
        std::fs::write(marker, b"").map_err(|error| Error::local("write", marker, error))?;
    }
    let for_content = browser.clone().with_seeds(Arc::clone(&seeds));
    let mut work = Apply {
        queue: Queue::new(for_content, absolute.clone(), Arc::clone(&options.meter)),
        browser,
        destination: &absolute,
        options,
        actions,
        top,
        clean_up: cut_off || (options.delete && !empty),
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
    if let Some(pages) = &pages {
        pages.finish().map_err(failed("remember the pull of"))?;
    }
    if let Some(marker) = &marker {
        std::fs::remove_file(marker).map_err(|error| Error::local("remove", marker, error))?;
    }
    work.pulled.reused_bytes = seeds.reused_bytes();
    work.pulled.fetched_bytes = options.meter.moved.get();
    Ok(work.pulled)
}

/// What is to be made of what: a version at a destination.
struct Place<'a> {
    browser: &'a Browser,
    root: &'a Root,
    destination: &'a Path,
    key: &'a ChunkKey,
}

/// Looks at what is there: what is to be done with each entry, and which chunks files there have.
async fn decide(
    place: &Place<'_>,
    file: Option<&CacheFile>,
    seeds: &Seeds,
    options: &PullOptions,
) -> Result<Vec<Action>, Error> {
    let Place { browser, root, destination, key } = place;
    let (memory, old) = match file.and_then(CacheFile::open) {
        Some((reader, old)) => {
            let old = browser.root(old).await.ok();
            (Some(Memory { reader, root: old.clone() }), old)
        }
        None => (None, None),
    };
    let actions = check(browser, root, destination, memory, key, options).await?;
    if let Some(old) = &old {
        seeds.learn(browser, old, root, destination).await?;
    }
    Ok(actions)
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
            let Some(entry) = self.next_entry(&mut level.entries).await? else {
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
                let (path, directory) = (path.to_vec(), Arc::clone(directory));
                self.file(Target { path, directory, name, meta, content }, action).await?;
            }
        }
        Ok(None)
    }

    /// The walk's next entry; what is under way goes on meanwhile.
    async fn next_entry(&mut self, entries: &mut Entries) -> Result<Option<Entry>, Error> {
        let mut entry = std::pin::pin!(entries.next());
        loop {
            let done = tokio::select! {
                biased;
                entry = &mut entry => return entry,
                done = self.queue.next() => done?,
            };
            self.settle(done);
        }
    }

    async fn file(&mut self, target: Target, action: Action) -> Result<(), Error> {
        let Target { path, directory, name, meta, content } = &target;
        match action {
            Action::Write | Action::Replace => self.queue.write(target),
            // What needs no change is not touched: its change time tells who watches it.
            Action::Keep => {
                let stamp =
                    write::stamp(directory, name).map_err(|e| self.error("look at", path, e))?;
                self.options.meter.bytes.add(content.len);
                self.queue.keep(target.path, stamp);
            }
            Action::Attributes => {
                let mut warnings = Vec::new();
                let stamp = write::fix_attributes(directory, name, meta, &mut warnings)
                    .map_err(|e| self.error("set the attributes of", path, e))?;
                self.options.meter.bytes.add(content.len);
                self.warn(warnings);
                self.queue.keep(target.path, stamp);
            }
        }
        while self.queue.is_full() {
            let done = self.queue.next().await?;
            self.settle(done);
        }
        Ok(())
    }

    fn settle(&mut self, done: Done) {
        self.warn(done.warnings);
        for file in done.files {
            self.options.meter.files.add(1);
            self.pulled.files_written += u64::from(file.written);
            self.pulled.files_kept += u64::from(!file.written);
            if let Some(rows) = &mut self.rows {
                rows.add(&file.path, &file.stamp);
            }
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
        while self.queue.drain() {
            let done = self.queue.next().await?;
            self.settle(done);
        }
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
