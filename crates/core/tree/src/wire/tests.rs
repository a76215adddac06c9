use proptest::prelude::*;

use super::*;

#[test]
fn varints_are_pinned() {
    let check = |value: u64, bytes: &[u8]| {
        let mut out = Vec::new();
        put_varint(&mut out, value);
        assert_eq!(out, bytes);
        assert_eq!(varint_len(value), bytes.len());
        assert_eq!(Reader::at_start(bytes).varint("").unwrap(), value);
    };
    check(0, &[0]);
    check(127, &[127]);
    check(128, &[0x80, 1]);
    check(16_383, &[0xff, 0x7f]);
    check(u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
}

#[test]
fn a_varint_has_one_form() {
    let refused: [&[u8]; 7] = [
        &[],
        &[0x80],
        &[0x80, 0],
        &[0xff, 0x80, 0],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0],
        &[0x80; 20],
    ];
    for bytes in refused {
        assert!(Reader::at_start(bytes).varint("a number").is_err(), "{bytes:?}");
    }
}

#[test]
fn an_error_names_the_start_of_a_number_that_is_too_large() {
    let mut reader = Reader::at_start(&[7, 0x80, 1]);
    reader.u8("").unwrap();
    let error = reader.varint_max(127, "at most 127").unwrap_err();
    assert_eq!(error, Error::Corrupt { offset: 1, expected: "at most 127" });
}

#[test]
fn the_header_is_checked() {
    let open = |bytes: &[u8]| Reader::open(bytes).map(|(kind, _)| kind);
    assert_eq!(open(&[4, 1]), Ok(4));
    assert_eq!(open(&[4, 2]), Err(Error::Version { found: 2 }));
    assert!(matches!(open(&[4, 0]), Err(Error::Corrupt { offset: 1, .. })));
    assert!(matches!(open(&[4]), Err(Error::Corrupt { offset: 1, .. })));
    assert!(matches!(open(&[]), Err(Error::Corrupt { offset: 0, .. })));
    assert!(open(&alloc::vec![1; PAGE_BYTES_MAX]).is_ok());
    assert!(open(&alloc::vec![1; PAGE_BYTES_MAX + 1]).is_err());
}

proptest! {
    #[test]
    fn numbers_return(value: u64, signed: i64) {
        let mut out = Vec::new();
        put_varint(&mut out, value);
        prop_assert_eq!(varint_len(value), out.len());
        prop_assert_eq!(Reader::at_start(&out).varint("").unwrap(), value);
        prop_assert_eq!(unzigzag(zigzag(signed)), signed);
        prop_assert_eq!(zigzag(unzigzag(value)), value);
    }

    /// What a reader accepts is what the writer writes.
    #[test]
    fn varints_are_canonical(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
        let mut reader = Reader::at_start(&bytes);
        if let Ok(value) = reader.varint("") {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            prop_assert_eq!(&bytes[..bytes.len() - reader.left()], out);
        }
    }
}
