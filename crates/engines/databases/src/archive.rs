//! Segments of WAL in an archive.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_pgwal::{Lsn, Major, RawRecord, Stream, StreamOptions, WAL_PAGE_BYTES, WalError};

use crate::error::Error;
use crate::history::History;
use crate::layout::segment_name;

const SEGMENT_BYTES_MIN: u64 = 1024 * 1024;
const SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
const NAME_DIGITS: usize = 24;
/// Where a segment says how long one is, and the bit of its flags that says that it says so.
const LONG_HEADER_BYTES: usize = 40;
const LONG_HEADER: u8 = 0x02;

/// Where segments and history files are, by the names that they have in `pg_wal`.
pub trait Store: Send + Sync {
    /// Its address, for people.
    fn place(&self) -> String;

    /// The names of all files.
    ///
    /// # Errors
    /// [`Error::Read`].
    fn names(&self) -> Result<Vec<String>, Error>;

    /// A whole file.
    ///
    /// # Errors
    /// [`Error::Read`].
    fn read(&self, name: &str) -> Result<Vec<u8>, Error>;
}

/// A directory.
#[derive(Debug)]
struct Directory(PathBuf);

impl Store for Directory {
    fn place(&self) -> String {
        self.0.display().to_string()
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let failed = |source| Error::Read { path: self.0.clone(), source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.0).map_err(failed)? {
            names.extend(entry.map_err(failed)?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let path = self.0.join(name);
        std::fs::read(&path).map_err(|source| Error::Read { path, source })
    }
}

/// An archive, read along one timeline.
#[derive(Clone)]
pub struct Archive {
    store: Arc<dyn Store>,
    names: Arc<BTreeSet<String>>,
    segment_bytes: u64,
    history: History,
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("place", &self.store.place()).finish_non_exhaustive()
    }
}

impl Archive {
    /// Looks at what a directory has, along its newest timeline.
    ///
    /// # Errors
    /// As [`Archive::of`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::directory(path, None)
    }

    /// Looks at what a directory has, along a timeline: the newest, unless told.
    ///
    /// # Errors
    /// As [`Archive::of`].
    pub fn directory(path: &Path, timeline: Option<u32>) -> Result<Self, Error> {
        Self::of(Arc::new(Directory(path.to_path_buf())), timeline)
    }

    /// Looks at what there is, along a timeline: the newest, unless told.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::NoSegment`] for an archive without any, [`Error::SegmentLen`],
    /// [`Error::Damaged`], [`Error::Target`] for a timeline that is not there.
    pub fn of(store: Arc<dyn Store>, timeline: Option<u32>) -> Result<Self, Error> {
        let names: BTreeSet<String> = store.names()?.into_iter().collect();
        let first = names.iter().find(|name| is_segment(name));
        let first = first.ok_or_else(|| Error::NoSegment { place: store.place(), at: Lsn(0) })?;
        let segment_bytes = segment_bytes(first, &store.read(first)?)?;
        let newest = newest_timeline(&names);
        let timeline = timeline.unwrap_or(newest);
        let file = History::file_name(timeline);
        let history = if names.contains(&file) {
            History::parse(timeline, &String::from_utf8_lossy(&store.read(&file)?))?
        } else if timeline == 1 {
            History::first(1)
        } else {
            let detail =
                format!("{} has no {file}; timelines up to {newest} are there", store.place());
            return Err(Error::Target(detail));
        };
        Ok(Self { store, names: Arc::new(names), segment_bytes, history })
    }

    /// Bytes of a segment.
    #[must_use]
    pub const fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// The timeline it is read along.
    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    /// The newest timeline of which anything is there.
    #[must_use]
    pub fn newest_timeline(&self) -> u32 {
        newest_timeline(&self.names)
    }

    /// The start of the oldest segment.
    #[must_use]
    pub fn first(&self) -> Lsn {
        let per_file = 0x1_0000_0000 / self.segment_bytes;
        let number = |name: &String| {
            let part = |from: usize| u64::from_str_radix(&name[from..from + 8], 16).ok();
            Some(part(8)? * per_file + part(16)?)
        };
        let first = self.names.iter().filter(|name| is_segment(name)).filter_map(number).min();
        Lsn(first.unwrap_or(0) * self.segment_bytes)
    }

    /// The records from `start` on, which is where one begins, or the start of a page.
    #[must_use]
    pub fn records(&self, start: Lsn) -> Records<'_> {
        let page = Lsn(start.0 - start.0 % WAL_PAGE_BYTES);
        let stream = Stream::new(StreamOptions {
            major: Major::V15,
            segment_bytes: self.segment_bytes,
            system_id: None,
            start: page,
        });
        Records { archive: self, stream, start }
    }

    /// The name of the segment with this number; `None` when it is not there.
    #[must_use]
    pub fn segment(&self, number: u64) -> Option<String> {
        let timeline = self.history.timeline_of_segment(number, self.segment_bytes);
        let name = segment_name(timeline, number, self.segment_bytes);
        self.names.contains(&name).then_some(name)
    }

    /// The bytes of the segment with a position.
    ///
    /// # Errors
    /// [`Error::NoSegment`], [`Error::Read`], [`Error::SegmentLen`].
    pub fn read_segment(&self, at: Lsn) -> Result<Vec<u8>, Error> {
        let name = self.segment(at.0 / self.segment_bytes);
        let name = name.ok_or_else(|| Error::NoSegment { place: self.store.place(), at })?;
        let bytes = self.store.read(&name)?;
        if bytes.len() as u64 != self.segment_bytes {
            return Err(Error::SegmentLen { name, len: bytes.len() as u64 });
        }
        Ok(bytes)
    }
}

fn is_segment(name: &str) -> bool {
    name.len() == NAME_DIGITS
        && name.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
}

fn newest_timeline(names: &BTreeSet<String>) -> u32 {
    let timeline = |name: &String| {
        let counts = is_segment(name) || name.ends_with(".history");
        u32::from_str_radix(name.get(..8)?, 16).ok().filter(|_| counts)
    };
    names.iter().filter_map(timeline).max().unwrap_or(1)
}

/// How long segments are, as the first one says.
fn segment_bytes(name: &str, segment: &[u8]) -> Result<u64, Error> {
    let len = segment.len() as u64;
    let wrong = || Error::SegmentLen { name: name.to_owned(), len };
    let header = segment.get(..LONG_HEADER_BYTES).ok_or_else(wrong)?;
    let said = u32::from_le_bytes(*header[32..].first_chunk().ok_or_else(wrong)?);
    let right = header[2] & LONG_HEADER != 0
        && u64::from(said) == len
        && len.is_power_of_two()
        && (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&len);
    right.then_some(len).ok_or_else(wrong)
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
            if self.archive.segment(number).is_none() && wanted > self.start {
                return Ok(None);
            }
            let segment = self.archive.read_segment(wanted)?;
            let skip = usize::try_from(wanted.0 % self.archive.segment_bytes).unwrap_or(usize::MAX);
            self.stream.push(segment.get(skip..).unwrap_or_default());
        }
    }
}
