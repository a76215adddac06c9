//! The files of relations in a data directory that is being made.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use cairn_pgwal::{Fork, PAGE_BYTES, Page, Relation};

use crate::error::Error;
use crate::layout::{FILE_BLOCKS, database_directory, fork_file};

/// Files held open.
const OPEN_FILES: usize = 256;
const FILE_BYTES: u64 = FILE_BLOCKS as u64 * PAGE_BYTES as u64;

/// Which fork of which relation.
pub(super) type ForkId = (Relation, Fork);

/// Reads and writes blocks in place.
#[derive(Debug)]
pub(super) struct Forks {
    path: PathBuf,
    open: BTreeMap<(ForkId, u32), File>,
}

impl Forks {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), open: BTreeMap::new() }
    }

    fn file_path(&self, (relation, fork): ForkId, part: u32) -> Result<PathBuf, Error> {
        let name = fork_file(relation, fork, part).ok_or(Error::Tablespace(relation.tablespace))?;
        Ok(self.path.join(name))
    }

    /// How many blocks a fork has; `None` when there is no such file.
    pub(super) fn blocks(&self, fork: ForkId) -> Result<Option<u32>, Error> {
        let mut blocks = None;
        for part in 0.. {
            let path = self.file_path(fork, part)?;
            let len = match std::fs::metadata(&path) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(source) => return Err(Error::Read { path, source }),
            };
            let here = u32::try_from(len / PAGE_BYTES as u64).unwrap_or(FILE_BLOCKS);
            blocks = Some(part * FILE_BLOCKS + here);
            if here < FILE_BLOCKS {
                break;
            }
        }
        Ok(blocks)
    }

    fn with<T>(
        &mut self,
        fork: ForkId,
        part: u32,
        work: impl FnOnce(&File) -> std::io::Result<T>,
    ) -> Result<T, Error> {
        let path = self.file_path(fork, part)?;
        let failed = |source| Error::Write { path: path.clone(), source };
        if !self.open.contains_key(&(fork, part)) {
            if self.open.len() >= OPEN_FILES {
                self.open.clear();
            }
            let file = create(&path).map_err(failed)?;
            self.open.insert((fork, part), file);
        }
        work(&self.open[&(fork, part)]).map_err(failed)
    }

    pub(super) fn read(&mut self, fork: ForkId, number: u32, page: &mut Page) -> Result<(), Error> {
        let at = u64::from(number % FILE_BLOCKS) * PAGE_BYTES as u64;
        self.with(fork, number / FILE_BLOCKS, |file| file.read_exact_at(&mut page.0, at))
    }

    pub(super) fn write(&mut self, fork: ForkId, number: u32, page: &Page) -> Result<(), Error> {
        let at = u64::from(number % FILE_BLOCKS) * PAGE_BYTES as u64;
        self.with(fork, number / FILE_BLOCKS, |file| file.write_all_at(&page.0, at))
    }

    /// Gives a fork this length; what is new is of zeros.
    pub(super) fn set_blocks(&mut self, fork: ForkId, blocks: u32) -> Result<(), Error> {
        let last = blocks / FILE_BLOCKS;
        for part in 0..last {
            self.with(fork, part, |file| match file.metadata()?.len() {
                FILE_BYTES => Ok(()),
                _ => file.set_len(FILE_BYTES),
            })?;
        }
        let rest = u64::from(blocks % FILE_BLOCKS) * PAGE_BYTES as u64;
        if rest > 0 || last == 0 {
            self.with(fork, last, |file| file.set_len(rest))?;
            self.remove_from(fork, last + 1)
        } else {
            self.remove_from(fork, last)
        }
    }

    /// Removes a fork's files.
    pub(super) fn remove(&mut self, fork: ForkId) -> Result<(), Error> {
        self.remove_from(fork, 0)
    }

    fn remove_from(&mut self, fork: ForkId, first: u32) -> Result<(), Error> {
        for part in first.. {
            self.open.remove(&(fork, part));
            let path = self.file_path(fork, part)?;
            match std::fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(source) => return Err(Error::Write { path, source }),
            }
        }
        Ok(())
    }

    /// Removes a database's directory.
    pub(super) fn remove_database(&mut self, tablespace: u32, database: u32) -> Result<(), Error> {
        self.open.clear();
        let path = self.database(tablespace, database)?;
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::Write { path, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Makes a database's directory with its version file.
    pub(super) fn make_database(&mut self, tablespace: u32, database: u32) -> Result<(), Error> {
        let path = self.database(tablespace, database)?;
        let made = std::fs::create_dir_all(&path)
            .and_then(|()| std::fs::write(path.join("PG_VERSION"), "15\n"));
        made.map_err(|source| Error::Write { path, source })
    }

    /// The directory of a database.
    pub(super) fn database(&self, tablespace: u32, database: u32) -> Result<PathBuf, Error> {
        let name = database_directory(tablespace, database).ok_or(Error::Tablespace(tablespace))?;
        Ok(self.path.join(name))
    }
}

fn create(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    match options.open(path) {
        // Its database's directory may be dropped later in the log, and not be in the copy.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            options.open(path)
        }
        opened => opened,
    }
}
