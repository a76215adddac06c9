//! Deflate streams of any bytes: what splits joins to the same bytes (DEFLATE-1), however it is cut
//! (DEFLATE-2), and comes out in small pieces (DEFLATE-4).

#![no_main]

use cairn_deflate::{Corrections, Error, Joiner, Limits, Preset, Progress, Splitter};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { plain_bytes_max: 1 << 20, corrections_bytes_max: 1 << 20 };
const PIECE_BYTES_MAX: usize = 128 << 10;

fn into(out: &mut Vec<u8>) -> impl FnMut(&[u8]) -> Option<()> {
    |bytes| {
        assert!(bytes.len() <= PIECE_BYTES_MAX);
        out.extend_from_slice(bytes);
        Some(())
    }
}

fn split(stream: &[u8], cut: usize, like: Option<Preset>) -> Result<(Vec<u8>, Corrections), Error> {
    let (mut splitter, mut plain) = (Splitter::new(LIMITS, like), Vec::new());
    for piece in stream.chunks(cut) {
        if matches!(splitter.push(piece, &mut into(&mut plain))?, Progress::Done { .. }) {
            break;
        }
    }
    splitter.finish().map(|corrections| (plain, corrections))
}

fuzz_target!(|bytes: &[u8]| {
    let Ok((plain, corrections)) = split(bytes, 1 << 20, None) else { return };
    let used = usize::try_from(corrections.compressed_len_bytes).expect("the input is short");
    // What was found once is found again, and sooner.
    let (plain_again, again) = split(bytes, 7, corrections.preset).expect("the cuts do not matter");
    assert!(plain_again == plain && again == corrections);
    let mut joined = Vec::new();
    let mut joiner = Joiner::new(&corrections.bytes).expect("a splitter wrote them");
    for piece in plain.chunks(1000) {
        joiner.push(piece, &mut into(&mut joined)).expect("they belong together");
    }
    joiner.finish(&mut into(&mut joined)).expect("they belong together");
    assert!(joined == bytes[..used]);
});
