//! Before anything is changed: what is at the destination, and may it be overwritten?

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use cairn_chunk::{ChunkKey, TreeHasher};
use cairn_tree::{Content, Entry, Kind, Root, Stream};

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
        let place =
            Place { path: local(destination, &path), here: here.as_ref(), old: old.as_ref() };
        let stamp = memory.as_mut().and_then(|memory| match entry.kind {
            Kind::File { .. } => memory.reader.seek(&path),
            _ => None,
        });
        let action = decide(browser, &entry, &place, stamp, key, options).await?;
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
    here: Option<&'a Metadata>,
    old: Option<&'a Entry>,
}

async fn decide(
    browser: &Browser,
    entry: &Entry,
    place: &Place<'_>,
    stamp: Option<Stamp>,
    key: &ChunkKey,
    options: &PullOptions,
) -> Result<Action, Error> {
    let Some(here) = place.here else { return Ok(Action::Write) };
    let kind = here.file_type();
    let refuse = |why: &'static str, action: Action| {
        if options.force {
            Ok(action)
        } else {
            Err(Error::InTheWay { path: place.path.clone(), why })
        }
    };
    let another = "is of another kind than in the version; --force replaces it";
    match &entry.kind {
        Kind::Directory { .. } if kind.is_dir() => Ok(Action::Attributes),
        Kind::Symlink { target } if kind.is_symlink() => {
            let found = std::fs::read_link(&place.path)
                .map_err(|error| Error::local("read", &place.path, error))?;
            let pulled = matches!(
                place.old.map(|old| &old.kind),
                Some(Kind::Symlink { target }) if found.as_os_str().as_bytes() == target
            );
            if found.as_os_str().as_bytes() == target {
                Ok(Action::Attributes)
            } else if pulled {
                Ok(Action::Replace)
            } else {
                refuse("points elsewhere than in the version; --force replaces it", Action::Replace)
            }
        }
        Kind::File { content } if kind.is_file() => {
            if stamp == Some(Stamp::of(here))
                && let Some(Entry { kind: Kind::File { content: old }, meta, .. }) = place.old
            {
                let same = old.len == content.len && old.stream == content.stream;
                return Ok(match (same && old.recipe == content.recipe, *meta == entry.meta) {
                    (true, true) => Action::Keep,
                    (true, false) => Action::Attributes,
                    (false, _) => Action::Write,
                });
            }
            if holds(browser, &place.path, here.len(), content, key).await? {
                return Ok(Action::Attributes);
            }
            refuse("was changed here; --force overwrites it", Action::Write)
        }
        Kind::Hardlink { .. } if kind.is_file() => match place.old.map(|old| &old.kind) {
            Some(Kind::Hardlink { .. }) => Ok(Action::Write),
            _ => refuse(
                "may be another file than in the version; --force replaces it",
                Action::Write,
            ),
        },
        _ if !kind.is_dir() && same_kind_before(place, here) => Ok(Action::Replace),
        _ => refuse(another, Action::Replace),
    }
}

/// Whether what is there is a link as the last pull left it, and so may go.
fn same_kind_before(place: &Place<'_>, here: &Metadata) -> bool {
    here.file_type().is_symlink()
        && matches!(place.old.map(|old| &old.kind), Some(Kind::Symlink { .. }))
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
