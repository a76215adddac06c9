//! Beginning and end of a process's use of the directory.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{Failure, Shared, meta};
use crate::RESERVED;

const FORMAT: &str = "cairn bucket 1\n";
const DIR_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const NAME_ATTEMPTS_MAX: u32 = 16;

/// The session of this handle, begun at the first write that needs it.
pub(super) struct Sessions {
    begun: Mutex<Option<Arc<Session>>>,
}

/// A directory for staged files that is ours as long as we live.
pub(super) struct Session {
    staged: OwnedFd,
    name: String,
    locks: OwnedFd,
    dir: OwnedFd,
    next: AtomicU64,
    /// Held, never read.
    _alive: OwnedFd,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self { begun: Mutex::new(None) }
    }
}

impl Session {
    /// Where staged files are.
    pub(super) fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// Where the locks of keys are.
    pub(super) fn locks(&self) -> &OwnedFd {
        &self.locks
    }

    /// A name that no other staged file has.
    pub(super) fn next_name(&self) -> String {
        self.next.fetch_add(1, Ordering::Relaxed).to_string()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // What stays behind is swept by the next open.
        if rustix::fs::unlinkat(&self.dir, "lock", AtFlags::empty()).is_ok() {
            rustix::fs::unlinkat(&self.staged, self.name.as_str(), AtFlags::REMOVEDIR).ok();
        }
    }
}

impl Shared {
    /// The session, begun now if it was not before. Blocks.
    pub(super) fn session(&self) -> Result<Arc<Session>, Failure> {
        let mut begun = self.sessions.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = begun.as_ref() {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(begin(self)?);
        *begun = Some(Arc::clone(&session));
        Ok(session)
    }
}

/// Opens the root, making it and syncing what it makes.
pub(super) fn open_root(root: &Path) -> Result<OwnedFd, Failure> {
    let failed = |error: std::io::Error| Failure::io("open the directory", root, error);
    let mut missing: Vec<&Path> = Vec::new();
    let mut above = root;
    while !above.exists() {
        missing.push(above);
        let Some(parent) = above.parent() else { break };
        above = parent;
    }
    for dir in missing.into_iter().rev() {
        match std::fs::create_dir(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Failure::io("make the directory", dir, error));
            }
            _ => {}
        }
        let parent = dir.parent().unwrap_or(dir);
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
    }
    let fd = rustix::fs::open(root, DIR_FLAGS, Mode::empty());
    fd.map_err(|error| match error {
        Errno::NOTDIR => Failure::io("use as a directory", root, error),
        error => failed(error.into()),
    })
}

fn make_dir(at: &OwnedFd, name: &str, root: &Path) -> Result<OwnedFd, Failure> {
    let failed = |error: Errno| Failure::io("make the store's own directory in", root, error);
    match rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o777)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(failed(error)),
    }
    rustix::fs::openat(at, name, DIR_FLAGS | OFlags::NOFOLLOW, Mode::empty()).map_err(failed)
}

fn open_lock(at: &OwnedFd, name: &str, root: &Path) -> Result<OwnedFd, Failure> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let fd = rustix::fs::openat(at, name, flags, Mode::from_raw_mode(0o666));
    fd.map_err(|error| Failure::io("open a lock in", root, error))
}

fn begin(shared: &Shared) -> Result<Session, Failure> {
    let root = shared.root.as_path();
    let failed = |error: Errno| Failure::io("begin a session in", root, error);
    let own = make_dir(&shared.root_dir, RESERVED, root)?;
    let opening = open_lock(&own, "open.lock", root)?;
    rustix::fs::flock(&opening, FlockOperation::LockExclusive).map_err(failed)?;
    check_format(&own, root)?;
    let locks = make_dir(&own, "locks", root)?;
    let staged = make_dir(&own, "staged", root)?;
    sweep(&staged, root);

    let name = make_session_dir(shared, &staged)?;
    let dir = make_dir(&staged, &name, root)?;
    let alive = open_lock(&dir, "lock", root)?;
    rustix::fs::flock(&alive, FlockOperation::NonBlockingLockExclusive).map_err(failed)?;
    check_attributes(&alive, root)?;
    Ok(Session { staged, name, locks, dir, next: AtomicU64::new(0), _alive: alive })
}

fn make_session_dir(shared: &Shared, staged: &OwnedFd) -> Result<String, Failure> {
    let mut last = Errno::EXIST;
    for _ in 0..NAME_ATTEMPTS_MAX {
        let name = format!("{:016x}", shared.env.rng.next_u64());
        match rustix::fs::mkdirat(staged, name.as_str(), Mode::from_raw_mode(0o777)) {
            Ok(()) => return Ok(name),
            Err(Errno::EXIST) => {}
            Err(error) => {
                last = error;
                break;
            }
        }
    }
    Err(Failure::io("begin a session in", &shared.root, last))
}

/// The format is written once, under the lock of opening, whole or not at all.
fn check_format(own: &OwnedFd, root: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::io("read the format of", root, error);
    match rustix::fs::openat(own, "format", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(fd) => {
            let mut found = String::new();
            File::from(fd).take(64).read_to_string(&mut found).map_err(failed)?;
            if found == FORMAT {
                return Ok(());
            }
            Err(Failure::Format { root: root.to_owned(), found: found.trim_end().to_owned() })
        }
        Err(Errno::NOENT) => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(own, "format.new", flags, Mode::from_raw_mode(0o666));
            let mut file = File::from(fd.map_err(|error| failed(error.into()))?);
            file.write_all(FORMAT.as_bytes()).map_err(failed)?;
            file.sync_all().map_err(failed)?;
            rustix::fs::renameat(own, "format.new", own, "format")
                .map_err(|error| failed(error.into()))?;
            rustix::fs::fsync(own).map_err(|error| failed(error.into()))
        }
        Err(error) => Err(failed(error.into())),
    }
}

/// Versions and attributes live in extended attributes: without them there is no store.
fn check_attributes(file: &OwnedFd, root: &Path) -> Result<(), Failure> {
    match rustix::fs::fsetxattr(file, meta::XATTR, &[0], rustix::fs::XattrFlags::empty()) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP) => Err(Failure::NoAttributes { root: root.to_owned() }),
        Err(error) => Err(Failure::io("set an extended attribute in", root, error)),
    }
}

/// Removes the sessions whose lock nobody holds. The lock of opening is held, so that no session is
/// between its directory and its lock. What cannot be removed waits for the next open.
fn sweep(staged: &OwnedFd, root: &Path) {
    let Ok(entries) = rustix::fs::Dir::read_from(staged) else { return };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let swept = sweep_session(staged, name);
        match swept {
            Ok(0) | Err(Errno::WOULDBLOCK) => {}
            Ok(count) => {
                tracing::info!(root = %root.display(), count, "swept staged files of a dead process");
            }
            Err(error) => tracing::warn!(root = %root.display(), name, %error, "cannot sweep"),
        }
    }
}

fn sweep_session(staged: &OwnedFd, name: &str) -> Result<u64, Errno> {
    let dir = rustix::fs::openat(staged, name, DIR_FLAGS | OFlags::NOFOLLOW, Mode::empty())?;
    let lock = match rustix::fs::openat(&dir, "lock", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
    {
        Ok(lock) => Some(lock),
        Err(Errno::NOENT) => None,
        Err(error) => return Err(error),
    };
    if let Some(lock) = &lock {
        rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive)?;
    }
    let mut count = 0;
    for entry in rustix::fs::Dir::read_from(&dir)?.flatten() {
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b".." | b"lock") {
            rustix::fs::unlinkat(&dir, name, AtFlags::empty())?;
            count += 1;
        }
    }
    if lock.is_some() {
        rustix::fs::unlinkat(&dir, "lock", AtFlags::empty())?;
    }
    rustix::fs::unlinkat(staged, name, AtFlags::REMOVEDIR)?;
    Ok(count)
}
