//! Segments of WAL in a directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cairn_pgwal::{Lsn, Major, RawRecord, Stream, StreamOptions, WalError};

use crate::error::Error;

const SEGMENT_BYTES_MIN: u64 = 1024 * 1024;
const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
const NAME_DIGITS: usize = 24;

/// A directory with segments, named as in `pg_wal`. Of several timelines the newest is read.
#[derive(Clone, Debug)]
pub struct Archive {
    path: PathBuf,
    segment_bytes: u64,
    /// By number: the segment of the newest timeline.
    segments: BTreeMap<u64, PathBuf>,
}

impl Archive {
    /// Looks at what a directory has.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::NoSegment`] for a directory without any, [`Error::SegmentLen`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Read { path: path.to_path_buf(), source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            names.extend(name.to_str().filter(|name| is_segment(name)).map(str::to_owned));
        }
        names.sort_unstable();
        let Some(first) = names.first() else {
            return Err(Error::NoSegment { path: path.to_path_buf(), at: Lsn(0) });
        };
        let first = path.join(first);
        let len = std::fs::metadata(&first)
            .map_err(|source| Error::Read { path: first.clone(), source })?
            .len();
        if !len.is_power_of_two() || !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&len) {
            return Err(Error::SegmentLen { path: first, len });
        }
        let number = |name: &str| {
            let part = |from: usize| u64::from_str_radix(&name[from..from + 8], 16);
            let (high, low) = (part(8).unwrap_or_default(), part(16).unwrap_or_default());
            high * (0x1_0000_0000 / len) + low
        };
        // Names sort by timeline first, so a later timeline replaces an earlier one.
        let segments = names.iter().map(|name| (number(name), path.join(name))).collect();
        Ok(Self { path: path.to_path_buf(), segment_bytes: len, segments })
    }

    /// Bytes of a segment.
    #[must_use]
    pub const fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// The start of the oldest segment.
    #[must_use]
    pub fn first(&self) -> Lsn {
        Lsn(self.segments.keys().next().map_or(0, |number| number * self.segment_bytes))
    }

    /// The records from `start` on, which is where one begins, or the start of a page.
    #[must_use]
    pub fn records(&self, start: Lsn) -> Records<'_> {
        let page = Lsn(start.0 - start.0 % cairn_pgwal::WAL_PAGE_BYTES);
        let stream = Stream::new(StreamOptions {
            major: Major::V15,
            segment_bytes: self.segment_bytes,
            system_id: None,
            start: page,
        });
        Records { archive: self, stream, start }
    }

    fn segment(&self, number: u64, at: Lsn) -> Result<Vec<u8>, Error> {
        let path = self
            .segments
            .get(&number)
            .ok_or_else(|| Error::NoSegment { path: self.path.clone(), at })?;
        std::fs::read(path).map_err(|source| Error::Read { path: path.clone(), source })
    }
}

fn is_segment(name: &str) -> bool {
    name.len() == NAME_DIGITS
        && name.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
}

/// Records of an archive, one after the other.
#[derive(Debug)]
pub struct Records<'a> {
    archive: &'a Archive,
    stream: Stream,
    start: Lsn,
}

impl Records<'_> {
    /// The next record; `None` where the log ends: at what was never written, or behind the last
    /// segment.
    ///
    /// # Errors
    /// [`Error::Wal`] for a log that is damaged; [`Error::Read`].
    pub fn advance(&mut self) -> Result<Option<RawRecord<'_>>, Error> {
        loop {
            match self.stream.advance() {
                Ok(None) => {}
                Err(WalError::End { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
                Ok(Some(at)) if at < self.start => continue,
                Ok(Some(_)) => return Ok(self.stream.record()),
            }
            let wanted = self.stream.wanted();
            let number = wanted.0 / self.archive.segment_bytes;
            if !self.archive.segments.contains_key(&number) {
                return if wanted <= self.start {
                    Err(Error::NoSegment { path: self.archive.path.clone(), at: wanted })
                } else {
                    Ok(None)
                };
            }
            let segment = self.archive.segment(number, wanted)?;
            let skip = usize::try_from(wanted.0 % self.archive.segment_bytes).unwrap_or(usize::MAX);
            self.stream.push(segment.get(skip..).unwrap_or_default());
        }
    }
}
