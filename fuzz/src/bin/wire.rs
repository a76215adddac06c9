//! What clients and nodes send each other: bounded, and a frame that reads is written the same.

#![no_main]

use bytes::Bytes;
use cairn_http::wire::{FrameReader, decode_bitmap, decode_ids, encode_frame, encode_ids};
use futures::executor::block_on;
use futures::stream;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(ids) = decode_ids(bytes) {
        assert_eq!(encode_ids(&ids), bytes);
    }
    drop(decode_bitmap(bytes, bytes.len() * 8));
    let pieces: Vec<Result<Bytes, ()>> =
        bytes.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let mut frames = FrameReader::new(stream::iter(pieces));
    let mut written = Vec::new();
    while let Ok(Some(frame)) = block_on(frames.next()) {
        written.extend_from_slice(&encode_frame(&frame));
    }
    assert!(bytes.starts_with(&written));
});
