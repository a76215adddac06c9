use alloc::vec::Vec;

use cairn_chunk::ChunkId;

use super::index::{MapChild, MapIndexColumns};
use super::leaf::LeafColumns;
use crate::Error;
use crate::cut::Cut;
use crate::stream::{SLICES_INLINE_MAX, Slice, Stream, check_len};
use crate::tower::Tower;

/// Puts a stream together from slices. The result is a function of the bytes' places alone
/// (TREE-1): neighbours that continue each other are joined however they come. Memory: one open
/// page per level.
///
/// `emit` receives the bytes of each map page, children before parents, and gives its id. After an
/// error the builder takes nothing more.
#[derive(Default)]
pub struct StreamBuilder {
    /// The slice that the next one may continue.
    open: Option<Slice>,
    /// Slices so long as they may yet be inline.
    inline: Vec<Slice>,
    columns: LeafColumns,
    before: Option<Slice>,
    leaf_len: u64,
    len: u64,
    cut: Cut,
    tower: Tower<MapIndexColumns>,
    is_map: bool,
    failed: bool,
}

impl StreamBuilder {
    /// A stream without bytes so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes of all slices so far.
    #[must_use]
    pub const fn byte_count(&self) -> u64 {
        self.len
    }

    /// Appends a slice.
    ///
    /// # Errors
    /// [`Error::Slice`]: it is empty, ends beyond its chunk, or makes the stream too long; and what
    /// `emit` returns.
    pub fn push<E: From<Error>>(
        &mut self,
        slice: Slice,
        emit: &mut impl FnMut(Vec<u8>) -> Result<ChunkId, E>,
    ) -> Result<(), E> {
        if core::mem::replace(&mut self.failed, true) {
            return Err(Error::Failed.into());
        }
        let len = self.len.saturating_add(slice.len);
        let checked = slice.check().and_then(|()| check_len(len));
        checked.map_err(|fault| Error::Slice { expected: fault.expected() })?;
        self.len = len;
        match self.open.and_then(|open| open.join(&slice)) {
            Some(joined) => self.open = Some(joined),
            None => {
                if let Some(open) = self.open.replace(slice) {
                    self.append(open, emit)?;
                }
            }
        }
        self.failed = false;
        Ok(())
    }

    /// Appends a slice that nothing continues any more.
    fn append<E: From<Error>>(
        &mut self,
        slice: Slice,
        emit: &mut impl FnMut(Vec<u8>) -> Result<ChunkId, E>,
    ) -> Result<(), E> {
        if !self.is_map && self.inline.len() < SLICES_INLINE_MAX {
            self.inline.push(slice);
            return Ok(());
        }
        self.is_map = true;
        for earlier in core::mem::take(&mut self.inline) {
            self.append_to_map(earlier, emit)?;
        }
        self.append_to_map(slice, emit)
    }

    fn append_to_map<E: From<Error>>(
        &mut self,
        slice: Slice,
        emit: &mut impl FnMut(Vec<u8>) -> Result<ChunkId, E>,
    ) -> Result<(), E> {
        if !self.columns.has_room() {
            self.cut.forced();
            self.close(emit)?;
        }
        self.columns.push(&slice);
        self.leaf_len += slice.len;
        let (weight, hash) = LeafColumns::mark(&slice, self.before.as_ref());
        self.before = Some(slice);
        if self.cut.after(weight, hash) {
            self.close(emit)?;
        }
        Ok(())
    }

    /// Ends the open leaf, which has slices.
    fn close<E: From<Error>>(
        &mut self,
        emit: &mut impl FnMut(Vec<u8>) -> Result<ChunkId, E>,
    ) -> Result<(), E> {
        let columns = core::mem::take(&mut self.columns);
        let len = core::mem::take(&mut self.leaf_len);
        let child = MapChild { page: emit(columns.encode())?, len, level: 0 };
        self.tower.push(&child, emit)
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`Error::Failed`] after an error of [`StreamBuilder::push`]; [`Error::Deep`]; and what
    /// `emit` returns.
    pub fn finish<E: From<Error>>(
        mut self,
        emit: &mut impl FnMut(Vec<u8>) -> Result<ChunkId, E>,
    ) -> Result<Stream, E> {
        if self.failed {
            return Err(Error::Failed.into());
        }
        if let Some(open) = self.open.take() {
            self.append(open, emit)?;
        }
        if !self.is_map {
            return Ok(Stream::from_inline(self.inline));
        }
        if !self.columns.is_empty() {
            self.close(emit)?;
        }
        let top = self.tower.finish(emit)?;
        let page = top.expect("a map has at least one leaf").page;
        Ok(Stream::Map { page, len: self.len })
    }
}
