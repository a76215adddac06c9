use cairn_chunk::ChunkKey;
use cairn_env::{Env, SeededRng};
use expect_test::expect;

use super::*;
use crate::frame::{OpenFrame, decode};

const KEY: ChunkKey = ChunkKey::new([1; 32]);

fn sample(master: Option<&Master>) -> (PackId, Bytes, Vec<(FramePlace, Frame)>) {
    let id = PackId::fresh(SessionId([5; 8]), &SeededRng::new(1));
    let mut pack = PackBuilder::new(id, 1 << 20, master);
    let mut places = Vec::new();
    for number in 0..3_u8 {
        let mut open = OpenFrame::default();
        for part in 0..4_u8 {
            let chunk = vec![number * 16 + part; 100 + usize::from(part)];
            open.push(KEY.id(&chunk), &chunk);
        }
        let frame = open.encode(3);
        places.push((pack.append(&frame), frame));
    }
    (id, pack.finish(), places)
}

fn read(id: PackId, bytes: &Bytes, master: Option<&Master>) -> Result<Footer, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let bucket = Bucket::memory(&Env::real());
        bucket.put(&id.key(), bytes.clone()).await?;
        Footer::read(&bucket, id, bytes.len() as u64, master).await
    })
}

#[test]
fn a_pack_reads_back_plain_and_sealed() {
    let master = Master::new([8; 32]);
    for master in [None, Some(&master)] {
        let (id, bytes, places) = sample(master);
        let footer = read(id, &bytes, master).unwrap();
        assert_eq!(footer.frames.len(), 3);
        for ((row, chunks), (place, frame)) in footer.frames.iter().zip(&places) {
            assert_eq!((row.offset, row.len), (place.offset, place.len));
            assert_eq!(chunks, &frame.chunks);
            let stored = &bytes[row.offset as usize..(row.offset + row.len) as usize];
            assert!(frame_is_whole(row, stored));
            let position = u64::from(row.offset);
            let plain = open(master, id, position, stored, master.is_some()).unwrap();
            assert_eq!(plain, frame.bytes);
            assert_eq!(decode(&plain).unwrap(), decode(&frame.bytes).unwrap());
        }
    }
}

/// BUCKET-3: a flipped bit anywhere behind the frames is found at once, one in a frame by its hash.
#[test]
fn bucket_3_no_flipped_bit_of_a_pack_is_accepted() {
    for master in [None, Some(&Master::new([8; 32]))] {
        let (id, bytes, _) = sample(master);
        let footer = read(id, &bytes, master).unwrap();
        let frames_end =
            footer.frames.last().map(|(row, _)| row.offset + row.len).unwrap() as usize;
        for at in 0..bytes.len() {
            let mut bad = bytes.to_vec();
            bad[at] ^= 0x10;
            let bad = Bytes::from(bad);
            if at < HEADER_BYTES {
                continue; // The header only serves a person; nothing is read from it.
            }
            match read(id, &bad, master) {
                Err(error) => assert!(at >= frames_end, "byte {at}: {error}"),
                Ok(read) => {
                    assert!(at < frames_end, "byte {at}");
                    assert!(read.frames.iter().any(|(row, _)| {
                        let from = row.offset as usize;
                        !frame_is_whole(row, &bad[from..from + row.len as usize])
                    }));
                }
            }
        }
    }
}

#[test]
fn truncated_and_renamed_packs_are_refused() {
    let (id, bytes, _) = sample(None);
    for len in [0, 10, 79, bytes.len() - 1] {
        assert!(read(id, &bytes.slice(..len), None).is_err());
    }
    let other = PackId([9; 16]);
    assert!(read(other, &bytes, None).is_err());
}

#[test]
fn golden_pack_of_version_1() {
    let (_, bytes, _) = sample(None);
    expect!["598623fec27e8ae454f04cd98f302d43863856a3c28ed8d2d39262e85e726ef3"]
        .assert_eq(&blake3::hash(&bytes).to_hex());
    expect!["43524e5041434b310505050505050505611830d3641a68f90196010028b52ffd"]
        .assert_eq(&hex::encode(&bytes[..32]));
}
