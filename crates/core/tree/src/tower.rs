//! The levels of index pages above the leaves of a directory or a map, built from left to right
//! with one open page per level.

use alloc::vec::Vec;

use cairn_chunk::ChunkId;

use crate::cut::Cut;
use crate::{Error, LEVEL_MAX};

/// An index page while it is built, and what a level needs to know of its children. A child also
/// stands for a range of children of one page: `join` widens it, `rise` makes it that page.
pub(crate) trait IndexColumns: Default {
    type Child: Clone;

    /// Whether the page is certain to be within its limit with `child`.
    fn has_room(&self, child: &Self::Child) -> bool;
    /// Appends a child.
    fn push(&mut self, child: &Self::Child);
    /// The weight and the hash that decide whether the page ends after `child`.
    fn mark(child: &Self::Child) -> (u64, u64);
    /// Adds the totals of `next` to those of `range`.
    fn join(range: &mut Self::Child, next: &Self::Child) -> Result<(), Error>;
    /// The child that the page `page` over `range` is to the level above.
    fn rise(range: Self::Child, page: ChunkId) -> Self::Child;
    /// The page's bytes.
    fn encode(&self, level: u8) -> Vec<u8>;
}

/// One level: its open page and the range of children on it.
struct Level<C: IndexColumns> {
    columns: C,
    range: Option<C::Child>,
    cut: Cut,
    pages: u64,
    count: u64,
}

impl<C: IndexColumns> Default for Level<C> {
    fn default() -> Self {
        Self { columns: C::default(), range: None, cut: Cut::default(), pages: 0, count: 0 }
    }
}

/// All levels of index pages, the lowest first.
pub(crate) struct Tower<C: IndexColumns> {
    levels: Vec<Level<C>>,
}

impl<C: IndexColumns> Default for Tower<C> {
    fn default() -> Self {
        Self { levels: Vec::new() }
    }
}

impl<C: IndexColumns> Tower<C> {
    /// Takes the next page below.
    pub(crate) fn push<E: From<Error>>(
        &mut self,
        child: &C::Child,
        emit: &mut impl FnMut(Vec<u8>) -> Result<ChunkId, E>,
    ) -> Result<(), E> {
        self.push_at(0, child, emit)
    }

    /// Calls itself through [`Tower::close`] one level higher, so at most [`LEVEL_MAX`] deep.
    fn push_at<E: From<Error>>(
        &mut self,
        at: usize,
        child: &C::Child,
        emit: &mut impl FnMut(Vec<u8>) -> Result<ChunkId, E>,
    ) -> Result<(), E> {
        if at == self.levels.len() {
            if at == usize::from(LEVEL_MAX) {
                return Err(Error::Deep { max: LEVEL_MAX }.into());
            }
            self.levels.push(Level::default());
        }
        if !self.levels[at].columns.has_room(child) {
            self.levels[at].cut.forced();
            self.close(at, emit)?;
        }
        let level = &mut self.levels[at];
        level.columns.push(child);
        level.count += 1;
        match &mut level.range {
            Some(range) => C::join(range, child)?,
            None => level.range = Some(child.clone()),
        }
        let (weight, hash) = C::mark(child);
        if level.cut.after(weight, hash) {
            self.close(at, emit)?;
        }
        Ok(())
    }

    /// Ends the open page of a level, which has children.
    fn close<E: From<Error>>(
        &mut self,
        at: usize,
        emit: &mut impl FnMut(Vec<u8>) -> Result<ChunkId, E>,
    ) -> Result<(), E> {
        let level = &mut self.levels[at];
        let columns = core::mem::take(&mut level.columns);
        let range = level.range.take().expect("a page is closed with a child on it");
        level.pages += 1;
        let number = u8::try_from(at + 1).map_err(|_| Error::Deep { max: LEVEL_MAX })?;
        let page = emit(columns.encode(number))?;
        self.push_at(at + 1, &C::rise(range, page), emit)
    }

    /// Ends all pages and gives the one at the top: the only one of its level, and the lowest such.
    pub(crate) fn finish<E: From<Error>>(
        mut self,
        emit: &mut impl FnMut(Vec<u8>) -> Result<ChunkId, E>,
    ) -> Result<Option<C::Child>, E> {
        let mut at = 0;
        while at < self.levels.len() {
            let level = &mut self.levels[at];
            if level.pages == 0 && level.count == 1 {
                return Ok(level.range.take());
            }
            if level.range.is_some() {
                self.close(at, emit)?;
            }
            at += 1;
        }
        Ok(None)
    }
}
