use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use proptest::prelude::*;

use super::rebuild::Rebuild;
use super::{Bounds, Hint, rebuild, recode};
use crate::Limits;
use crate::window::Window;

fn bounds() -> Bounds {
    Bounds { limits: Limits::default(), inner_bytes_max: 1 << 30, corrections_max: 1 << 20 }
}

fn deflate(plain: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// Recodes `stream`, makes it again, and gives the plain bytes and the corrections' length.
fn check(stream: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut plain = Vec::new();
    let mut input = Window::new(stream);
    let sink = |bytes: &[u8]| {
        plain.extend_from_slice(bytes);
        Some(())
    };
    let recoded = recode(&mut input, &bounds(), &mut Hint::default(), sink).unwrap()?;
    assert_eq!(recoded.inner_len, plain.len() as u64);
    assert_eq!(recoded.out_len, input.consumed(), "no byte after the stream is used");
    let mut again = Vec::new();
    let lens = (recoded.inner_len, recoded.out_len);
    rebuild(&mut plain.as_slice(), &recoded.corrections, lens, &mut again).unwrap();
    assert_eq!(again, stream[..again.len()]);
    Some((plain, recoded.corrections.len()))
}

/// Words in a random order, as test contents.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let word =
        prop_oneof![Just("alpha "), Just("beta"), Just("gamma\n"), Just("a"), Just("\0\0\0\0")];
    proptest::collection::vec(word, 200..4000).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn streams_come_back(plain in words(), level in 0u32..10, more in any::<[u8; 9]>()) {
        let mut stream = deflate(&plain, level);
        let len = stream.len();
        stream.extend(more);
        if let Some((found, _)) = check(&stream) {
            prop_assert!(found == plain);
        } else {
            prop_assert!(len < 256 || level > 0, "what is stored can always be made again");
        }
    }

    /// Whatever the corrections say, the end comes soon and in bounded memory (DEFLATE-1).
    #[test]
    fn any_corrections_end(
        level in 1u8..10,
        hash in 0u8..4,
        rest in proptest::collection::vec(any::<u8>(), 0..600),
        plain in words(),
    ) {
        let corrections = [&[level, hash][..], &rest].concat();
        let mut out = Vec::new();
        let lens = (plain.len() as u64, 1 << 20);
        let result = rebuild(&mut plain.as_slice(), &corrections, lens, &mut out);
        prop_assert!(result.is_err() || out.len() == 1 << 20);
        prop_assert!(out.len() <= 1 << 20);
    }
}

/// DEFLATE-3: what one side writes, the other reads.
#[test]
fn a_stream_that_needs_every_kind_of_block() {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    for round in 0u8..20 {
        let word = [b'a' + round % 7; 900];
        encoder.write_all(&word).unwrap();
        let noise: Vec<_> = (0..700u32).map(|i| ((i * i) >> 3).to_le_bytes()[0] ^ round).collect();
        encoder.write_all(&noise).unwrap();
        encoder.flush().unwrap();
    }
    let stream = encoder.finish().unwrap();
    let mut input = Window::new(stream.as_slice());
    let recoded = recode(&mut input, &bounds(), &mut Hint::default(), |_| Some(())).unwrap();
    if let Some(recoded) = recoded {
        assert_eq!(recoded.out_len, stream.len() as u64);
    }
}

/// DEFLATE-2: at level 9 each token of such a text has thousands of candidates.
#[test]
fn streams_that_take_too_much_work_are_refused() {
    let mut state = 1u64;
    let plain: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b'a' + (state >> 63).to_le_bytes()[0]
    })
    .take(400_000)
    .collect();
    let mut text = super::text::Text::default();
    text.buf().extend_from_slice(&plain);
    let config = super::matcher::Config { level: 9, hash: super::matcher::Hash::Three15 };
    let mut matcher = super::matcher::Matcher::new(config);
    let overworked = (0..plain.len() as u64).any(|at| {
        let token = matcher.predict(&text, at);
        matcher.commit(&text, at, super::matcher::Token::LITERAL);
        token.len != 0 && matcher.is_overworked(at)
    });
    assert!(overworked);
}

#[test]
fn corrections_without_end_are_refused() {
    for bytes in [&[][..], &[6], &[6, 0], &[0, 0, 0], &[10, 0, 0], &[6, 9, 0], &[6, 0, 99]] {
        let mut inner = std::io::empty();
        let made = Rebuild::new(bytes, &mut inner, 0);
        let sound = made.is_ok_and(|rebuild| !rebuild.blocks.is_empty());
        assert!(!sound, "{bytes:?}");
    }
}
