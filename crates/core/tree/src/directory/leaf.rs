use alloc::boxed::Box;
use alloc::vec::Vec;

use super::columns::{
    DIRECTORY, FILE, FORM_SHIFT, HAS_OUTBOARD, HAS_PAGE, HAS_RECIPE, HAS_ROOT, LeafColumns, Owner,
    SYMLINK,
};
use super::{NO_ID, sum};
use crate::column::{read_names, read_table};
use crate::entry::{Content, Entry, Kind, Meta, Totals};
use crate::page::Reference;
use crate::stream::Stream;
use crate::wire::{Reader, unzigzag};
use crate::xattrs::Xattrs;
use crate::{Error, PAGE_BYTES_MAX};

/// The fewest bytes of an entry: shared, rest's length, rest, kind, seconds, nanoseconds and one of
/// size, totals, target. The owner and the attributes may take none.
const ENTRY_BYTES_MIN: usize = 7;
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
        let mut entries = Vec::with_capacity(count);
        for (name, &kind) in names.into_iter().zip(kinds) {
            entries.push(Entry { name, meta: Meta::default(), kind: empty_body(reader, kind)? });
        }
        read_table(reader, count, read_owner, |at, owner| {
            let meta = &mut entries[at].meta;
            (meta.mode, meta.uid, meta.gid) = *owner;
        })?;
        read_times(reader, &mut entries)?;
        read_table(reader, count, Xattrs::read, |at, xattrs| {
            entries[at].meta.xattrs.clone_from(xattrs);
        })?;
        read_bodies(reader, kinds, &mut entries)?;
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

fn read_owner(reader: &mut Reader<'_>) -> Result<Owner, Error> {
    Ok((
        reader.varint_u32("a mode")?,
        reader.varint_u32("an owner")?,
        reader.varint_u32("a group")?,
    ))
}

fn read_times(reader: &mut Reader<'_>, entries: &mut [Entry]) -> Result<(), Error> {
    let mut secs = 0_i64;
    for entry in &mut *entries {
        secs = secs.wrapping_add(unzigzag(reader.varint("seconds")?));
        entry.meta.mtime.secs = secs;
    }
    for entry in entries {
        entry.meta.mtime.nanos = reader.varint_u32("nanoseconds")?;
    }
    Ok(())
}

/// Reads the columns of which each kind has its own: sizes, totals, targets, streams, roots, ids.
fn read_bodies(reader: &mut Reader<'_>, kinds: &[u8], entries: &mut [Entry]) -> Result<(), Error> {
    for entry in &mut *entries {
        if let Kind::File { content } = &mut entry.kind {
            content.len = reader.varint("a size")?;
        }
    }
    for entry in &mut *entries {
        if let Kind::Directory { totals, .. } = &mut entry.kind {
            *totals = reader.totals()?;
        }
    }
    read_targets(reader, entries)?;
    for (entry, &kind) in entries.iter_mut().zip(kinds) {
        if let Kind::File { content } = &mut entry.kind {
            read_streams(reader, content, kind)?;
        }
    }
    for entry in &mut *entries {
        if let Kind::File { content: Content { root: Some(root), .. } } = &mut entry.kind {
            *root = reader.hash("the hash of a file")?;
        }
    }
    for entry in entries {
        match &mut entry.kind {
            Kind::File { content } => {
                for id in content.streams_mut().flat_map(Stream::ids_mut) {
                    *id = reader.id()?;
                }
            }
            Kind::Directory { page: Some(page), .. } => *page = reader.id()?,
            Kind::Directory { .. } | Kind::Symlink { .. } | Kind::Hardlink { .. } => {}
        }
    }
    Ok(())
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

fn read_targets(reader: &mut Reader<'_>, entries: &mut [Entry]) -> Result<(), Error> {
    let mut lens = Vec::new();
    for entry in &*entries {
        if matches!(entry.kind, Kind::Symlink { .. } | Kind::Hardlink { .. }) {
            lens.push(reader.varint_usize(PAGE_BYTES_MAX, "a length of a target")?);
        }
    }
    let mut lens = lens.into_iter();
    for entry in entries {
        if let Kind::Symlink { target } | Kind::Hardlink { target } = &mut entry.kind {
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
