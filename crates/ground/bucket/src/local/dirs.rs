//! Open directories whose way from the root is durable.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{Failure, Shared};

/// Open directories that are kept. When there are more, all are forgotten: the price is one cheap
/// sync for each directory on the way of the next put.
const KEPT_MAX: usize = 128;
/// Tries to make a directory that another process keeps removing because it is empty.
const MAKE_ATTEMPTS_MAX: u32 = 64;

/// Directories by their path below the root. A kept descriptor pins its inode: when the directory
/// was removed, renaming into it fails, even if another one has its name by then.
pub(super) struct Dirs {
    root: Arc<OwnedFd>,
    kept: Mutex<BTreeMap<String, Arc<OwnedFd>>>,
}

impl Dirs {
    pub(super) fn new(root: Arc<OwnedFd>) -> Self {
        Self { root, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, Arc<OwnedFd>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, path: &str) -> Option<Arc<OwnedFd>> {
        if path.is_empty() { Some(Arc::clone(&self.root)) } else { self.kept().get(path).cloned() }
    }

    fn keep(&self, path: &str, dir: &Arc<OwnedFd>) {
        let mut kept = self.kept();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(path.to_owned(), Arc::clone(dir));
    }

    /// Forgets `path` and what lies below it.
    pub(super) fn forget(&self, path: &str) {
        self.kept().retain(|kept, _| {
            kept.strip_prefix(path).is_none_or(|rest| !rest.is_empty() && !rest.starts_with('/'))
        });
    }
}

impl Shared {
    /// The directory `path`, made where it is missing. Every name on the way is durable. Blocks.
    pub(super) fn dir(&self, path: &str) -> Result<Arc<OwnedFd>, Failure> {
        if let Some(dir) = self.dirs.get(path) {
            return Ok(dir);
        }
        let (parent_path, name) = super::split(path);
        for _ in 0..MAKE_ATTEMPTS_MAX {
            let parent = self.dir(parent_path)?;
            if let Some(dir) = self.make(&parent, path, name)? {
                self.dirs.keep(path, &dir);
                return Ok(dir);
            }
            // Empty directories are removed, by us and by others: begin again further up.
            self.dirs.forget(parent_path);
        }
        Err(Failure::Busy { path: path.to_owned() })
    }

    fn make(
        &self,
        parent: &OwnedFd,
        path: &str,
        name: &str,
    ) -> Result<Option<Arc<OwnedFd>>, Failure> {
        match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(Errno::NOENT) => return self.check_root().map(|()| None),
            Err(error) => {
                return Err(Failure::io("make the directory", &self.root.join(path), error));
            }
        }
        let dir = match open_dir(parent, name) {
            Ok(dir) => Arc::new(dir),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(Failure::Below { path: path.to_owned(), above: path.to_owned() });
            }
            Err(error) => {
                return Err(Failure::io("open the directory", &self.root.join(path), error));
            }
        };
        // Another process may have made it and not synced it yet.
        self.sync_blocking(parent)?;
        Ok(Some(dir))
    }

    pub(super) fn check_root(&self) -> Result<(), Failure> {
        match self.missing("") {
            gone @ Failure::Gone { .. } => Err(gone),
            _ => Ok(()),
        }
    }
}

const DIR_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

pub(super) fn open_dir(at: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    open_below(at, if path.is_empty() { "." } else { path }, DIR_FLAGS, ResolveFlags::empty())
}

/// The kernel has no `openat2`, or a filter hides it.
static NO_OPENAT2: AtomicBool = AtomicBool::new(false);

/// Opens without following symbolic links, those in the middle of the path included. A kernel
/// without `openat2` checks only the last part, and cannot do what `how` asks for (`NOSYS`).
pub(super) fn open_below(
    at: &OwnedFd,
    path: &str,
    flags: OFlags,
    how: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    if !NO_OPENAT2.load(Ordering::Relaxed) {
        let resolve = how | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(at, path, flags, Mode::empty(), resolve) {
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => {}
            opened => return opened,
        }
        if rustix::fs::openat2(at, ".", DIR_FLAGS, Mode::empty(), resolve).is_err() {
            NO_OPENAT2.store(true, Ordering::Relaxed);
        }
    }
    if !how.is_empty() {
        return Err(Errno::NOSYS);
    }
    rustix::fs::openat(at, path, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgetting_takes_what_lies_below() {
        let dir = tempfile::tempdir().unwrap();
        let fd = Arc::new(OwnedFd::from(std::fs::File::open(dir.path()).unwrap()));
        let dirs = Dirs::new(Arc::clone(&fd));
        for path in ["a", "a/b", "ab", "c"] {
            dirs.keep(path, &fd);
        }
        dirs.forget("a");
        assert!(dirs.get("a").is_none() && dirs.get("a/b").is_none());
        assert!(dirs.get("ab").is_some() && dirs.get("c").is_some());
        for count in 0..2 * KEPT_MAX {
            dirs.keep(&count.to_string(), &fd);
        }
        assert!(dirs.kept().len() <= KEPT_MAX);
    }
}
