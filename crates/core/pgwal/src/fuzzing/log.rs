use alloc::vec;
use alloc::vec::Vec;

use super::check_record;
use crate::error::{RedoError, WalError};
use crate::fields::Fields;
use crate::lsn::Lsn;
use crate::page::Page;
use crate::record::{Major, Record};
use crate::rmgr::Rmgr;
use crate::stream::{RECORD_HEADER_BYTES, Stream, StreamOptions, WAL_PAGE_BYTES, crc};

/// Short, so that small logs have several.
const SEGMENT_BYTES: u64 = 4 * WAL_PAGE_BYTES;
const START: u64 = 16 * SEGMENT_BYTES;
const TIMELINE: u32 = 1;
const SYSTEM_ID: u64 = 7;
const SWITCH: u8 = 0x40;

/// Records that are laid out in pages of a log with everything right, and some bytes of that changed.
///
/// | offset | bytes | what |
/// |---|---|---|
/// | 0 | 1 | in pieces of how many bytes the log is fed; 0 for a whole page |
/// | 1 | 2 | where it begins, in words of 8 bytes |
/// | 3 | 1 | how many bytes are changed |
/// | 4 | 3 n | for each of these: 2 bytes where, 1 byte what bits of it |
/// | | | for each record: info, resource manager, 2 bytes length of its body, the body |
pub fn stream(bytes: &[u8]) {
    let mut fields = Fields::new(bytes);
    let Ok((piece, start, mut log)) = head(&mut fields) else { return };
    let mut written = Written::new(start);
    while let Ok((info, rmgr, len)) = record_head(&mut fields) {
        let body = fields.take(len.min(fields.rest().len())).expect("there are as many");
        written.add(info, rmgr, body);
    }
    log.apply(&mut written.bytes);
    let (found, error) = read(start, &written.bytes, WAL_PAGE_BYTES.try_into().expect("small"));
    if log.changes.is_empty() {
        assert_eq!(error, None, "what is written right is read");
        assert!(found.iter().map(|found| &found.bytes).eq(&written.records));
    }
    let piece = usize::from(piece).max(1);
    let in_pieces = read(start, &written.bytes, piece);
    assert!((&found, error) == (&in_pieces.0, in_pieces.1), "pieces do not matter");
    found.iter().for_each(check);
}

/// Bits to be changed.
struct Changes {
    changes: Vec<(usize, u8)>,
}

impl Changes {
    fn apply(&mut self, bytes: &mut [u8]) {
        self.changes.retain(|(at, bits)| {
            bytes.get_mut(*at).filter(|_| *bits != 0).map(|byte| *byte ^= bits).is_some()
        });
    }
}

fn head(fields: &mut Fields<'_>) -> Result<(u8, Lsn, Changes), RedoError> {
    let (piece, start) = (fields.u8()?, u64::from(fields.u16()?) * 8);
    let mut changes = Vec::new();
    for _ in 0..fields.u8()? {
        changes.push((fields.u16()?.into(), fields.u8()?));
    }
    Ok((piece, Lsn(START + start), Changes { changes }))
}

fn record_head(fields: &mut Fields<'_>) -> Result<(u8, u8, usize), RedoError> {
    Ok((fields.u8()?, fields.u8()?, fields.u16()?.into()))
}

/// A log as a server writes it.
struct Written {
    at: Lsn,
    bytes: Vec<u8>,
    records: Vec<Vec<u8>>,
}

impl Written {
    fn new(at: Lsn) -> Self {
        Self { at, bytes: Vec::new(), records: Vec::new() }
    }

    fn add(&mut self, info: u8, rmgr: u8, body: &[u8]) {
        let len = u32::try_from(RECORD_HEADER_BYTES + body.len()).expect("a body is short");
        let mut record = Vec::new();
        record.extend_from_slice(&len.to_le_bytes());
        record.extend_from_slice(&700_u32.to_le_bytes());
        record.extend_from_slice(&self.at.0.to_le_bytes());
        record.extend_from_slice(&[info, rmgr, 0, 0]);
        record.extend_from_slice(&crc(body, &record).to_le_bytes());
        record.extend_from_slice(body);
        let mut rest = record.as_slice();
        while !rest.is_empty() {
            if self.at.0.is_multiple_of(WAL_PAGE_BYTES) {
                self.page_header(if rest.len() < record.len() { rest.len() } else { 0 });
            }
            let left = WAL_PAGE_BYTES - self.at.0 % WAL_PAGE_BYTES;
            let len = usize::try_from(left).expect("a page is short").min(rest.len());
            self.put(&rest[..len]);
            rest = &rest[len..];
        }
        let is_switch = (info & 0xf0, rmgr) == (SWITCH, Rmgr::Xlog.number());
        let unit = if is_switch { SEGMENT_BYTES } else { 8 };
        let padding = self.at.0.next_multiple_of(unit) - self.at.0;
        self.put(&vec![0; usize::try_from(padding).expect("a segment is short")]);
        self.records.push(record);
    }

    fn page_header(&mut self, rest: usize) {
        let first = self.at.0.is_multiple_of(SEGMENT_BYTES);
        let flags = u16::from(rest > 0) | u16::from(first) << 1;
        let rest = u32::try_from(rest).expect("a record is short");
        let at = self.at.0.to_le_bytes();
        self.put(&Major::V15.wal_magic().to_le_bytes());
        self.put(&flags.to_le_bytes());
        self.put(&TIMELINE.to_le_bytes());
        self.put(&at);
        self.put(&rest.to_le_bytes());
        self.put(&[0; 4]);
        if first {
            self.put(&SYSTEM_ID.to_le_bytes());
            self.put(&u32::try_from(SEGMENT_BYTES).expect("it is short").to_le_bytes());
            self.put(&u32::try_from(WAL_PAGE_BYTES).expect("it is short").to_le_bytes());
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.at.0 += bytes.len() as u64;
    }
}

/// A record that was read.
#[derive(PartialEq, Eq)]
struct Found {
    start: Lsn,
    end: Lsn,
    timeline: u32,
    bytes: Vec<u8>,
}

fn read(start: Lsn, log: &[u8], piece: usize) -> (Vec<Found>, Option<WalError>) {
    let mut stream = Stream::new(StreamOptions {
        major: Major::V15,
        segment_bytes: SEGMENT_BYTES,
        system_id: Some(SYSTEM_ID),
        start,
    });
    let mut found = Vec::new();
    for piece in log.chunks(piece) {
        stream.push(piece);
        loop {
            match stream.advance() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    assert!(stream.record().is_none());
                    return (found, Some(error));
                }
            }
            let raw = stream.record().expect("it was read");
            let (start, end, timeline) = (raw.start, raw.end, raw.timeline);
            found.push(Found { start, end, timeline, bytes: raw.bytes.to_vec() });
        }
    }
    (found, None)
}

/// Decodes a record and does it again on an empty page; its images are restored by themselves, too.
fn check(found: &Found) {
    let Found { start, end, timeline, bytes } = found;
    let raw = crate::RawRecord { start: *start, end: *end, timeline: *timeline, bytes };
    let Ok(record) = Record::decode(Major::V15, &raw) else { return };
    let page = Page::zeroed();
    let parts = |block: &crate::Block<'_>| {
        block.data.len() + block.image.map_or(0, |image| image.bytes.len())
    };
    let len = record.main.len() + record.blocks.iter().map(parts).sum::<usize>();
    assert!(len + RECORD_HEADER_BYTES <= bytes.len());
    for image in record.blocks.iter().filter_map(|block| block.image) {
        image.restore(&mut page.clone()).unwrap_or_default();
    }
    check_record(&record, &page);
}
