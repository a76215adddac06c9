//! A copy of a stopped cluster: where its pages are.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use cairn_pgwal::{Control, Fork, Lsn, PAGE_BYTES, Page, Relation};

use crate::error::Error;
use crate::layout::{FILE_BLOCKS, block_file};

/// The control file, below the data directory.
pub(crate) const CONTROL_FILE: &str = "global/pg_control";

/// Insists on a data directory of the version that is known.
pub(crate) fn check_version(path: &Path) -> Result<(), Error> {
    let version = std::fs::read_to_string(path.join("PG_VERSION")).unwrap_or_default();
    if version.trim() != "15" {
        let detail = format!("PG_VERSION says {:?}", version.trim());
        return Err(Error::NoCluster { path: path.to_path_buf(), detail });
    }
    Ok(())
}

/// Reads a data directory's control file.
pub(crate) fn read_control(path: &Path) -> Result<Control, Error> {
    let path = path.join(CONTROL_FILE);
    let bytes =
        std::fs::read(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    Control::read(&bytes).map_err(|error| Error::Damaged { path, detail: error.to_string() })
}

/// A data directory that nobody writes.
#[derive(Debug)]
pub struct Base {
    path: PathBuf,
    files: BTreeMap<PathBuf, Option<File>>,
}

impl Base {
    /// Looks whether it is one.
    ///
    /// # Errors
    /// [`Error::NoCluster`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        check_version(path)?;
        Ok(Self { path: path.to_path_buf(), files: BTreeMap::new() })
    }

    /// Where redo from this copy begins: the redo position of its last checkpoint.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Damaged`].
    pub fn redo_start(&self) -> Result<Lsn, Error> {
        Ok(read_control(&self.path)?.checkpoint().redo)
    }

    /// Reads a page into `page`; `false` when the copy has it not.
    pub fn read(&mut self, relation: Relation, fork: Fork, number: u32, page: &mut Page) -> bool {
        let Some(name) = block_file(relation, fork, number) else { return false };
        let path = self.path.join(name);
        let file = self.files.entry(path).or_insert_with_key(|path| File::open(path).ok());
        let at = u64::from(number % FILE_BLOCKS) * PAGE_BYTES as u64;
        file.as_ref().is_some_and(|file| file.read_exact_at(&mut page.0, at).is_ok())
    }
}
