//! The bytes under every page: a bounded reader, varints, and the columns that pages share.
//!
//! A varint is LEB128 without superfluous bytes, at most ten. A signed number is zigzag coded.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use cairn_chunk::ChunkId;

use crate::entry::{Totals, check_name};
use crate::{Error, NAME_BYTES_MAX, PAGE_BYTES_MAX};

/// The format version that this program writes and reads.
pub(crate) const VERSION: u8 = 1;

/// Appends `value` as a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = (value & 0x7f).to_le_bytes()[0];
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// The bytes that [`put_varint`] writes for `value`.
pub(crate) const fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Maps small numbers of either sign to small numbers.
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// The inverse of [`zigzag`].
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

/// Reads a page from the front; each error carries its offset.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Begins a page: checks its length and version, and gives its kind byte.
    pub(crate) fn open(bytes: &'a [u8]) -> Result<(u8, Self), Error> {
        let mut reader = Self { bytes, at: 0 };
        if bytes.len() > PAGE_BYTES_MAX {
            return reader.fail("a page of at most 64 KiB");
        }
        let kind = reader.u8("a kind of page")?;
        match reader.u8("a format version")? {
            VERSION => Ok((kind, reader)),
            0 => Err(Error::Corrupt { offset: 1, expected: "a format version" }),
            found => Err(Error::Version { found }),
        }
    }

    pub(crate) fn fail<T>(&self, expected: &'static str) -> Result<T, Error> {
        Err(Error::Corrupt { offset: self.at, expected })
    }

    pub(crate) const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn take(&mut self, len: usize, expected: &'static str) -> Result<&'a [u8], Error> {
        let Some(bytes) = self.bytes[self.at..].get(..len) else {
            return self.fail(expected);
        };
        self.at += len;
        Ok(bytes)
    }

    pub(crate) fn u8(&mut self, expected: &'static str) -> Result<u8, Error> {
        let Some(&byte) = self.bytes.get(self.at) else {
            return self.fail(expected);
        };
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn varint(&mut self, expected: &'static str) -> Result<u64, Error> {
        let mut value = 0;
        let mut shift = 0;
        loop {
            let Some(&byte) = self.bytes.get(self.at) else {
                return self.fail(expected);
            };
            let low = u64::from(byte & 0x7f);
            // The tenth byte holds one bit; a last byte of zero would be a second form of a number.
            if (shift == 63 && byte > 1) || (shift > 0 && byte == 0) {
                return self.fail("a varint of 64 bits without superfluous bytes");
            }
            self.at += 1;
            value |= low << shift;
            if byte < 0x80 {
                return Ok(value);
            }
            shift += 7;
        }
    }

    /// A varint of at most `max`.
    pub(crate) fn varint_max(&mut self, max: u64, expected: &'static str) -> Result<u64, Error> {
        let start = self.at;
        let value = self.varint(expected)?;
        if value > max {
            return Err(Error::Corrupt { offset: start, expected });
        }
        Ok(value)
    }

    pub(crate) fn varint_u32(&mut self, expected: &'static str) -> Result<u32, Error> {
        let value = self.varint_max(u64::from(u32::MAX), expected)?;
        u32::try_from(value).or_else(|_| self.fail(expected))
    }

    /// A length or count of at most `max`.
    pub(crate) fn varint_usize(
        &mut self,
        max: usize,
        expected: &'static str,
    ) -> Result<usize, Error> {
        let value = self.varint_max(max as u64, expected)?;
        usize::try_from(value).or_else(|_| self.fail(expected))
    }

    /// The count of a page's items, at least one, of which each takes `item_bytes_min` or more: so
    /// what is reserved for them is bounded by the page's own length.
    pub(crate) fn count(&mut self, item_bytes_min: usize) -> Result<usize, Error> {
        let max = self.left() / item_bytes_min;
        let count = self.varint_usize(max, "no more items than the page has room for")?;
        if count == 0 { self.fail("at least one item") } else { Ok(count) }
    }

    pub(crate) fn hash(&mut self, expected: &'static str) -> Result<[u8; 32], Error> {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.take(32, expected)?);
        Ok(hash)
    }

    pub(crate) fn id(&mut self) -> Result<ChunkId, Error> {
        self.hash("a chunk id").map(ChunkId)
    }

    pub(crate) fn totals(&mut self) -> Result<Totals, Error> {
        Ok(Totals {
            files: self.varint("a count of files")?,
            directories: self.varint("a count of directories")?,
            symlinks: self.varint("a count of symlinks")?,
            hardlinks: self.varint("a count of hard links")?,
            bytes: self.varint("a count of bytes")?,
        })
    }

    pub(crate) fn end(&self) -> Result<(), Error> {
        if self.left() == 0 { Ok(()) } else { self.fail("the end of the page") }
    }
}

/// Appends five varints.
pub(crate) fn put_totals(out: &mut Vec<u8>, totals: &Totals) {
    let Totals { files, directories, symlinks, hardlinks, bytes } = *totals;
    for value in [files, directories, symlinks, hardlinks, bytes] {
        put_varint(out, value);
    }
}

/// Three columns: the bytes shared with the name before, the length of the rest, the rest.
#[derive(Debug, Default)]
pub(crate) struct NameColumns {
    shared: Vec<u8>,
    lens: Vec<u8>,
    rest: Vec<u8>,
    last: Vec<u8>,
}

impl NameColumns {
    pub(crate) fn push(&mut self, name: &[u8]) {
        let shared = self.last.iter().zip(name).take_while(|(a, b)| a == b).count();
        put_varint(&mut self.shared, shared as u64);
        put_varint(&mut self.lens, (name.len() - shared) as u64);
        self.rest.extend_from_slice(&name[shared..]);
        self.last.truncate(shared);
        self.last.extend_from_slice(&name[shared..]);
    }

    pub(crate) const fn len(&self) -> usize {
        self.shared.len() + self.lens.len() + self.rest.len()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.shared);
        out.extend_from_slice(&self.lens);
        out.extend_from_slice(&self.rest);
    }
}

/// Reads `count` names written by [`NameColumns`]: ascending, unique and valid, the shared part as
/// long as it can be.
pub(crate) fn read_names(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Vec<u8>>, Error> {
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        spans.push((reader.varint_usize(NAME_BYTES_MAX, "a shared length of a name")?, 0));
    }
    for span in &mut spans {
        span.1 = reader.varint_usize(NAME_BYTES_MAX, "a length of the rest of a name")?;
    }
    let mut names: Vec<Vec<u8>> = Vec::with_capacity(count);
    for (shared, len) in spans {
        let last = names.last().map_or(&[][..], Vec::as_slice);
        let Some(prefix) = last.get(..shared) else {
            return reader.fail("a shared length within the name before");
        };
        let rest = reader.take(len, "the rest of a name")?;
        if rest.first() <= last.get(shared) {
            return reader.fail("names that ascend, with the longest shared prefix");
        }
        let mut name = Vec::with_capacity(shared + len);
        name.extend_from_slice(prefix);
        name.extend_from_slice(rest);
        if let Err(fault) = check_name(&name) {
            return reader.fail(fault.expected());
        }
        names.push(name);
    }
    Ok(names)
}

/// A table of a page's distinct values in order of first use, and a column of positions in it. There
/// is no column when the table has one value.
#[derive(Debug)]
pub(crate) struct TableColumns<T> {
    positions: BTreeMap<T, u64>,
    last: Option<(T, u64)>,
    values: Vec<u8>,
    column: Vec<u8>,
}

impl<T> Default for TableColumns<T> {
    fn default() -> Self {
        Self { positions: BTreeMap::new(), last: None, values: Vec::new(), column: Vec::new() }
    }
}

impl<T: Ord + Clone> TableColumns<T> {
    pub(crate) fn push(&mut self, value: &T, put: impl FnOnce(&T, &mut Vec<u8>)) {
        let position = match &self.last {
            Some((last, position)) if last == value => *position,
            _ => {
                let next = self.positions.len() as u64;
                let position = *self.positions.entry(value.clone()).or_insert(next);
                if position == next {
                    put(value, &mut self.values);
                }
                self.last = Some((value.clone(), position));
                position
            }
        };
        put_varint(&mut self.column, position);
    }

    /// The bytes written, or more: the column is counted even while the table has one value.
    pub(crate) fn len_max(&self) -> usize {
        varint_len(self.positions.len() as u64) + self.values.len() + self.column.len()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        put_varint(out, self.positions.len() as u64);
        out.extend_from_slice(&self.values);
        if self.positions.len() > 1 {
            out.extend_from_slice(&self.column);
        }
    }
}

/// Reads what [`TableColumns`] wrote for `count` items: one value each.
pub(crate) fn read_table<T: Ord + Clone>(
    reader: &mut Reader<'_>,
    count: usize,
    read: impl Fn(&mut Reader<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let len = reader.varint_usize(count, "a table no longer than the page")?;
    let mut values = Vec::new();
    let mut seen = BTreeSet::new();
    for _ in 0..len {
        let value = read(reader)?;
        if !seen.insert(value.clone()) {
            return reader.fail("a table of distinct values");
        }
        values.push(value);
    }
    match values.as_slice() {
        [] => return reader.fail("a table with a value"),
        [only] => return Ok(alloc::vec![only.clone(); count]),
        _ => {}
    }
    let mut used = 0;
    let mut column = Vec::with_capacity(count);
    for _ in 0..count {
        let position = reader.varint_usize(used.min(len - 1), "a table in order of first use")?;
        used += usize::from(position == used);
        column.push(values[position].clone());
    }
    if used == len { Ok(column) } else { reader.fail("a table whose every value is used") }
}

#[cfg(test)]
mod tests;
