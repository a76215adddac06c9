use super::*;

#[test]
fn names_have_one_form() {
    let read = |bytes: &[u8], count| read_names(&mut Reader::at_start(bytes), count);
    assert_eq!(read(b"\0\x01\x02\x01abc", 2).unwrap(), [b"ab".to_vec(), b"ac".to_vec()]);
    // Shared less than can be, shared more than there is, equal, descending, empty, invalid names.
    for bytes in [
        &b"\0\0\x02\x02abac"[..],
        b"\0\x03\x02\x01abc",
        b"\0\x02\x02\0ab",
        b"\0\0\x01\x01ba",
        b"\0\0\0\x01a",
        b"\0\0\x01\x02-..",
        b"\0\0\x01\x02ab/",
    ] {
        assert!(read(bytes, 2).is_err(), "{bytes:?}");
    }
}

#[test]
fn tables_have_one_form() {
    let read = |bytes: &[u8], count| {
        let mut reader = Reader::at_start(bytes);
        let mut values = alloc::vec![0; count];
        read_table(&mut reader, count, |reader| reader.u8("a value"), |at, v| values[at] = *v)?;
        reader.end().map(|()| values)
    };
    assert_eq!(read(&[1, 9], 3), Ok(alloc::vec![9, 9, 9]));
    assert_eq!(read(&[2, 9, 8, 0, 1, 0], 3), Ok(alloc::vec![9, 8, 9]));
    // No value, more than items, twice the same, not in order of first use, unused, out of range.
    for bytes in [
        &[0][..],
        &[4, 1, 2, 3, 4, 0, 1, 2],
        &[2, 9, 9, 0, 1, 0],
        &[2, 9, 8, 1, 0, 0],
        &[2, 9, 8, 0, 0, 0],
        &[2, 9, 8, 0, 1, 2],
        &[1, 9, 0, 0, 0],
    ] {
        assert!(read(bytes, 3).is_err(), "{bytes:?}");
    }
}
