//! Writing into the destination. Blocking; runs on workers. Everything is done relative to an open
//! directory and without following links.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_tree::{Meta, Time};
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, Timespec, Timestamps, Uid, fchmod, fchown, futimens, linkat,
    mkdirat, openat, renameat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use xattr::FileExt as _;

use crate::content::Piece;
use crate::push::Stamp;

/// What temporary names begin with. A pull that was cut off may leave some; the next one removes them.
pub(crate) const STAGED: &[u8] = b".cairn~";

/// A file to be written.
pub(crate) struct FileJob {
    pub(crate) directory: Arc<OwnedFd>,
    pub(crate) name: Vec<u8>,
    pub(crate) meta: Meta,
    pub(crate) len: u64,
    pub(crate) pieces: Vec<Piece>,
}

fn staged_name() -> Vec<u8> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = STAGED.to_vec();
    name.extend_from_slice(format!("{:x}.{number:x}", std::process::id()).as_bytes());
    name
}

/// Opens a directory below another, without following a link.
pub(crate) fn open_directory(parent: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// Opens the destination itself; it may be a link.
pub(crate) fn open_top(path: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

pub(crate) fn make_directory(parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    match mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
        Err(Errno::EXIST) | Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A file that is being written under a temporary name.
pub(crate) struct Staged {
    directory: Arc<OwnedFd>,
    staged: Vec<u8>,
    file: File,
    at: u64,
    holes: bool,
    done: bool,
}

impl Staged {
    pub(crate) fn create(directory: &Arc<OwnedFd>, meta: &Meta) -> Result<Self, Errno> {
        let staged = staged_name();
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(directory, staged.as_slice(), flags, first_mode(meta))?;
        let directory = Arc::clone(directory);
        Ok(Self { directory, staged, file: File::from(file), at: 0, holes: false, done: false })
    }

    pub(crate) fn write(&mut self, piece: &Piece) -> std::io::Result<()> {
        match piece {
            Piece::Bytes(bytes) => {
                self.file.write_all_at(bytes, self.at)?;
                self.at += bytes.len() as u64;
            }
            Piece::Zeros(len) => {
                self.holes = true;
                self.at += len;
            }
        }
        Ok(())
    }

    /// Gives the file its attributes and its name.
    pub(crate) fn finish(
        mut self,
        name: &[u8],
        meta: &Meta,
        warnings: &mut Vec<String>,
    ) -> std::io::Result<Stamp> {
        if self.holes {
            self.file.set_len(self.at)?;
        }
        set_attributes(&self.file, name, meta, warnings)?;
        renameat(&*self.directory, self.staged.as_slice(), &*self.directory, name)?;
        self.done = true;
        // A rename changes ctime, so the stamp is taken behind it.
        Ok(Stamp::of(&self.file.metadata()?))
    }
}

impl Drop for Staged {
    /// What was not finished leaves nothing behind.
    fn drop(&mut self) {
        if !self.done
            && let Err(error) = unlinkat(&*self.directory, self.staged.as_slice(), AtFlags::empty())
        {
            tracing::debug!(%error, "a staged file was left behind");
        }
    }
}

/// Writes a small file.
pub(crate) fn write_file(job: &FileJob, warnings: &mut Vec<String>) -> std::io::Result<Stamp> {
    let mut staged = Staged::create(&job.directory, &job.meta)?;
    for piece in &job.pieces {
        staged.write(piece)?;
    }
    assert!(staged.at == job.len, "the slices of a file are as long as the file");
    staged.finish(&job.name, &job.meta, warnings)
}

/// What a file is created with: the permissions of the version where its owner will be the one who
/// creates it, none for others where it is still to be given away.
fn first_mode(meta: &Meta) -> Mode {
    use rustix::process::{getegid, geteuid};
    let ours = (meta.uid, meta.gid) == (geteuid().as_raw(), getegid().as_raw());
    let allowed = if ours || !may_own() { 0o777 } else { 0 };
    Mode::from_raw_mode((meta.mode & allowed) | 0o600)
}

fn may_own() -> bool {
    rustix::process::geteuid().is_root()
}

fn timestamps(time: Time) -> Timestamps {
    let at = Timespec { tv_sec: time.secs, tv_nsec: i64::from(time.nanos) };
    Timestamps { last_access: at, last_modification: at }
}

fn mode(meta: &Meta) -> Mode {
    Mode::from_raw_mode(meta.mode)
}

/// Owner, extended attributes, mode, time: in this order, for each may undo the one before.
pub(crate) fn set_attributes(
    file: &File,
    name: &[u8],
    meta: &Meta,
    warnings: &mut Vec<String>,
) -> std::io::Result<()> {
    // A call that changes nothing still costs a turn of the file system's journal.
    let there = file.metadata()?;
    let given = may_own() && (there.uid(), there.gid()) != (meta.uid, meta.gid);
    if given {
        fchown(file, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))?;
    }
    remove_others(file, name, meta, warnings);
    for (key, value) in meta.xattrs.pairs() {
        let set =
            rustix::fs::fsetxattr(file, key.as_slice(), value, rustix::fs::XattrFlags::empty());
        if let Err(error) = set {
            let (key, name) = (String::from_utf8_lossy(key), String::from_utf8_lossy(name));
            warnings.push(format!("{name}: the attribute {key} was not set: {error}"));
        }
    }
    if given || there.mode() & 0o7777 != meta.mode {
        fchmod(file, mode(meta))?;
    }
    futimens(file, &timestamps(meta.mtime))?;
    Ok(())
}

/// Sets the attributes of what is there already.
pub(crate) fn fix_attributes(
    directory: &OwnedFd,
    name: &[u8],
    meta: &Meta,
    warnings: &mut Vec<String>,
) -> std::io::Result<Stamp> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(openat(directory, name, flags, Mode::empty())?);
    set_attributes(&file, name, meta, warnings)?;
    Ok(Stamp::of(&file.metadata()?))
}

/// The stamp of a file that stays as it is.
pub(crate) fn stamp(directory: &OwnedFd, name: &[u8]) -> std::io::Result<Stamp> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(openat(directory, name, flags, Mode::empty())?);
    Ok(Stamp::of(&file.metadata()?))
}

/// Removes extended attributes that the version has not. Those that the system sets by itself stay.
fn remove_others(file: &File, name: &[u8], meta: &Meta, warnings: &mut Vec<String>) {
    let Ok(there) = file.list_xattr() else { return };
    for key in there {
        let bytes = key.as_bytes();
        let ours = meta.xattrs.pairs().iter().any(|(wanted, _)| wanted == bytes);
        let system = bytes.starts_with(b"security.") && bytes != b"security.capability";
        if ours || system {
            continue;
        }
        if let Err(error) = file.remove_xattr(&key) {
            let (key, name) = (key.to_string_lossy(), String::from_utf8_lossy(name));
            warnings.push(format!("{name}: the attribute {key} was not removed: {error}"));
        }
    }
}

/// Makes a symbolic link in the place of whatever file or link is there.
pub(crate) fn write_symlink(
    directory: &OwnedFd,
    name: &[u8],
    target: &[u8],
    meta: &Meta,
) -> std::io::Result<()> {
    let staged = staged_name();
    symlinkat(std::ffi::OsStr::from_bytes(target), directory, staged.as_slice())?;
    let named = fix_symlink(directory, &staged, meta)
        .and_then(|()| Ok(renameat(directory, staged.as_slice(), directory, name)?));
    if named.is_err() {
        unlinkat(directory, staged.as_slice(), AtFlags::empty())?;
    }
    named
}

/// Owner and time of a link itself.
pub(crate) fn fix_symlink(directory: &OwnedFd, name: &[u8], meta: &Meta) -> std::io::Result<()> {
    if may_own() {
        let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
        rustix::fs::chownat(directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    utimensat(directory, name, &timestamps(meta.mtime), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

/// Gives the file `first` the further name `name`.
pub(crate) fn write_hardlink(
    top: &OwnedFd,
    first: &[u8],
    directory: &OwnedFd,
    name: &[u8],
) -> std::io::Result<()> {
    let (parent, file) = match first.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (open_path(top, &first[..at])?, &first[at + 1..]),
        None => (top.try_clone()?, first),
    };
    let staged = staged_name();
    linkat(&parent, file, directory, staged.as_slice(), AtFlags::empty())?;
    renameat(directory, staged.as_slice(), directory, name)?;
    // When both names were one file already, the rename did nothing and left the staged name.
    match unlinkat(directory, staged.as_slice(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens a directory by its path below `top`, no link followed.
pub(crate) fn open_path(top: &OwnedFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let mut open = rustix::io::fcntl_dupfd_cloexec(top, 0)?;
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        open = open_directory(&open, name)?;
    }
    Ok(open)
}

/// Removes a name, with all that is below it when it is a directory.
pub(crate) fn remove(directory: &OwnedFd, name: &[u8]) -> std::io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {
            let below = open_directory(directory, name)?;
            for inner in names(&below)? {
                remove(&below, &inner)?;
            }
            Ok(unlinkat(directory, name, AtFlags::REMOVEDIR)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// The names in a directory.
pub(crate) fn names(directory: &OwnedFd) -> std::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory.as_fd())? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}
