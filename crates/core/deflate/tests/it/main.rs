//! Streams of many makers, split and joined.

#![allow(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod golden;
mod hostile;
mod odd;
mod round;

use cairn_deflate::{Corrections, Error, Joiner, Limits, Progress, Splitter};

/// More than any test needs.
const LIMITS: Limits = Limits { plain_bytes_max: 1 << 30, corrections_bytes_max: 64 << 20 };

/// Takes all bytes.
fn into(out: &mut Vec<u8>) -> impl FnMut(&[u8]) -> Option<()> {
    |bytes| {
        assert!(bytes.len() <= 128 << 10, "pieces are small");
        out.extend_from_slice(bytes);
        Some(())
    }
}

/// Splits a stream that is given in pieces of these lengths, over and over: the plain bytes and the
/// corrections.
fn split(stream: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, Corrections), Error> {
    let (mut splitter, mut plain) = (Splitter::new(LIMITS, None), Vec::new());
    let (mut rest, mut used) = (stream, 0);
    for &cut in cuts.iter().cycle() {
        let (piece, after) = rest.split_at(cut.clamp(1, 1 << 20).min(rest.len()));
        match splitter.push(piece, &mut into(&mut plain))? {
            Progress::Done { consumed } => {
                used += consumed;
                break;
            }
            Progress::NeedMore if after.is_empty() => break,
            Progress::NeedMore => (used, rest) = (used + piece.len(), after),
        }
    }
    let corrections = splitter.finish()?;
    assert_eq!(corrections.compressed_len_bytes, used as u64);
    assert_eq!(corrections.plain_len_bytes, plain.len() as u64);
    Ok((plain, corrections))
}

/// Joins plain bytes that are given in pieces of these lengths, over and over.
fn join(corrections: &[u8], plain: &[u8], cuts: &[usize]) -> Result<Vec<u8>, Error> {
    let (mut joiner, mut out) = (Joiner::new(corrections)?, Vec::new());
    let mut rest = plain;
    for &cut in cuts.iter().cycle() {
        let (piece, after) = rest.split_at(cut.clamp(1, 1 << 20).min(rest.len()));
        joiner.push(piece, &mut into(&mut out))?;
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    joiner.finish(&mut into(&mut out))?;
    Ok(out)
}

/// Splits and joins a stream, which is followed by bytes that do not belong to it.
fn check(stream: &[u8], cuts: &[usize]) -> (Vec<u8>, Corrections) {
    let mut longer = stream.to_vec();
    longer.extend_from_slice(b"\x00\xffsomebody else's");
    let (plain, corrections) = split(&longer, cuts).unwrap();
    assert_eq!(corrections.compressed_len_bytes, stream.len() as u64);
    assert!(join(&corrections.bytes, &plain, cuts).unwrap() == stream, "another stream was made");
    (plain, corrections)
}
