//! A reader with a window of bytes that are read and not yet used, whose size the caller chooses.

use std::io::{self, Read};

/// See the module.
#[derive(Debug)]
pub(crate) struct Window<R> {
    reader: R,
    buf: Vec<u8>,
    start: usize,
    end: usize,
    consumed: u64,
    at_end: bool,
}

impl<R: Read> Window<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, buf: Vec::new(), start: 0, end: 0, consumed: 0, at_end: false }
    }

    /// The bytes at hand.
    pub(crate) fn data(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    /// The bytes used since the beginning.
    pub(crate) const fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Reads until `len` bytes are at hand, or all there are.
    pub(crate) fn fill(&mut self, len: usize) -> io::Result<&[u8]> {
        if self.end - self.start < len && !self.at_end {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.buf.len() < len {
                self.buf.resize(len, 0);
            }
            while self.end < len && !self.at_end {
                match self.reader.read(&mut self.buf[self.end..len]) {
                    Ok(0) => self.at_end = true,
                    Ok(n) => self.end += n,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(self.data())
    }

    /// Marks the first `len` bytes at hand as used.
    pub(crate) fn consume(&mut self, len: usize) {
        assert!(len <= self.end - self.start, "only bytes at hand can be used");
        self.start += len;
        self.consumed += len as u64;
    }
}
