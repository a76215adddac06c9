//! The proof of a plan: the archive is made from its recipe and compared with itself.

use std::cell::RefCell;
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::limits::COPY_BYTES;
use crate::{Inner, Recipe, rebuild};

/// A reader that several places are read from in turn.
struct Shared<R> {
    reader: R,
    at: u64,
    error: Option<io::Error>,
}

/// One of the places.
struct Place<'a, R> {
    shared: &'a RefCell<Shared<R>>,
    at: u64,
}

impl<R: Read + Seek> Read for Place<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut shared = self.shared.borrow_mut();
        let result = shared.read_at(self.at, buf);
        match result {
            Ok(len) => {
                self.at += len as u64;
                Ok(len)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                shared.error = Some(error);
                Err(kind.into())
            }
        }
    }
}

impl<R: Read + Seek> Shared<R> {
    fn read_at(&mut self, at: u64, buf: &mut [u8]) -> io::Result<usize> {
        if self.at != at {
            self.at = self.reader.seek(SeekFrom::Start(at))?;
        }
        let len = self.reader.read(buf)?;
        self.at += len as u64;
        Ok(len)
    }
}

impl<R> Seek for Place<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match to {
            SeekFrom::Start(at) => self.at = at,
            _ => return Err(io::ErrorKind::Unsupported.into()),
        }
        Ok(self.at)
    }
}

/// Takes the rebuilt archive and compares it with what stands there.
struct Compare<'a, R> {
    place: Place<'a, R>,
    buf: Vec<u8>,
}

impl<R: Read + Seek> Write for Compare<'_, R> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(self.buf.len());
        let there = &mut self.buf[..len];
        self.place.read_exact(there)?;
        if there == &bytes[..len] { Ok(len) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the inner stream, as it will be read, makes the archive, as it will be made (ARCHIVE-1).
pub(crate) fn holds<R: Read + Seek>(archive: &mut R, recipe: &Recipe) -> io::Result<bool> {
    let at = archive.stream_position()?;
    let shared = RefCell::new(Shared { reader: archive, at, error: None });
    let mut source = Place { shared: &shared, at: 0 };
    let mut compare = Compare { place: Place { shared: &shared, at: 0 }, buf: vec![0; COPY_BYTES] };
    let result =
        Inner::new(&mut source, recipe).and_then(|inner| rebuild(recipe, inner, &mut compare));
    match (shared.into_inner().error, result) {
        (Some(error), _) => Err(error),
        (None, result) => Ok(result.is_ok()),
    }
}
