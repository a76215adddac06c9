//! Pages of format version 1, byte for byte, one line for 32 bytes. A page that differs from its
//! file is a page of another version: stored trees have the old one, so the file is never updated.

use cairn_chunk::ChunkId;
use cairn_tree::{
    Content, Entry, Kind, Meta, Page, Root, Slice, Source, Stream, Time, Totals, Xattrs,
};
use expect_test::{ExpectFile, expect_file};

use crate::support::Store;

fn id(byte: u8) -> ChunkId {
    ChunkId([byte; 32])
}

fn chunk(byte: u8, skip: u32, len: u64) -> Slice {
    Slice { source: Source::Chunk { id: id(byte), skip }, len }
}

fn check(bytes: &[u8], file: &ExpectFile) -> Page {
    let lines: Vec<_> = bytes.chunks(32).map(hex::encode).collect();
    file.assert_eq(&(lines.join("\n") + "\n"));
    let page = Page::decode(bytes).expect("a golden page is a page");
    assert_eq!(page.encode().as_deref(), Ok(bytes));
    page
}

fn meta(mode: u32, secs: i64, nanos: u32) -> Meta {
    Meta { mode, uid: 1000, gid: 100, mtime: Time { secs, nanos }, xattrs: Xattrs::default() }
}

fn file(content: Content) -> Kind {
    Kind::File { content }
}

/// One entry of every kind and every form of content.
fn every_entry() -> Vec<Entry> {
    let hole = Slice { source: Source::Hole, len: 4096 };
    let pairs = vec![(b"user.a".to_vec(), b"1".to_vec()), (b"user.b".to_vec(), Vec::new())];
    let xattrs = Xattrs::new(pairs).expect("valid attributes");
    let map = Stream::Map { page: id(5), len: 5_000_000 };
    let large = Content {
        len: 5_000_000,
        stream: map,
        root: Some([6; 32]),
        outboard: Some(Box::new(Stream::Chunk { id: id(7), len: 19_520 })),
        recipe: None,
    };
    let archive = Content {
        len: 10_240,
        stream: Stream::Chunk { id: id(8), len: 7000 },
        root: Some([9; 32]),
        outboard: None,
        recipe: Some(Box::new(Stream::Slices(vec![chunk(10, 3, 50)]))),
    };
    let sparse = Stream::Slices(vec![hole, chunk(11, 0, 10), chunk(12, 100, 20)]);
    let sparse = Content { len: sparse.len(), stream: sparse, ..Content::default() };
    let small = Stream::Chunk { id: id(13), len: 300 };
    let small = Content { len: 300, stream: small, ..Content::default() };
    let totals = Totals { files: 300, directories: 2, symlinks: 1, hardlinks: 0, bytes: 70_000 };
    let kinds = [
        ("archive.tar", meta(0o644, 1_700_000_000, 0), file(archive)),
        ("dir", meta(0o755, 1_700_000_001, 5), Kind::Directory { page: Some(id(1)), totals }),
        ("dir-empty", meta(0o755, 0, 0), Kind::Directory { page: None, totals: Totals::default() }),
        ("empty", Meta { xattrs, ..meta(0o600, -1, 999_999_999) }, file(Content::default())),
        ("hard", meta(0o644, 1_700_000_000, 0), Kind::Hardlink { target: b"a/large".to_vec() }),
        ("large", meta(0o644, 1_700_000_000, 0), file(large)),
        ("small", meta(0o644, 1_700_000_000, 0), file(small)),
        ("soft", meta(0o777, i64::MAX, 0), Kind::Symlink { target: b"../small".to_vec() }),
        ("sparse", meta(0o644, i64::MIN, 0), file(sparse)),
    ];
    kinds.map(|(name, meta, kind)| Entry { name: name.into(), meta, kind }).into()
}

#[test]
fn directory_leaf() {
    let mut store = Store::default();
    let entries = every_entry();
    let (top, _) = store.directory(&entries);
    let top = top.expect("a page");
    check(&store.pages[&top], &expect_file!["../golden/directory-leaf.hex"]);
    assert_eq!(store.entries(Some(top)), entries);
}

/// The ids in it are those of the leaves, so it pins their bytes and where they are cut.
#[test]
fn directory_index() {
    let mut store = Store::default();
    let content = |n: u64| Content {
        len: 1 + n,
        stream: Stream::Chunk { id: id(n.to_le_bytes()[0]), len: 1 + n },
        ..Content::default()
    };
    let entries: Vec<_> = (0..2000)
        .map(|n| {
            let name = format!("file-{n:04}").into_bytes();
            Entry { name, meta: meta(0o644, 1_700_000_000, 0), kind: file(content(n)) }
        })
        .collect();
    let (top, _) = store.directory(&entries);
    check(&store.pages[&top.expect("a page")], &expect_file!["../golden/directory-index.hex"]);
    assert_eq!(store.entries(top), entries);
}

fn top_of(stream: &Stream) -> ChunkId {
    match stream {
        Stream::Map { page, .. } => *page,
        other => panic!("{other:?} has no map"),
    }
}

#[test]
fn map_leaf() {
    let mut store = Store::default();
    let hole = Slice { source: Source::Hole, len: 1 << 40 };
    let slices = [
        chunk(1, 0, 65_536),
        chunk(2, 0, 16_384),
        hole,
        chunk(2, 20_000, 5),
        chunk(3, 7, 9),
        chunk(1, 65_535, 1),
        chunk(1, 0, 1),
    ];
    let stream = store.stream(&slices);
    check(&store.pages[&top_of(&stream)], &expect_file!["../golden/map-leaf.hex"]);
    assert_eq!(store.slices(&stream), slices);
}

#[test]
fn map_index() {
    let mut store = Store::default();
    let slices: Vec<_> = (0..2000_u32)
        .map(|n| {
            let id = crate::support::KEY.id(&n.to_le_bytes());
            Slice { source: Source::Chunk { id, skip: 0 }, len: 10_000 + u64::from(n) }
        })
        .collect();
    let stream = store.stream(&slices);
    check(&store.pages[&top_of(&stream)], &expect_file!["../golden/map-index.hex"]);
    assert_eq!(store.slices(&stream), slices);
}

#[test]
fn root() {
    let pairs = vec![(b"user.origin".to_vec(), b"here".to_vec())];
    let xattrs = Xattrs::new(pairs).expect("valid attributes");
    let totals = Totals { files: 9, directories: 8, symlinks: 7, hardlinks: 6, bytes: 1 << 50 };
    let meta = Meta { xattrs, ..meta(0o755, 1_700_000_000, 123_456_789) };
    let root = Root { meta, page: Some(id(4)), totals };
    let bytes = root.encode().expect("a valid root");
    assert_eq!(check(&bytes, &expect_file!["../golden/root.hex"]), Page::Root(root));
}

/// The entries of every kind are what decoding finds them to be, not only what it was given.
#[test]
fn references_of_every_entry() {
    let mut store = Store::default();
    let (top, _) = store.directory(&every_entry());
    let page = Page::decode(&store.pages[&top.expect("a page")]).expect("a page");
    let shown: Vec<_> = page
        .children()
        .iter()
        .map(|reference| {
            let kind = format!("{reference:?}");
            format!("{} {}", kind.split('(').next().unwrap_or_default(), reference.id().0[0])
        })
        .collect();
    expect_test::expect![
        "Data 8, Data 10, DirectoryPage 1, MapPage 5, Data 7, Data 13, Data 11, Data 12"
    ]
    .assert_eq(&shown.join(", "));
}
