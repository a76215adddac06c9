//! Manifest pages of the last pull, so that the next one fetches only pages that differ.
//!
//! One file per directory and project, beside the memory of what was pulled; losing it costs time.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `CRNPAGE1` |
//! | 32 + 4 + n | for each page: its id, its length (little endian), its bytes |
//!
//! A page is checked against its id when it is taken, so a damaged file is as good as none.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cairn_chunk::{ChunkId, ChunkKey, ID_BYTES};

const MAGIC: &[u8; 8] = b"CRNPAGE1";
const ROW_BYTES: usize = ID_BYTES + 4;
/// No page is longer.
const PAGE_BYTES_MAX: u32 = 1024 * 1024;
/// Pages that a file is read or written for at most: with their places about 100 MiB of memory.
const PAGES_MAX: usize = 1024 * 1024;

/// The pages of the last pull, and those that this one took or fetched.
pub(crate) struct PageFile {
    key: ChunkKey,
    old: Option<Pages>,
    new: Mutex<Pages>,
    staged: PathBuf,
    path: PathBuf,
}

struct Pages {
    file: File,
    places: BTreeMap<ChunkId, (u64, u32)>,
    end: u64,
}

impl PageFile {
    /// Opens what the last pull left at `path`, and begins anew beside it.
    pub(crate) fn create(path: &Path, key: ChunkKey) -> io::Result<Self> {
        let staged = path.with_extension(format!("{}.new-pages", std::process::id()));
        let file =
            File::options().read(true).write(true).create(true).truncate(true).open(&staged)?;
        file.write_all_at(MAGIC, 0)?;
        let new = Pages { file, places: BTreeMap::new(), end: MAGIC.len() as u64 };
        let old = File::open(path).and_then(Pages::open).ok();
        Ok(Self { key, old, new: Mutex::new(new), staged, path: path.to_path_buf() })
    }

    fn new_pages(&self) -> MutexGuard<'_, Pages> {
        self.new.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page that is here.
    pub(crate) fn take(&self, id: ChunkId) -> Option<Bytes> {
        if let Some(page) = self.new_pages().read(&self.key, id) {
            return Some(page);
        }
        let page = self.old.as_ref()?.read(&self.key, id)?;
        self.put(id, &page);
        Some(page)
    }

    /// Keeps a page for the next pull. One that cannot be kept is fetched again then.
    pub(crate) fn put(&self, id: ChunkId, page: &Bytes) {
        if let Err(error) = self.new_pages().add(id, page) {
            tracing::debug!(%error, "a manifest page was not kept");
        }
    }

    /// Puts what was gathered in the place of what was there.
    pub(crate) fn finish(&self) -> io::Result<()> {
        std::fs::rename(&self.staged, &self.path)
    }
}

impl Drop for PageFile {
    /// A pull that failed leaves no staged file. After `finish` there is none.
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.staged)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "a staged file of pages was left behind");
        }
    }
}

impl Pages {
    /// Finds where the pages are, as far as the file is whole.
    fn open(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let mut magic = [0; MAGIC.len()];
        file.read_exact_at(&mut magic, 0)?;
        let mut pages = Self { file, places: BTreeMap::new(), end: MAGIC.len() as u64 };
        while magic == *MAGIC && pages.places.len() < PAGES_MAX {
            let mut row = [0; ROW_BYTES];
            if pages.file.read_exact_at(&mut row, pages.end).is_err() {
                break;
            }
            let (id, bytes) = row.split_at(ID_BYTES);
            let id = ChunkId(id.try_into().expect("it was split there"));
            let bytes = u32::from_le_bytes(bytes.try_into().expect("the rest of the row"));
            let at = pages.end + ROW_BYTES as u64;
            if bytes > PAGE_BYTES_MAX || at + u64::from(bytes) > len {
                break;
            }
            pages.places.insert(id, (at, bytes));
            pages.end = at + u64::from(bytes);
        }
        Ok(pages)
    }

    fn read(&self, key: &ChunkKey, id: ChunkId) -> Option<Bytes> {
        let (at, len) = *self.places.get(&id)?;
        let mut page = vec![0; len as usize];
        self.file.read_exact_at(&mut page, at).ok()?;
        (key.id(&page) == id).then(|| Bytes::from(page))
    }

    fn add(&mut self, id: ChunkId, page: &Bytes) -> io::Result<()> {
        let len = u32::try_from(page.len()).unwrap_or(u32::MAX);
        if len > PAGE_BYTES_MAX || self.places.len() >= PAGES_MAX || self.places.contains_key(&id) {
            return Ok(());
        }
        let mut row = Vec::with_capacity(ROW_BYTES + page.len());
        row.extend_from_slice(&id.0);
        row.extend_from_slice(&len.to_le_bytes());
        row.extend_from_slice(page);
        self.file.write_all_at(&row, self.end)?;
        self.places.insert(id, (self.end + ROW_BYTES as u64, len));
        self.end += row.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ChunkKey {
        ChunkKey::new([7; ID_BYTES])
    }

    fn filled(path: &Path, pages: &[&'static [u8]]) -> Vec<ChunkId> {
        let file = PageFile::create(path, key()).unwrap();
        let ids: Vec<ChunkId> = pages.iter().map(|page| key().id(page)).collect();
        for (id, page) in ids.iter().zip(pages) {
            file.put(*id, &Bytes::from_static(page));
            assert_eq!(file.take(*id).unwrap(), *page);
        }
        file.finish().unwrap();
        ids
    }

    #[test]
    fn pages_that_a_pull_took_are_there_for_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pages");
        let ids = filled(&path, &[b"one", b"two"]);
        let second = PageFile::create(&path, key()).unwrap();
        assert_eq!(second.take(ids[1]).unwrap(), "two");
        second.finish().unwrap();
        let third = PageFile::create(&path, key()).unwrap();
        assert_eq!(third.take(ids[0]), None, "what the second pull did not want is gone");
        assert_eq!(third.take(ids[1]).unwrap(), "two");
    }

    #[test]
    fn a_damaged_file_gives_no_wrong_page() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pages");
        let ids = filled(&path, &[b"one", b"two"]);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            for bytes in [&bytes[..], &whole[..at]] {
                std::fs::write(&path, bytes).unwrap();
                let file = PageFile::create(&path, key()).unwrap();
                for (id, page) in ids.iter().zip(["one", "two"]) {
                    assert!(file.take(*id).is_none_or(|found| found == page));
                }
            }
        }
    }

    #[test]
    fn a_pull_that_failed_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pages");
        let ids = filled(&path, &[b"one"]);
        drop(PageFile::create(&path, key()).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(PageFile::create(&path, key()).unwrap().take(ids[0]).unwrap(), "one");
    }
}
