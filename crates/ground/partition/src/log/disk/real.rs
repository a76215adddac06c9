use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::{Disk, failed};
use crate::Error;

const LOCK: &str = "lock";
const ZEROS_BYTES: usize = 1 << 20;

/// Files in a directory that this process alone uses.
#[derive(Debug)]
pub struct RealDisk {
    path: PathBuf,
    open: Mutex<Option<Open>>,
}

#[derive(Debug)]
struct Open {
    dir: Arc<File>,
    files: BTreeMap<String, Arc<File>>,
    /// Held, never read.
    _lock: File,
}

impl RealDisk {
    /// Takes the directory, which is made when it is missing. Blocks.
    ///
    /// # Errors
    /// [`Error::InUse`] when another process or another log has it; [`Error::Storage`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref().to_owned();
        let disk = Self { path, open: Mutex::new(None) };
        let opened = disk.take().map_err(|error| failed(&disk, "open the log", LOCK, &error))?;
        let Some(opened) = opened else {
            return Err(Error::InUse { what: format!("the log at {}", disk.path.display()) });
        };
        *disk.opened() = Some(opened);
        Ok(disk)
    }

    fn take(&self) -> io::Result<Option<Open>> {
        make_dirs(&self.path)?;
        let dir = Arc::new(File::open(&self.path)?);
        let flags = OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let lock = flags.clone().mode(0o600).open(self.path.join(LOCK))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Open { dir, files: BTreeMap::new(), _lock: lock })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn opened(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open file, from the second time on without asking the system.
    fn file(&self, name: &str) -> io::Result<Arc<File>> {
        let mut opened = self.opened();
        let open = opened.as_mut().ok_or_else(closed)?;
        if let Some(file) = open.files.get(name) {
            return Ok(Arc::clone(file));
        }
        let file = OpenOptions::new().read(true).write(true).open(self.path.join(name))?;
        let file = Arc::new(file);
        open.files.insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }
}

impl Disk for RealDisk {
    fn blocks(&self) -> bool {
        true
    }

    fn describe(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                found.push((name, entry.metadata()?.len()));
            }
        }
        Ok(found)
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<()> {
        if self.opened().is_none() {
            return Err(closed());
        }
        let path = self.path.join(name);
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        let zeros = vec![0; ZEROS_BYTES];
        let fill = || {
            let mut at = 0;
            while at < bytes {
                let left = usize::try_from(bytes - at).unwrap_or(usize::MAX);
                let part = zeros.get(..left).unwrap_or(&zeros);
                file.write_all_at(part, at)?;
                at += part.len() as u64;
            }
            file.sync_all()
        };
        let filled = fill();
        if filled.is_err() {
            // The error that counts is the first one.
            std::fs::remove_file(&path).ok();
        }
        filled
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.file(from)?;
        std::fs::rename(self.path.join(from), self.path.join(to))?;
        if let Some(open) = self.opened().as_mut() {
            open.files.remove(from);
            open.files.insert(to.to_owned(), file);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut opened = self.opened();
        opened.as_mut().ok_or_else(closed)?.files.remove(name);
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        let dir = self.opened().as_ref().map(|open| Arc::clone(&open.dir)).ok_or_else(closed)?;
        dir.sync_all()?;
        // A filesystem that has shut down may not say so before.
        dir.metadata().map(drop)
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all_at(bytes, offset)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn read_at(&self, name: &str, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file(name)?.read_exact_at(out, offset)
    }

    fn close(&self) {
        *self.opened() = None;
    }
}

fn closed() -> io::Error {
    io::Error::other("the log was closed")
}

/// Makes the directories that are missing and syncs the names of those it makes.
fn make_dirs(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|above| !above.exists()).collect();
    for dir in missing.into_iter().rev().filter(|dir| !dir.as_os_str().is_empty()) {
        match std::fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
        File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}
