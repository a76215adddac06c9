use alloc::string::{String, ToString as _};
use alloc::vec;

use expect_test::{Expect, expect};

use super::*;
use crate::stream::{Slice, Source};

fn id(byte: u8) -> ChunkId {
    ChunkId([byte; 32])
}

fn check(name: &[u8], meta: Meta, kind: Kind, expected: &Expect) {
    let entry = Entry { name: name.to_vec(), meta, kind };
    let shown = entry
        .check()
        .map_or_else(|fault| fault.of_entry(&entry.name).to_string(), |()| String::from("ok"));
    expected.assert_eq(shown.split_once("refused: ").map_or(&shown, |(_, rule)| rule));
}

fn symlink(target: &[u8]) -> Kind {
    Kind::Symlink { target: target.to_vec() }
}

fn file(len: u64, stream: Stream) -> Kind {
    Kind::File { content: Content { len, stream, ..Content::default() } }
}

fn slice(byte: u8, skip: u32, len: u64) -> Slice {
    Slice { source: Source::Chunk { id: id(byte), skip }, len }
}

#[test]
fn names() {
    let check = |name: &[u8], expected: Expect| {
        check(name, Meta::default(), file(0, Stream::Empty), &expected);
    };
    check(b"a", expect!["ok"]);
    check(b"...", expect!["ok"]);
    check(b"\xff\n\\", expect!["ok"]);
    check(&[b'x'; 1024], expect!["ok"]);
    check(b"", expect!["expected a name of 1 to 1024 bytes"]);
    check(b".", expect!["expected a name other than . and .."]);
    check(b"..", expect!["expected a name other than . and .."]);
    check(b"a/b", expect!["expected a name without / and NUL"]);
    check(b"a\0", expect!["expected a name without / and NUL"]);
    let long = expect![[r#"the entry "x..." is refused: its name has 1025 bytes, more than 1024"#]];
    let name = [b'x'; 1025];
    let fault = check_name(&name).unwrap_err();
    long.assert_eq(&fault.of_entry(b"x...").to_string());
}

#[test]
fn attributes() {
    let check = |meta: Meta, expected: Expect| check(b"a", meta, symlink(b"t"), &expected);
    let none = Meta::default();
    check(Meta { mode: 0o7777, uid: u32::MAX, gid: u32::MAX, ..none.clone() }, expect!["ok"]);
    check(
        Meta { mode: 0o10000, ..none.clone() },
        expect!["expected a mode of permission bits (at most 0o7777)"],
    );
    let mtime = Time { secs: i64::MIN, nanos: 999_999_999 };
    check(Meta { mtime, ..none.clone() }, expect!["ok"]);
    check(
        Meta { mtime: Time { secs: 0, nanos: 1_000_000_000 }, ..none },
        expect!["expected fewer than 1000000000 nanoseconds"],
    );
}

#[test]
fn links() {
    let check = |kind: Kind, expected: Expect| check(b"a", Meta::default(), kind, &expected);
    let hardlink = |target: &[u8]| Kind::Hardlink { target: target.to_vec() };
    check(symlink(b"../x//y/"), expect!["ok"]);
    check(symlink(&[b'x'; 4096]), expect!["ok"]);
    check(symlink(&[b'x'; 4097]), expect!["its symlink target has 4097 bytes, more than 4096"]);
    check(symlink(b""), expect!["expected a symlink target of 1 to 4096 bytes without NUL"]);
    check(symlink(b"a\0"), expect!["expected a symlink target of 1 to 4096 bytes without NUL"]);
    check(hardlink(b"usr/bin/perl"), expect!["ok"]);
    check(
        hardlink(b"/usr"),
        expect!["expected a hard link target: valid names between single slashes"],
    );
    check(
        hardlink(b"usr//bin"),
        expect!["expected a hard link target: valid names between single slashes"],
    );
    check(
        hardlink(b"usr/../bin"),
        expect!["expected a hard link target: valid names between single slashes"],
    );
    check(
        hardlink(b""),
        expect!["expected a hard link target: valid names between single slashes"],
    );
    check(
        hardlink(&b"long/".repeat(4000)),
        expect!["its hard link target has 20000 bytes, more than 16384"],
    );
}

#[test]
fn directories() {
    let check = |page, totals, expected: Expect| {
        check(b"a", Meta::default(), Kind::Directory { page, totals }, &expected);
    };
    let none = Totals::default();
    check(None, none, expect!["ok"]);
    check(Some(id(1)), Totals { symlinks: 1, ..none }, expect!["ok"]);
    check(
        Some(id(1)),
        none,
        expect!["expected a directory with a page when it has entries, and none else"],
    );
    check(
        None,
        Totals { directories: 1, ..none },
        expect!["expected a directory with a page when it has entries, and none else"],
    );
    check(
        Some(id(1)),
        Totals { directories: 1, bytes: 1, ..none },
        expect!["expected no bytes where there are no files"],
    );
}

#[test]
fn contents() {
    let check = |kind: Kind, expected: Expect| check(b"a", Meta::default(), kind, &expected);
    let chunk = |len| Stream::Chunk { id: id(1), len };
    check(file(5, chunk(5)), expect!["ok"]);
    check(file(6, chunk(5)), expect!["expected a stream as long as the file"]);
    check(
        file(0, chunk(0)),
        expect!["expected a slice of at least one byte that ends within 1 MiB of its chunk"],
    );
    check(file(1 << 20, chunk(1 << 20)), expect!["ok"]);
    check(
        file((1 << 20) + 1, chunk((1 << 20) + 1)),
        expect!["expected a slice of at least one byte that ends within 1 MiB of its chunk"],
    );
    check(
        file(u64::MAX, Stream::Map { page: id(1), len: u64::MAX }),
        expect!["expected a length of at most 2^63 - 1"],
    );
    check(file(5, Stream::Map { page: id(1), len: 5 }), expect!["ok"]);
    check(
        file(4, Stream::Map { page: id(1), len: 4 }),
        expect!["expected a map of more bytes than fit into slices"],
    );
    let recipe = Some(Box::new(chunk(9)));
    let archive = Content { len: 50, stream: chunk(5), recipe, ..Content::default() };
    check(Kind::File { content: archive.clone() }, expect!["ok"]);
    let outboard = Some(Box::new(Stream::Empty));
    check(
        Kind::File { content: Content { outboard, ..archive } },
        expect!["expected a hash tree or recipe that is not empty"],
    );
}

#[test]
fn slices() {
    let check = |slices: Vec<Slice>, expected: Expect| {
        let stream = Stream::Slices(slices);
        check(b"a", Meta::default(), file(stream.len(), stream), &expected);
    };
    let hole = |len| Slice { source: Source::Hole, len };
    check(vec![hole(1)], expect!["ok"]);
    check(vec![hole(i64::MAX.cast_unsigned())], expect!["ok"]);
    check(vec![slice(1, 1, 1)], expect!["ok"]);
    check(vec![slice(1, 0, 1), hole(9), slice(1, 0, 1), hole(1)], expect!["ok"]);
    check(
        vec![slice(1, 0, 1)],
        expect!["expected 1 to 4 slices that are no chunk and do not join"],
    );
    check(vec![], expect!["expected 1 to 4 slices that are no chunk and do not join"]);
    check(
        vec![slice(1, 0, 1), slice(1, 1, 1)],
        expect!["expected 1 to 4 slices that are no chunk and do not join"],
    );
    check(
        vec![hole(1), hole(1)],
        expect!["expected 1 to 4 slices that are no chunk and do not join"],
    );
    check(vec![slice(1, 1, (1 << 20) - 1)], expect!["ok"]);
    check(
        vec![slice(1, 2, (1 << 20) - 1)],
        expect!["expected a slice of at least one byte that ends within 1 MiB of its chunk"],
    );
    check(
        vec![slice(1, 0, 1), slice(2, 0, 0)],
        expect!["expected a slice of at least one byte that ends within 1 MiB of its chunk"],
    );
    let alternating = vec![hole(1), slice(1, 0, 1), hole(1), slice(1, 0, 1), hole(1)];
    check(alternating, expect!["expected 1 to 4 slices that are no chunk and do not join"]);
    check(
        vec![hole(i64::MAX.cast_unsigned()), slice(1, 0, 1)],
        expect!["expected a length of at most 2^63 - 1"],
    );
}

#[test]
fn totals_count_an_entry_and_what_is_below_it() {
    let entry = |kind| Entry { name: b"a".to_vec(), meta: Meta::default(), kind };
    let none = Totals::default();
    let full = Totals { files: u64::MAX, bytes: 3, ..none };
    let directory = |totals| entry(Kind::Directory { page: Some(id(1)), totals });
    assert_eq!(directory(full).totals(), Ok(Totals { directories: 1, ..full }));
    let full = Totals { directories: u64::MAX, ..none };
    assert_eq!(directory(full).totals(), Err(crate::Error::TotalsOverflow));
    let chunk = Stream::Chunk { id: id(1), len: 7 };
    assert_eq!(entry(file(7, chunk)).totals(), Ok(Totals { files: 1, bytes: 7, ..none }));
    assert_eq!(entry(symlink(b"x")).totals(), Ok(Totals { symlinks: 1, ..none }));
}
