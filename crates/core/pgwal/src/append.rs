//! Writing records: what a server finds where its log ends.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::lsn::Lsn;
use crate::record::Major;
use crate::rmgr::Rmgr;
use crate::stream::{
    CONTINUES, CRC_32C, LONG_HEADER, LONG_HEADER_BYTES, RECORD_HEADER_BYTES, SHORT_HEADER_BYTES,
    WAL_PAGE_BYTES,
};

/// The block id that says that a record's main data follows, its length in one byte.
const MAIN_DATA_SHORT: u8 = 255;

/// Appends records to a log of one timeline.
#[derive(Clone, Debug)]
pub struct Appender {
    /// The major version that will read it.
    pub major: Major,
    /// The cluster.
    pub system_id: u64,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// The timeline of what is appended.
    pub timeline: u32,
    /// The end of the last record: a multiple of 8.
    pub end: Lsn,
    /// The last record's start; 0 for none.
    pub previous: Lsn,
    /// What was written, by the number of the segment: from the first byte that is not of before.
    pub written: BTreeMap<u64, (usize, Vec<u8>)>,
}

impl Appender {
    /// Where the next record will begin: behind the header of a page, where one begins.
    #[must_use]
    pub fn next_start(&self) -> Lsn {
        let header = if self.end.0.is_multiple_of(self.segment_bytes) {
            LONG_HEADER_BYTES
        } else if self.end.0.is_multiple_of(WAL_PAGE_BYTES) {
            SHORT_HEADER_BYTES
        } else {
            0
        };
        Lsn(self.end.0 + header as u64)
    }

    /// Appends a record of no transaction, block or origin. Returns where it begins.
    ///
    /// # Panics
    /// When `main` has more than 255 bytes.
    pub fn append(&mut self, rmgr: Rmgr, info: u8, main: &[u8]) -> Lsn {
        // The header of a page stands before a record that would begin where the page does.
        self.page_header(0);
        let start = self.end;
        let record = record(rmgr, info, main, self.previous);
        let mut rest = record.as_slice();
        while !rest.is_empty() {
            self.page_header(rest.len());
            let room = WAL_PAGE_BYTES - self.end.0 % WAL_PAGE_BYTES;
            let room = usize::try_from(room).expect("a page is small");
            let (now, later) = rest.split_at(room.min(rest.len()));
            self.put(now);
            rest = later;
        }
        let padding = self.end.0.next_multiple_of(8) - self.end.0;
        self.put(&[0; 8][..usize::try_from(padding).expect("it is below 8")]);
        self.previous = start;
        start
    }

    /// Writes the header of a page where one begins; `rest` bytes of a record are still to come.
    fn page_header(&mut self, rest: usize) {
        if !self.end.0.is_multiple_of(WAL_PAGE_BYTES) {
            return;
        }
        let long = self.end.0.is_multiple_of(self.segment_bytes);
        let flags = if rest > 0 { CONTINUES } else { 0 } | if long { LONG_HEADER } else { 0 };
        let rest = u32::try_from(rest).expect("a record is short");
        let mut header = Vec::with_capacity(LONG_HEADER_BYTES);
        header.extend_from_slice(&self.major.wal_magic().to_le_bytes());
        header.extend_from_slice(&flags.to_le_bytes());
        header.extend_from_slice(&self.timeline.to_le_bytes());
        header.extend_from_slice(&self.end.0.to_le_bytes());
        header.extend_from_slice(&rest.to_le_bytes());
        header.resize(SHORT_HEADER_BYTES, 0);
        if long {
            header.extend_from_slice(&self.system_id.to_le_bytes());
            let segment = u32::try_from(self.segment_bytes).expect("at most 1 GiB");
            header.extend_from_slice(&segment.to_le_bytes());
            let page = u32::try_from(WAL_PAGE_BYTES).expect("a page is small");
            header.extend_from_slice(&page.to_le_bytes());
        }
        self.put(&header);
    }

    fn put(&mut self, bytes: &[u8]) {
        let at = usize::try_from(self.end.0 % self.segment_bytes).expect("at most 1 GiB");
        let number = self.end.0 / self.segment_bytes;
        self.written.entry(number).or_insert((at, Vec::new())).1.extend_from_slice(bytes);
        self.end.0 += bytes.len() as u64;
    }
}

fn record(rmgr: Rmgr, info: u8, main: &[u8], previous: Lsn) -> Vec<u8> {
    let len = u8::try_from(main.len()).expect("the record is short");
    let total = RECORD_HEADER_BYTES + 2 + main.len();
    let mut bytes = Vec::with_capacity(total);
    bytes.extend_from_slice(&u32::try_from(total).expect("the record is short").to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&previous.0.to_le_bytes());
    bytes.extend_from_slice(&[info, rmgr.number(), 0, 0]);
    let mut body = alloc::vec![MAIN_DATA_SHORT, len];
    body.extend_from_slice(main);
    let mut crc = CRC_32C.digest();
    crc.update(&body);
    crc.update(&bytes);
    bytes.extend_from_slice(&crc.finalize().to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;
    use crate::stream::{Stream, StreamOptions};

    const SEGMENT: u64 = 1 << 20;

    fn appender(end: u64) -> Appender {
        Appender {
            major: Major::V15,
            system_id: 42,
            segment_bytes: SEGMENT,
            timeline: 3,
            end: Lsn(end),
            previous: Lsn(8),
            written: BTreeMap::new(),
        }
    }

    /// The records from `from` on, in a log of zeros before it.
    fn read(appender: &Appender, from: Lsn) -> Vec<(Lsn, Lsn, Vec<u8>)> {
        let page = from.0 - from.0 % WAL_PAGE_BYTES;
        let mut bytes = Vec::new();
        for (number, (at, written)) in &appender.written {
            let start = number * SEGMENT + *at as u64;
            bytes.resize(usize::try_from(start - page).unwrap(), 0);
            bytes.extend_from_slice(written);
        }
        bytes.resize(bytes.len().next_multiple_of(8192) + 8192, 0);
        let options = StreamOptions {
            major: Major::V15,
            segment_bytes: SEGMENT,
            system_id: Some(42),
            start: from,
        };
        let mut stream = Stream::new(options);
        stream.push(&bytes[usize::try_from(from.0 - page).unwrap()..]);
        let mut found = Vec::new();
        while let Ok(Some(_)) = stream.advance() {
            let raw = stream.record().unwrap();
            let record = Record::decode(Major::V15, &raw).unwrap();
            found.push((raw.start, record.previous, record.main.to_vec()));
        }
        found
    }

    /// Wherever the log ends, in a page, at its end, at that of a segment: what is appended is read.
    #[test]
    fn what_is_appended_is_read() {
        let main: Vec<u8> = (0..88).collect();
        for end in (SEGMENT - 400..=SEGMENT + 8192 + 200).step_by(8) {
            // Inside a page's header no record ends.
            let header = if end / SEGMENT * SEGMENT + 8192 > end { 40 } else { 24 };
            if (1..header).contains(&(end % WAL_PAGE_BYTES)) {
                continue;
            }
            let mut appender = appender(end);
            let next = appender.next_start();
            let first = appender.append(Rmgr::Xlog, 0, &main);
            assert_eq!(first, next);
            let second = appender.append(Rmgr::Xlog, 0x10, b"more");
            let from = if first.0 == end { first } else { Lsn(end) };
            let found = read(&appender, from);
            let wanted = [(first, Lsn(8), main.clone()), (second, first, b"more".to_vec())];
            assert_eq!(found, wanted, "{end}");
        }
    }
}
