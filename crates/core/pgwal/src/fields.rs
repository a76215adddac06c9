use alloc::vec::Vec;

use crate::error::RedoError;

const SHORT: RedoError = RedoError::Record("it ends too early");

/// Takes little-endian numbers one after the other from the bytes of a record.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Reads from the first of these bytes on.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`RedoError::Record`] when there are not so many; so for all that follow.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], RedoError> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(SHORT)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RedoError> {
        let (taken, rest) = self.bytes.split_first_chunk().ok_or(SHORT)?;
        self.bytes = rest;
        Ok(*taken)
    }

    /// The next byte.
    ///
    /// # Errors
    /// As [`Fields::take`].
    pub fn u8(&mut self) -> Result<u8, RedoError> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    /// The next two bytes.
    ///
    /// # Errors
    /// As [`Fields::take`].
    pub fn u16(&mut self) -> Result<u16, RedoError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// The next four bytes.
    ///
    /// # Errors
    /// As [`Fields::take`].
    pub fn u32(&mut self) -> Result<u32, RedoError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// The next eight bytes.
    ///
    /// # Errors
    /// As [`Fields::take`].
    pub fn u64(&mut self) -> Result<u64, RedoError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// The next `count` numbers of two bytes.
    ///
    /// # Errors
    /// As [`Fields::take`].
    pub fn u16s(&mut self, count: usize) -> Result<Vec<u16>, RedoError> {
        let bytes = self.take(count.checked_mul(2).ok_or(SHORT)?)?;
        let (pairs, _) = bytes.as_chunks();
        Ok(pairs.iter().map(|pair| u16::from_le_bytes(*pair)).collect())
    }

    /// Passes over what a C compiler leaves between fields.
    ///
    /// # Errors
    /// As [`Fields::take`].
    pub fn skip(&mut self, len: usize) -> Result<(), RedoError> {
        self.take(len).map(drop)
    }

    /// What is left.
    #[must_use]
    pub const fn rest(self) -> &'a [u8] {
        self.bytes
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}
