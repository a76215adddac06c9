//! How a partition lies in its view: what the rows of the LSM tree are.
//!
//! | row | key | value |
//! |---|---|---|
//! | version | `d`, the key escaped, `00 01`, seq inverted, 8 bytes big-endian | kind, [end of life], value |
//! | group | `g`, last seq of the group, 8 bytes big-endian | what its commits did, see below |
//! | range | `r`, seq, 8 bytes big-endian, CRC-32 of the range | a deleted range: see `range` below |
//! | end | `t`, end of life (ms), 8 bytes big-endian, seq, 8 bytes, the key | nothing |
//! | oldest | `m`, `oldest` | the oldest state that can be read, 8 bytes little-endian |
//!
//! *Escaped*: a byte 00 is written as `00 FF`, so that `00 01` ends a key and the order of rows is the
//! order of keys; versions of one key follow each other, the newest first.
//!
//! *Version*: kind 0 = gone, 1 = a value, 2 = a value with its end of life (8 bytes little-endian)
//! before it, 3 and 4 = likewise a reference to a value that is kept elsewhere.
//!
//! *Group*: version 1; time in ms (8 bytes little-endian); then for each change: how many commits it
//! is behind the one before (varint; the first is counted from `last seq - commits + 1`, which stands
//! before the changes as a varint of `commits`), kind (0 = deleted, 1 = put, 2 = expired, 3 = range
//! deleted), and the key, or the range, with their lengths.
//!
//! *Range*: length of the start as a varint, the start, and, unless it is open, 1 and the end.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use cairn_base::varint;

use crate::{KeyRange, Seq};

/// The first byte of rows of each kind.
pub(crate) const VERSION: u8 = b'd';
pub(crate) const GROUP: u8 = b'g';
pub(crate) const RANGE: u8 = b'r';
pub(crate) const END: u8 = b't';
pub(crate) const OLDEST: &[u8] = b"moldest";

const ESCAPE: u8 = 0;
const ESCAPED: u8 = u8::MAX;
const STOP: u8 = 1;
const SEQ_BYTES: usize = 8;
const GROUP_FORMAT: u8 = 1;

/// What a version says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Gone,
    Value { value: Bytes, expires_ms: Option<u64> },
    Reference { reference: Bytes, expires_ms: Option<u64> },
}

impl Version {
    /// The value, the reference in place of one, and when it is over; `None` when it is gone.
    pub(crate) fn parts(self) -> Option<(Bytes, Option<Bytes>, Option<u64>)> {
        match self {
            Self::Gone => None,
            Self::Value { value, expires_ms } => Some((value, None, expires_ms)),
            Self::Reference { reference, expires_ms } => {
                Some((Bytes::new(), Some(reference), expires_ms))
            }
        }
    }
}

/// The start of all rows of versions of `key`.
pub(crate) fn key_prefix(key: &[u8]) -> BytesMut {
    let mut row = BytesMut::with_capacity(key.len() + 3 + SEQ_BYTES);
    row.put_u8(VERSION);
    escape(key, &mut row);
    row.put_slice(&[ESCAPE, STOP]);
    row
}

/// Where versions of keys from `key` on begin.
pub(crate) fn keys_from(key: &[u8]) -> Bytes {
    let mut row = BytesMut::with_capacity(key.len() + 1);
    row.put_u8(VERSION);
    escape(key, &mut row);
    row.freeze()
}

/// The first row after all versions.
pub(crate) fn keys_end() -> Bytes {
    Bytes::from_static(&[VERSION + 1])
}

fn escape(key: &[u8], row: &mut BytesMut) {
    if !key.contains(&ESCAPE) {
        return row.put_slice(key);
    }
    for byte in key {
        row.put_u8(*byte);
        if *byte == ESCAPE {
            row.put_u8(ESCAPED);
        }
    }
}

/// The row of one version.
pub(crate) fn version_key(key: &[u8], seq: Seq) -> Bytes {
    let mut row = key_prefix(key);
    row.put_u64(!seq.0);
    row.freeze()
}

/// The key and position of a row of a version; `None` when it is none.
pub(crate) fn parse_version_key(row: &Bytes) -> Option<(Bytes, Seq)> {
    let (head, seq) = row.split_last_chunk::<SEQ_BYTES>()?;
    let seq = Seq(!u64::from_be_bytes(*seq));
    let key = head.strip_prefix(&[VERSION])?.strip_suffix(&[ESCAPE, STOP])?;
    if !key.contains(&ESCAPE) {
        return Some((row.slice(1..=key.len()), seq));
    }
    let mut plain = BytesMut::with_capacity(key.len());
    let mut rest = key.iter();
    while let Some(byte) = rest.next() {
        plain.put_u8(*byte);
        if *byte == ESCAPE && rest.next() != Some(&ESCAPED) {
            return None;
        }
    }
    Some((plain.freeze(), seq))
}

/// The bytes of a row of a version without its position: all versions of a key have the same.
pub(crate) fn without_seq(row: &[u8]) -> &[u8] {
    row.split_last_chunk::<SEQ_BYTES>().map_or(row, |(head, _)| head)
}

pub(crate) fn encode_version(version: &Version) -> Bytes {
    let mut row = BytesMut::new();
    match version {
        Version::Gone => row.put_u8(0),
        Version::Value { value, expires_ms } => put_version(&mut row, 1, *expires_ms, value),
        Version::Reference { reference, expires_ms } => {
            put_version(&mut row, 3, *expires_ms, reference);
        }
    }
    row.freeze()
}

/// A version of a kind, or of the next one when it has an end.
fn put_version(row: &mut BytesMut, kind: u8, expires_ms: Option<u64>, bytes: &[u8]) {
    row.reserve(bytes.len() + 1 + SEQ_BYTES);
    row.put_u8(kind + u8::from(expires_ms.is_some()));
    if let Some(ms) = expires_ms {
        row.put_u64_le(ms);
    }
    row.put_slice(bytes);
}

pub(crate) fn decode_version(mut row: Bytes) -> Option<Version> {
    let kind = row.try_get_u8().ok()?;
    match kind {
        0 if row.is_empty() => Some(Version::Gone),
        1 => Some(Version::Value { value: row, expires_ms: None }),
        2 => {
            let expires_ms = Some(row.try_get_u64_le().ok()?);
            Some(Version::Value { value: row, expires_ms })
        }
        3 => Some(Version::Reference { reference: row, expires_ms: None }),
        4 => {
            let expires_ms = Some(row.try_get_u64_le().ok()?);
            Some(Version::Reference { reference: row, expires_ms })
        }
        _ => None,
    }
}

/// What a commit did, without values: they are in the versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Did {
    Put(Bytes),
    Deleted(Bytes),
    Expired(Bytes),
    RangeDeleted(KeyRange),
}

/// What the commits of a group did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) time_ms: u64,
    pub(crate) commits: u64,
    pub(crate) did: Vec<(Seq, Did)>,
}

pub(crate) fn group_key(last: Seq) -> Bytes {
    seq_key(GROUP, last)
}

/// A row of a kind at a position.
pub(crate) fn seq_key(kind: u8, seq: Seq) -> Bytes {
    let mut row = BytesMut::with_capacity(1 + SEQ_BYTES);
    row.put_u8(kind);
    row.put_u64(seq.0);
    row.freeze()
}

/// The position of a row of a kind.
pub(crate) fn parse_seq_key(kind: u8, row: &[u8]) -> Option<Seq> {
    let (seq, _) = row.strip_prefix(&[kind])?.split_first_chunk::<SEQ_BYTES>()?;
    Some(Seq(u64::from_be_bytes(*seq)))
}

pub(crate) fn encode_group(group: &Group, last: Seq) -> Vec<u8> {
    let mut row = Vec::with_capacity(16 + group.did.len() * 32);
    row.push(GROUP_FORMAT);
    row.extend(group.time_ms.to_le_bytes());
    varint::put(&mut row, group.commits);
    let mut at = last.0.saturating_sub(group.commits).saturating_add(1);
    for (seq, did) in &group.did {
        varint::put(&mut row, seq.0.saturating_sub(at));
        at = seq.0;
        match did {
            Did::Deleted(key) => write_key(&mut row, 0, key),
            Did::Put(key) => write_key(&mut row, 1, key),
            Did::Expired(key) => write_key(&mut row, 2, key),
            Did::RangeDeleted(range) => {
                row.push(3);
                let range_row = encode_range(range);
                write_bytes(&mut row, &range_row);
            }
        }
    }
    row
}

fn write_key(row: &mut Vec<u8>, kind: u8, key: &[u8]) {
    row.push(kind);
    write_bytes(row, key);
}

fn write_bytes(row: &mut Vec<u8>, bytes: &[u8]) {
    varint::put(row, bytes.len() as u64);
    row.extend(bytes);
}

pub(crate) fn decode_group(row: &Bytes, last: Seq) -> Option<Group> {
    let mut rest = Rest { row, at: 0 };
    if rest.byte()? != GROUP_FORMAT {
        return None;
    }
    let time_ms = u64::from_le_bytes(rest.bytes(8)?.as_ref().try_into().ok()?);
    let commits = rest.varint()?;
    let mut at = last.0.checked_sub(commits)?.checked_add(1)?;
    let mut did = Vec::new();
    while rest.at < row.len() {
        at = at.checked_add(rest.varint()?).filter(|at| *at <= last.0)?;
        let kind = rest.byte()?;
        let len = rest.varint()?;
        let bytes = rest.bytes(usize::try_from(len).ok()?)?;
        let what = match kind {
            0 => Did::Deleted(bytes),
            1 => Did::Put(bytes),
            2 => Did::Expired(bytes),
            3 => Did::RangeDeleted(decode_range(&bytes)?),
            _ => return None,
        };
        did.push((Seq(at), what));
    }
    Some(Group { time_ms, commits, did })
}

/// The row of a deleted range: a commit may delete several.
pub(crate) fn seq_key_of_range(seq: Seq, range: &KeyRange) -> Bytes {
    let mut row = BytesMut::from(seq_key(RANGE, seq).as_ref());
    row.put_u32(crc32fast::hash(&encode_range(range)));
    row.freeze()
}

pub(crate) fn encode_range(range: &KeyRange) -> Vec<u8> {
    let mut row = Vec::new();
    write_bytes(&mut row, &range.from);
    if let Some(to) = &range.to {
        row.push(1);
        row.extend_from_slice(to);
    }
    row
}

pub(crate) fn decode_range(row: &Bytes) -> Option<KeyRange> {
    let mut rest = Rest { row, at: 0 };
    let len = rest.varint()?;
    let from = rest.bytes(usize::try_from(len).ok()?)?;
    if rest.at == row.len() {
        return Some(KeyRange { from, to: None });
    }
    if rest.byte()? != 1 {
        return None;
    }
    Some(KeyRange { from, to: Some(row.slice(rest.at..)) })
}

/// The row that says when a value is over.
pub(crate) fn end_key(expires_ms: u64, seq: Seq, key: &[u8]) -> Bytes {
    let mut row = BytesMut::with_capacity(1 + 2 * SEQ_BYTES + key.len());
    row.put_u8(END);
    row.put_u64(expires_ms);
    row.put_u64(seq.0);
    row.put_slice(key);
    row.freeze()
}

/// Time, position and key of a row that says when a value is over.
pub(crate) fn parse_end_key(row: &Bytes) -> Option<(u64, Seq, Bytes)> {
    let mut rest = row.clone();
    if rest.try_get_u8().ok()? != END {
        return None;
    }
    Some((rest.try_get_u64().ok()?, Seq(rest.try_get_u64().ok()?), rest))
}

/// What is left of a row.
struct Rest<'a> {
    row: &'a Bytes,
    at: usize,
}

impl Rest<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.row.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn bytes(&mut self, count: usize) -> Option<Bytes> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.row.len())?;
        let bytes = self.row.slice(self.at..end);
        self.at = end;
        Some(bytes)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut rest = self.row.get(self.at..)?;
        let before = rest.len();
        let value = varint::take(&mut rest)?;
        self.at += before - rest.len();
        Some(value)
    }
}
