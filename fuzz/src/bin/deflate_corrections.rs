//! Corrections of any bytes, for plain bytes that are behind them: a join ends in time and gives
//! small pieces (DEFLATE-4), the same however the plain bytes are cut (DEFLATE-2).
//!
//! An input is the length of the corrections in two bytes, little-endian, the corrections, and the
//! plain bytes.

#![no_main]

use cairn_deflate::{Error, Joiner};
use libfuzzer_sys::fuzz_target;

const PIECE_BYTES_MAX: usize = 128 << 10;
const OUT_BYTES_MAX: usize = 4 << 20;

fn join(corrections: &[u8], plain: &[u8], cut: usize) -> (Vec<u8>, Result<(), Error>) {
    let mut out = Vec::new();
    let mut sink = |piece: &[u8]| {
        assert!(piece.len() <= PIECE_BYTES_MAX);
        let room = OUT_BYTES_MAX - out.len();
        out.extend_from_slice(&piece[..piece.len().min(room)]);
        (piece.len() <= room).then_some(())
    };
    let result = Joiner::new(corrections).and_then(|mut joiner| {
        plain.chunks(cut).try_for_each(|piece| joiner.push(piece, &mut sink))?;
        joiner.finish(&mut sink)
    });
    (out, result)
}

fuzz_target!(|bytes: &[u8]| {
    let Some((len, rest)) = bytes.split_first_chunk() else { return };
    let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
    let (corrections, plain) = rest.split_at(len);
    let (out, result) = join(corrections, plain, 1 << 20);
    let (other_out, other) = join(corrections, plain, 5);
    // What comes out before an error depends on when it is found.
    assert_eq!(result.is_ok(), other.is_ok());
    let same = out.len().min(other_out.len());
    assert!(out[..same] == other_out[..same]);
});
