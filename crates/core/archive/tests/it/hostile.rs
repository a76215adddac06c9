//! Bytes that nobody made in good faith.

use std::io::{Cursor, sink};

use cairn_archive::{Error, Guess, Limits, Recipe, plan, rebuild, sniff};
use cairn_base::ErrorKind;
use proptest::prelude::*;

use crate::support::{files, gzip, inner_of, open, tar_of, text};

fn small_archives() -> Vec<Vec<u8>> {
    let tar = tar_of(&[("a".into(), text(1, 3000)), ("b".into(), text(2, 700))]);
    let zstd = zstd::encode_all(tar.as_slice(), 3).unwrap();
    vec![gzip(&tar, 6), gzip(&tar, 1), zstd, crate::golden::read("zip-6.zip"), tar]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// ARCHIVE-2, for any bytes: an answer, and never a wrong one.
    #[test]
    fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        open(&bytes);
        for magic in [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], b"\x28\xb5\x2f\xfd\x04", b"PK\x03\x04"] {
            open(&[magic, &bytes].concat());
        }
    }

    /// Damaged archives: an answer, and never a wrong one.
    #[test]
    fn damaged_archives_have_an_answer(
        which in 0..5usize,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut bytes = small_archives().swap_remove(which);
        for (index, value) in flips {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        open(&bytes);
    }

    /// ARCHIVE-4, for a recipe that lies under a checksum that is right: an error or other bytes, in
    /// bounded time.
    #[test]
    fn recipes_that_lie_do_no_harm(
        which in 0..4usize,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let archive = small_archives().swap_remove(which);
        if let Some(plan) = open(&archive) {
            let inner = inner_of(&archive, &plan.recipe).unwrap();
            let mut bytes = plan.recipe.encode();
            let body = bytes.len() - 4;
            for (index, value) in flips {
                bytes[5 + index.index(body - 5)] = value;
            }
            let sum = crc32fast::hash(&bytes[..body]).to_le_bytes();
            bytes[body..].copy_from_slice(&sum);
            if let Ok(recipe) = Recipe::decode(&bytes) {
                let mut out = Vec::new();
                if rebuild(&recipe, inner.as_slice(), &mut out).is_ok() {
                    prop_assert_eq!(out.len() as u64, recipe.outer_len());
                }
            }
        }
    }

    /// Any flipped bit of a recipe is seen.
    #[test]
    fn flipped_recipes_are_refused(which in 0..4usize, at in any::<prop::sample::Index>(), bit in 0u8..8) {
        if let Some(plan) = open(&small_archives().swap_remove(which)) {
            let mut bytes = plan.recipe.encode();
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
            prop_assert!(Recipe::decode(&bytes).is_err());
        }
    }
}

#[test]
fn the_inner_stream_has_to_be_of_the_right_length() {
    let archive = crate::golden::read("gzip-6.gz");
    let plan = open(&archive).unwrap();
    let inner = inner_of(&archive, &plan.recipe).unwrap();
    let short = rebuild(&plan.recipe, &inner[..inner.len() - 9], &mut sink()).unwrap_err();
    assert!(matches!(short, Error::InnerShort { .. }), "{short:?}");
    assert_eq!(short.kind(), ErrorKind::Corrupt);
    let long = [inner.as_slice(), b"x"].concat();
    let long = rebuild(&plan.recipe, long.as_slice(), &mut sink()).unwrap_err();
    assert!(matches!(long, Error::InnerLong { .. }), "{long:?}");
    let mut other = inner;
    other[2000..2200].fill(b'?');
    let mut out = Vec::new();
    assert!(rebuild(&plan.recipe, other.as_slice(), &mut out).is_err() || out != archive);
}

/// ARCHIVE-5: what would grow without end is not opened.
#[test]
fn bombs_are_left_alone() {
    let bomb = gzip(&vec![0; 300 << 20], 9);
    let opened = plan(&mut Cursor::new(&bomb), &Limits::default()).unwrap();
    assert!(opened.is_none(), "300 MiB of zeros are above the ratio");
    let small = Limits { inner_bytes_max: 100_000, ..Limits::default() };
    let archive = gzip(&text(1, 200_000), 6);
    assert!(plan(&mut Cursor::new(&archive), &small).unwrap().is_none());
    let small = Limits { outer_bytes_max: 1000, ..Limits::default() };
    assert!(plan(&mut Cursor::new(&archive), &small).unwrap().is_none());
    let tar = tar_of(&files());
    assert!(plan(&mut Cursor::new(&tar), &small).unwrap().is_some(), "a tar has no such limit");
}

#[test]
fn members_of_a_zip_that_overlap_are_left_alone() {
    let mut archive = crate::golden::read("zip-6.zip");
    assert!(open(&archive).is_some());
    let entries: Vec<_> =
        (0..archive.len() - 4).filter(|&at| archive[at..].starts_with(b"PK\x01\x02")).collect();
    let first: [u8; 4] = archive[entries[0] + 42..entries[0] + 46].try_into().unwrap();
    archive[entries[1] + 42..entries[1] + 46].copy_from_slice(&first);
    assert!(open(&archive).is_none());
}

#[test]
fn a_reader_that_fails_is_an_error() {
    struct Failing(Cursor<Vec<u8>>);
    impl std::io::Read for Failing {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let len = buf.len().min(1024);
            match self.0.position() {
                0..3000 => self.0.read(&mut buf[..len]),
                _ => Err(std::io::Error::other("the disk is gone")),
            }
        }
    }
    impl std::io::Seek for Failing {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            self.0.seek(to)
        }
    }
    for archive in [gzip(&text(1, 200_000), 6), tar_of(&files())] {
        let result = plan(&mut Failing(Cursor::new(archive)), &Limits::default());
        assert!(matches!(result, Err(Error::Read(_))), "{result:?}");
    }
}

#[test]
fn first_bytes_are_told_apart() {
    let check = |head: &[u8], guess| assert_eq!(sniff(head), guess);
    check(b"", None);
    check(b"hello", None);
    check(&[0; 1024], None);
    check(b"\x1f\x8b\x08", Some(Guess::Gzip));
    check(b"\x28\xb5\x2f\xfd", Some(Guess::Zstd));
    check(b"PK\x03\x04", Some(Guess::Zip));
    check(b"MZ\x90", Some(Guess::Zip));
    check(&tar_of(&files()), Some(Guess::Tar));
    check(&tar_of(&files())[..511], None);
}

#[test]
fn a_recipe_has_one_encoding() {
    let decode = |count: u8, segments: &[u8]| {
        let mut bytes = [b"CArc\x01", [count].as_slice(), segments].concat();
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        Recipe::decode(&bytes)
    };
    // Segments: a copy of ten bytes; copies of four and six; one of ten and one of none.
    assert_eq!(decode(1, &[0, 10]).unwrap().outer_len(), 10);
    for segments in [[0, 4, 0, 6], [0, 10, 0, 0]] {
        let error = decode(2, &segments).unwrap_err();
        assert!(matches!(error, Error::RecipeDamaged { .. }), "{error:?}");
    }
    assert!(decode(1, &[0, 10, 0]).is_err(), "bytes after its end");
}
