//! Files of pages by number (`access/transam/slru.c`): 32 pages to a file, named in hexadecimal.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use cairn_pgwal::PAGE_BYTES;

use crate::error::Error;

const PAGES_PER_FILE: u32 = 32;
/// Pages held in memory.
const PAGES_MAX: usize = 2048;

/// How many files so many pages take.
const fn files(pages: u64) -> u64 {
    pages.div_ceil(PAGES_PER_FILE as u64)
}

type Page = Box<[u8; PAGE_BYTES]>;

/// One directory of them. What was never written reads as zeros.
#[derive(Debug)]
pub(super) struct Slru {
    path: PathBuf,
    pages: BTreeMap<u32, Page>,
}

impl Slru {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, pages: BTreeMap::new() }
    }

    fn file(&self, number: u32) -> PathBuf {
        self.path.join(format!("{number:04X}"))
    }

    /// A page, to be changed.
    pub(super) fn page(&mut self, number: u32) -> Result<&mut [u8; PAGE_BYTES], Error> {
        if !self.pages.contains_key(&number) {
            if self.pages.len() >= PAGES_MAX {
                self.flush()?;
            }
            let page = self.read(number)?;
            self.pages.insert(number, page);
        }
        Ok(self.pages.get_mut(&number).expect("it was read above"))
    }

    fn read(&self, number: u32) -> Result<Page, Error> {
        let path = self.file(number / PAGES_PER_FILE);
        let mut page = Box::new([0; PAGE_BYTES]);
        let at = u64::from(number % PAGES_PER_FILE) * PAGE_BYTES as u64;
        match File::open(&path).and_then(|file| file.read_exact_at(&mut page[..], at)) {
            Ok(()) => Ok(page),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) =>
            {
                Ok(Box::new([0; PAGE_BYTES]))
            }
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    /// Makes a page one of zeros.
    pub(super) fn zero(&mut self, number: u32) -> Result<(), Error> {
        self.page(number).map(|page| page.fill(0))
    }

    /// Removes the files before the one with a page: those in the half of the circle of `pages`
    /// numbers that is behind it.
    pub(super) fn truncate(&mut self, first: u32, pages: u64) -> Result<(), Error> {
        let (kept, files) = (first / PAGES_PER_FILE, files(pages));
        self.remove_files(|number| {
            let behind = (u64::from(kept) + files - u64::from(number)) % files;
            behind > 0 && behind < files / 2
        })
    }

    /// Removes the files from that of the first page up to that of the end, which stays, on the
    /// circle of `pages` numbers.
    pub(super) fn remove(&mut self, gone: Range<u32>, pages: u64) -> Result<(), Error> {
        let (first, end) = (gone.start / PAGES_PER_FILE, gone.end / PAGES_PER_FILE);
        let from =
            |number: u32| (u64::from(number) + files(pages) - u64::from(first)) % files(pages);
        self.remove_files(|number| from(number) < from(end))
    }

    fn remove_files(&mut self, gone: impl Fn(u32) -> bool) -> Result<(), Error> {
        self.flush()?;
        for number in self.files()?.into_iter().filter(|number| gone(*number)) {
            let path = self.file(number);
            std::fs::remove_file(&path).map_err(|source| Error::Write { path, source })?;
        }
        Ok(())
    }

    /// Removes everything.
    pub(super) fn clear(&mut self) -> Result<(), Error> {
        self.pages.clear();
        self.remove_files(|_| true)
    }

    fn files(&self) -> Result<Vec<u32>, Error> {
        let failed = |source| Error::Read { path: self.path.clone(), source };
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            numbers.extend(name.to_str().and_then(|name| u32::from_str_radix(name, 16).ok()));
        }
        Ok(numbers)
    }

    /// Writes all pages and forgets them.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        for (number, page) in std::mem::take(&mut self.pages) {
            let path = self.file(number / PAGES_PER_FILE);
            let at = u64::from(number % PAGES_PER_FILE) * PAGE_BYTES as u64;
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(false);
            options
                .open(&path)
                .and_then(|file| file.write_all_at(&page[..], at))
                .map_err(|source| Error::Write { path, source })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_back_and_files_before_one_go() {
        let dir = tempfile::tempdir().unwrap();
        let mut slru = Slru::new(dir.path().to_path_buf());
        for number in [0, 31, 32, 100, 4095] {
            slru.page(number).unwrap()[7] = 9;
        }
        slru.flush().unwrap();
        assert_eq!(slru.page(100).unwrap()[7], 9);
        assert_eq!(slru.page(99).unwrap()[7], 0);
        assert_eq!(slru.page(5000).unwrap()[7], 0);
        slru.truncate(70, 131_072).unwrap();
        let mut left = slru.files().unwrap();
        left.sort_unstable();
        assert_eq!(left, [100 / 32, 4095 / 32, 5000 / 32]);
        slru.clear().unwrap();
        assert!(slru.files().unwrap().is_empty());
    }

    #[test]
    fn a_range_is_removed_also_across_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut slru = Slru::new(dir.path().to_path_buf());
        for file in [0, 1, 5, 4094, 4095] {
            slru.page(file * PAGES_PER_FILE).unwrap()[0] = 1;
        }
        slru.remove(4095 * PAGES_PER_FILE..PAGES_PER_FILE + 3, 131_072).unwrap();
        let mut left = slru.files().unwrap();
        left.sort_unstable();
        assert_eq!(left, [1, 5, 4094]);
        slru.remove(40..40, 131_072).unwrap();
        assert_eq!(slru.files().unwrap().len(), 3);
    }

    #[test]
    fn truncation_goes_round() {
        let dir = tempfile::tempdir().unwrap();
        let mut slru = Slru::new(dir.path().to_path_buf());
        for number in [131_071, 131_000, 5, 40] {
            slru.page(number).unwrap()[0] = 1;
        }
        slru.truncate(33, 131_072).unwrap();
        assert_eq!(slru.files().unwrap(), [1]);
    }
}
