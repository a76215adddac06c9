//! The pages of a replayed log beside the files of a stock server that recovered by the same log.
//!
//! What is not compared has a name here, and a reason:
//!
//! - `free space map`: the log has next to nothing of it. Recovery guesses at it, and what it guesses is advice.
//! - `unlogged`: a relation that has an init fork. Nothing of its other forks is in the log.
//!
//! What is blanked beyond PostgreSQL's own masks:
//!
//! - A flag of GiST pages that C's redo of a deletion sets and the server that wrote the record does not.
//! - The header of a page of a visibility map: all that it says is in its bits, and they must be equal.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use cairn_pgwal::page::HEADER_BYTES;
use cairn_pgwal::{Fork, PAGE_BYTES, Page, Relation, Rmgr, mask};
use serde::Serialize;

use crate::error::Error;
use crate::pages::Pages;

/// Blocks of one file; a relation has several files when it is longer.
const FILE_BLOCKS: u32 = 131_072;
const DEFAULT_TABLESPACE: u32 = 1663;
const GLOBAL_TABLESPACE: u32 = 1664;
/// So many differences are kept with their pages.
const KEPT_MAX: usize = 8;

const FREE_SPACE: &str = "free space map";
const UNLOGGED: &str = "unlogged";

/// What became of the pages of a stock server.
#[derive(Debug, Default, Serialize)]
pub struct Comparison {
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
    /// Pages that were compared.
    #[must_use]
    pub const fn compared(&self) -> u64 {
        self.identical + self.equal + self.different
    }

    fn page(&mut self, block: (Relation, Fork, u32), ours: &Page, theirs: &Page) {
        if ours.0 == theirs.0 {
            self.identical += 1;
            return;
        }
        let kind = kind(theirs);
        let Some(first) = first_difference(block, kind, ours, theirs) else {
            self.equal += 1;
            return;
        };
        self.different += 1;
        if self.differences.len() < KEPT_MAX {
            let pages = Box::new([ours.clone(), theirs.clone()]);
            self.differences.push(Difference { block, kind, first, pages });
        }
    }
}

/// Compares all pages with the files of a stopped server.
pub(crate) fn compare(pages: &mut Pages<'_>, stock: &Path) -> Result<Comparison, Error> {
    let files = files(stock)?;
    let unlogged = |relation: Relation| files.contains_key(&(relation, Fork::Init));
    let mut comparison = Comparison::default();
    let mut lengths = BTreeMap::new();
    for ((relation, fork), parts) in &files {
        let mut theirs = Page::zeroed();
        for (part, path) in parts {
            let failed = |source| Error::Read { path: path.clone(), source };
            let file = File::open(path).map_err(failed)?;
            let bytes = file.metadata().map_err(failed)?.len();
            let blocks = u32::try_from(bytes / PAGE_BYTES as u64).unwrap_or(u32::MAX);
            lengths.insert((*relation, *fork), part * FILE_BLOCKS + blocks);
            let exception = match fork {
                Fork::FreeSpace => Some(FREE_SPACE),
                Fork::Main | Fork::Visibility if unlogged(*relation) => Some(UNLOGGED),
                _ => None,
            };
            if let Some(name) = exception {
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
        let excepted = fork == Fork::FreeSpace || fork != Fork::Init && unlogged(relation);
        if number >= length && !excepted && ours.0 != nothing.0 {
            comparison.page((relation, fork, number), ours, &nothing);
        }
    }
    Ok(comparison)
}

/// The files of relations, by their parts.
type Files = BTreeMap<(Relation, Fork), BTreeMap<u32, PathBuf>>;

fn files(stock: &Path) -> Result<Files, Error> {
    let mut files = Files::new();
    let mut database = |path: PathBuf, tablespace: u32, database: u32| -> Result<(), Error> {
        for (name, path) in entries(&path)? {
            let Some((number, fork, part)) = file_name(&name) else { continue };
            let relation = Relation { tablespace, database, number };
            files.entry((relation, fork)).or_default().insert(part, path);
        }
        Ok(())
    };
    database(stock.join("global"), GLOBAL_TABLESPACE, 0)?;
    for (name, path) in entries(&stock.join("base"))? {
        if let Ok(number) = name.parse() {
            database(path, DEFAULT_TABLESPACE, number)?;
        }
    }
    for (tablespace, path) in entries(&stock.join("pg_tblspc"))? {
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
        Some((name, part)) => (name, part.parse().ok()?),
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

/// Whose page it is, by its special space: each access method but the btree leaves a mark there.
fn kind(page: &Page) -> Option<Rmgr> {
    const SEQUENCE_MAGIC: u32 = 0x1717;
    if page.is_new() || page.check_header().is_err() {
        return None;
    }
    let special = page.special();
    let mark = page.u16_at(PAGE_BYTES - 2).unwrap_or_default();
    match PAGE_BYTES - special {
        0 => Some(Rmgr::Heap),
        8 if page.u32_at(special) == Ok(SEQUENCE_MAGIC) => Some(Rmgr::Sequence),
        8 => Some(match mark {
            0xf091..=0xf093 => Rmgr::Brin,
            0xff82 => Rmgr::SpGist,
            0xff83 => Rmgr::Generic,
            _ => Rmgr::Gin,
        }),
        16 => Some(match mark {
            0xff80 => Rmgr::Hash,
            0xff81 => Rmgr::Gist,
            _ => Rmgr::Btree,
        }),
        _ => None,
    }
}

/// The first byte that differs once what may differ is blanked.
fn first_difference(
    (_, fork, number): (Relation, Fork, u32),
    kind: Option<Rmgr>,
    ours: &Page,
    theirs: &Page,
) -> Option<usize> {
    let (mut ours, mut theirs) = (ours.clone(), theirs.clone());
    for page in [&mut ours, &mut theirs] {
        match (fork, kind) {
            (Fork::Visibility, _) => page.0[..HEADER_BYTES].fill(0),
            (_, Some(kind)) if mask::mask_kind(kind, page, number).is_err() => return Some(0),
            (_, Some(Rmgr::Gist)) => blank_deletion(page),
            _ => {}
        }
    }
    ours.0.iter().zip(&theirs.0).position(|(a, b)| a != b)
}

/// Blanks the flag by which C's redo of a deletion marks a GiST page.
fn blank_deletion(page: &mut Page) {
    const FLAGS: usize = PAGE_BYTES - 4;
    const TUPLES_DELETED: u8 = 1 << 2;
    page.0[FLAGS] &= !TUPLES_DELETED;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_read() {
        assert_eq!(file_name("16384"), Some((16384, Fork::Main, 0)));
        assert_eq!(file_name("16384.2"), Some((16384, Fork::Main, 2)));
        assert_eq!(file_name("16384_fsm"), Some((16384, Fork::FreeSpace, 0)));
        assert_eq!(file_name("16384_vm.1"), Some((16384, Fork::Visibility, 1)));
        assert_eq!(file_name("16384_init"), Some((16384, Fork::Init, 0)));
        for other in ["PG_VERSION", "pg_filenode.map", "t3_16384", "16384_x", "pgsql_tmp", ""] {
            assert_eq!(file_name(other), None, "{other}");
        }
    }

    #[test]
    fn pages_are_told_apart_by_their_special_space() {
        let marked = |bytes: usize, mark: u16| {
            let mut page = Page::zeroed();
            page.init(bytes).unwrap();
            page.put(PAGE_BYTES - 2, &mark.to_le_bytes()).unwrap();
            kind(&page)
        };
        assert_eq!(kind(&Page::zeroed()), None);
        assert_eq!(marked(8, 0xf092), Some(Rmgr::Brin));
        assert_eq!(marked(8, 0xff82), Some(Rmgr::SpGist));
        assert_eq!(marked(8, 0x0001), Some(Rmgr::Gin));
        assert_eq!(marked(16, 0xff80), Some(Rmgr::Hash));
        assert_eq!(marked(16, 0xff81), Some(Rmgr::Gist));
        assert_eq!(marked(16, 0), Some(Rmgr::Btree));
        let mut heap = Page::zeroed();
        heap.init(0).unwrap();
        assert_eq!(kind(&heap), Some(Rmgr::Heap));
    }

    #[test]
    fn a_page_counts_as_what_it_is() {
        let mut comparison = Comparison::default();
        let block = (Relation::default(), Fork::Main, 0);
        let mut page = Page::zeroed();
        page.init(0).unwrap();
        let mut hinted = page.clone();
        hinted.set_prune_xid(9);
        let mut other = page.clone();
        other.set_lower(28);
        comparison.page(block, &page, &page);
        comparison.page(block, &page, &hinted);
        comparison.page(block, &page, &other);
        assert_eq!((comparison.identical, comparison.equal, comparison.different), (1, 1, 1));
        // Of a visibility map every bit counts, and nothing else.
        let map = (Relation::default(), Fork::Visibility, 0);
        comparison.page(map, &page, &Page::zeroed());
        let mut bit = page.clone();
        bit.0[4000] = 1;
        comparison.page(map, &page, &bit);
        assert_eq!((comparison.identical, comparison.equal, comparison.different), (1, 2, 2));
    }
}
