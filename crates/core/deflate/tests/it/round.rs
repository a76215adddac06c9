//! Generated plain bytes through an encoder that is not ours.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use proptest::prelude::*;

use crate::check;

pub(crate) fn deflate(plain: &[u8], level: u32, flush_every: usize) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
    for part in plain.chunks(flush_every.max(1)) {
        encoder.write_all(part).unwrap();
        if part.len() == flush_every {
            encoder.flush().unwrap();
        }
    }
    encoder.finish().unwrap()
}

/// Bytes at random, words, runs or copies of what was before, as `taste` says.
fn plain() -> impl Strategy<Value = Vec<u8>> {
    let piece = (0u8..5, any::<u32>(), 0usize..600);
    let len = prop_oneof![8 => 0usize..30, 3 => 30usize..300, 1 => 300usize..1000];
    len.prop_flat_map(move |len| proptest::collection::vec(piece.clone(), len)).prop_map(|pieces| {
        let mut plain: Vec<u8> = Vec::new();
        for (taste, seed, len) in pieces {
            let mut state = seed | 1;
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state
            };
            match taste {
                0 => plain.extend((0..len / 8).map(|_| next().to_le_bytes()[1])),
                1 | 2 => plain.extend((0..len).map(|_| b"aeinrst lou dcmp"[next() as usize % 16])),
                3 => plain.extend(std::iter::repeat_n(seed.to_le_bytes()[0], len * 2)),
                _ => {
                    let start = next() as usize % (plain.len() + 1);
                    plain.extend_from_within(start..(start + len).min(plain.len()));
                }
            }
        }
        plain
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_flate2_writes_comes_back(
        plain in plain(),
        level in 0u32..10,
        flush_every in prop_oneof![Just(usize::MAX), 1usize..70_000],
        cuts in proptest::collection::vec(prop_oneof![1usize..40, 1usize..70_000], 1..8),
    ) {
        let flush_every = flush_every.max(plain.len() / 50 + 1);
        let stream = deflate(&plain, level, flush_every);
        let (found, _) = check(&stream, &cuts);
        prop_assert!(found == plain);
    }
}

#[test]
fn one_byte_at_a_time() {
    let plain = b"as the crow flies, as the crow flies, as the crows fly".repeat(20);
    for level in 0..10 {
        let (found, corrections) = check(&deflate(&plain, level, usize::MAX), &[1]);
        assert_eq!(found, plain);
        assert!(corrections.bytes.len() < 40, "level {level}: {}", corrections.bytes.len());
    }
}

/// DEFLATE-2
#[test]
fn the_cuts_do_not_matter() {
    let plain: Vec<u8> =
        (0..200_000u32).map(|n| (n.wrapping_mul(n >> 5) >> 9).to_le_bytes()[0] & 15).collect();
    let stream = deflate(&plain, 6, 50_000);
    let (_, whole) = check(&stream, &[1 << 20]);
    for cuts in [&[1usize, 4000][..], &[65_536], &[17]] {
        assert_eq!(check(&stream, cuts).1, whole);
    }
}
