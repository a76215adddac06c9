//! The pages of a replayed log beside the files of a stopped server: of a stock one that recovered by
//! the same log, or of the one that wrote it.
//!
//! The rules that say which pages are equal, and what is not compared, are in [`rules`].

mod rules;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use cairn_pgwal::{Fork, PAGE_BYTES, Page, Relation, Rmgr};
use serde::Serialize;

use crate::error::Error;
use crate::layout::{DEFAULT_TABLESPACE, FILE_BLOCKS, GLOBAL_TABLESPACE};
use crate::pages::Pages;
use rules::Judgement;

/// No relation has as many files: its blocks are counted by 32 bits.
const PARTS_MAX: u32 = u32::MAX / FILE_BLOCKS;
/// So many differences are kept with their pages.
const KEPT_MAX: usize = 8;

/// Whose files the pages are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Side {
    /// A stock server's that recovered the same copy by the same log.
    Stock,
    /// The server's that wrote the log.
    Writer,
}

/// What became of the pages of a server.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Whose they are.
    pub side: Side,
    #[serde(skip)]
    copied: Copied,
    /// Equal in every byte.
    pub identical: u64,
    /// Equal once what the log does not determine is blanked.
    pub equal: u64,
    /// Different, or on one side alone.
    pub different: u64,
    /// Not compared, by the name of the reason.
    pub excepted: BTreeMap<&'static str, u64>,
    /// The first pages that differ.
    #[serde(skip)]
    pub differences: Vec<Difference>,
}

/// Tablespace and database of those that `CREATE DATABASE` copied page by page, and of copies of them.
pub(crate) type Copied = BTreeSet<(u32, u32)>;

/// A page that differs.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Where it is.
    pub block: (Relation, Fork, u32),
    /// Which pages it was taken for.
    pub kind: Option<Rmgr>,
    /// The first byte that differs once both are blanked.
    pub first: usize,
    /// Ours and theirs.
    pub pages: Box<[Page; 2]>,
}

impl Comparison {
    const fn new(side: Side, copied: Copied) -> Self {
        Self {
            side,
            copied,
            identical: 0,
            equal: 0,
            different: 0,
            excepted: BTreeMap::new(),
            differences: Vec::new(),
        }
    }

    /// Pages that were compared.
    #[must_use]
    pub const fn compared(&self) -> u64 {
        self.identical + self.equal + self.different
    }

    fn page(&mut self, block: (Relation, Fork, u32), ours: &Page, theirs: &Page) {
        let copied = self.copied.contains(&(block.0.tablespace, block.0.database));
        match rules::judge(self.side, block, copied, ours, theirs) {
            Judgement::Identical => self.identical += 1,
            Judgement::Equal => self.equal += 1,
            Judgement::Excepted(name) => *self.excepted.entry(name).or_default() += 1,
            Judgement::Different { kind, first } => {
                self.different += 1;
                if self.differences.len() < KEPT_MAX {
                    let pages = Box::new([ours.clone(), theirs.clone()]);
                    self.differences.push(Difference { block, kind, first, pages });
                }
            }
        }
    }
}

/// Compares all pages with the files of a stopped server.
pub(crate) fn compare(
    pages: &mut Pages<'_>,
    (side, directory): (Side, &Path),
    copied: &Copied,
) -> Result<Comparison, Error> {
    let files = files(directory)?;
    let unlogged = |relation: Relation| files.contains_key(&(relation, Fork::Init));
    let mut comparison = Comparison::new(side, copied.clone());
    let mut lengths = BTreeMap::new();
    for ((relation, fork), parts) in &files {
        let mut theirs = Page::zeroed();
        for (part, path) in parts {
            let failed = |source| Error::Read { path: path.clone(), source };
            let file = File::open(path).map_err(failed)?;
            let bytes = file.metadata().map_err(failed)?.len();
            let blocks = u32::try_from(bytes / PAGE_BYTES as u64).unwrap_or(FILE_BLOCKS);
            let blocks = blocks.min(FILE_BLOCKS);
            lengths.insert((*relation, *fork), part * FILE_BLOCKS + blocks);
            if let Some(name) = rules::exception(*fork, unlogged(*relation)) {
                *comparison.excepted.entry(name).or_default() += u64::from(blocks);
                continue;
            }
            for block in 0..blocks {
                let at = u64::from(block) * PAGE_BYTES as u64;
                file.read_exact_at(&mut theirs.0, at).map_err(failed)?;
                let number = part * FILE_BLOCKS + block;
                let ours = pages.page(*relation, *fork, number);
                comparison.page((*relation, *fork, number), ours, &theirs);
            }
        }
    }
    // What only we have, unless it is as if it were not there.
    let nothing = Page::zeroed();
    for (relation, fork, number, ours) in pages.known() {
        let length = lengths.get(&(relation, fork)).copied().unwrap_or_default();
        let excepted = rules::exception(fork, unlogged(relation)).is_some();
        if number >= length && !excepted && ours.0 != nothing.0 {
            comparison.page((relation, fork, number), ours, &nothing);
        }
    }
    Ok(comparison)
}

/// The files of relations, by their parts.
type Files = BTreeMap<(Relation, Fork), BTreeMap<u32, PathBuf>>;

fn files(directory: &Path) -> Result<Files, Error> {
    let mut files = Files::new();
    let mut database = |path: PathBuf, tablespace: u32, database: u32| -> Result<(), Error> {
        for (name, path) in entries(&path)? {
            let Some((number, fork, part)) = file_name(&name) else { continue };
            let relation = Relation { tablespace, database, number };
            files.entry((relation, fork)).or_default().insert(part, path);
        }
        Ok(())
    };
    database(directory.join("global"), GLOBAL_TABLESPACE, 0)?;
    for (name, path) in entries(&directory.join("base"))? {
        if let Ok(number) = name.parse() {
            database(path, DEFAULT_TABLESPACE, number)?;
        }
    }
    for (tablespace, path) in entries(&directory.join("pg_tblspc"))? {
        let Ok(tablespace) = tablespace.parse() else { continue };
        for (_, path) in entries(&path)? {
            for (name, path) in entries(&path)? {
                if let Ok(number) = name.parse() {
                    database(path, tablespace, number)?;
                }
            }
        }
    }
    Ok(files)
}

fn entries(directory: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let failed = |source| Error::Read { path: directory.to_path_buf(), source };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        entries.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
    }
    entries.sort_unstable();
    Ok(entries)
}

/// A relation's number, its fork and which of its files it is.
fn file_name(name: &str) -> Option<(u32, Fork, u32)> {
    let (name, part) = match name.split_once('.') {
        Some((name, part)) => (name, part.parse().ok().filter(|part| *part < PARTS_MAX)?),
        None => (name, 0),
    };
    let (number, fork) = match name.split_once('_') {
        None => (name, Fork::Main),
        Some((number, "fsm")) => (number, Fork::FreeSpace),
        Some((number, "vm")) => (number, Fork::Visibility),
        Some((number, "init")) => (number, Fork::Init),
        Some(_) => return None,
    };
    Some((number.parse().ok()?, fork, part))
}
