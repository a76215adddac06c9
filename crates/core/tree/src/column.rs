//! The columns that several kinds of page have: names that share prefixes, and tables of values.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use crate::entry::check_name;
use crate::wire::{Reader, put_varint, varint_len};
use crate::{Error, NAME_BYTES_MAX};

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

/// A table of a page's distinct values in order of first use, and a column of positions in it.
/// There is no column when the table has one value.
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

/// Reads what [`TableColumns`] wrote for `count` items, and hands each its value.
pub(crate) fn read_table<T: Ord + Clone>(
    reader: &mut Reader<'_>,
    count: usize,
    read: impl Fn(&mut Reader<'_>) -> Result<T, Error>,
    mut set: impl FnMut(usize, &T),
) -> Result<(), Error> {
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
        [only] => {
            (0..count).for_each(|at| set(at, only));
            return Ok(());
        }
        _ => {}
    }
    let mut used = 0;
    for at in 0..count {
        let position = reader.varint_usize(used.min(len - 1), "a table in order of first use")?;
        used += usize::from(position == used);
        set(at, &values[position]);
    }
    if used == len { Ok(()) } else { reader.fail("a table whose every value is used") }
}

#[cfg(test)]
mod tests;
