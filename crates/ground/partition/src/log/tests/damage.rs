//! Damaged and hostile bytes.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::Seq;
use crate::log::codec::{FrameHead, GroupHead, Place, SegmentHead, group_encode};
use crate::log::object::{self, Object, ObjectHead};
use crate::log::read::Reader;

/// A small log of two segments with a few groups; the last group is at the end of the second.
async fn small_log(env: &Env) -> (SimDisk, Vec<Frame>) {
    let disk = SimDisk::new();
    let log = open(&disk, env).await.unwrap();
    let writer = log.writer(partition(1), Epoch(1), 0).unwrap();
    for seq in 1..=20 {
        put(&writer, &format!("value {seq}").repeat(20), seq).await.unwrap();
    }
    let frames = replayed(&log, partition(1), 0).await.unwrap();
    log.close().await.unwrap();
    (disk.image(), frames)
}

/// LOG-3: every byte that is flipped is found with its file, or is in the last group, which is cut, or behind
/// the end, where nothing is.
#[tokio::test(start_paused = true)]
async fn every_flipped_byte_is_found() {
    let env = Env::simulated(1);
    let (disk, frames) = small_log(&env).await;
    let mut files = disk.list().unwrap();
    files.retain(|(name, _)| name.starts_with("segment-"));
    files.sort();
    assert_eq!(files.len(), 2);
    let (mut found, mut cut, mut harmless) = (0, 0, 0);
    for (name, bytes) in &files {
        for offset in 0..usize::try_from(*bytes).unwrap() {
            let disk = disk.image();
            disk.flip(name, offset, 1 << (offset % 8));
            match open(&disk, &env).await {
                Err(Error::Corrupt { what, offset: at, .. }) => {
                    assert!(what.ends_with(name.as_str()) && at <= offset as u64, "{what} {at}");
                    found += 1;
                }
                Err(error) => panic!("{error}"),
                Ok(log) => {
                    let read = replayed(&log, partition(1), 0).await.unwrap();
                    if read == frames {
                        harmless += 1;
                    } else {
                        assert_eq!(read, frames[..frames.len() - 1], "{name} {offset}");
                        cut += 1;
                    }
                }
            }
        }
    }
    assert_eq!(cut, 512, "the last group");
    // The heads of both segments and nineteen groups of 512 bytes.
    assert_eq!(found, 2 * 512 + 19 * 512);
    assert_eq!(harmless, 2 * 8192 - found - cut);
}

#[tokio::test(start_paused = true)]
async fn missing_and_foreign_segments_are_named() {
    let env = Env::simulated(2);
    let (disk, _) = small_log(&env).await;
    let name = |number| crate::log::engine::segment_name(number);
    let moved = disk.image();
    moved.rename(&name(2), &name(3)).unwrap();
    let hole = open(&moved, &env).await.map(|_| ()).unwrap_err();
    assert!(matches!(hole, Error::Corrupt { .. }), "{hole}");
    let (other, _) = small_log(&env).await;
    let mut bytes = vec![0; 8192];
    other.read_at(&name(2), 0, &mut bytes).unwrap();
    let foreign = disk.image();
    foreign.write_at(&name(2), 0, &bytes).unwrap();
    let foreign = open(&foreign, &env).await.map(|_| ()).unwrap_err();
    assert!(foreign.to_string().contains("another log"), "{foreign}");
    let set_back = disk.image();
    set_back.write_at(&name(1), 2048, &[0; 6144]).unwrap();
    let lost = open(&set_back, &env).await.map(|_| ()).unwrap_err();
    assert!(matches!(lost, Error::Corrupt { offset: 2048, .. }), "{lost}");
}

const PLACE: Place = Place { life: LifeId([7; 16]), segment: 3 };

fn frame_head(number: u8, len: usize) -> FrameHead {
    FrameHead {
        partition: partition(number),
        epoch: Epoch(5),
        id: 9,
        first_seq: Seq(20),
        last_seq: Seq(22),
        len: u32::try_from(len).unwrap(),
    }
}

fn golden(name: &str, bytes: &[u8]) {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("CAIRN_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(format!("{}/tests/golden", env!("CARGO_MANIFEST_DIR"))).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "{path}");
}

/// What was written by a released version is read by every later one.
#[test]
fn the_bytes_are_for_ever() {
    let segment = SegmentHead { place: PLACE, first_group: 11, bytes: 1 << 24 };
    golden("segment-1", &segment.encode());
    assert_eq!(SegmentHead::decode(&segment.encode()), Ok(segment));
    let payloads: [&[u8]; 2] = [b"one", b"two and more"];
    let heads = [frame_head(1, 3), frame_head(2, 12)];
    let mut bytes = Vec::new();
    let frames = || heads.into_iter().zip(payloads);
    let group = group_encode(&mut bytes, PLACE, (11, 1_700_000_000_000_000_000), frames());
    golden("group-1", &bytes);
    assert_eq!(GroupHead::decode(&bytes, PLACE), Ok(group));
    let head = ObjectHead {
        life: PLACE.life,
        number: 4,
        first_group: 10,
        last_group: 11,
        wall_ns: group.wall_ns,
        mark: group.mark,
        floor: 3,
    };
    let frames = frames().map(|(head, payload)| (head, payload.to_vec())).collect();
    let bytes = object::encode(&head, frames);
    golden("object-1", &bytes);
    let object = Object::decode(&bytes.into()).unwrap();
    assert_eq!((object.head, object.entries.len()), (head, 2));
}

/// Reads a file of any bytes as a segment.
fn read_all(bytes: &[u8]) -> usize {
    let disk = SimDisk::new();
    disk.create("x", bytes.len() as u64).unwrap();
    disk.write_at("x", 0, bytes).unwrap();
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let mut reader = Reader::new(&disk, "x", PLACE, bytes.len() as u64);
    let (mut at, mut payload) = (0, 0);
    while let Ok(group) = reader.group(at) {
        if reader.frames(at, &group, |_| true, |_, bytes| payload += bytes.len()).is_err() {
            break;
        }
        at += group.bytes();
    }
    payload
}

fn hashed(mut bytes: Vec<u8>) -> Bytes {
    let hash = blake3::hash(&bytes);
    bytes.extend_from_slice(hash.as_bytes());
    bytes.into()
}

proptest! {
    #[test]
    fn any_bytes_end_in_an_error(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(SegmentHead::decode(&bytes).is_err());
        prop_assert!(GroupHead::decode(&bytes, PLACE).is_err());
        prop_assert!(Object::decode(&Bytes::from(bytes.clone())).is_err());
        prop_assert_eq!(read_all(&bytes), 0);
    }

    /// With the right hash, a directory that lies is found all the same, or is a whole object.
    #[test]
    fn lying_objects_end_in_an_error(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let head = ObjectHead {
            life: PLACE.life, number: 4, first_group: 10, last_group: 11, wall_ns: 0, mark: 0,
            floor: 3,
        };
        let frames = (1..4).map(|number| (frame_head(number, 8), vec![number; 8])).collect();
        let mut bytes = object::encode(&head, frames);
        bytes.truncate(bytes.len() - 32);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(object) = Object::decode(&hashed(bytes)) {
            for entry in &object.entries {
                prop_assert!(object.frames(entry).all(|frame| frame.is_ok()));
            }
        }
    }

    /// A group of any frames is read as it was written; with any byte changed it is not.
    #[test]
    fn groups_are_read_as_written(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..900), 1..6),
        flip: prop::sample::Index,
        bit in 0..8u32,
    ) {
        let heads = payloads.iter().map(|payload| frame_head(1, payload.len()));
        let frames = heads.zip(payloads.iter().map(Vec::as_slice));
        let mut bytes = Vec::new();
        let group = group_encode(&mut bytes, PLACE, (1, 2), frames);
        prop_assert_eq!(bytes.len() as u64, group.bytes());
        let all = payloads.iter().map(Vec::len).sum::<usize>();
        prop_assert_eq!(read_all(&bytes), all);
        let at = flip.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let disk = SimDisk::new();
        disk.create("x", bytes.len() as u64).unwrap();
        disk.write_at("x", 0, &bytes).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(disk);
        let mut reader = Reader::new(&disk, "x", PLACE, bytes.len() as u64);
        let read = reader.group(0).and_then(|group| reader.frames(0, &group, |_| false, |_, _| {}));
        prop_assert!(read.is_err());
    }
}
