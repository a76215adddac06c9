//! What is shipped: one object holds the frames of some groups that follow one another, sorted by
//! partition. Numbers are little-endian. These are the bytes before they are sealed.
//!
//! | At | Bytes | What |
//! |---|---|---|
//! | 0 | 8 | `CRNLOGOB` |
//! | 8 | 4 | format, 1 |
//! | 12 | 4 | entries of the directory |
//! | 16 | 16 | life of the log |
//! | 32 | 8 | number of the object, from 1, one more for each |
//! | 40 | 8 | first group |
//! | 48 | 8 | last group |
//! | 56 | 8 | wall time of the last group, in ns since 1970 |
//! | 64 | 4 | CRC in the header of the last group on disk |
//! | 68 | 4 | zeros |
//! | 72 | 8 | bytes of all frames |
//! | 80 | 8 | floor: no object below this number is needed any more |
//! | 88 | | directory: 80 bytes for each partition and epoch, in this order |
//! | | | frames, in the order of the directory |
//! | | 32 | BLAKE3 of all before |
//!
//! An entry is: partition (16), epoch (8), first and last id (8, 8), first and last sequence number (8, 8),
//! where its frames begin among all frames (8), their bytes (8), their count (4), zeros (4). A frame is:
//! bytes of the payload (4), id (8), first and last sequence number (8, 8), payload.

use bytes::Bytes;

use super::codec::{Bad, Fields, FrameHead};
use super::replay::Frame;
use super::{Held, LifeId};
use crate::{Epoch, PartitionId, Seq};

const MAGIC: &[u8; 8] = b"CRNLOGOB";
const FORMAT: u32 = 1;
const HEAD_BYTES: usize = 88;
const ENTRY_BYTES: usize = 80;
const HASH_BYTES: usize = 32;
const FRAME_HEAD_BYTES: usize = 28;

/// An object, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) head: ObjectHead,
    pub(super) entries: Vec<Entry>,
    data: Bytes,
}

/// Which object it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ObjectHead {
    pub(super) life: LifeId,
    pub(super) number: u64,
    pub(super) first_group: u64,
    pub(super) last_group: u64,
    pub(super) wall_ns: i64,
    pub(super) mark: u32,
    pub(super) floor: u64,
}

/// The frames of one partition and epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) held: Held,
    first_seq: Seq,
    last_seq: Seq,
    from: u64,
    bytes: u64,
    frames: u32,
}

/// The name of an object in the bucket.
pub(super) fn key(life: LifeId, number: u64) -> String {
    format!("{}/{number:020}", prefix(life))
}

/// Where the objects of a life are.
pub(crate) fn prefix(life: LifeId) -> String {
    format!("log/{}", hex::encode(life.0))
}

/// The number in a name.
pub(super) fn number_of(life: LifeId, key: &str) -> Option<u64> {
    let digits = key.strip_prefix(&prefix(life))?.strip_prefix('/')?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(())?;
    digits.parse().ok()
}

/// Encodes the frames of some groups, which are in the order of the log.
pub(super) fn encode(head: &ObjectHead, mut frames: Vec<(FrameHead, Vec<u8>)>) -> Vec<u8> {
    frames.sort_by_key(|(frame, _)| (frame.partition, frame.epoch));
    let same = |a: &(FrameHead, Vec<u8>), b: &(FrameHead, Vec<u8>)| {
        (a.0.partition, a.0.epoch) == (b.0.partition, b.0.epoch)
    };
    let (mut directory, mut count, mut from) = (Vec::new(), 0u32, 0u64);
    for run in frames.chunk_by(same) {
        let [(first, _), ..] = run else { continue };
        let last = run.last().map_or(*first, |(last, _)| *last);
        let bytes = run.iter().map(|(_, payload)| (FRAME_HEAD_BYTES + payload.len()) as u64).sum();
        directory.extend_from_slice(&first.partition.0);
        let seqs = [first.first_seq.0, last.last_seq.0];
        for number in [first.epoch.0, first.id, last.id, seqs[0], seqs[1], from, bytes] {
            directory.extend_from_slice(&number.to_le_bytes());
        }
        let run_frames = u32::try_from(run.len()).expect("objects are bounded");
        directory.extend_from_slice(&run_frames.to_le_bytes());
        directory.extend_from_slice(&[0; 4]);
        from += bytes;
        count += 1;
    }
    let data = usize::try_from(from).expect("it is in memory");
    let mut out = Vec::with_capacity(HEAD_BYTES + directory.len() + data + HASH_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&head.life.0);
    for number in [head.number, head.first_group, head.last_group] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&head.wall_ns.to_le_bytes());
    out.extend_from_slice(&head.mark.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&from.to_le_bytes());
    out.extend_from_slice(&head.floor.to_le_bytes());
    out.extend_from_slice(&directory);
    for (frame, payload) in frames {
        out.extend_from_slice(&frame.len.to_le_bytes());
        for number in [frame.id, frame.first_seq.0, frame.last_seq.0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&payload);
    }
    let hash = blake3::hash(&out);
    out.extend_from_slice(hash.as_bytes());
    out
}

impl Object {
    /// Decodes and verifies all of it. Copies nothing but the directory.
    pub(super) fn decode(bytes: &Bytes) -> Result<Self, Bad> {
        let (body, hash) = bytes.split_last_chunk::<HASH_BYTES>().ok_or(Bad("it is too short"))?;
        let mut fields = Fields(body);
        if &fields.take::<8>()? != MAGIC {
            return Err(Bad("it does not begin as an object of a log does"));
        }
        if blake3::hash(body).as_bytes() != hash {
            return Err(Bad("its hash is wrong"));
        }
        if fields.u32()? != FORMAT {
            return Err(Bad("its format is one of a later version"));
        }
        let count = fields.u32()? as usize;
        let life = LifeId(fields.take()?);
        let (number, first_group, last_group) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let (wall_ns, mark) = (i64::from_le_bytes(fields.take()?), fields.u32()?);
        fields.take::<4>()?;
        let (data_bytes, floor) = (fields.u64()?, fields.u64()?);
        let directory = count.checked_mul(ENTRY_BYTES).ok_or(Bad("its directory is too long"))?;
        if fields.0.len().checked_sub(directory).map(|left| left as u64) != Some(data_bytes) {
            return Err(Bad("its length is another than its header says"));
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push(Entry::decode(&mut fields)?);
        }
        let data = bytes.slice(HEAD_BYTES + directory..body.len());
        let head = ObjectHead { life, number, first_group, last_group, wall_ns, mark, floor };
        let object = Self { head, entries, data };
        object.verify()?;
        Ok(object)
    }

    /// The directory and the frames agree, and the frames are all there is.
    fn verify(&self) -> Result<(), Bad> {
        let mut end = 0;
        let mut before = None;
        for entry in &self.entries {
            let order = Some((entry.held.partition, entry.held.epoch));
            if entry.from != end || entry.frames == 0 || order <= before {
                return Err(Bad("its directory is not in order"));
            }
            (end, before) = (end.saturating_add(entry.bytes), order);
            let mut frames = self.frames(entry);
            let (mut count, mut ids, mut seqs) = (0, None, None);
            for frame in &mut frames {
                let frame = frame?;
                let first = ids.map_or(frame.id, |(first, _)| first);
                let first_seq = seqs.map_or(frame.first_seq, |(first, _)| first);
                if ids.is_some_and(|(_, last)| last >= frame.id) {
                    return Err(Bad("its frames are not in the order of their ids"));
                }
                (ids, seqs) = (Some((first, frame.id)), Some((first_seq, frame.last_seq)));
                count += 1;
            }
            let held = Some((entry.held.first_id, entry.held.last_id));
            if (count, ids, seqs) != (entry.frames, held, Some((entry.first_seq, entry.last_seq))) {
                return Err(Bad("its directory does not fit its frames"));
            }
        }
        if end == self.data.len() as u64 { Ok(()) } else { Err(Bad("its directory is not whole")) }
    }

    /// The frames of an entry.
    pub(super) fn frames(&self, entry: &Entry) -> impl Iterator<Item = Result<Frame, Bad>> + use<> {
        let range = usize::try_from(entry.from).ok().zip(usize::try_from(entry.bytes).ok());
        let end = range.and_then(|(from, bytes)| Some((from, from.checked_add(bytes)?)));
        let end = end.filter(|(_, end)| *end <= self.data.len());
        let mut rest = Some(end.map(|(from, end)| self.data.slice(from..end)));
        let epoch = entry.held.epoch;
        std::iter::from_fn(move || match rest.take()? {
            None => Some(Err(Bad("its directory points behind its end"))),
            Some(bytes) if bytes.is_empty() => None,
            Some(bytes) => Some(frame(&bytes, epoch).map(|(frame, left)| {
                rest = Some(Some(left));
                frame
            })),
        })
    }
}

impl Entry {
    fn decode(fields: &mut Fields<'_>) -> Result<Self, Bad> {
        let (partition, epoch) = (PartitionId(fields.take()?), Epoch(fields.u64()?));
        let (first_id, last_id) = (fields.u64()?, fields.u64()?);
        let (first_seq, last_seq) = (Seq(fields.u64()?), Seq(fields.u64()?));
        let (from, bytes, frames) = (fields.u64()?, fields.u64()?, fields.u32()?);
        fields.take::<4>()?;
        let held = Held { partition, epoch, first_id, last_id };
        Ok(Self { held, first_seq, last_seq, from, bytes, frames })
    }
}

/// The first frame of `bytes`, and what is left.
fn frame(bytes: &Bytes, epoch: Epoch) -> Result<(Frame, Bytes), Bad> {
    let mut fields = Fields(bytes);
    let (len, id) = (fields.u32()? as usize, fields.u64()?);
    let (first_seq, last_seq) = (Seq(fields.u64()?), Seq(fields.u64()?));
    if len == 0 || len > fields.0.len() {
        return Err(Bad("a frame is longer than what is left"));
    }
    let payload = bytes.slice(FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + len);
    let left = bytes.slice(FRAME_HEAD_BYTES + len..);
    Ok((Frame { epoch, id, first_seq, last_seq, payload }, left))
}
