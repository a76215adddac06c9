use cairn_blocks::OpenFrame;
use cairn_chunk::ChunkKey;
use futures::executor::block_on;
use futures::stream;
use proptest::prelude::*;

use super::*;

fn frame(parts: &[&[u8]]) -> Frame {
    let key = ChunkKey::new([7; 32]);
    let mut open = OpenFrame::default();
    parts.iter().for_each(|part| open.push(key.id(part), part));
    open.encode(1)
}

fn read_all(body: &[u8], piece: usize) -> Result<Vec<Frame>, String> {
    let pieces: Vec<Result<Bytes, ()>> =
        body.chunks(piece.max(1)).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let mut reader = FrameReader::new(stream::iter(pieces));
    let mut frames = Vec::new();
    block_on(async {
        loop {
            match reader.next().await {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return Ok(frames),
                Err(FrameError::Malformed(detail)) => return Err(detail),
                Err(FrameError::Source(())) => unreachable!("the source does not fail"),
            }
        }
    })
}

#[test]
fn frames_survive_any_cutting_into_pieces() {
    let frames = [frame(&[b"one", b"two"]), frame(&[&[5; 9000]])];
    let body: Vec<u8> = frames.iter().flat_map(|frame| encode_frame(frame).to_vec()).collect();
    for piece in [1, 3, 36, 100, 1 << 20] {
        assert_eq!(read_all(&body, piece).unwrap(), frames);
    }
    assert!(read_all(&body[..body.len() - 1], 64).unwrap_err().contains("ends within"));
    assert_eq!(read_all(&[], 1).unwrap(), []);
}

#[test]
fn counts_are_refused_before_anything_is_allocated_for_them() {
    for (body, say) in [
        (vec![0, 0, 0, 0], "0 chunks"),
        (vec![255, 255, 255, 255], "4294967295 chunks"),
        ([&[1, 0, 0, 0][..], &[0; 32], &[0, 0, 0, 0], &[0; 4]].concat(), "chunk of 0"),
        ([&[1, 0, 0, 0][..], &[0; 32], &[1, 0, 0, 0], &[255; 4]].concat(), "frame of 4294967295"),
    ] {
        assert!(read_all(&body, 7).unwrap_err().contains(say), "{say}");
    }
}

proptest! {
    #[test]
    fn bitmaps_and_ids_come_back(wanted in prop::collection::vec(any::<bool>(), 0..100)) {
        prop_assert_eq!(decode_bitmap(&encode_bitmap(&wanted), wanted.len()).unwrap(), wanted);
    }

    #[test]
    fn hostile_frames_never_panic(body in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(frames) = read_all(&body, 11) {
            for frame in frames {
                prop_assert!(frame.verify(&ChunkKey::new([0; 32])).is_err());
            }
        }
    }
}
