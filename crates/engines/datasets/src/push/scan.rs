//! Listing a directory tree in order, with what the stat cache knows. Blocking; runs on workers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{FileType, Metadata};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use cairn_tree::{Meta, Time};

use crate::browse::{DEPTH_MAX, join};
use crate::error::Error;
use crate::stat_cache::CacheReader;

/// What one step of a scan gives at most.
const EVENTS_MAX: usize = 256;
const BYTES_MAX: u64 = 1024 * 1024;

/// What tells that a file was not touched: an attribute change moves `ctime`, which no program sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) mtime: Time,
    pub(crate) ctime: Time,
}

impl Stamp {
    pub(crate) fn of(meta: &Metadata) -> Self {
        Self {
            inode: meta.ino(),
            size: meta.size(),
            mtime: time(meta.mtime(), meta.mtime_nsec()),
            ctime: time(meta.ctime(), meta.ctime_nsec()),
        }
    }
}

pub(crate) fn time(secs: i64, nanos: i64) -> Time {
    Time { secs, nanos: u32::try_from(nanos).unwrap_or_default() }
}

/// The attributes of a file, but for the extended ones.
pub(crate) fn meta_of(meta: &Metadata) -> Meta {
    Meta {
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
        mtime: time(meta.mtime(), meta.mtime_nsec()),
        ..Meta::default()
    }
}

/// The tree in order.
#[derive(Debug)]
pub(crate) enum Event {
    /// A directory begins.
    Enter { name: Vec<u8>, meta: Meta, relative: Vec<u8>, path: PathBuf },
    /// And ends.
    Leave,
    /// A regular file.
    File(FileEvent),
    /// Anything else that is stored.
    Other { name: Vec<u8>, meta: Meta, relative: Vec<u8>, path: PathBuf, kind: OtherKind },
    /// Something that is not stored.
    Skipped { path: Vec<u8>, why: String },
}

#[derive(Debug)]
pub(crate) enum OtherKind {
    Symlink { target: Vec<u8> },
    Hardlink { target: Vec<u8> },
}

#[derive(Clone, Debug)]
pub(crate) struct FileEvent {
    pub(crate) name: Vec<u8>,
    pub(crate) meta: Meta,
    /// Below the source, for people and for the cache.
    pub(crate) relative: Vec<u8>,
    pub(crate) path: PathBuf,
    pub(crate) stamp: Stamp,
    /// Whether it has holes.
    pub(crate) sparse: bool,
    /// The stat cache saw this stamp.
    pub(crate) unchanged: bool,
}

struct Level {
    path: PathBuf,
    relative: Vec<u8>,
    /// Names still to come, the next one last.
    names: Vec<OsString>,
}

/// A scan between two steps.
pub(crate) struct Scan {
    levels: Vec<Level>,
    cache: Option<CacheReader>,
    /// First names of files that have several.
    links: BTreeMap<(u64, u64), Vec<u8>>,
    /// Directories on the way, to notice a bind mount that leads back.
    inside: Vec<(u64, u64)>,
    /// Where the only file of a tree is, which may have been named by a link to it.
    only: Option<PathBuf>,
}

impl Scan {
    /// A scan of the directory `path`, and its own attributes.
    pub(crate) fn open(path: &Path, cache: Option<CacheReader>) -> Result<(Self, Meta), Error> {
        let stat = std::fs::metadata(path).map_err(|e| Error::local("read", path, e))?;
        let mut meta = meta_of(&stat);
        meta.xattrs = xattrs(path).0;
        let mut scan = Self {
            levels: Vec::new(),
            cache,
            links: BTreeMap::new(),
            inside: Vec::new(),
            only: None,
        };
        scan.inside.push((stat.dev(), stat.ino()));
        scan.levels.push(level(path.to_path_buf(), Vec::new())?);
        Ok((scan, meta))
    }

    /// A scan of one file as the only one of a tree, under the name it was given by.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no regular file, and does not lead to one.
    pub(crate) fn single(path: &Path) -> Result<(Self, Meta), Error> {
        let failed = |error| Error::local("read", path, error);
        let stat = std::fs::metadata(path).map_err(failed)?;
        if let Some(what) = not_stored(stat.file_type()) {
            let path = path.display();
            return Err(Error::invalid(format!(
                "cannot push {path}: it is {what}; to push what can be read from it, \
                 give it as standard input and push `-`"
            )));
        }
        let only = Some(path.canonicalize().map_err(failed)?);
        let name = path.file_name().map(OsString::from);
        let parent = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let level = Level { path: parent, relative: Vec::new(), names: name.into_iter().collect() };
        let scan = Self {
            levels: vec![level],
            cache: None,
            links: BTreeMap::new(),
            inside: Vec::new(),
            only,
        };
        let mtime = time(stat.mtime(), stat.mtime_nsec());
        let meta = Meta {
            uid: stat.uid(),
            gid: stat.gid(),
            ..crate::pages::default_directory_meta(mtime)
        };
        Ok((scan, meta))
    }

    /// The next events; none at the end.
    pub(crate) fn step(&mut self) -> Result<Vec<Event>, Error> {
        let mut events = Vec::new();
        let mut bytes = 0;
        while events.len() < EVENTS_MAX && bytes < BYTES_MAX {
            let Some(level) = self.levels.last_mut() else { break };
            let Some(name) = level.names.pop() else {
                self.levels.pop();
                self.inside.pop();
                if !self.levels.is_empty() {
                    events.push(Event::Leave);
                }
                continue;
            };
            let path = self.only.take().unwrap_or_else(|| level.path.join(&name));
            let name = name.into_vec();
            let relative = join(&level.relative, &name);
            match self.classify(name, path, relative) {
                Ok(event) => {
                    if let Event::File(file) = &event
                        && !file.unchanged
                    {
                        bytes += file.stamp.size;
                    }
                    events.push(event);
                }
                Err((path, why)) => events.push(Event::Skipped { path, why }),
            }
        }
        Ok(events)
    }

    fn classify(
        &mut self,
        name: Vec<u8>,
        path: PathBuf,
        relative: Vec<u8>,
    ) -> Result<Event, (Vec<u8>, String)> {
        let skip = |error: &dyn std::fmt::Display| (relative.clone(), error.to_string());
        let stat = std::fs::symlink_metadata(&path).map_err(|error| skip(&error))?;
        let meta = meta_of(&stat);
        let kind = stat.file_type();
        if kind.is_dir() {
            let id = (stat.dev(), stat.ino());
            if self.inside.contains(&id) {
                return Err((relative, "a mount that leads back to where it is".to_owned()));
            }
            if self.levels.len() >= DEPTH_MAX {
                return Err((relative, format!("deeper than {DEPTH_MAX} directories")));
            }
            let below = level(path.clone(), relative.clone()).map_err(|error| skip(&error))?;
            self.levels.push(below);
            self.inside.push(id);
            return Ok(Event::Enter { name, meta, relative, path });
        }
        if kind.is_symlink() {
            let target = std::fs::read_link(&path).map_err(|error| skip(&error))?;
            let kind = OtherKind::Symlink { target: target.into_os_string().into_vec() };
            return Ok(Event::Other { name, meta, relative, path, kind });
        }
        if let Some(what) = not_stored(kind) {
            return Err((relative, format!("{what} is not stored")));
        }
        if stat.nlink() > 1 {
            let id = (stat.dev(), stat.ino());
            if let Some(first) = self.links.get(&id) {
                let kind = OtherKind::Hardlink { target: first.clone() };
                return Ok(Event::Other { name, meta, relative, path, kind });
            }
            self.links.insert(id, relative.clone());
        }
        let stamp = Stamp::of(&stat);
        let cached = self.cache.as_mut().and_then(|cache| cache.seek(&relative));
        Ok(Event::File(FileEvent {
            name,
            meta,
            path,
            stamp,
            sparse: stat.blocks().saturating_mul(512) < stat.size(),
            unchanged: cached == Some(stamp),
            relative,
        }))
    }
}

/// What it is, when it is neither a file nor a directory or a link.
fn not_stored(kind: FileType) -> Option<&'static str> {
    match kind {
        _ if kind.is_file() || kind.is_dir() || kind.is_symlink() => None,
        _ if kind.is_socket() => Some("a socket"),
        _ if kind.is_fifo() => Some("a named pipe"),
        _ => Some("a device"),
    }
}

fn level(path: PathBuf, relative: Vec<u8>) -> Result<Level, Error> {
    let failed = |error| Error::local("list", &path, error);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&path).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name());
    }
    names.sort_unstable_by(|a, b| b.as_bytes().cmp(a.as_bytes()));
    Ok(Level { path, relative, names })
}

/// The extended attributes of a file, not following a link; and what was wrong with them.
pub(crate) fn xattrs(path: &Path) -> (cairn_tree::Xattrs, Option<String>) {
    let read = || -> std::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut pairs = Vec::new();
        for name in xattr::list(path)? {
            if let Some(value) = xattr::get(path, &name)? {
                pairs.push((name.into_vec(), value));
            }
        }
        Ok(pairs)
    };
    match read() {
        Ok(pairs) if pairs.is_empty() => (cairn_tree::Xattrs::default(), None),
        Ok(pairs) => match cairn_tree::Xattrs::new(pairs) {
            Ok(xattrs) => (xattrs, None),
            Err(error) => (cairn_tree::Xattrs::default(), Some(error.to_string())),
        },
        Err(error) if matches!(error.kind(), std::io::ErrorKind::Unsupported) => {
            (cairn_tree::Xattrs::default(), None)
        }
        Err(error) => (cairn_tree::Xattrs::default(), Some(error.to_string())),
    }
}
