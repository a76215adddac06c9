//! Random trees return as they were, each page in its one form.

use std::collections::BTreeMap;

use cairn_chunk::ChunkId;
use cairn_tree::{
    Content, Entry, Kind, Meta, PAGE_BYTES_MAX, Page, Reference, Root, Slice, Source, Stream, Time,
    Totals, Xattrs,
};
use proptest::prelude::*;
use proptest::strategy::Union;

use crate::support::{KEY, Store};

/// A tree as plain values: the model.
#[derive(Clone, Debug)]
enum Node {
    File { slices: Vec<Slice>, extras: u8 },
    Directory(Directory),
    Symlink(Vec<u8>),
    Hardlink(Vec<u8>),
}

type Directory = BTreeMap<Vec<u8>, (Meta, Node)>;

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => b'a'..=b'c', 1 => 1..=255_u8];
    let short = prop::collection::vec(byte, 1..12);
    let long = (short.clone(), 0..1000_usize).prop_map(|(mut name, len)| {
        name.resize(name.len() + len, b'x');
        name
    });
    prop_oneof![9 => short, 1 => long].prop_map(|mut name: Vec<u8>| {
        name.iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = b'_');
        if name == b"." || name == b".." {
            name.push(b'x');
        }
        name
    })
}

fn meta() -> impl Strategy<Value = Meta> {
    let secs = prop_oneof![3 => 0..9_i64, 1 => any::<i64>()];
    let nanos = prop_oneof![3 => Just(0_u32), 1 => 0..1_000_000_000_u32];
    let owner = prop_oneof![3 => 0..3_u32, 1 => any::<u32>()];
    let value = prop::collection::vec(any::<u8>(), 0..20);
    let xattrs = prop_oneof![
        5 => Just(BTreeMap::new()),
        1 => prop::collection::btree_map("[a-c]{1,2}", value, 0..4),
    ];
    (0..0o10000_u32, owner.clone(), owner, secs, nanos, xattrs).prop_map(
        |(mode, uid, gid, secs, nanos, xattrs)| {
            let pairs = xattrs.into_iter().map(|(name, value)| (name.into_bytes(), value));
            let xattrs = Xattrs::new(pairs.collect()).expect("valid attributes");
            Meta { mode, uid, gid, mtime: Time { secs, nanos }, xattrs }
        },
    )
}

fn slice() -> impl Strategy<Value = Slice> {
    let chunk = (0..6_u8, 0..3_u32, 1..4_u64).prop_map(|(id, skip, len)| Slice {
        source: Source::Chunk { id: KEY.id(&[id]), skip },
        len,
    });
    let other = (any::<u64>(), 0..500_000_u32, 1..500_000_u64).prop_map(|(id, skip, len)| Slice {
        source: Source::Chunk { id: KEY.id(&id.to_le_bytes()), skip },
        len,
    });
    let hole = (1..1_u64 << 40).prop_map(|len| Slice { source: Source::Hole, len });
    prop_oneof![3 => chunk, 2 => other, 1 => hole]
}

fn leaf_node() -> impl Strategy<Value = Node> {
    let slices = Union::new_weighted(vec![
        (6, prop::collection::vec(slice(), 0..3).boxed()),
        (1, prop::collection::vec(slice(), 0..60).boxed()),
    ]);
    let path = prop::collection::vec(name(), 1..4);
    prop_oneof![
        6 => (slices, 0..8_u8).prop_map(|(slices, extras)| Node::File { slices, extras }),
        1 => prop::collection::vec(1..=255_u8, 1..50).prop_map(Node::Symlink),
        1 => path.prop_map(|names| Node::Hardlink(names.join(&b'/'))),
    ]
}

fn directory() -> impl Strategy<Value = Directory> {
    let nodes = leaf_node().prop_recursive(3, 120, 30, |node| {
        prop::collection::btree_map(name(), (meta(), node), 0..30).prop_map(Node::Directory)
    });
    prop::collection::btree_map(name(), (meta(), nodes), 0..120)
}

fn store_content(store: &mut Store, slices: &[Slice], extras: u8) -> Content {
    let stream = store.stream(slices);
    let extra = |byte: u8, store: &mut Store| {
        let source = Source::Chunk { id: KEY.id(&[byte]), skip: 0 };
        Box::new(store.stream(&[Slice { source, len: 99 }, Slice { source, len: 3 }]))
    };
    let recipe = (extras & 4 != 0).then(|| extra(4, store));
    let len = if recipe.is_some() { 12_345 } else { stream.len() };
    let root = (extras & 1 != 0).then(|| KEY.id(&[extras]).0);
    Content { len, stream, root, outboard: (extras & 2 != 0).then(|| extra(2, store)), recipe }
}

fn store_directory(store: &mut Store, directory: &Directory) -> (Option<ChunkId>, Totals) {
    let mut entries = Vec::new();
    for (name, (meta, node)) in directory {
        let kind = match node {
            Node::File { slices, extras } => {
                Kind::File { content: store_content(store, slices, *extras) }
            }
            Node::Directory(below) => {
                let (page, totals) = store_directory(store, below);
                Kind::Directory { page, totals }
            }
            Node::Symlink(target) => Kind::Symlink { target: target.clone() },
            Node::Hardlink(target) => Kind::Hardlink { target: target.clone() },
        };
        entries.push(Entry { name: name.clone(), meta: meta.clone(), kind });
    }
    store.directory(&entries)
}

/// Slices that continue each other, joined naively: byte ranges laid end to end.
fn joined(slices: &[Slice]) -> Vec<Slice> {
    let mut joined: Vec<Slice> = Vec::new();
    for slice in slices {
        match (joined.last_mut(), slice.source) {
            (Some(Slice { source: Source::Hole, len }), Source::Hole) => *len += slice.len,
            (
                Some(Slice { source: Source::Chunk { id: last, skip: start }, len }),
                Source::Chunk { id, skip },
            ) if *last == id && u64::from(*start) + *len == u64::from(skip) => *len += slice.len,
            _ => joined.push(*slice),
        }
    }
    joined
}

fn counted(directory: &Directory) -> Totals {
    let mut totals = Totals::default();
    for (_, node) in directory.values() {
        match node {
            Node::File { slices, extras } => {
                let len = slices.iter().map(|slice| slice.len).sum::<u64>();
                totals.files += 1;
                totals.bytes += if extras & 4 != 0 { 12_345 } else { len };
            }
            Node::Directory(below) => {
                totals = totals.checked_add(&counted(below)).expect("small numbers");
                totals.directories += 1;
            }
            Node::Symlink(_) => totals.symlinks += 1,
            Node::Hardlink(_) => totals.hardlinks += 1,
        }
    }
    totals
}

fn check_directory(store: &Store, top: Option<ChunkId>, directory: &Directory) {
    let entries = store.entries(top);
    assert_eq!(entries.len(), directory.len());
    for (entry, (name, (meta, node))) in entries.iter().zip(directory) {
        assert_eq!((&entry.name, &entry.meta), (name, meta));
        match (&entry.kind, node) {
            (Kind::File { content }, Node::File { slices, extras }) => {
                assert_eq!(store.slices(&content.stream), joined(slices));
                assert_eq!(content.root.is_some(), extras & 1 != 0);
                assert_eq!(content.outboard.is_some(), extras & 2 != 0);
                assert_eq!(content.recipe.is_some(), extras & 4 != 0);
            }
            (Kind::Directory { page, totals }, Node::Directory(below)) => {
                assert_eq!(*totals, counted(below));
                check_directory(store, *page, below);
            }
            (Kind::Symlink { target }, Node::Symlink(model))
            | (Kind::Hardlink { target }, Node::Hardlink(model)) => assert_eq!(target, model),
            (kind, node) => panic!("{kind:?} is not {node:?}"),
        }
    }
}

/// The pages that a walk from the root finds, as a collection's mark would.
fn reachable(store: &Store, root: &Root) -> Vec<ChunkId> {
    let mut found = Vec::new();
    let mut open = Page::Root(root.clone()).children();
    while let Some(reference) = open.pop() {
        if !reference.is_data() {
            let bytes = &store.pages[&reference.id()];
            open.extend(reference.decode(bytes).expect("a page of its kind").children());
            found.push(reference.id());
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_tree_returns(directory in directory(), meta in meta()) {
        let mut store = Store::default();
        let (page, totals) = store_directory(&mut store, &directory);
        prop_assert_eq!(totals, counted(&directory));
        let root = Root { meta, page, totals };
        let bytes = root.encode().expect("a valid root");
        prop_assert_eq!(&Root::decode(&bytes), &Ok(root.clone()));
        check_directory(&store, page, &directory);
        for (id, bytes) in &store.pages {
            prop_assert!(bytes.len() <= PAGE_BYTES_MAX);
            let page = Page::decode(bytes).expect("a page that was built");
            prop_assert_eq!(page.encode(), Ok(bytes.clone()));
            prop_assert_ne!(Reference::Data(*id).decode(bytes).ok(), Some(page));
        }
        // Nothing is stored that a walk does not find, and the same tree is the same pages.
        let found = reachable(&store, &root);
        prop_assert_eq!(found, store.pages.keys().copied().collect::<Vec<_>>());
        let mut again = Store::default();
        prop_assert_eq!(store_directory(&mut again, &directory), (page, totals));
        prop_assert_eq!(again.pages, store.pages);
    }

    /// However a stream is cut into slices that continue each other, it is the same stream.
    #[test]
    fn a_stream_has_one_form(
        slices in prop::collection::vec(slice(), 0..40),
        parts in prop::collection::vec(1..3_u64, 40),
    ) {
        let mut pieces = Vec::new();
        for (slice, part) in slices.iter().zip(parts) {
            let first = slice.len.min(part);
            pieces.push(Slice { len: first, ..*slice });
            let source = match slice.source {
                Source::Hole => Source::Hole,
                Source::Chunk { id, skip } => {
                    Source::Chunk { id, skip: skip + u32::try_from(first).expect("small") }
                }
            };
            if slice.len > first {
                pieces.push(Slice { source, len: slice.len - first });
            }
        }
        let mut store = Store::default();
        let stream = store.stream(&slices);
        prop_assert_eq!(&store.stream(&pieces), &stream);
        prop_assert_eq!(store.slices(&stream), joined(&slices));
        let is_map = matches!(stream, Stream::Map { .. });
        prop_assert_eq!(is_map, joined(&slices).len() > 4);
    }
}
