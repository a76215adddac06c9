//! TREE-2 and TREE-4: any bytes decode to an error, or to a page that encodes to those bytes.

use std::collections::BTreeMap;

use cairn_tree::{Entry, Error, Kind, Meta, Page, Root, Slice, Source, Stream, Time, Xattrs};
use proptest::prelude::*;

use crate::support::{Numbers, Store, large_file, small_file};

/// Decodes, and checks what is accepted. Gives whether it was.
fn check(bytes: &[u8]) -> bool {
    match Page::decode(bytes) {
        Ok(page) => {
            assert_eq!(page.encode().as_deref(), Ok(bytes), "accepted another form: {page:?}");
            assert!(page.children().len() * 32 <= bytes.len(), "each reference takes an id");
            true
        }
        Err(Error::Corrupt { offset, .. }) => {
            assert!(offset <= bytes.len());
            false
        }
        Err(Error::Version { .. }) => false,
        Err(error) => panic!("decoding gave {error}"),
    }
}

/// Pages of every kind, small enough for every byte to be tried.
fn pages() -> Vec<Vec<u8>> {
    let mut numbers = Numbers(5);
    let mut store = Store::default();
    let mut tree = BTreeMap::new();
    for n in 0..4 {
        let name = format!("file {n}").into_bytes();
        tree.insert(name.clone(), small_file(name, &mut numbers));
    }
    let add = |tree: &mut BTreeMap<_, _>, name: &[u8], kind| {
        let pairs = vec![(b"user.x".to_vec(), name.to_vec())];
        let xattrs = Xattrs::new(pairs).expect("valid attributes");
        let mtime = Time { secs: -1, nanos: 7 };
        let meta = Meta { mode: 0o700, uid: 9, gid: 9, mtime, xattrs };
        tree.insert(name.to_vec(), Entry { name: name.to_vec(), meta, kind });
    };
    add(&mut tree, b"link", Kind::Symlink { target: b"target".to_vec() });
    add(&mut tree, b"hard", Kind::Hardlink { target: b"a/b".to_vec() });
    let mut large = large_file(b"large".to_vec(), &mut numbers);
    if let Kind::File { content } = &mut large.kind {
        let source = Source::Chunk { id: numbers.id(), skip: 3 };
        content.recipe = Some(Box::new(Stream::Slices(vec![Slice { source, len: 9 }])));
    }
    add(&mut tree, b"large", large.kind);
    let (page, totals) = store.directory(&tree.values().cloned().collect::<Vec<_>>());
    add(&mut tree, b"directory", Kind::Directory { page, totals });
    let (page, totals) = store.directory(&tree.values().cloned().collect::<Vec<_>>());
    let root = Root { page, totals, ..Root::default() };
    store.put(root.encode().expect("a valid root")).expect("memory takes all");
    let hole = Slice { source: Source::Hole, len: 77 };
    let chunk = |id, skip| Slice { source: Source::Chunk { id, skip }, len: 50 };
    let (a, b) = (numbers.id(), numbers.id());
    store.stream(&[chunk(a, 0), chunk(b, 9), hole, chunk(b, 2), chunk(a, 60), chunk(a, 0)]);
    let slices: Vec<_> = (0..1500).map(|_| chunk(numbers.id(), 0)).collect();
    store.stream(&slices);
    let entries: Vec<_> =
        (0..900).map(|n| small_file(format!("{n:04}").into_bytes(), &mut numbers)).collect();
    store.directory(&entries);
    let small = store.pages.into_values().filter(|page| page.len() < 1200);
    small.collect()
}

#[test]
fn the_pages_that_are_tried_are_of_every_kind() {
    let mut kinds: Vec<_> = pages().iter().map(|page| page[0]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, [1, 2, 3, 4, 5]);
}

#[test]
fn every_byte_in_every_value() {
    for page in pages() {
        assert!(check(&page));
        let mut changed = page.clone();
        for at in 0..page.len() {
            for value in 0..=255 {
                changed[at] = value;
                check(&changed);
            }
            changed[at] = page[at];
        }
    }
}

#[test]
fn every_length() {
    for mut page in pages() {
        for len in 0..page.len() {
            assert!(!check(&page[..len]), "a page cut short is no page");
        }
        page.push(0);
        assert!(!check(&page), "a page with a byte more is no page");
    }
}

#[test]
fn counts_beyond_the_page_reserve_nothing() {
    for kind in 1..=4 {
        let mut bytes = vec![kind, 1];
        if kind % 2 == 0 {
            bytes.push(1);
        }
        bytes.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        assert!(!check(&bytes));
        bytes.resize(60_000, 0);
        assert!(!check(&bytes));
    }
}

/// Changes to a page, several at once.
#[derive(Clone, Debug)]
enum Change {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u32),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Copy(prop::sample::Index, prop::sample::Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, value)| Change::Set(at, value)),
        (at(), 0..5_u8).prop_map(|(at, value)| Change::Set(at, value)),
        (at(), 0..8_u32).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), 0..3_u8).prop_map(|(at, value)| Change::Insert(at, value)),
        at().prop_map(Change::Remove),
        (at(), at(), 1..40_usize).prop_map(|(from, to, len)| Change::Copy(from, to, len)),
    ]
}

fn apply(page: &mut Vec<u8>, change: &Change) {
    if page.is_empty() {
        return;
    }
    let len = page.len();
    match change {
        Change::Set(at, value) => page[at.index(len)] = *value,
        Change::Flip(at, bit) => page[at.index(len)] ^= 1 << bit,
        Change::Insert(at, value) => page.insert(at.index(len), *value),
        Change::Remove(at) => {
            page.remove(at.index(len));
        }
        Change::Copy(from, to, count) => {
            let (from, to) = (from.index(len), to.index(len));
            let count = (*count).min(len - from).min(len - to);
            page.copy_within(from..from + count, to);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn changed_pages(
        which: prop::sample::Index,
        changes in prop::collection::vec(change(), 1..6),
    ) {
        let mut page = which.get(cached_pages()).clone();
        for change in &changes {
            apply(&mut page, change);
        }
        check(&page);
    }

    #[test]
    fn random_bytes(
        kind in 0..7_u8,
        level in 0..3_u8,
        mut bytes in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..200),
    ) {
        let head = [kind, 1, level];
        bytes.splice(0..0, head);
        check(&bytes);
    }
}

fn cached_pages() -> &'static [Vec<u8>] {
    static PAGES: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
    PAGES.get_or_init(pages)
}
