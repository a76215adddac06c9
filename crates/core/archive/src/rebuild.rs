use std::io::{self, Read, Write};

use crate::limits::COPY_BYTES;
use crate::{Error, Recipe, Segment, deflate, zstd};

/// Why a segment was not made again.
#[derive(Debug)]
pub(crate) enum RebuildError {
    Read(io::Error),
    Write(io::Error),
    Misfit(&'static str),
    Deflate(cairn_deflate::Error),
}

impl RebuildError {
    pub(crate) const LONG: Self = Self::Misfit("more bytes come out than the recipe says");
    pub(crate) const SHORT: Self = Self::Misfit("fewer bytes come out than the recipe says");
}

/// Counts what is read, and reads no further than the recipe's inner length.
struct Counted<R> {
    reader: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.reader.read(buf)?;
        self.count += len as u64;
        Ok(len)
    }
}

/// Makes an archive from its inner stream.
///
/// What was written before an error is no archive, and is to be thrown away.
///
/// # Errors
/// [`Error::InnerShort`] and [`Error::InnerLong`]: the inner stream is not of the recipe's length.
/// [`Error::Recode`] and [`Error::Deflate`]: the recipe does not belong to these bytes. [`Error::Read`] and
/// [`Error::Write`]: the reader or the writer failed.
pub fn rebuild<R: Read, W: Write>(recipe: &Recipe, inner: R, out: &mut W) -> Result<(), Error> {
    let mut inner = Counted { reader: inner, count: 0 };
    for (index, segment) in recipe.segments().iter().enumerate() {
        let result = match segment {
            Segment::Copy { len } => copy(&mut inner, *len, out),
            Segment::Deflate { inner_len, out_len, corrections } => {
                deflate::rebuild(&mut inner, corrections, (*inner_len, *out_len), out)
            }
            Segment::Zstd { inner_len, out_len, params } => {
                zstd::rebuild(&mut inner, *params, (*inner_len, *out_len), out)
            }
        };
        result.map_err(|error| match error {
            RebuildError::Read(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Error::InnerShort { found: inner.count, expected: recipe.inner_len() }
            }
            RebuildError::Read(error) => Error::Read(error),
            RebuildError::Write(error) => Error::Write(error),
            RebuildError::Misfit(reason) => Error::Recode { segment: index, reason },
            RebuildError::Deflate(source) => Error::Deflate { segment: index, source },
        })?;
    }
    let mut more = Vec::new();
    inner.by_ref().take(1).read_to_end(&mut more).map_err(Error::Read)?;
    if more.is_empty() { Ok(()) } else { Err(Error::InnerLong { expected: recipe.inner_len() }) }
}

fn copy<R: Read, W: Write>(inner: &mut R, len: u64, out: &mut W) -> Result<(), RebuildError> {
    let mut buf = [0; COPY_BYTES];
    let mut left = len;
    while left > 0 {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(COPY_BYTES);
        inner.read_exact(&mut buf[..take]).map_err(RebuildError::Read)?;
        out.write_all(&buf[..take]).map_err(RebuildError::Write)?;
        left -= take as u64;
    }
    Ok(())
}
