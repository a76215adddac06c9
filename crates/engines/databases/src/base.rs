//! A copy of a stopped cluster: where its pages are.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use cairn_pgwal::{Fork, Lsn, PAGE_BYTES, Page, Relation};

use crate::error::Error;
use crate::layout::{FILE_BLOCKS, block_file};

/// Where the control file has the redo position of the last checkpoint.
const CONTROL_CHECKPOINT: u64 = 40;

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
        let version = std::fs::read_to_string(path.join("PG_VERSION")).unwrap_or_default();
        if version.trim() != "15" {
            let detail = format!("PG_VERSION says {:?}", version.trim());
            return Err(Error::NoCluster { path: path.to_path_buf(), detail });
        }
        Ok(Self { path: path.to_path_buf(), files: BTreeMap::new() })
    }

    /// Where redo from this copy begins: the redo position of its last checkpoint.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn redo_start(&self) -> Result<Lsn, Error> {
        let path = self.path.join("global/pg_control");
        let mut lsn = [0; 8];
        File::open(&path)
            .and_then(|file| file.read_exact_at(&mut lsn, CONTROL_CHECKPOINT))
            .map_err(|source| Error::Read { path, source })?;
        Ok(Lsn(u64::from_le_bytes(lsn)))
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
