//! The bytes under every page: a bounded reader and varints.
//!
//! A varint is LEB128 without superfluous bytes, at most ten. A signed number is zigzag coded.

use alloc::vec::Vec;

use cairn_chunk::ChunkId;

use crate::entry::Totals;
use crate::{Error, PAGE_BYTES_MAX};

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

    #[cfg(test)]
    pub(crate) const fn at_start(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
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

    #[inline]
    pub(crate) fn varint(&mut self, expected: &'static str) -> Result<u64, Error> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.varint_long(expected),
        }
    }

    fn varint_long(&mut self, expected: &'static str) -> Result<u64, Error> {
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

#[cfg(test)]
mod tests;
