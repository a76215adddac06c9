//! The bytes of the log on disk. Numbers are little-endian.
//!
//! A **segment** is a file of a fixed length. It begins with one sector of 512 bytes:
//!
//! | At | Bytes | What |
//! |---|---|---|
//! | 0 | 8 | `CRNLOGSG` |
//! | 8 | 4 | format, 1 |
//! | 12 | 4 | CRC-32 of the sector without these four bytes |
//! | 16 | 16 | life of the log |
//! | 32 | 8 | number of the segment, from 1, one more for each |
//! | 40 | 8 | number of the first group in it |
//! | 48 | 8 | bytes of the file |
//! | 56 | 456 | zeros |
//!
//! **Groups** follow, each from a multiple of 512 bytes on, with zeros behind it to the next. What lies
//! behind the last one is zeros or what the file held before it became this segment. A group begins with
//!
//! | At | Bytes | What |
//! |---|---|---|
//! | 0 | 4 | `CRNG` |
//! | 4 | 4 | CRC-32 of the life, the segment's number and bytes 8 to 32 |
//! | 8 | 8 | number of the group, from 1, one more for each over the log's whole life |
//! | 16 | 8 | wall time at which it was made, in ns since 1970 |
//! | 24 | 4 | frames, at least 1 |
//! | 28 | 4 | bytes of all frames |
//!
//! and its **frames** follow one after the other:
//!
//! | At | Bytes | What |
//! |---|---|---|
//! | 0 | 4 | bytes of the payload, at least 1 |
//! | 4 | 4 | CRC-32 of the segment's number, the group's number, and all of the frame but these four bytes |
//! | 8 | 16 | partition |
//! | 24 | 8 | epoch |
//! | 32 | 8 | id, which grows in its partition |
//! | 40 | 8 | first sequence number in it |
//! | 48 | 8 | last sequence number in it |
//! | 56 | | payload |

use crc32fast::Hasher;

use super::LifeId;
use crate::{Epoch, PartitionId, Seq};

/// What a disk writes whole or not at all; groups begin at multiples of it.
pub(super) const SECTOR_BYTES: usize = 512;
/// Before the frames of a group.
pub(super) const GROUP_HEAD_BYTES: usize = 32;
/// Before the payload of a frame.
pub(super) const FRAME_HEAD_BYTES: usize = 56;

const FORMAT: u32 = 1;
const SEGMENT_MAGIC: &[u8; 8] = b"CRNLOGSG";
const GROUP_MAGIC: &[u8; 4] = b"CRNG";

/// What is wrong with some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bad(pub(super) &'static str);

/// Which segment of which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) life: LifeId,
    pub(super) segment: u64,
}

/// The first sector of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHead {
    pub(super) place: Place,
    pub(super) first_group: u64,
    pub(super) bytes: u64,
}

/// What a group begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupHead {
    pub(super) number: u64,
    pub(super) wall_ns: i64,
    pub(super) frames: u32,
    pub(super) body: u32,
    /// Its CRC, which tells it from a group of the same number in a log that was set back.
    pub(super) mark: u32,
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHead {
    pub(super) partition: PartitionId,
    pub(super) epoch: Epoch,
    pub(super) id: u64,
    pub(super) first_seq: Seq,
    pub(super) last_seq: Seq,
    pub(super) len: u32,
}

/// Bytes taken one field after the other.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    /// The next `N` bytes.
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        let (field, rest) = self.0.split_first_chunk::<N>().ok_or(Bad("it ends too early"))?;
        self.0 = rest;
        Ok(*field)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Bad> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Bad> {
        self.take().map(u64::from_le_bytes)
    }
}

/// The next multiple of a sector.
pub(super) fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(SECTOR_BYTES as u64)
}

impl SegmentHead {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SECTOR_BYTES);
        out.extend_from_slice(SEGMENT_MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.place.life.0);
        for number in [self.place.segment, self.first_group, self.bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.resize(SECTOR_BYTES, 0);
        let crc = sector_crc(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub(super) fn decode(sector: &[u8]) -> Result<Self, Bad> {
        let mut fields = Fields(sector);
        if sector.len() != SECTOR_BYTES || &fields.take::<8>()? != SEGMENT_MAGIC {
            return Err(Bad("it does not begin as a segment does"));
        }
        let format = fields.u32()?;
        if fields.u32()? != sector_crc(sector) {
            return Err(Bad("the checksum of the segment's header is wrong"));
        }
        if format != FORMAT {
            return Err(Bad("its format is one of a later version"));
        }
        let life = LifeId(fields.take()?);
        let segment = fields.u64()?;
        let (first_group, bytes) = (fields.u64()?, fields.u64()?);
        Ok(Self { place: Place { life, segment }, first_group, bytes })
    }
}

fn sector_crc(sector: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(sector.get(..12).unwrap_or_default());
    hasher.update(sector.get(16..).unwrap_or_default());
    hasher.finalize()
}

/// Gives the first sector of a segment the sum that is right, for fuzz targets.
pub(super) fn sum_sector(sector: &mut [u8]) {
    sector[..8].copy_from_slice(SEGMENT_MAGIC);
    let crc = sector_crc(sector);
    sector[12..16].copy_from_slice(&crc.to_le_bytes());
}

/// Gives the head of a group the sum that is right, for fuzz targets.
pub(super) fn sum_group(bytes: &mut [u8], place: Place) {
    bytes[..4].copy_from_slice(GROUP_MAGIC);
    let mark = group_crc(place, &bytes[8..GROUP_HEAD_BYTES]);
    bytes[4..8].copy_from_slice(&mark.to_le_bytes());
}

impl GroupHead {
    /// Bytes of the group on disk.
    pub(super) fn bytes(&self) -> u64 {
        padded(GROUP_HEAD_BYTES as u64 + u64::from(self.body))
    }

    pub(super) fn decode(bytes: &[u8], place: Place) -> Result<Self, Bad> {
        let mut fields = Fields(bytes);
        if &fields.take::<4>()? != GROUP_MAGIC {
            return Err(Bad("no group begins here"));
        }
        let mark = fields.u32()?;
        let rest = fields.0.get(..GROUP_HEAD_BYTES - 8).ok_or(Bad("it ends too early"))?;
        if mark != group_crc(place, rest) {
            return Err(Bad("the checksum of the group's header is wrong"));
        }
        let (number, wall_ns) = (fields.u64()?, i64::from_le_bytes(fields.take()?));
        let (frames, body) = (fields.u32()?, fields.u32()?);
        if frames == 0 || u64::from(frames) * (FRAME_HEAD_BYTES as u64 + 1) > u64::from(body) {
            return Err(Bad("the group says more frames than it has bytes"));
        }
        Ok(Self { number, wall_ns, frames, body, mark })
    }
}

fn group_crc(place: Place, rest: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&place.life.0);
    hasher.update(&place.segment.to_le_bytes());
    hasher.update(rest);
    hasher.finalize()
}

impl FrameHead {
    /// The head and the CRC that the bytes carry.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, u32), Bad> {
        let mut fields = Fields(bytes);
        let (len, crc) = (fields.u32()?, fields.u32()?);
        let partition = PartitionId(fields.take()?);
        let (epoch, id) = (Epoch(fields.u64()?), fields.u64()?);
        let (first_seq, last_seq) = (Seq(fields.u64()?), Seq(fields.u64()?));
        if len == 0 {
            return Err(Bad("the frame is empty"));
        }
        Ok((Self { partition, epoch, id, first_seq, last_seq, len }, crc))
    }

    fn encode(&self, crc: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&self.partition.0);
        for number in [self.epoch.0, self.id, self.first_seq.0, self.last_seq.0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// The CRC of the frame as far as its payload, which goes in next.
    pub(super) fn crc(&self, place: Place, group: u64) -> Hasher {
        let mut head = Vec::with_capacity(FRAME_HEAD_BYTES);
        self.encode(0, &mut head);
        let mut hasher = Hasher::new();
        hasher.update(&place.segment.to_le_bytes());
        hasher.update(&group.to_le_bytes());
        hasher.update(&head[..4]);
        hasher.update(&head[8..]);
        hasher
    }
}

/// Bytes that a group of frames with such payloads has on disk.
pub(super) fn group_bytes(payloads: impl Iterator<Item = usize>) -> u64 {
    let frames: u64 = payloads.map(|len| (FRAME_HEAD_BYTES + len) as u64).sum();
    padded(GROUP_HEAD_BYTES as u64 + frames)
}

/// Writes a group into `out`, which is emptied first. All frames together have less than 4 GiB.
pub(super) fn group_encode<'a>(
    out: &mut Vec<u8>,
    place: Place,
    (number, wall_ns): (u64, i64),
    frames: impl Iterator<Item = (FrameHead, &'a [u8])>,
) -> GroupHead {
    out.clear();
    out.resize(GROUP_HEAD_BYTES, 0);
    let mut count = 0;
    for (head, payload) in frames {
        let mut crc = head.crc(place, number);
        crc.update(payload);
        head.encode(crc.finalize(), out);
        out.extend_from_slice(payload);
        count += 1;
    }
    let body = u32::try_from(out.len() - GROUP_HEAD_BYTES).expect("groups are bounded");
    out.resize(out.len().next_multiple_of(SECTOR_BYTES), 0);
    out[..4].copy_from_slice(GROUP_MAGIC);
    out[8..16].copy_from_slice(&number.to_le_bytes());
    out[16..24].copy_from_slice(&wall_ns.to_le_bytes());
    out[24..28].copy_from_slice(&u32::to_le_bytes(count));
    out[28..32].copy_from_slice(&body.to_le_bytes());
    let mark = group_crc(place, &out[8..GROUP_HEAD_BYTES]);
    out[4..8].copy_from_slice(&mark.to_le_bytes());
    GroupHead { number, wall_ns, frames: count, body, mark }
}
