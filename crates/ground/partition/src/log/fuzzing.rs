use std::sync::Arc;

use bytes::Bytes;

use super::codec::{
    FRAME_HEAD_BYTES, FrameHead, GROUP_HEAD_BYTES, GroupHead, Place, SECTOR_BYTES, SegmentHead,
};
use super::object::{self, Object};
use super::read::Reader;
use super::{Disk, LifeId, SimDisk};

const PLACE: Place = Place { life: LifeId([7; 16]), segment: 3 };

/// The head of a segment and a group, as they are and with sums that are right.
///
/// # Panics
/// When a head that decodes encodes to another one.
pub fn log_group(bytes: &[u8]) {
    let mut sector = bytes.get(..SECTOR_BYTES).unwrap_or(bytes).to_vec();
    sector.resize(SECTOR_BYTES, 0);
    super::codec::sum_sector(&mut sector);
    for sector in [bytes, &sector] {
        if let Ok(head) = SegmentHead::decode(sector) {
            assert_eq!(SegmentHead::decode(&head.encode()), Ok(head));
        }
    }
    read_all(bytes);
    let mut summed = bytes.to_vec();
    if summed.len() >= GROUP_HEAD_BYTES {
        super::codec::sum_group(&mut summed, PLACE);
        sum_frames(&mut summed);
        read_all(&summed);
    }
}

/// Gives the frames of the group at the beginning sums that are right.
fn sum_frames(bytes: &mut [u8]) {
    let Ok(group) = GroupHead::decode(bytes, PLACE) else { return };
    let mut at = GROUP_HEAD_BYTES;
    while let Some(Ok((head, _))) = bytes.get(at..).map(FrameHead::decode) {
        let (payload, end) = (at + FRAME_HEAD_BYTES, at + FRAME_HEAD_BYTES + head.len as usize);
        let Some(payload) = bytes.get(payload..end) else { return };
        let mut crc = head.crc(PLACE, group.number);
        crc.update(payload);
        bytes[at + 4..at + 8].copy_from_slice(&crc.finalize().to_le_bytes());
        at = end;
    }
}

/// Reads any bytes as the groups of a segment.
fn read_all(bytes: &[u8]) {
    let disk = SimDisk::new();
    let len = bytes.len().next_multiple_of(SECTOR_BYTES) as u64;
    disk.create("x", len).expect("the disk is empty");
    disk.write_at("x", 0, bytes).expect("it has room");
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let mut reader = Reader::new(&disk, "x", PLACE, len);
    let (mut at, mut payload) = (0, 0);
    while let Ok(group) = reader.group(at) {
        if reader.frames(at, &group, |_| true, |_, bytes| payload += bytes.len()).is_err() {
            break;
        }
        at += group.bytes();
    }
    // Zeros to the end of the last sector are there too.
    assert!(payload as u64 <= len, "more was read than there is");
}

/// A shipped object, as it is and with a hash that is right.
///
/// # Panics
/// When an object that decodes has a frame that does not, or encodes to another one.
pub fn log_object(bytes: &[u8]) {
    let hashed = [bytes, blake3::hash(bytes).as_bytes()].concat();
    for bytes in [Bytes::copy_from_slice(bytes), hashed.into()] {
        let Ok(object) = Object::decode(&bytes) else { continue };
        let mut frames = Vec::new();
        for entry in &object.entries {
            for frame in object.frames(entry) {
                let frame = frame.expect("decoding has looked at it");
                let head = FrameHead {
                    partition: entry.held.partition,
                    epoch: frame.epoch,
                    id: frame.id,
                    first_seq: frame.first_seq,
                    last_seq: frame.last_seq,
                    len: u32::try_from(frame.payload.len()).expect("it was read from 32 bits"),
                };
                frames.push((head, frame.payload.to_vec()));
            }
        }
        let again = object::encode(&object.head, frames);
        assert_eq!(Object::decode(&again.into()), Ok(object));
    }
}
