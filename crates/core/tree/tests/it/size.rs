//! How large pages are, and how little a builder holds.

use cairn_tree::{DirectoryBuilder, Entry, Kind, Meta, PAGE_BYTES_MAX, Page, Totals};

use crate::support::{KEY, Numbers, Store, small_file};

const WORDS: [&str; 16] = [
    "index", "server", "client", "render", "router", "utils", "compiled", "react", "webpack",
    "config", "build", "shared", "image", "loader", "helpers", "types",
];
const SUFFIXES: [&str; 6] = ["js", "d.ts", "js.map", "json", "md", "test.js"];

fn package_name(numbers: &mut Numbers) -> Vec<u8> {
    let word = |numbers: &mut Numbers| WORDS[usize::try_from(numbers.below(16)).unwrap_or(0)];
    let suffix = SUFFIXES[usize::try_from(numbers.below(6)).unwrap_or(0)];
    let (first, second) = (word(numbers), word(numbers));
    let part = if numbers.below(2) == 0 { String::new() } else { format!("-{second}") };
    format!("{first}{part}-{}.{suffix}", numbers.below(4)).into_bytes()
}

/// Directories of an unpacked package, as many small ones and a few large.
fn package(store: &mut Store) -> (u64, Vec<usize>) {
    let mut numbers = Numbers(11);
    let mut directories = Vec::new();
    for n in 0..400 {
        let count = 2 + numbers.below(if n % 20 == 0 { 300 } else { 20 });
        let mut names: Vec<_> = (0..count).map(|_| package_name(&mut numbers)).collect();
        names.sort_unstable();
        names.dedup();
        let entries: Vec<_> =
            names.into_iter().map(|name| small_file(name, &mut numbers)).collect();
        let (page, totals) = store.directory(&entries);
        let kind = Kind::Directory { page, totals };
        let name = format!("package-{n:03}").into_bytes();
        directories.push(Entry { name, meta: Meta { mode: 0o755, ..Meta::default() }, kind });
    }
    let (_, Totals { files, directories, .. }) = store.directory(&directories);
    (files + directories, store.pages.values().map(Vec::len).collect())
}

#[test]
fn entries_of_a_package_are_small() {
    let mut store = Store::default();
    let (entries, pages) = package(&mut store);
    let bytes: usize = pages.iter().sum();
    let each = bytes as f64 / entries as f64;
    println!("package: {entries} entries, {} pages, {each:.1} bytes per entry", pages.len());
    assert!(each < 64.0, "{each} bytes per entry");
}

/// TREE-3
#[test]
fn pages_of_a_large_directory_are_as_long_as_intended() {
    let mut numbers = Numbers(12);
    let mut store = Store::default();
    let entries: Vec<_> = (0..100_000)
        .map(|n| small_file(format!("IMG_{n:06}.jpg").into_bytes(), &mut numbers))
        .collect();
    store.directory(&entries);
    let bytes: usize = store.pages.values().map(Vec::len).sum();
    let (each, mean) = (bytes as f64 / 100_000.0, bytes / store.pages.len());
    println!("large directory: {each:.1} bytes per entry, {mean} bytes per page");
    assert!(each < 64.0, "{each} bytes per entry");
    assert!((8 * 1024..28 * 1024).contains(&mean), "{mean} bytes per page");
}

/// A builder emits as it goes: between two leaves it holds no more entries than fit a page,
/// whatever the directory's length.
#[test]
fn a_builder_holds_one_page_per_level() {
    const ENTRIES: u64 = 200_000;
    let mut numbers = Numbers(13);
    let mut builder = DirectoryBuilder::new();
    let (mut levels, mut held, mut held_max) = ([0_u64; 4], 0_usize, 0);
    for n in 0..ENTRIES {
        let entry =
            small_file(format!("{n:08}-{:x}", numbers.below(4096)).into_bytes(), &mut numbers);
        held += 1;
        let mut emit = |bytes: Vec<u8>| {
            assert!(bytes.len() <= PAGE_BYTES_MAX);
            let Ok(Page::Directory(page)) = Page::decode(&bytes) else {
                panic!("a builder emits pages of directories");
            };
            levels[usize::from(page.level())] += 1;
            held = 0;
            Ok::<_, cairn_tree::Error>(KEY.id(&bytes))
        };
        builder.push(&entry, &mut emit).unwrap();
        held_max = held_max.max(held);
    }
    println!("held at most {held_max} entries; pages per level {levels:?}");
    assert!(held_max <= PAGE_BYTES_MAX / (32 + 8), "held {held_max} entries");
    assert!(levels[0] > 400 && levels[1] > 0, "pages per level {levels:?}");
    let mut last = 0;
    let mut emit = |bytes: Vec<u8>| {
        last += 1;
        Ok::<_, cairn_tree::Error>(KEY.id(&bytes))
    };
    let (top, totals) = builder.finish(&mut emit).unwrap();
    assert_eq!((top.is_some(), totals.files), (true, ENTRIES));
    assert!(last <= 4, "the end emitted {last} pages");
}
