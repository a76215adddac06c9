use alloc::boxed::Box;
use alloc::vec::Vec;

use cairn_chunk::ChunkId;

use super::{NO_ID, sum};
use crate::Error;
use crate::entry::{Content, Entry, Kind, Meta, Time, Totals};
use crate::page::{DIRECTORY_LEAF, Reference};
use crate::stream::{SLICES_INLINE_MAX, Stream};
use crate::wire::{
    NameColumns, Reader, TableColumns, VERSION, put_totals, put_varint, read_names, read_table,
    unzigzag, varint_len, zigzag,
};
use crate::xattrs::{XATTRS_BYTES_MAX, Xattrs};
use crate::{NAME_BYTES_MAX, PAGE_BYTES_MAX, PATH_BYTES_MAX};

const FILE: u8 = 0;
const DIRECTORY: u8 = 1;
const SYMLINK: u8 = 2;
const HARDLINK: u8 = 3;
/// In a file's kind byte: where the form of its stream begins.
const FORM_SHIFT: u32 = 2;
/// In a directory's kind byte: it has a page.
const HAS_PAGE: u8 = 1 << 2;
const HAS_ROOT: u8 = 1 << 4;
const HAS_OUTBOARD: u8 = 1 << 5;
const HAS_RECIPE: u8 = 1 << 6;

/// The fewest bytes of an entry: shared, rest's length, rest, kind, seconds, nanoseconds and one of
/// size, totals, target. The owner and the attributes may take none.
const ENTRY_BYTES_MIN: usize = 7;
/// More than the bytes of an entry besides its name, target and extended attributes: 32 bytes for
/// each of 3 * 4 slices and the root, 14 for the lengths of a slice, and 200 for all other numbers.
const ENTRY_FIXED_BYTES_MAX: usize = 1024;

const _: () = assert!(3 * SLICES_INLINE_MAX * (32 + 14) + 32 + 200 <= ENTRY_FIXED_BYTES_MAX);
const _: () = assert!(
    ENTRY_FIXED_BYTES_MAX + NAME_BYTES_MAX + PATH_BYTES_MAX + XATTRS_BYTES_MAX <= PAGE_BYTES_MAX
);

/// A page of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryLeaf {
    entries: Vec<Entry>,
    totals: Totals,
}

impl DirectoryLeaf {
    /// The entries in ascending order of their names, at least one.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries, owned.
    #[must_use]
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// The totals of the entries.
    #[must_use]
    pub const fn totals(&self) -> Totals {
        self.totals
    }

    /// The entry of this name.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.name.as_slice().cmp(name)).ok()?;
        Some(&self.entries[at])
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut columns = LeafColumns::default();
        for entry in &self.entries {
            columns.push(entry);
        }
        columns.encode()
    }

    pub(crate) fn references(&self) -> Vec<Reference> {
        let mut references = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            match &entry.kind {
                Kind::File { content } => {
                    let ids = content.streams().flat_map(Stream::ids);
                    references.extend(ids.map(|(id, is_map)| {
                        if is_map { Reference::MapPage(*id) } else { Reference::Data(*id) }
                    }));
                }
                Kind::Directory { page, .. } => {
                    references.extend(page.map(Reference::DirectoryPage));
                }
                Kind::Symlink { .. } | Kind::Hardlink { .. } => {}
            }
        }
        references
    }

    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<Self, Error> {
        let reader = &mut reader;
        let count = reader.count(ENTRY_BYTES_MIN)?;
        let names = read_names(reader, count)?;
        let kinds = reader.take(count, "a kind of each entry")?;
        let owners = read_table(reader, count, read_owner)?;
        let times = read_times(reader, count)?;
        let xattrs = read_table(reader, count, Xattrs::read)?;
        let bodies = read_bodies(reader, kinds)?;
        let mut entries = Vec::with_capacity(count);
        let attributes = owners.into_iter().zip(times).zip(xattrs);
        for ((name, ((owner, mtime), xattrs)), kind) in
            names.into_iter().zip(attributes).zip(bodies)
        {
            let (mode, uid, gid) = owner;
            entries.push(Entry { name, meta: Meta { mode, uid, gid, mtime, xattrs }, kind });
        }
        reader.end()?;
        for entry in &entries {
            let checked = entry.meta.check().and_then(|()| entry.kind.check());
            checked.or_else(|fault| reader.fail(fault.expected()))?;
        }
        let totals =
            sum(entries.iter().map(Entry::totals)).or_else(|_| reader.fail("totals of 64 bits"))?;
        Ok(Self { entries, totals })
    }
}

type Owner = (u32, u32, u32);

fn read_owner(reader: &mut Reader<'_>) -> Result<Owner, Error> {
    Ok((
        reader.varint_u32("a mode")?,
        reader.varint_u32("an owner")?,
        reader.varint_u32("a group")?,
    ))
}

fn put_owner(owner: &Owner, out: &mut Vec<u8>) {
    for value in [owner.0, owner.1, owner.2] {
        put_varint(out, u64::from(value));
    }
}

fn read_times(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Time>, Error> {
    let mut times = Vec::with_capacity(count);
    let mut secs = 0_i64;
    for _ in 0..count {
        secs = secs.wrapping_add(unzigzag(reader.varint("seconds")?));
        times.push(Time { secs, nanos: 0 });
    }
    for time in &mut times {
        time.nanos = reader.varint_u32("nanoseconds")?;
    }
    Ok(times)
}

/// Reads the columns of which each kind has its own: sizes, totals, targets, streams, roots, ids.
fn read_bodies(reader: &mut Reader<'_>, kinds: &[u8]) -> Result<Vec<Kind>, Error> {
    let mut bodies = Vec::with_capacity(kinds.len());
    for &kind in kinds {
        bodies.push(empty_body(reader, kind)?);
    }
    for body in &mut bodies {
        if let Kind::File { content } = body {
            content.len = reader.varint("a size")?;
        }
    }
    for body in &mut bodies {
        if let Kind::Directory { totals, .. } = body {
            *totals = reader.totals()?;
        }
    }
    read_targets(reader, &mut bodies)?;
    for (body, &kind) in bodies.iter_mut().zip(kinds) {
        if let Kind::File { content } = body {
            read_streams(reader, content, kind)?;
        }
    }
    for body in &mut bodies {
        if let Kind::File { content: Content { root: Some(root), .. } } = body {
            *root = reader.hash("the hash of a file")?;
        }
    }
    for body in &mut bodies {
        match body {
            Kind::File { content } => {
                for id in content.streams_mut().flat_map(Stream::ids_mut) {
                    *id = reader.id()?;
                }
            }
            Kind::Directory { page: Some(page), .. } => *page = reader.id()?,
            Kind::Directory { .. } | Kind::Symlink { .. } | Kind::Hardlink { .. } => {}
        }
    }
    Ok(bodies)
}

/// The body that a kind byte calls for, its fields still to be read.
fn empty_body(reader: &Reader<'_>, kind: u8) -> Result<Kind, Error> {
    let known = match kind & 3 {
        FILE => 0x7f,
        DIRECTORY => DIRECTORY | HAS_PAGE,
        _ => 3,
    };
    if kind & !known != 0 {
        return reader.fail("a kind of entry");
    }
    let flag = |bit: u8| kind & bit != 0;
    Ok(match kind & 3 {
        FILE => {
            let stream = |bit| flag(bit).then(|| Box::new(Stream::Empty));
            Kind::File {
                content: Content {
                    root: flag(HAS_ROOT).then_some([0; 32]),
                    outboard: stream(HAS_OUTBOARD),
                    recipe: stream(HAS_RECIPE),
                    ..Content::default()
                },
            }
        }
        DIRECTORY => {
            Kind::Directory { page: flag(HAS_PAGE).then_some(NO_ID), totals: Totals::default() }
        }
        SYMLINK => Kind::Symlink { target: Vec::new() },
        _ => Kind::Hardlink { target: Vec::new() },
    })
}

fn read_targets(reader: &mut Reader<'_>, bodies: &mut [Kind]) -> Result<(), Error> {
    let mut lens = Vec::new();
    for body in &*bodies {
        if matches!(body, Kind::Symlink { .. } | Kind::Hardlink { .. }) {
            lens.push(reader.varint_usize(PAGE_BYTES_MAX, "a length of a target")?);
        }
    }
    let mut lens = lens.into_iter();
    for body in bodies {
        if let Kind::Symlink { target } | Kind::Hardlink { target } = body {
            *target = reader.take(lens.next().unwrap_or(0), "a target")?.to_vec();
        }
    }
    Ok(())
}

fn read_streams(reader: &mut Reader<'_>, content: &mut Content, kind: u8) -> Result<(), Error> {
    let len = match content.recipe {
        Some(_) => reader.varint("the length of a stream")?,
        None => content.len,
    };
    content.stream = Stream::read(reader, kind >> FORM_SHIFT & 3, len)?;
    for stream in [&mut content.outboard, &mut content.recipe].into_iter().flatten() {
        let form = reader.u8("a form of a stream")?;
        let len = reader.varint("the length of a stream")?;
        **stream = Stream::read(reader, form, len)?;
    }
    Ok(())
}

/// The columns of a leaf while it is built.
#[derive(Debug, Default)]
pub(crate) struct LeafColumns {
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
    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether the page is certain to be within [`PAGE_BYTES_MAX`] with `entry`. Every valid entry
    /// fits into an empty page.
    pub(crate) fn has_room(&self, entry: &Entry) -> bool {
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
    pub(crate) fn push(&mut self, entry: &Entry) {
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

    pub(crate) fn encode(&self) -> Vec<u8> {
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
