//! Bytes that were damaged, or made to do harm.

use std::fs;
use std::path::PathBuf;

use cairn_base::ErrorKind;
use cairn_deflate::{Error, Joiner, Limits, Splitter};
use proptest::prelude::*;

use crate::{into, join, split};

fn golden(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden");
    fs::read(folder.join(name)).unwrap()
}

/// Joins without trust: what comes out must be small for what went in.
fn try_join(corrections: &[u8], plain: &[u8]) -> Result<Vec<u8>, Error> {
    let (mut joiner, mut out) = (Joiner::new(corrections)?, Vec::new());
    let result = joiner.push(plain, &mut into(&mut out));
    assert!(out.len() < 4 * plain.len() + 4096 * (corrections.len() + 64), "{}", out.len());
    result?;
    joiner.finish(&mut into(&mut out))?;
    Ok(out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_bytes_are_refused_or_come_back(
        bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 0u8..4
    ) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = *first & !6 | kind << 1;
        }
        if let Ok((plain, corrections)) = split(&bytes, &[13]) {
            let used = usize::try_from(corrections.compressed_len_bytes).unwrap();
            prop_assert!(join(&corrections.bytes, &plain, &[99]).unwrap() == bytes[..used]);
        }
    }

    #[test]
    fn damaged_streams_are_refused_or_come_back(at in 0usize..9000, bit in 0u8..8) {
        let mut stream = golden("zlib-6.deflate");
        let at = at % stream.len();
        stream[at] ^= 1 << bit;
        if let Ok((plain, corrections)) = split(&stream, &[4000]) {
            let used = usize::try_from(corrections.compressed_len_bytes).unwrap();
            prop_assert!(join(&corrections.bytes, &plain, &[9999]).unwrap() == stream[..used]);
        }
    }

    /// DEFLATE-1
    #[test]
    fn damaged_corrections_never_make_another_stream(
        at in 0usize..9000, bit in 0u8..8, name in 0usize..4
    ) {
        let name = ["zlib-6-fixed", "miniz-6", "7zip-5", "pigz-6"][name];
        let stream = golden(&format!("{name}.deflate"));
        let mut corrections = golden(&format!("{name}.corrections"));
        let at = at % corrections.len();
        corrections[at] ^= 1 << bit;
        match try_join(&corrections, &golden("plain")) {
            // A preset may fit as well as the one that was chosen.
            Ok(made) => prop_assert!(made == stream),
            Err(error) => prop_assert!(
                matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Invalid), "{error}"
            ),
        }
    }

    #[test]
    fn random_corrections_are_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..300), preset in 0u8..54, len in 0u8..128
    ) {
        let mut corrections = vec![1, preset, 0, 0, 0, 0, len];
        corrections.extend_from_slice(&bytes);
        prop_assert!(try_join(&corrections, &golden("plain")).is_err());
        prop_assert!(try_join(&bytes, b"plain").is_err());
    }
}

/// DEFLATE-1
#[test]
fn other_plain_bytes_are_noticed() {
    let (plain, corrections) = (golden("plain"), golden("zlib-6.corrections"));
    let kind = |plain: &[u8]| try_join(&corrections, plain).unwrap_err();
    let mut changed = plain.clone();
    changed[20_000] ^= 1;
    assert!(matches!(kind(&changed), Error::Mismatch { .. }));
    assert!(matches!(kind(&plain[..plain.len() - 1]), Error::Mismatch { .. }));
    let stored = split(&[1, 3, 0, 0xfc, 0xff, b'a', b'b', b'c'], &[9]).unwrap().1.bytes;
    assert_eq!(try_join(&stored, b"ab"), Err(Error::PlainShort { found: 2 }));
    assert_eq!(try_join(&stored, b"abcd"), Err(Error::PlainLong { expected: 3, found: 4 }));
}

#[test]
fn later_versions_are_named() {
    let mut corrections = golden("zlib-6.corrections");
    corrections[0] = 2;
    let error = Joiner::new(&corrections).unwrap_err();
    assert_eq!(error, Error::Version { found: 2 });
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn limits_hold_and_nothing_goes_on_after_an_error() {
    let stream = golden("zlib-6.deflate");
    let push = |limits| {
        let mut splitter = Splitter::new(limits, None);
        let error = splitter.push(&stream, &mut into(&mut Vec::new())).unwrap_err();
        assert_eq!(splitter.push(&stream, &mut into(&mut Vec::new())), Err(Error::Poisoned));
        assert_eq!(splitter.finish().unwrap_err(), Error::Poisoned);
        error
    };
    let limits = Limits { plain_bytes_max: 1000, corrections_bytes_max: 1 << 20 };
    assert_eq!(push(limits), Error::PlainLimit { max: 1000 });
    let mut splitter =
        Splitter::new(Limits { plain_bytes_max: 1 << 20, corrections_bytes_max: 6 }, None);
    splitter.push(&stream, &mut into(&mut Vec::new())).unwrap();
    assert_eq!(splitter.finish().unwrap_err(), Error::CorrectionsLimit { max: 6 });
}

/// DEFLATE-4
#[test]
fn blocks_without_bytes_do_not_go_on_for_ever() {
    // Corrections that are all zeros, or all ones, mean the likeliest block again and again.
    for fill in [0u8, 0x55, 0xaa, 0xff] {
        for preset in [0, 5, 40] {
            let mut corrections = vec![1, preset, 0, 0, 0, 0, 200, 1];
            corrections.extend([fill; 400]);
            assert!(try_join(&corrections, b"").is_err());
            assert!(try_join(&corrections, &[b'a'; 70_000]).is_err());
        }
    }
}

/// DEFLATE-4: what costs the joiner time has a size.
#[test]
fn blocks_without_bytes_take_a_byte_each() {
    // Eight empty fixed blocks are ten bytes.
    let eight = [0x02u8, 0x08, 0x20, 0x80, 0x00, 0x02, 0x08, 0x20, 0x80, 0x00];
    let mut stream = eight.repeat(1000);
    stream.extend([3, 0]);
    let (plain, corrections) = split(&stream, &[1000]).unwrap();
    assert!(plain.is_empty() && corrections.bytes.len() >= 8000, "{}", corrections.bytes.len());
    assert!(join(&corrections.bytes, b"", &[1]).unwrap() == stream);
}

/// DEFLATE-4: a push of a bomb comes out in small pieces, and ends when nobody wants more.
#[test]
fn bombs_can_be_stopped() {
    let zeros = crate::round::deflate(&vec![0; 20 << 20], 9, usize::MAX);
    let mut splitter = Splitter::new(crate::LIMITS, None);
    let (mut made, mut largest) = (0, 0);
    let mut sink = |piece: &[u8]| {
        made += piece.len();
        largest = largest.max(piece.len());
        (made <= 1 << 20).then_some(())
    };
    assert_eq!(splitter.push(&zeros, &mut sink), Err(Error::Refused));
    assert_eq!(splitter.push(&zeros, &mut into(&mut Vec::new())), Err(Error::Poisoned));
    assert!(made < 2 << 20 && largest <= 128 << 10, "{made}, {largest}");
}

#[test]
fn a_joiner_can_be_stopped() {
    let (plain, corrections) = (golden("plain"), golden("zlib-6.corrections"));
    let mut joiner = Joiner::new(&corrections).unwrap();
    let stopped = joiner.push(&plain, &mut |_| None);
    let stopped = stopped.and_then(|()| joiner.finish(&mut |_| None));
    assert_eq!(stopped, Err(Error::Refused));
    assert_eq!(Error::Refused.kind(), ErrorKind::Closed);
}
