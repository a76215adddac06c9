use alloc::vec::Vec;

use cairn_chunk::ChunkId;

use super::DirectoryChild;
use super::columns::LeafColumns;
use super::index::DirectoryIndexColumns;
use crate::cut::{Cut, WEIGHT_MIN, name_hash};
use crate::entry::{Entry, Totals};
use crate::tower::Tower;
use crate::{Error, NAME_BYTES_MAX};

/// The bytes that an item takes besides its name, about: an id, and ten of columns.
const ITEM_WEIGHT: usize = 44;

const _: () = assert!((2 * (NAME_BYTES_MAX + ITEM_WEIGHT)) as u64 <= WEIGHT_MIN);

/// The weight and the hash that decide whether a page ends after the item with this name. Only the
/// name counts, so that a change of metadata or content moves no cut.
pub(super) fn mark(name: &[u8]) -> (u64, u64) {
    ((name.len() + ITEM_WEIGHT) as u64, name_hash(name))
}

/// Builds the pages of one directory from its entries in ascending order. The pages are a function
/// of the entries alone (TREE-1). Memory: one open page per level.
///
/// `emit` receives the bytes of each page, children before parents, and gives its id. After an
/// error the builder takes nothing more.
#[derive(Default)]
pub struct DirectoryBuilder {
    columns: LeafColumns,
    first: Vec<u8>,
    last: Vec<u8>,
    leaf_totals: Totals,
    totals: Totals,
    cut: Cut,
    tower: Tower<DirectoryIndexColumns>,
    failed: bool,
}

impl DirectoryBuilder {
    /// A directory without entries so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an entry.
    ///
    /// # Errors
    /// [`Error::Unsorted`], [`Error::Entry`] and [`Error::EntryTooLarge`] for the entry,
    /// [`Error::TotalsOverflow`] and [`Error::Deep`] for the directory, and what `emit` returns.
    pub fn push<E: From<Error>>(
        &mut self,
        entry: &Entry,
        emit: &mut impl FnMut(Vec<u8>) -> Result<ChunkId, E>,
    ) -> Result<(), E> {
        if core::mem::replace(&mut self.failed, true) {
            return Err(Error::Failed.into());
        }
        entry.check().map_err(|fault| fault.of_entry(&entry.name))?;
        // Names are not empty, so the first is greater than no name at all.
        if entry.name <= self.last {
            let (name, previous) = (entry.name.clone(), self.last.clone());
            return Err(Error::Unsorted { name, previous }.into());
        }
        let totals = entry.totals()?;
        self.totals = self.totals.checked_add(&totals).ok_or(Error::TotalsOverflow)?;
        if !self.columns.has_room(entry) {
            self.cut.forced();
            self.close(emit)?;
        }
        if self.columns.is_empty() {
            self.first.clone_from(&entry.name);
        }
        self.columns.push(entry);
        self.last.clone_from(&entry.name);
        self.leaf_totals = self.leaf_totals.checked_add(&totals).ok_or(Error::TotalsOverflow)?;
        let (weight, hash) = mark(&entry.name);
        if self.cut.after(weight, hash) {
            self.close(emit)?;
        }
        self.failed = false;
        Ok(())
    }

    /// Ends the open leaf, which has entries.
    fn close<E: From<Error>>(
        &mut self,
        emit: &mut impl FnMut(Vec<u8>) -> Result<ChunkId, E>,
    ) -> Result<(), E> {
        let columns = core::mem::take(&mut self.columns);
        let child = DirectoryChild {
            first: core::mem::take(&mut self.first),
            page: emit(columns.encode())?,
            totals: core::mem::take(&mut self.leaf_totals),
            level: 0,
        };
        self.tower.push(&child, emit)
    }

    /// Ends the directory: its top page, `None` when it has no entry, and its totals.
    ///
    /// # Errors
    /// [`Error::Failed`] after an error of [`DirectoryBuilder::push`]; [`Error::Deep`]; and what
    /// `emit` returns.
    pub fn finish<E: From<Error>>(
        mut self,
        emit: &mut impl FnMut(Vec<u8>) -> Result<ChunkId, E>,
    ) -> Result<(Option<ChunkId>, Totals), E> {
        if self.failed {
            return Err(Error::Failed.into());
        }
        if !self.columns.is_empty() {
            self.close(emit)?;
        }
        let top = self.tower.finish(emit)?;
        Ok((top.map(|child| child.page), self.totals))
    }
}
