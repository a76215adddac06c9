use alloc::vec::Vec;

use cairn_chunk::ChunkId;

use crate::column::{NameColumns, TableColumns};
use crate::entry::{Content, Entry, Kind};
use crate::page::DIRECTORY_LEAF;
use crate::stream::{SLICES_INLINE_MAX, Stream};
use crate::wire::{VERSION, put_totals, put_varint, varint_len, zigzag};
use crate::xattrs::{XATTRS_BYTES_MAX, Xattrs};
use crate::{NAME_BYTES_MAX, PAGE_BYTES_MAX, PATH_BYTES_MAX};

pub(super) const FILE: u8 = 0;
pub(super) const DIRECTORY: u8 = 1;
pub(super) const SYMLINK: u8 = 2;
pub(super) const HARDLINK: u8 = 3;
/// In a file's kind byte: where the form of its stream begins.
pub(super) const FORM_SHIFT: u32 = 2;
/// In a directory's kind byte: it has a page.
pub(super) const HAS_PAGE: u8 = 1 << 2;
pub(super) const HAS_ROOT: u8 = 1 << 4;
pub(super) const HAS_OUTBOARD: u8 = 1 << 5;
pub(super) const HAS_RECIPE: u8 = 1 << 6;

/// More than the bytes of an entry besides its name, target and extended attributes: 32 bytes for
/// each of 3 * 4 slices and the root, 14 for the lengths of a slice, and 200 for all other numbers.
const ENTRY_FIXED_BYTES_MAX: usize = 1024;

const _: () = assert!(3 * SLICES_INLINE_MAX * (32 + 14) + 32 + 200 <= ENTRY_FIXED_BYTES_MAX);
const _: () = assert!(
    ENTRY_FIXED_BYTES_MAX + NAME_BYTES_MAX + PATH_BYTES_MAX + XATTRS_BYTES_MAX <= PAGE_BYTES_MAX
);

/// Mode, owner, group.
pub(super) type Owner = (u32, u32, u32);

/// The columns of a leaf while it is built.
#[derive(Debug, Default)]
pub(super) struct LeafColumns {
    count: usize,
    names: NameColumns,
    kinds: Vec<u8>,
    owners: TableColumns<Owner>,
    secs: Vec<u8>,
    nanos: Vec<u8>,
    xattrs: TableColumns<Xattrs>,
    sizes: Vec<u8>,
    totals: Vec<u8>,
    target_lens: Vec<u8>,
    targets: Vec<u8>,
    streams: Vec<u8>,
    roots: Vec<u8>,
    ids: Vec<u8>,
    last_secs: i64,
}

impl LeafColumns {
    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the page is certain to be within [`PAGE_BYTES_MAX`] with `entry`. Every valid entry
    /// fits into an empty page.
    pub(super) fn has_room(&self, entry: &Entry) -> bool {
        let target = match &entry.kind {
            Kind::Symlink { target } | Kind::Hardlink { target } => target.len(),
            Kind::File { .. } | Kind::Directory { .. } => 0,
        };
        let more = entry.name.len() + target + entry.meta.xattrs.encoded_len();
        self.len_max() + more + ENTRY_FIXED_BYTES_MAX <= PAGE_BYTES_MAX
    }

    fn len_max(&self) -> usize {
        let columns = [
            &self.kinds,
            &self.secs,
            &self.nanos,
            &self.sizes,
            &self.totals,
            &self.target_lens,
            &self.targets,
            &self.streams,
            &self.roots,
            &self.ids,
        ];
        let bytes: usize = columns.into_iter().map(Vec::len).sum();
        let tables = self.owners.len_max() + self.xattrs.len_max();
        2 + varint_len(self.count as u64) + self.names.len() + tables + bytes
    }

    /// Appends a valid entry whose name is greater than the last.
    pub(super) fn push(&mut self, entry: &Entry) {
        let meta = &entry.meta;
        self.count += 1;
        self.names.push(&entry.name);
        self.owners.push(&(meta.mode, meta.uid, meta.gid), put_owner);
        put_varint(&mut self.secs, zigzag(meta.mtime.secs.wrapping_sub(self.last_secs)));
        self.last_secs = meta.mtime.secs;
        put_varint(&mut self.nanos, u64::from(meta.mtime.nanos));
        self.xattrs.push(&meta.xattrs, Xattrs::put);
        match &entry.kind {
            Kind::File { content } => self.push_content(content),
            Kind::Directory { page, totals } => {
                self.kinds.push(DIRECTORY | if page.is_some() { HAS_PAGE } else { 0 });
                put_totals(&mut self.totals, totals);
                self.ids.extend_from_slice(page.as_ref().map_or(&[], |page| &page.0));
            }
            Kind::Symlink { target } => self.push_target(SYMLINK, target),
            Kind::Hardlink { target } => self.push_target(HARDLINK, target),
        }
    }

    fn push_target(&mut self, kind: u8, target: &[u8]) {
        self.kinds.push(kind);
        put_varint(&mut self.target_lens, target.len() as u64);
        self.targets.extend_from_slice(target);
    }

    fn push_content(&mut self, content: &Content) {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        self.kinds.push(
            FILE | content.stream.form() << FORM_SHIFT
                | flag(content.root.is_some(), HAS_ROOT)
                | flag(content.outboard.is_some(), HAS_OUTBOARD)
                | flag(content.recipe.is_some(), HAS_RECIPE),
        );
        put_varint(&mut self.sizes, content.len);
        if content.recipe.is_some() {
            put_varint(&mut self.streams, content.stream.len());
        }
        content.stream.put_slices(&mut self.streams);
        for stream in [&content.outboard, &content.recipe].into_iter().flatten() {
            self.streams.push(stream.form());
            put_varint(&mut self.streams, stream.len());
            stream.put_slices(&mut self.streams);
        }
        self.roots.extend_from_slice(content.root.as_ref().map_or(&[], |root| root));
        for (ChunkId(id), _) in content.streams().flat_map(Stream::ids) {
            self.ids.extend_from_slice(id);
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len_max());
        out.extend_from_slice(&[DIRECTORY_LEAF, VERSION]);
        put_varint(&mut out, self.count as u64);
        self.names.write(&mut out);
        out.extend_from_slice(&self.kinds);
        self.owners.write(&mut out);
        out.extend_from_slice(&self.secs);
        out.extend_from_slice(&self.nanos);
        self.xattrs.write(&mut out);
        let bodies = [
            &self.sizes,
            &self.totals,
            &self.target_lens,
            &self.targets,
            &self.streams,
            &self.roots,
            &self.ids,
        ];
        for column in bodies {
            out.extend_from_slice(column);
        }
        assert!(out.len() <= PAGE_BYTES_MAX, "a page is within its limit (TREE-3)");
        out
    }
}

fn put_owner(owner: &Owner, out: &mut Vec<u8>) {
    for value in [owner.0, owner.1, owner.2] {
        put_varint(out, u64::from(value));
    }
}
