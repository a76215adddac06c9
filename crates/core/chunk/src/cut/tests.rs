use alloc::vec::Vec;

use expect_test::expect;
use proptest::prelude::*;

use super::*;

/// A fixed pseudo-random content: SplitMix64 from `seed`.
fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn cuts(cutter: &Cutter, bytes: &[u8]) -> Vec<usize> {
    let mut rest = bytes;
    let mut lens = Vec::new();
    while !rest.is_empty() {
        let len = cutter.cut(rest);
        assert!(len > 0 && len <= cutter.max());
        lens.push(len);
        rest = &rest[len..];
    }
    lens
}

/// CHUNK-1: these figures are the stored format; a new push must cut as the first one did.
#[test]
fn chunk_1_cuts_of_a_fixed_content_never_change() {
    let bytes = content(1, 300_000);
    expect!["[21058, 14450, 17269, 4638, 10314, 18359, 11984, 23174, 17379, 17225, 20567, 17539, 13010, 22819, 21098, 19796, 17031, 12290]"]
    .assert_eq(&alloc::format!("{:?}", cuts(&Cutter::new(SizeClass::Small), &bytes)));
    expect!["[35508, 32221, 66777, 72460, 81934, 11100]"]
        .assert_eq(&alloc::format!("{:?}", cuts(&Cutter::new(SizeClass::Large), &bytes)));
}

#[test]
fn mean_size_is_near_the_target_and_an_insert_moves_few_cuts() {
    let mut bytes = content(2, 4 << 20);
    let cutter = Cutter::new(SizeClass::Small);
    let before = cuts(&cutter, &bytes);
    let mean = bytes.len() / before.len();
    assert!((12_000..24_000).contains(&mean), "mean {mean}");
    bytes.insert(1_000_000, 7);
    let after = cuts(&cutter, &bytes);
    let same_end = before.iter().rev().zip(after.iter().rev()).take_while(|(a, b)| a == b).count();
    let same_start = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    assert!(before.len() - same_end - same_start <= 4, "{same_start} {same_end}");
}

#[test]
fn small_and_constant_contents() {
    let cutter = Cutter::new(SizeClass::Small);
    assert_eq!(cutter.cut(&[]), 0);
    assert_eq!(cutter.cut(&[1]), 1);
    assert_eq!(cuts(&cutter, &content(3, 4096)), [4096]);
    let zeros = alloc::vec![0; 200_000];
    assert!(cuts(&cutter, &zeros).iter().all(|len| *len <= 65_536));
}

#[test]
fn the_gear_table_has_no_doubles() {
    let mut words = GEAR.to_vec();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), 256);
}

proptest! {
    /// CHUNK-2: the parts are the whole. CHUNK-1: a window of `max` bytes decides as the whole does.
    #[test]
    fn chunk_2_parts_are_the_whole(seed: u64, len in 0_usize..400_000, large: bool) {
        let cutter = Cutter::new(if large { SizeClass::Large } else { SizeClass::Small });
        let bytes = content(seed, len);
        let mut at = 0;
        for part in cuts(&cutter, &bytes) {
            let window = &bytes[at..(at + cutter.max()).min(bytes.len())];
            prop_assert_eq!(cutter.cut(window), part);
            at += part;
        }
        prop_assert_eq!(at, len);
    }
}
