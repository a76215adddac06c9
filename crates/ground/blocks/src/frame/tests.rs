use cairn_env::{Rng as _, SeededRng};
use proptest::prelude::*;

use super::*;

const KEY: ChunkKey = ChunkKey::new([3; 32]);

fn frame(contents: &[Vec<u8>]) -> Frame {
    let mut open = OpenFrame::default();
    for content in contents {
        open.push(KEY.id(content), content);
    }
    open.encode(3)
}

#[test]
fn text_shrinks_and_noise_is_stored() {
    let text = b"the quick brown fox ".repeat(2000);
    let packed = frame(&[text]);
    assert_eq!(packed.bytes[0], CODEC_ZSTD);
    assert!(packed.bytes.len() < 4000);
    let mut noise = vec![0; 60_000];
    SeededRng::new(1).fill(&mut noise);
    let stored = frame(&[noise]);
    assert_eq!(stored.bytes[0], CODEC_STORED);
    assert_eq!(stored.bytes.len(), 60_004);
}

/// BAD-1: a zstd bomb is refused before it is unpacked.
#[test]
fn bad_1_a_bomb_is_refused() {
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
    let mut bytes = vec![CODEC_ZSTD, 0xff, 0xff, 0x07];
    bytes.extend_from_slice(&bomb);
    assert!(decode(&bytes).is_err());
    let mut bytes = vec![CODEC_ZSTD, 0xff, 0xff, 0xff];
    bytes.extend_from_slice(&bomb);
    assert!(decode(&bytes).unwrap_err().contains("more than"));
}

#[test]
fn a_chunk_under_a_wrong_id_is_refused() {
    let mut lie = frame(&[b"one".to_vec(), b"two".to_vec()]);
    assert!(lie.verify(&KEY).is_ok());
    assert!(lie.verify(&ChunkKey::new([4; 32])).is_err());
    lie.chunks[1].id = KEY.id(b"three");
    assert!(lie.verify(&KEY).unwrap_err().to_string().contains("is not chunk"));
    let mut short = frame(&[b"one".to_vec(), b"two".to_vec()]);
    short.chunks.pop();
    assert!(short.verify(&KEY).is_err());
}

proptest! {
    #[test]
    fn frames_round_trip(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..3000), 1..20)) {
        let packed = frame(&contents);
        prop_assert!(packed.verify(&KEY).is_ok());
        prop_assert_eq!(decode(&packed.bytes).unwrap(), contents.concat());
    }

    #[test]
    fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        if let Ok(content) = decode(&bytes) {
            prop_assert!(content.len() <= FRAME_BYTES_MAX);
        }
    }
}
