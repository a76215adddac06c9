//! The bytes of a segment, before they are sealed (all numbers little endian):
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | `CRNL` |
//! | 4 | 1 | version of this layout, 1 |
//! | 5 | 1 | what the hash at 16 is of: 0 the segment before, 1 the object before as it lay in the bucket, because it could not be read |
//! | 6 | 2 | 0 |
//! | 8 | 8 | the segment's number, from 1 |
//! | 16 | 32 | that hash; zeros in segment 1 |
//! | 48 | 8 | the hub that wrote it: random bytes of a process |
//! | 56 | 4 | how many records |
//! | 60 | 4 | m, their length before compression |
//! | 64 | 4 | n, their length here |
//! | 68 | n | the records: one zstd frame of JSON, a record a line |
//! | 68 + n | 32 | BLAKE3 of all before: the segment's hash |
//!
//! The hash is what the next segment and a [`Mark`] hold. It covers the number, so that a segment at
//! another place is found, and the hash before, so that it stands for the whole log up to here.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::record::Record;

const MAGIC: &[u8; 4] = b"CRNL";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 68;
const HASH_BYTES: usize = 32;
const LEVEL: i32 = 3;

/// The most bytes of a segment's records before compression.
pub const RECORDS_BYTES_MAX: usize = 1 << 20;
/// The most bytes of a segment: what does not compress, and what is around it.
pub const SEGMENT_BYTES_MAX: usize = RECORDS_BYTES_MAX + (64 << 10);
/// The greatest number of a segment.
pub const SEQ_MAX: u64 = 1 << 60;

/// The hash of a segment, or of an object in the bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash(pub [u8; HASH_BYTES]);

impl Hash {
    /// The hash of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A running hub: random bytes of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hub(pub [u8; 8]);

impl fmt::Display for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A segment by number and hash: `SEQ:HASH`. It stands for the whole log up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The number.
    pub seq: u64,
    /// The segment's hash.
    pub hash: Hash,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl FromStr for Mark {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let read = || {
            let (seq, hash) = text.split_once(':')?;
            let seq = seq.parse().ok().filter(|seq| (1..=SEQ_MAX).contains(seq))?;
            let mut bytes = [0; HASH_BYTES];
            hex::decode_to_slice(hash, &mut bytes).ok()?;
            Some(Self { seq, hash: Hash(bytes) })
        };
        read().ok_or(Error::Mark)
    }
}

/// What a segment says about the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its hash; of segment 1, zeros.
    pub hash: Hash,
    /// It could not be read when this one was written, and the hash is of the object as it lay in the
    /// bucket.
    pub unreadable: bool,
}

/// A part of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its number, from 1.
    pub seq: u64,
    /// The one before it.
    pub before: Link,
    /// Who wrote it.
    pub hub: Hub,
    /// At least one.
    pub records: Vec<Record>,
}

/// Bytes that are no segment of a known version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// They are damaged.
    #[error("at byte {offset}: {detail}")]
    Damaged {
        /// Where.
        offset: usize,
        /// What was found.
        detail: &'static str,
    },
    /// A later program wrote them.
    #[error("version {found}")]
    Later {
        /// The version they have.
        found: u8,
    },
}

fn damaged<T>(offset: usize, detail: &'static str) -> Result<T, Malformed> {
    Err(Malformed::Damaged { offset, detail })
}

impl Segment {
    /// The bytes to seal and store, and their hash.
    ///
    /// # Panics
    /// When the records are over [`RECORDS_BYTES_MAX`].
    #[must_use]
    pub fn encode(&self) -> (Vec<u8>, Hash) {
        let mut lines = Vec::new();
        for record in &self.records {
            serde_json::to_writer(&mut lines, record).expect("texts and numbers are always JSON");
            lines.push(b'\n');
        }
        assert!(lines.len() <= RECORDS_BYTES_MAX, "a segment's records are bounded when taken");
        let packed = zstd::bulk::compress(&lines, LEVEL).expect("memory can be compressed");
        let len = |len: usize| u32::try_from(len).expect("bounded above").to_le_bytes();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + packed.len() + HASH_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[VERSION, u8::from(self.before.unreadable), 0, 0]);
        bytes.extend_from_slice(&self.seq.to_le_bytes());
        bytes.extend_from_slice(&self.before.hash.0);
        bytes.extend_from_slice(&self.hub.0);
        bytes.extend_from_slice(&len(self.records.len()));
        bytes.extend_from_slice(&len(lines.len()));
        bytes.extend_from_slice(&len(packed.len()));
        bytes.extend_from_slice(&packed);
        let hash = Hash::of(&bytes);
        bytes.extend_from_slice(&hash.0);
        (bytes, hash)
    }

    /// Reads what [`Segment::encode`] made. Takes memory in proportion to [`RECORDS_BYTES_MAX`]
    /// whatever the bytes say (AUDIT-6).
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<(Self, Hash), Malformed> {
        if bytes.len() < HEADER_BYTES + HASH_BYTES {
            return damaged(bytes.len(), "shorter than any segment");
        }
        if bytes.len() > SEGMENT_BYTES_MAX {
            return damaged(SEGMENT_BYTES_MAX, "longer than any segment");
        }
        if &bytes[..MAGIC.len()] != MAGIC {
            return damaged(0, "not a segment of an audit log");
        }
        let (body, stored) = bytes.split_at(bytes.len() - HASH_BYTES);
        let hash = Hash::of(body);
        if hash.0 != stored {
            return damaged(body.len(), "checksum mismatch");
        }
        match body[4] {
            VERSION => {}
            0 => return damaged(4, "version 0"),
            found => return Err(Malformed::Later { found }),
        }
        if body[5] > 1 || body[6..8] != [0; 2] {
            return damaged(5, "an unknown mark");
        }
        let before = Link { hash: Hash(array(&body[16..])), unreadable: body[5] == 1 };
        let seq = u64::from_le_bytes(array(&body[8..]));
        if !(1..=SEQ_MAX).contains(&seq) || (seq == 1 && before != Link::default()) {
            return damaged(8, "a number that no segment has");
        }
        let hub = Hub(array(&body[48..]));
        let number = |at| u32::from_le_bytes(array(&body[at..])) as usize;
        let (count, plain, packed) = (number(56), number(60), number(64));
        if plain > RECORDS_BYTES_MAX || packed != body.len() - HEADER_BYTES {
            return damaged(60, "the lengths do not fit");
        }
        let lines = zstd::bulk::decompress(&body[HEADER_BYTES..], plain);
        let Ok(lines) = lines else { return damaged(HEADER_BYTES, "the records do not unpack") };
        if lines.len() != plain {
            return damaged(60, "the records have another length");
        }
        Ok((Self { seq, before, hub, records: records(&lines, count)? }, hash))
    }
}

fn records(lines: &[u8], count: usize) -> Result<Vec<Record>, Malformed> {
    let mut records = Vec::new();
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        match serde_json::from_slice::<Record>(line) {
            Ok(record) if record.count > 0 && line.ends_with(b"\n") => records.push(record),
            _ => return damaged(HEADER_BYTES, "a record that cannot be read"),
        }
    }
    if records.is_empty() || records.len() != count {
        return damaged(56, "another number of records");
    }
    Ok(records)
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[..N]);
    out
}

#[cfg(test)]
pub(crate) mod tests;
