//! Before anything is changed: what is at the destination, and may it be overwritten?

use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use cairn_chunk::{ChunkId, ChunkKey, TreeHasher};
use cairn_tree::{Content, Entry, Kind, Meta, Root, Stream};

use super::PullOptions;
use super::seeds::{below, local};
use crate::browse::DEPTH_MAX;
use crate::error::Error;
use crate::pages::{Alongside, Browser, Entries};
use crate::push::Stamp;
use crate::stat_cache::CacheReader;

/// What is to be done with an entry of the version, in the order of its walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It is there as it should be.
    Keep,
    /// Its content is there; its attributes are set.
    Attributes,
    /// It is written, over what is there if anything.
    Write,
    /// Something of another kind is removed first.
    Replace,
}

/// What was pulled here before.
pub(crate) struct Memory {
    pub(crate) reader: CacheReader,
    pub(crate) root: Option<Root>,
}

struct Level {
    path: Vec<u8>,
    entries: Entries,
    old: Alongside,
    /// Nothing is at the destination from here on down.
    absent: bool,
}

/// Decides for every entry of the version. Reads files only when they are not remembered.
pub(crate) async fn check(
    browser: &Browser,
    root: &Root,
    destination: &Path,
    mut memory: Option<Memory>,
    key: &ChunkKey,
    options: &PullOptions,
) -> Result<Vec<Action>, Error> {
    let mut actions = Vec::new();
    let old_page = memory.as_ref().and_then(|memory| memory.root.as_ref()?.page);
    let mut levels = vec![Level {
        path: Vec::new(),
        entries: browser.entries(root.page),
        old: Alongside::new(Some(browser), old_page),
        absent: false,
    }];
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.entries.next().await? else {
            levels.pop();
            continue;
        };
        let path = below(&level.path, &entry.name);
        let old = level.old.find(&entry.name).await?;
        let absent = level.absent;
        let here = if absent { None } else { metadata(&local(destination, &path))? };
        let stamp = memory.as_mut().and_then(|memory| memory.reader.seek(&path));
        let place = Place {
            path: local(destination, &path),
            below: path.clone(),
            destination,
            here: here.as_ref(),
            old: old.as_ref(),
            stamp,
        };
        let memory = memory.as_mut();
        let action = decide(browser, &entry, &place, memory, key, options).await?;
        actions.push(action);
        if let Kind::Directory { page, .. } = entry.kind {
            if levels.len() >= DEPTH_MAX {
                let max = DEPTH_MAX as u64;
                return Err(Error::TooMany { what: "depth of directories", max });
            }
            let old_page = match old {
                Some(Entry { kind: Kind::Directory { page, .. }, .. }) => page,
                _ => None,
            };
            levels.push(Level {
                path,
                entries: browser.entries(page),
                old: Alongside::new(Some(browser), old_page),
                absent: absent || here.is_none() || action == Action::Replace,
            });
        }
    }
    Ok(actions)
}

fn metadata(path: &Path) -> Result<Option<Metadata>, Error> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::local("look at", path, error)),
    }
}

struct Place<'a> {
    path: PathBuf,
    /// Its path below the destination.
    below: Vec<u8>,
    destination: &'a Path,
    here: Option<&'a Metadata>,
    old: Option<&'a Entry>,
    /// What the last pull left here, when it was a file.
    stamp: Option<Stamp>,
}

impl Place<'_> {
    /// Whether what is there is what the last pull left: then it may go.
    fn is_as_pulled(&self, here: &Metadata) -> bool {
        match self.old.map(|old| &old.kind) {
            Some(Kind::Symlink { target }) => {
                here.is_symlink()
                    && std::fs::read_link(&self.path)
                        .is_ok_and(|found| found.as_os_str().as_bytes() == target)
            }
            Some(Kind::File { .. }) => here.is_file() && self.stamp_fits(here),
            // The content is looked at under its first name.
            Some(Kind::Hardlink { target }) => self.is_link_to(here, target),
            Some(Kind::Directory { .. }) | None => false,
        }
    }

    /// What is to be done with a file that is as it was pulled.
    fn known(&self, here: &Metadata, content: &Content, meta: &Meta) -> Option<Action> {
        let old = self.old.filter(|_| self.stamp_fits(here))?;
        let Kind::File { content: before } = &old.kind else { return None };
        if before.len != content.len
            || before.stream != content.stream
            || before.recipe != content.recipe
        {
            return Some(Action::Write);
        }
        let untouched = self.stamp == Some(Stamp::of(here)) && old.meta == *meta;
        Some(if untouched { Action::Keep } else { Action::Attributes })
    }

    /// Each further name of a file moves its change time, so that says nothing of files with several.
    fn stamp_fits(&self, here: &Metadata) -> bool {
        let found = Stamp::of(here);
        self.stamp.is_some_and(|stamp| {
            stamp == found || (here.nlink() > 1 && Stamp { ctime: found.ctime, ..stamp } == found)
        })
    }

    fn is_link_to(&self, here: &Metadata, first: &[u8]) -> bool {
        here.is_file()
            && std::fs::symlink_metadata(local(self.destination, first))
                .is_ok_and(|first| (first.dev(), first.ino()) == (here.dev(), here.ino()))
    }
}

async fn decide(
    browser: &Browser,
    entry: &Entry,
    place: &Place<'_>,
    memory: Option<&mut Memory>,
    key: &ChunkKey,
    options: &PullOptions,
) -> Result<Action, Error> {
    let Some(here) = place.here else { return Ok(Action::Write) };
    let (why, action) = match &entry.kind {
        Kind::Directory { .. } if here.is_dir() => return Ok(Action::Attributes),
        Kind::Symlink { target } if here.is_symlink() => {
            let found = std::fs::read_link(&place.path)
                .map_err(|error| Error::local("read", &place.path, error))?;
            if found.as_os_str().as_bytes() == target {
                return Ok(Action::Attributes);
            }
            ("points elsewhere than in the version; --force replaces it", Action::Replace)
        }
        Kind::File { content } if here.is_file() => {
            if let Some(action) = place.known(here, content, &entry.meta) {
                return Ok(action);
            }
            // A further name of another file must become a file of its own.
            let linked = matches!(place.old, Some(Entry { kind: Kind::Hardlink { .. }, .. }));
            if !linked && holds(browser, &place.path, here.len(), content, key).await? {
                return Ok(Action::Attributes);
            }
            ("was changed here; --force overwrites it", Action::Write)
        }
        Kind::Hardlink { target } if here.is_file() => {
            if place.is_link_to(here, target) {
                return Ok(Action::Write);
            }
            ("may be another file than in the version; --force replaces it", Action::Write)
        }
        _ => ("is of another kind than in the version; --force replaces it", Action::Replace),
    };
    if options.force || may_go(browser, place, here, memory, key).await? {
        return Ok(action);
    }
    Err(Error::InTheWay { path: place.path.clone(), why })
}

/// Whether what is there is what the last pull left, so that nothing is lost with it.
async fn may_go(
    browser: &Browser,
    place: &Place<'_>,
    here: &Metadata,
    memory: Option<&mut Memory>,
    key: &ChunkKey,
) -> Result<bool, Error> {
    match place.old.map(|old| &old.kind) {
        Some(Kind::Directory { page, .. }) if here.is_dir() => match memory {
            Some(memory) => untouched(browser, *page, place, memory).await,
            None => Ok(false),
        },
        Some(Kind::File { content }) if here.is_file() && !place.is_as_pulled(here) => {
            holds(browser, &place.path, here.len(), content, key).await
        }
        _ => Ok(place.is_as_pulled(here)),
    }
}

/// Whether a directory holds nothing but what the last pull left there.
async fn untouched(
    browser: &Browser,
    page: Option<ChunkId>,
    top: &Place<'_>,
    memory: &mut Memory,
) -> Result<bool, Error> {
    let mut open = vec![(top.below.clone(), browser.entries(page), names(&top.path)?)];
    while let Some((directory, entries, left)) = open.last_mut() {
        let Some(old) = entries.next().await? else {
            if !left.is_empty() {
                return Ok(false);
            }
            open.pop();
            continue;
        };
        if !left.remove(&old.name) {
            continue;
        }
        let below = below(directory, &old.name);
        let path = local(top.destination, &below);
        let Some(here) = metadata(&path)? else { continue };
        if let Kind::Directory { page, .. } = old.kind {
            if !here.is_dir() || open.len() >= DEPTH_MAX {
                return Ok(false);
            }
            let left = names(&path)?;
            open.push((below, browser.entries(page), left));
            continue;
        }
        let stamp = memory.reader.seek(&below);
        let (destination, old) = (top.destination, Some(&old));
        let place = Place { path, below, destination, here: Some(&here), old, stamp };
        if !place.is_as_pulled(&here) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn names(path: &Path) -> Result<BTreeSet<Vec<u8>>, Error> {
    let listed = std::fs::read_dir(path).and_then(|entries| {
        entries.map(|entry| Ok(entry?.file_name().into_encoded_bytes())).collect()
    });
    listed.map_err(|error| Error::local("list", path, error))
}

/// Whether a file has this content already.
async fn holds(
    browser: &Browser,
    path: &Path,
    len: u64,
    content: &Content,
    key: &ChunkKey,
) -> Result<bool, Error> {
    if len != content.len {
        return Ok(false);
    }
    let (path, key, content) = (path.to_path_buf(), key.clone(), content.clone());
    let work = move || -> std::io::Result<bool> {
        let mut file = File::open(&path)?;
        if let Some(root) = content.root {
            let mut tree = TreeHasher::default();
            let mut buffer = vec![0; 1024 * 1024];
            loop {
                let read = file.read(&mut buffer)?;
                if read == 0 {
                    return Ok(tree.finish().0 == root);
                }
                tree.update(&buffer[..read]);
                tree.take_nodes();
            }
        }
        let mut bytes = Vec::new();
        file.take(content.len + 1).read_to_end(&mut bytes)?;
        Ok(match content.stream {
            Stream::Empty => bytes.is_empty(),
            Stream::Chunk { id, .. } => key.id(&bytes) == id,
            Stream::Slices(_) | Stream::Map { .. } => false,
        })
    };
    let held = browser.store().env().spawn.run(work).await?;
    // A file that cannot be read cannot be what it should be.
    Ok(held.unwrap_or(false))
}
