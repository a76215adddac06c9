use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::Error;
use crate::wire::{Reader, put_varint, varint_len};

/// The longest name of an extended attribute, in bytes, as in Linux.
pub const XATTR_NAME_BYTES_MAX: usize = 255;
/// The most bytes that an entry's extended attributes take, names, values and their lengths.
pub const XATTRS_BYTES_MAX: usize = 32 * 1024;

type Pair = (Vec<u8>, Vec<u8>);

/// Extended attributes: names and values, sorted by name, names unique. Clones share memory, so
/// that a page whose every entry names the same 32 KiB costs them once.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Xattrs(Option<Arc<[Pair]>>);

impl Xattrs {
    /// Takes the attributes in any order.
    ///
    /// # Errors
    /// [`Error::Xattrs`]: a name comes twice, is empty, has a NUL or more than
    /// [`XATTR_NAME_BYTES_MAX`] bytes, or all together take more than [`XATTRS_BYTES_MAX`].
    pub fn new(mut pairs: Vec<Pair>) -> Result<Self, Error> {
        pairs.sort_unstable();
        Self::from_sorted(pairs).map_err(|expected| Error::Xattrs { expected })
    }

    fn from_sorted(pairs: Vec<Pair>) -> Result<Self, &'static str> {
        if pairs.is_empty() {
            return Ok(Self(None));
        }
        if encoded_len(&pairs) > XATTRS_BYTES_MAX {
            return Err("at most 32768 bytes of extended attributes");
        }
        let name_ok =
            |name: &[u8]| (1..=XATTR_NAME_BYTES_MAX).contains(&name.len()) && !name.contains(&0);
        if !pairs.iter().all(|(name, _)| name_ok(name)) {
            return Err("attribute names of 1 to 255 bytes without NUL");
        }
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
            return Err("each attribute name once, in ascending order");
        }
        Ok(Self(Some(pairs.into())))
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Names and values in ascending order of the names.
    #[must_use]
    pub fn pairs(&self) -> &[(Vec<u8>, Vec<u8>)] {
        self.0.as_deref().unwrap_or_default()
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let pairs = self.pairs();
        let at = pairs.binary_search_by(|pair| pair.0.as_slice().cmp(name)).ok()?;
        Some(&pairs[at].1)
    }

    /// The bytes that [`Xattrs::put`] writes.
    pub(crate) fn encoded_len(&self) -> usize {
        encoded_len(self.pairs())
    }

    /// Appends: the count of pairs; each the length and bytes of its name and of its value.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.pairs().len() as u64);
        for (name, value) in self.pairs() {
            for part in [name, value] {
                put_varint(out, part.len() as u64);
                out.extend_from_slice(part);
            }
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let count = reader.varint_usize(reader.left() / 3, "a count of extended attributes")?;
        let mut pairs = Vec::with_capacity(count);
        for _ in 0..count {
            let mut part = || {
                let len = reader.varint_usize(XATTRS_BYTES_MAX, "a length of an attribute")?;
                reader.take(len, "the bytes of an attribute").map(<[u8]>::to_vec)
            };
            pairs.push((part()?, part()?));
        }
        Self::from_sorted(pairs).or_else(|expected| reader.fail(expected))
    }
}

fn encoded_len(pairs: &[Pair]) -> usize {
    let part = |bytes: &[u8]| varint_len(bytes.len() as u64) + bytes.len();
    let bytes: usize = pairs.iter().map(|(name, value)| part(name) + part(value)).sum();
    varint_len(pairs.len() as u64) + bytes
}

#[cfg(test)]
mod tests;
