use alloc::string::{String, ToString as _};
use alloc::vec;

use expect_test::{Expect, expect};

use super::*;

fn check(pairs: Vec<Pair>, expected: &Expect) {
    let shown = Xattrs::new(pairs).map_or_else(|error| error.to_string(), |_| String::from("ok"));
    expected.assert_eq(shown.split_once("refused: ").map_or(&shown, |(_, rule)| rule));
}

fn pair(name: &[u8], value: &[u8]) -> Pair {
    (name.to_vec(), value.to_vec())
}

#[test]
fn rules() {
    check(vec![], &expect!["ok"]);
    check(vec![pair(b"user.b", b""), pair(b"user.a", b"\0")], &expect!["ok"]);
    check(vec![pair(&[b'n'; 255], &[1; 30_000])], &expect!["ok"]);
    check(
        vec![pair(b"a", b"1"), pair(b"a", b"2")],
        &expect!["expected each attribute name once, in ascending order"],
    );
    check(vec![pair(b"", b"")], &expect!["expected attribute names of 1 to 255 bytes without NUL"]);
    check(
        vec![pair(b"a\0", b"")],
        &expect!["expected attribute names of 1 to 255 bytes without NUL"],
    );
    check(
        vec![pair(&[b'n'; 256], b"")],
        &expect!["expected attribute names of 1 to 255 bytes without NUL"],
    );
    check(
        vec![pair(b"a", &[1; 32 * 1024])],
        &expect!["expected at most 32768 bytes of extended attributes"],
    );
}

#[test]
fn values_are_found() {
    let xattrs = Xattrs::new(vec![pair(b"b", b"2"), pair(b"a", b"1")]).unwrap();
    assert_eq!((xattrs.get(b"a"), xattrs.get(b"b")), (Some(&b"1"[..]), Some(&b"2"[..])));
    assert_eq!(xattrs.get(b"c"), None);
    assert_eq!(xattrs.pairs(), [pair(b"a", b"1"), pair(b"b", b"2")]);
}

#[test]
fn none_is_one_value() {
    assert_eq!(Xattrs::new(vec![]).unwrap(), Xattrs::default());
    assert!(Xattrs::default().is_empty());
}
