use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use cairn_chunk::{ChunkId, ChunkKey};

use super::*;
use crate::{Content, Kind, Meta, PAGE_BYTES_MAX, Stream, Time, Xattrs};

pub(super) type Pages = BTreeMap<ChunkId, Vec<u8>>;

pub(super) fn file(name: &str, seed: u8) -> Entry {
    let content = Content {
        len: 7,
        stream: Stream::Chunk { id: ChunkId([seed; 32]), len: 7 },
        ..Content::default()
    };
    Entry { name: name.into(), meta: Meta::default(), kind: Kind::File { content } }
}

pub(super) fn build(entries: &[Entry], pages: &mut Pages) -> (Option<ChunkId>, Totals) {
    let key = ChunkKey::new([3; 32]);
    let mut emit = |bytes: Vec<u8>| {
        let id = key.id(&bytes);
        pages.insert(id, bytes);
        Ok::<_, Error>(id)
    };
    let mut builder = DirectoryBuilder::new();
    for entry in entries {
        builder.push(entry, &mut emit).unwrap();
    }
    builder.finish(&mut emit).unwrap()
}

#[test]
fn a_directory_without_entries_has_no_page() {
    let mut pages = Pages::new();
    assert_eq!(build(&[], &mut pages), (None, Totals::default()));
    assert!(pages.is_empty());
}

#[test]
fn a_directory_of_many_pages_finds_each_entry() {
    let mut pages = Pages::new();
    let entries: Vec<_> = (0..3000).map(|n| file(&format!("entry-{n:05}"), 1)).collect();
    let (top, totals) = build(&entries, &mut pages);
    assert_eq!((totals.files, totals.bytes), (3000, 21_000));
    let find = |name: &[u8]| {
        let mut page = DirectoryPage::decode(&pages[&top.unwrap()]).unwrap();
        page.check_totals(&totals).unwrap();
        loop {
            let child = match page.find(name) {
                Find::Entry(entry) => return Some(entry.clone()),
                Find::Child(child) => child.clone(),
                Find::Missing => return None,
            };
            page = DirectoryPage::decode(&pages[&child.page]).unwrap();
            child.check(&page).unwrap();
        }
    };
    for entry in &entries {
        assert_eq!(find(&entry.name).as_ref(), Some(entry));
    }
    for missing in ["", "a", "entry-", "entry-00007x", "entry-03000", "z"] {
        assert_eq!(find(missing.as_bytes()), None, "{missing}");
    }
    assert!(pages.len() > 5);
}

#[test]
fn the_largest_entries_fit_a_page_each() {
    let xattrs = Xattrs::new([(b"a".to_vec(), alloc::vec![7; 32_700])].into()).unwrap();
    let mtime = Time { secs: i64::MIN, nanos: 999_999_999 };
    let meta = Meta { mode: 0o7777, uid: u32::MAX, gid: u32::MAX, mtime, xattrs };
    let mut target = "long/".repeat(crate::PATH_BYTES_MAX / 5).into_bytes();
    target.pop();
    let entries: Vec<_> = (b'a'..=b'e')
        .map(|byte| {
            let kind = Kind::Hardlink { target: target.clone() };
            Entry { name: alloc::vec![byte; crate::NAME_BYTES_MAX], meta: meta.clone(), kind }
        })
        .collect();
    let mut pages = Pages::new();
    let (top, totals) = build(&entries, &mut pages);
    assert_eq!((totals.hardlinks, pages.len()), (5, 6));
    let DirectoryPage::Index(index) = DirectoryPage::decode(&pages[&top.unwrap()]).unwrap() else {
        panic!("five leaves have an index");
    };
    for (child, entry) in index.children().iter().zip(&entries) {
        let page = DirectoryPage::decode(&pages[&child.page]).unwrap();
        assert_eq!(page.find(&entry.name), Find::Entry(entry));
    }
}

/// A page may name a set of attributes thousands of times: it is in memory once.
#[test]
fn equal_attributes_share_memory() {
    let xattrs = Xattrs::new([(b"a".to_vec(), alloc::vec![7; 30_000])].into()).unwrap();
    let mut entries: Vec<_> = (0..20).map(|n| file(&format!("{n:02}"), 1)).collect();
    for entry in &mut entries {
        entry.meta.xattrs = xattrs.clone();
    }
    let mut pages = Pages::new();
    let (top, _) = build(&entries, &mut pages);
    let bytes = &pages[&top.unwrap()];
    assert!((30_000..33_000).contains(&bytes.len()));
    let DirectoryPage::Leaf(leaf) = DirectoryPage::decode(bytes).unwrap() else { panic!() };
    let first = leaf.entries()[0].meta.xattrs.pairs();
    assert!(leaf.entries().iter().all(|e| core::ptr::eq(e.meta.xattrs.pairs(), first)));
}

#[test]
fn a_builder_refuses_disorder_and_then_everything() {
    let mut emit = |_| Ok::<_, Error>(ChunkId([0; 32]));
    for (first, second) in [("b", "a"), ("b", "b"), ("b", "")] {
        let mut builder = DirectoryBuilder::new();
        builder.push(&file(first, 1), &mut emit).unwrap();
        let error = builder.push(&file(second, 1), &mut emit).unwrap_err();
        assert_eq!(error.kind(), cairn_base::ErrorKind::Invalid);
        assert_eq!(builder.push(&file("c", 1), &mut emit), Err(Error::Failed));
        assert_eq!(builder.finish(&mut emit), Err(Error::Failed));
    }
}

#[test]
fn an_error_of_the_callback_is_returned_and_ends_the_builder() {
    #[derive(Debug, PartialEq)]
    enum Mine {
        Tree(Error),
        Full,
    }
    impl From<Error> for Mine {
        fn from(error: Error) -> Self {
            Self::Tree(error)
        }
    }
    let mut emit = |_| Err(Mine::Full);
    let mut builder = DirectoryBuilder::new();
    let mut names = (0..10_000).map(|n| file(&format!("{n:05}"), 1));
    let error = names.find_map(|entry| builder.push(&entry, &mut emit).err());
    assert_eq!(error, Some(Mine::Full));
    let after = builder.push(&file("z", 1), &mut emit);
    assert_eq!(after, Err(Mine::Tree(Error::Failed)));
}

#[test]
fn totals_beyond_64_bits_are_refused() {
    let mut emit = |_| Ok::<_, Error>(ChunkId([0; 32]));
    let mut builder = DirectoryBuilder::new();
    let directory = |name: &[u8]| {
        let totals = Totals { files: 1, bytes: u64::MAX, ..Totals::default() };
        let kind = Kind::Directory { page: Some(ChunkId([1; 32])), totals };
        Entry { name: name.to_vec(), meta: Meta::default(), kind }
    };
    builder.push(&directory(b"a"), &mut emit).unwrap();
    assert_eq!(builder.push(&directory(b"b"), &mut emit), Err(Error::TotalsOverflow));
}

/// Names for which every hash would cut: levels shrink all the same, and pages stay within bounds.
#[test]
fn names_made_to_cut_everywhere_make_no_endless_tree() {
    let mut entries = Vec::new();
    let mut n = 0_u64;
    while entries.len() < 600 {
        let name = format!("{n:0>1000}");
        let (weight, hash) = builder::mark(name.as_bytes());
        if (hash >> 32) * 32 * 1024 < weight << 32 {
            entries.push(file(&name, 1));
        }
        n += 1;
    }
    let mut pages = Pages::new();
    let (top, totals) = build(&entries, &mut pages);
    assert_eq!(totals.files, 600);
    assert!(DirectoryPage::decode(&pages[&top.unwrap()]).unwrap().level() <= 10);
    assert!(pages.values().all(|page| page.len() <= PAGE_BYTES_MAX));
}

/// TREE-5
#[test]
fn a_child_is_checked_against_its_page() {
    let entries: Vec<_> = (0..3000).map(|n| file(&format!("{n:05}"), 1)).collect();
    let mut pages = Pages::new();
    let (top, _) = build(&entries, &mut pages);
    let top = DirectoryPage::decode(&pages[&top.unwrap()]).unwrap();
    let DirectoryPage::Index(index) = &top else { panic!("many entries have an index") };
    let child = &index.children()[1];
    let page = DirectoryPage::decode(&pages[&child.page]).unwrap();
    let what = |child: &DirectoryChild, page| match child.check(page) {
        Ok(()) => "nothing",
        Err(Error::Child { what }) => what,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(what(child, &page), "nothing");
    assert_eq!(what(child, &top), "level");
    assert_eq!(
        what(&DirectoryChild { first: b"0".to_vec(), ..child.clone() }, &page),
        "first name"
    );
    let totals = Totals { files: 1, ..child.totals };
    assert_eq!(what(&DirectoryChild { totals, ..child.clone() }, &page), "totals");
}

#[test]
fn a_page_of_another_kind_is_refused() {
    let root = crate::Root::default().encode().unwrap();
    assert!(matches!(DirectoryPage::decode(&root), Err(Error::Child { .. })));
    assert!(matches!(crate::MapPage::decode(&root), Err(Error::Child { .. })));
    let mut pages = Pages::new();
    let (top, _) = build(&[file("a", 1)], &mut pages);
    let (top, bytes) = (top.unwrap(), &pages[&top.unwrap()]);
    assert!(matches!(crate::Root::decode(bytes), Err(Error::Child { .. })));
    assert!(crate::Reference::DirectoryPage(top).decode(bytes).is_ok());
    for reference in
        [crate::Reference::MapPage(top), crate::Reference::Data(top), crate::Reference::Root(top)]
    {
        assert!(matches!(reference.decode(bytes), Err(Error::Child { .. })));
    }
}
