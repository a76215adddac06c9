//! TREE-1: one change rewrites the pages on its path, and hardly any beside it.

use std::collections::BTreeMap;

use cairn_tree::{Entry, Kind, Slice, Stream};

use crate::support::{Numbers, Store, large_file, small_file, whole_chunk};

type Tree = BTreeMap<Vec<u8>, Entry>;

fn built(tree: &Tree) -> (Store, usize) {
    let mut store = Store::default();
    let entries: Vec<_> = tree.values().cloned().collect();
    let (top, totals) = store.directory(&entries);
    assert_eq!(totals.files, tree.len() as u64);
    let depth = top.map_or(0, |top| usize::from(store.directory_page(&top).level()) + 1);
    (store, depth)
}

fn new_pages(before: &Store, after: &Store) -> usize {
    after.pages.keys().filter(|id| !before.pages.contains_key(*id)).count()
}

const EDITS: usize = 120;

/// Makes edits, each on the same tree, and checks that each makes few new pages: `depth` and no
/// more on the whole, and hardly ever more than two beyond it, where cuts come and go.
fn check(
    name: impl Fn(&mut Numbers, u64) -> Vec<u8>,
    file: impl Fn(Vec<u8>, &mut Numbers) -> Entry,
) {
    let mut numbers = Numbers(1);
    let mut tree = Tree::new();
    for n in 0..10_000 {
        let name = name(&mut numbers, n * 10);
        tree.insert(name.clone(), file(name, &mut numbers));
    }
    let names: Vec<_> = tree.keys().cloned().collect();
    let (before, depth) = built(&tree);
    let mut counts = Vec::new();
    for edit in 0..EDITS {
        let mut edited = tree.clone();
        let at = usize::try_from(numbers.below(names.len() as u64)).expect("an index");
        let place = &names[at];
        match edit % 4 {
            0 => {
                edited.remove(place);
            }
            1 => {
                let mut name = place.clone();
                name.extend_from_slice(b"-copy");
                edited.insert(name.clone(), file(name, &mut numbers));
            }
            2 => {
                edited.entry(place.clone()).and_modify(|entry| entry.meta.mtime.secs += 1_000_000);
            }
            _ => {
                edited.insert(place.clone(), large_file(place.clone(), &mut numbers));
            }
        }
        let (after, _) = built(&edited);
        counts.push(new_pages(&before, &after));
    }
    counts.sort_unstable();
    let sum: usize = counts.iter().sum();
    println!("depth {depth}: {} new pages for {EDITS} edits, at most {:?}", sum, counts.last());
    assert!(counts[0] >= 1, "each edit makes a new page");
    assert!(sum * 10 <= EDITS * (depth * 10 + 3), "{sum} new pages on paths of {depth}");
    assert!(counts[EDITS * 99 / 100] <= depth + 2, "new pages: {counts:?}");
    assert!(counts[EDITS - 1] <= depth + 4, "new pages: {counts:?}");
}

#[test]
fn one_change_among_numbered_names() {
    check(|_, n| format!("IMG_{n:06}.jpg").into_bytes(), small_file);
}

#[test]
fn one_change_among_random_names() {
    check(|numbers, _| format!("{:016x}", numbers.next()).into_bytes(), small_file);
}

#[test]
fn one_change_among_names_of_all_lengths() {
    let name = |numbers: &mut Numbers, n| {
        let len = usize::try_from(3 + numbers.below(90)).expect("a length");
        format!("{:x}-{n:0len$}", numbers.next()).into_bytes()
    };
    check(name, small_file);
}

#[test]
fn one_change_among_large_files() {
    check(|_, n| format!("shard-{n:06}.parquet").into_bytes(), large_file);
}

/// Metadata decide no cut, however many change: the names on pages stay together.
#[test]
fn a_change_of_all_metadata_moves_no_cut() {
    let mut numbers = Numbers(2);
    let mut tree = Tree::new();
    for n in 0..10_000 {
        let name = format!("file {n:05}").into_bytes();
        tree.insert(name.clone(), small_file(name, &mut numbers));
    }
    let firsts = |tree: &Tree| {
        let (store, _) = built(tree);
        let pages = store.pages.keys().map(|id| store.directory_page(id));
        let mut firsts: Vec<_> =
            pages.map(|page| (page.level(), page.first_name().to_vec())).collect();
        firsts.sort_unstable();
        firsts
    };
    let before = firsts(&tree);
    for entry in tree.values_mut() {
        entry.meta.mtime.secs += 7;
        entry.meta.uid = u32::try_from(numbers.below(9)).expect("a small number");
        entry.meta.mtime.nanos = 123_456_789;
        if let Kind::File { content } = &mut entry.kind {
            content.root = Some([1; 32]);
        }
    }
    assert_eq!(firsts(&tree), before);
}

/// A file of 10 GB: an edit in the middle rewrites the pages on its path.
#[test]
fn one_change_in_a_long_stream() {
    let mut numbers = Numbers(3);
    let slices: Vec<_> = (0..140_000).map(|_| whole_chunk(&mut numbers)).collect();
    let build = |slices: &[Slice]| {
        let mut store = Store::default();
        let stream = store.stream(slices);
        (store, stream)
    };
    let (before, stream) = build(&slices);
    assert!(stream.len() > 10_000_000_000);
    for edit in 0..24 {
        let mut edited = slices.clone();
        let at = usize::try_from(numbers.below(slices.len() as u64 - 3)).expect("an index");
        match edit % 3 {
            0 => edited[at] = whole_chunk(&mut numbers),
            1 => {
                edited.splice(at..at + 2, (0..3).map(|_| whole_chunk(&mut numbers)));
            }
            _ => {
                edited.remove(at);
            }
        }
        let (after, edited) = build(&edited);
        assert!(matches!(edited, Stream::Map { .. }));
        let pages = new_pages(&before, &after);
        assert!((2..=4).contains(&pages), "edit {edit} at {at} made {pages} new pages");
    }
}
