//! Where a scan goes on, as text that only this partition and this scan take back.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 8 | state, little-endian |
//! | 4 | CRC-32 of the partition's id and of the scan's range and direction |
//! | rest | the last key that was given |
//! | 4 | CRC-32 of all before |
//!
//! Written in URL-safe base64. The sums guard against mistakes, not against malice: a forged cursor
//! shows nothing that its sender may not scan anyway.

use base64ct::{Base64UrlUnpadded, Encoding as _};
use bytes::Bytes;

use crate::limits::KEY_BYTES_MAX;
use crate::{Error, PartitionId, Scan, Seq};

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 13;
const SUM_BYTES: usize = 4;
const TEXT_BYTES_MAX: usize = (KEY_BYTES_MAX + HEAD_BYTES + SUM_BYTES) * 4 / 3 + 4;

/// Where a scan goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// Takes the text of a cursor. Whether it is one is seen when it is used.
    ///
    /// # Errors
    /// [`Error::Cursor`] for text that is too long.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Error::Cursor { why: "it is too long" });
        }
        Ok(Self(text.to_owned()))
    }

    /// The text, of letters, digits, `-` and `_`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn new(id: PartitionId, scan: &Scan, at: Seq, last: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + last.len() + SUM_BYTES);
        bytes.push(VERSION);
        bytes.extend(at.0.to_le_bytes());
        bytes.extend(belongs(id, scan).to_le_bytes());
        bytes.extend(last);
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        Self(Base64UrlUnpadded::encode_string(&bytes))
    }

    /// The state and the last key.
    pub(crate) fn open(&self, id: PartitionId, scan: &Scan) -> Result<(Seq, Bytes), Error> {
        let damaged = || Error::Cursor { why: "it is no cursor, or a part of one" };
        let bytes = Base64UrlUnpadded::decode_vec(&self.0).map_err(|_| damaged())?;
        let (body, sum) = bytes.split_last_chunk::<SUM_BYTES>().ok_or_else(damaged)?;
        if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
            return Err(damaged());
        }
        let ([version], rest) = body.split_first_chunk::<1>().ok_or_else(damaged)?;
        let (at, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
        let (whose, last) = rest.split_first_chunk::<4>().ok_or_else(damaged)?;
        if *version != VERSION {
            return Err(Error::Cursor { why: "another version made it" });
        }
        if u32::from_le_bytes(*whose) != belongs(id, scan) {
            return Err(Error::Cursor { why: "it was made for another range, direction or place" });
        }
        Ok((Seq(u64::from_le_bytes(*at)), Bytes::copy_from_slice(last)))
    }
}

fn belongs(id: PartitionId, scan: &Scan) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&id.0);
    sum.update(&[u8::from(scan.reverse), u8::from(scan.range.to.is_some())]);
    sum.update(&(scan.range.from.len() as u64).to_le_bytes());
    sum.update(&scan.range.from);
    sum.update(scan.range.to.as_deref().unwrap_or_default());
    sum.finalize()
}
