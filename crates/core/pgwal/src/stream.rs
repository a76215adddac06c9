//! Records out of a stream of WAL: across pages, segments, and what was overwritten after a crash.
//!
//! A page of WAL (8 KiB) begins with a header; numbers are little endian.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 2 | magic: the major version |
//! | 2 | 2 | flags: 1 continues a record, 2 long header, 4 removable, 8 overwrites a broken record |
//! | 4 | 4 | timeline |
//! | 8 | 8 | the LSN of this page |
//! | 16 | 4 | bytes of the continued record that are still to come |
//! | 24 | 8 | long header: the cluster's system identifier |
//! | 32 | 4 | long header: bytes of a segment |
//! | 36 | 4 | long header: bytes of a page of WAL |
//!
//! A record begins at a multiple of 8 with 24 bytes: `u32` length, `u32` transaction, `u64` the record
//! before, `u8` info, `u8` resource manager, 2 unused, `u32` CRC-32C of what follows the header and
//! then of the header before the CRC.

use alloc::vec::Vec;

use crc::{CRC_32_ISCSI, Crc, Table};

use crate::error::WalError;
use crate::lsn::Lsn;
use crate::record::Major;
use crate::rmgr::Rmgr;

/// Bytes of a page of WAL.
pub const WAL_PAGE_BYTES: u64 = 8192;
/// Bytes of a record's header.
pub(crate) const RECORD_HEADER_BYTES: usize = 24;
/// No record is longer (`XLogRecordMaxSize`).
pub(crate) const RECORD_BYTES_MAX: usize = 1020 * 1024 * 1024;

pub(crate) static CRC_32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// The checksum of PostgreSQL's files and records: CRC-32C.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u32 {
    CRC_32C.checksum(bytes)
}

pub(crate) const SHORT_HEADER_BYTES: usize = 24;
pub(crate) const LONG_HEADER_BYTES: usize = 40;
pub(crate) const CONTINUES: u16 = 0x0001;
pub(crate) const LONG_HEADER: u16 = 0x0002;
const OVERWRITES: u16 = 0x0008;
const FLAGS: u16 = 0x000f;
const XLOG_SWITCH: u8 = 0x40;
/// No log reaches the last page that LSNs could name.
const LSN_MAX: Lsn = Lsn(u64::MAX - WAL_PAGE_BYTES);
/// Consumed bytes are dropped from the buffer when there are so many.
const DROP_BYTES: usize = 1024 * 1024;
/// Room for a record that is kept for the next one, however long a record was.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// Where a stream begins, and what it must be.
#[derive(Clone, Copy, Debug)]
pub struct StreamOptions {
    /// The major version that writes it.
    pub major: Major,
    /// Bytes of a segment, a power of two; 16 MiB unless initdb was told otherwise.
    pub segment_bytes: u64,
    /// The cluster, where it is known.
    pub system_id: Option<u64>,
    /// The first byte that will be fed: the start of a page, or of a record.
    pub start: Lsn,
}

/// A record as it is in the stream, its CRC checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// Its first byte.
    pub start: Lsn,
    /// The byte after its last, rounded up to 8; after a switch of segments the next segment.
    pub end: Lsn,
    /// The timeline of the page that it begins in.
    pub timeline: u32,
    /// Header and body.
    pub bytes: &'a [u8],
}

/// Takes a stream in pieces and gives its records. Holds the unread bytes and one record.
#[derive(Debug)]
pub struct Stream {
    options: StreamOptions,
    buffer: Vec<u8>,
    /// What of the buffer was read.
    read: usize,
    /// The LSN of the next byte to be read.
    at: Lsn,
    /// Bytes up to here are passed over.
    skip_to: Lsn,
    record: Vec<u8>,
    /// The length of the record that is being put together; 0 for none.
    len: usize,
    start: Lsn,
    timeline: u32,
    record_timeline: u32,
    /// A record was begun here, so what continues one must be its rest.
    synchronised: bool,
    /// The record that was read last: in the buffer, or put together.
    whole: Option<Option<core::ops::Range<usize>>>,
}

enum Step {
    Again,
    Starved,
    Whole(core::ops::Range<usize>),
    Assembled,
}

impl Stream {
    /// A stream that is fed from `options.start` on.
    #[must_use]
    pub fn new(options: StreamOptions) -> Self {
        Self {
            options,
            buffer: Vec::new(),
            read: 0,
            at: options.start,
            skip_to: options.start,
            record: Vec::new(),
            len: 0,
            start: options.start,
            timeline: 0,
            record_timeline: 0,
            synchronised: !options.start.0.is_multiple_of(WAL_PAGE_BYTES),
            whole: None,
        }
    }

    /// Feeds the bytes that follow those fed before.
    pub fn push(&mut self, bytes: &[u8]) {
        self.whole = None;
        if self.read >= DROP_BYTES {
            self.buffer.drain(..self.read);
            self.read = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The LSN of the next byte to be fed.
    #[must_use]
    pub fn wanted(&self) -> Lsn {
        Lsn(self.at.0.saturating_add(self.unread().len() as u64))
    }

    /// Where the next record begins, or the one that is not whole yet.
    #[must_use]
    pub const fn position(&self) -> Lsn {
        if self.len > 0 { self.start } else { self.at }
    }

    /// The timeline of the newest page.
    #[must_use]
    pub const fn timeline(&self) -> u32 {
        self.timeline
    }

    /// Reads the next record, which [`Stream::record`] then gives; `None` when more must be fed first.
    ///
    /// # Errors
    /// [`WalError`]. In a log that ended by a crash this is how its end looks; nothing more can be read.
    pub fn advance(&mut self) -> Result<Option<Lsn>, WalError> {
        self.whole = None;
        let whole = loop {
            match self.step()? {
                Step::Again => {}
                Step::Starved => return Ok(None),
                Step::Whole(range) => break Some(range),
                Step::Assembled => break None,
            }
        };
        let bytes = match &whole {
            Some(range) => self.buffer.get(range.clone()).unwrap_or_default(),
            None => &self.record,
        };
        self.skip_to = check(bytes, self.start, self.at, self.options.segment_bytes)?;
        self.whole = Some(whole);
        Ok(Some(self.start))
    }

    /// The record that was read last, until more is fed or read.
    #[must_use]
    pub fn record(&self) -> Option<RawRecord<'_>> {
        let bytes = match self.whole.as_ref()? {
            Some(range) => self.buffer.get(range.clone())?,
            None => &self.record,
        };
        let (start, end, timeline) = (self.start, self.skip_to, self.record_timeline);
        Some(RawRecord { start, end, timeline, bytes })
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.read..).unwrap_or_default()
    }

    fn consume(&mut self, len: usize) {
        self.read += len;
        self.at.0 += len as u64;
    }

    /// Bytes to the end of the page.
    fn left_in_page(&self) -> usize {
        let left = WAL_PAGE_BYTES - self.at.0 % WAL_PAGE_BYTES;
        usize::try_from(left).expect("a page is short")
    }

    fn step(&mut self) -> Result<Step, WalError> {
        if self.at > LSN_MAX {
            return Err(WalError::End { at: self.at });
        }
        let unread = self.unread().len();
        if self.at < self.skip_to {
            let skip = usize::try_from(self.skip_to.0 - self.at.0).unwrap_or(usize::MAX);
            self.consume(skip.min(unread));
            return Ok(if skip <= unread { Step::Again } else { Step::Starved });
        }
        if self.at.0.is_multiple_of(WAL_PAGE_BYTES) {
            return self.page_header();
        }
        if self.len > 0 {
            return Ok(self.continue_record());
        }
        let padding = self.at.0.next_multiple_of(8);
        if padding > self.at.0 {
            self.skip_to = Lsn(padding);
            return Ok(Step::Again);
        }
        self.begin_record()
    }

    fn begin_record(&mut self) -> Result<Step, WalError> {
        let Some(len) = self.unread().first_chunk() else { return Ok(Step::Starved) };
        let len = u32::from_le_bytes(*len) as usize;
        if len == 0 {
            return Err(WalError::End { at: self.at });
        }
        if !(RECORD_HEADER_BYTES..=RECORD_BYTES_MAX).contains(&len) {
            return Err(WalError::Length { at: self.at, len: len as u64 });
        }
        (self.start, self.record_timeline, self.synchronised) = (self.at, self.timeline, true);
        if len <= self.left_in_page() {
            if self.unread().len() < len {
                return Ok(Step::Starved);
            }
            let from = self.read;
            self.consume(len);
            return Ok(Step::Whole(from..from + len));
        }
        self.len = len;
        self.record.clear();
        self.record.shrink_to(KEPT_BYTES_MAX);
        Ok(Step::Again)
    }

    fn continue_record(&mut self) -> Step {
        let wanted = (self.len - self.record.len()).min(self.left_in_page());
        let taken = wanted.min(self.unread().len());
        let from = self.read;
        self.record.extend_from_slice(&self.buffer[from..from + taken]);
        self.consume(taken);
        if self.record.len() == self.len {
            self.len = 0;
            return Step::Assembled;
        }
        if taken < wanted { Step::Starved } else { Step::Again }
    }

    fn page_header(&mut self) -> Result<Step, WalError> {
        let at = self.at;
        let first = at.0.is_multiple_of(self.options.segment_bytes);
        let len = if first { LONG_HEADER_BYTES } else { SHORT_HEADER_BYTES };
        let Some(header) = self.unread().get(..len) else { return Ok(Step::Starved) };
        let header = PageHeader::read(header, at, first, &self.options)?;
        if header.timeline < self.timeline {
            return Err(WalError::Page { at, detail: "its timeline is older than the one before" });
        }
        self.timeline = header.timeline;
        self.consume(len);
        self.continued(at, &header)?;
        Ok(Step::Again)
    }

    /// What a page says of the record that it continues, and what we have of one.
    fn continued(&mut self, at: Lsn, header: &PageHeader) -> Result<(), WalError> {
        let missing = self.len.saturating_sub(self.record.len());
        if header.flags & OVERWRITES != 0 {
            // The server crashed in the middle of a record, and wrote on over its rest.
            self.len = 0;
            return Ok(());
        }
        let continues = header.flags & CONTINUES != 0;
        if self.len > 0 && !(continues && header.rest == missing as u64) {
            return Err(WalError::Page { at, detail: "it does not continue the record before" });
        }
        if self.len == 0 && continues {
            if self.synchronised {
                return Err(WalError::Page {
                    at,
                    detail: "it continues a record that is not there",
                });
            }
            // We came in the middle of a record: its rest is passed over, page by page.
            let here = header.rest.min(self.left_in_page() as u64);
            self.skip_to = Lsn(self.at.0 + here);
        }
        Ok(())
    }
}

struct PageHeader {
    flags: u16,
    timeline: u32,
    rest: u64,
}

impl PageHeader {
    fn read(bytes: &[u8], at: Lsn, first: bool, options: &StreamOptions) -> Result<Self, WalError> {
        let page = |detail| WalError::Page { at, detail };
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if u16_at(0) != options.major.wal_magic() {
            return Err(WalError::Magic { at, found: u16_at(0) });
        }
        let flags = u16_at(2);
        if flags & !FLAGS != 0 || (flags & LONG_HEADER != 0) != first {
            return Err(page("its flags cannot be"));
        }
        if u64_at(8) != at.0 {
            return Err(page("it is the page of another LSN: an old segment under a new name"));
        }
        if first {
            if options.system_id.is_some_and(|id| id != u64_at(24)) {
                return Err(page("it is of another cluster"));
            }
            if u64::from(u32_at(32)) != options.segment_bytes {
                return Err(page("its segments have another size"));
            }
            if u64::from(u32_at(36)) != WAL_PAGE_BYTES {
                return Err(page("its pages have another size"));
            }
        }
        Ok(Self { flags, timeline: u32_at(4), rest: u64::from(u32_at(16)) })
    }
}

/// Checks the CRC and says where the record ends.
fn check(bytes: &[u8], start: Lsn, read: Lsn, segment_bytes: u64) -> Result<Lsn, WalError> {
    let (header, body) = bytes.split_at_checked(RECORD_HEADER_BYTES).unwrap_or_default();
    let (before, crc) = header.split_at_checked(RECORD_HEADER_BYTES - 4).unwrap_or_default();
    let expected = crc.first_chunk().map(|crc| u32::from_le_bytes(*crc));
    if expected != Some(self::crc(body, before)) {
        return Err(WalError::Crc { at: start });
    }
    let is_switch = bytes[17] == Rmgr::Xlog.number() && bytes[16] & 0xf0 == XLOG_SWITCH;
    let unit = if is_switch { segment_bytes } else { 8 };
    let end = read.0.checked_next_multiple_of(unit);
    end.map(Lsn).ok_or(WalError::End { at: start })
}

/// The CRC of a record: of its body, and then of its header before the CRC.
pub(crate) fn crc(body: &[u8], header: &[u8]) -> u32 {
    let mut digest = CRC_32C.digest();
    digest.update(body);
    digest.update(header);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream_at(start: Lsn, segment_bytes: u64) -> Stream {
        Stream::new(StreamOptions { major: Major::V15, segment_bytes, system_id: None, start })
    }

    #[test]
    fn pgwal_1_no_log_goes_beyond_the_last_lsn() {
        for start in [u64::MAX, u64::MAX - 7, u64::MAX - 4095, u64::MAX - 8191] {
            let mut stream = stream_at(Lsn(start), 1 << 24);
            stream.push(&[0xff; 9000]);
            assert_eq!(stream.advance(), Err(WalError::End { at: Lsn(start) }));
            assert_eq!(stream.wanted(), Lsn(u64::MAX));
        }
    }

    #[test]
    fn pgwal_1_a_switch_to_a_segment_that_cannot_be_is_the_end() {
        let mut header = [0; RECORD_HEADER_BYTES];
        header[0] = 24;
        header[16] = XLOG_SWITCH;
        let crc = crc(&[], &header[..20]).to_le_bytes();
        header[20..].copy_from_slice(&crc);
        let last_segment = Lsn(u64::MAX - (1 << 23) + 1);
        for (start, segment_bytes) in [(Lsn(64), 0), (Lsn(last_segment.0 + 64), 1 << 24)] {
            let mut stream = stream_at(start, segment_bytes);
            stream.push(&header);
            assert_eq!(stream.advance(), Err(WalError::End { at: start }));
        }
    }

    #[test]
    fn the_room_of_a_long_record_is_not_kept() {
        let mut stream = stream_at(Lsn(64), 1 << 24);
        stream.record.reserve(8 * KEPT_BYTES_MAX);
        stream.push(&10_000_u32.to_le_bytes());
        assert_eq!(stream.advance(), Ok(None));
        assert_eq!(stream.record.capacity(), KEPT_BYTES_MAX);
    }

    #[test]
    fn a_length_that_is_promised_is_not_allocated() {
        let mut stream = stream_at(Lsn(64), 1 << 24);
        stream.push(&(1_000_000_000_u32).to_le_bytes());
        assert_eq!(stream.advance(), Ok(None));
        assert!(stream.record.capacity() + stream.buffer.capacity() < 1000);
    }
}
