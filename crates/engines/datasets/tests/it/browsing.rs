//! Walks, differences and ranges against naive models.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use cairn_base::ErrorKind;
use cairn_datasets::{Browser, ChangeKind, ContentStream, Error};
use cairn_tree::{Entry, Kind, Root};
use proptest::prelude::*;

use super::support::{Tree, What, World, noise, target, text, touch, walk, write};

#[derive(Clone, Debug)]
enum Thing {
    File(u8),
    Link(u8),
}

type Things = BTreeMap<(u8, Option<u8>), Thing>;

fn things() -> impl Strategy<Value = Things> {
    let thing =
        prop_oneof![3 => any::<u8>().prop_map(Thing::File), 1 => any::<u8>().prop_map(Thing::Link)];
    proptest::collection::btree_map((0..12_u8, proptest::option::of(0..12_u8)), thing, 0..30)
}

/// Directories have names from `d0` on; times are all the same, so that they make no difference.
fn lay_out(things: &Things, top: &Path) {
    std::fs::create_dir_all(top).unwrap();
    for ((first, second), thing) in things {
        let path = match second {
            None => top.join(format!("f{first}")),
            Some(second) => {
                let below = top.join(format!("d{first}"));
                std::fs::create_dir_all(&below).unwrap();
                below.join(format!("f{second}"))
            }
        };
        match thing {
            Thing::File(seed) => write(&path, noise(u64::from(*seed), usize::from(*seed) * 40)),
            Thing::Link(to) => std::os::unix::fs::symlink(format!("to{to}"), &path).unwrap(),
        }
        touch(&path, i64::from(first % 2), 0);
    }
    for path in walk(top).keys() {
        let path = top.join(path.trim_start_matches('/'));
        if path.is_dir() {
            touch(&path, 0, 0);
        }
    }
}

fn top_of(root: &Root) -> Entry {
    let kind = Kind::Directory { page: root.page, totals: root.totals };
    Entry { name: Vec::new(), meta: root.meta.clone(), kind }
}

fn naive_diff(old: &Tree, new: &Tree) -> BTreeMap<String, ChangeKind> {
    let paths: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes = BTreeMap::new();
    for path in paths.into_iter().filter(|path| !path.is_empty()) {
        let change = match (old.get(path), new.get(path)) {
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
            (Some(old), Some(new)) if old == new => continue,
            (Some(old), Some(new)) if old.what == new.what => ChangeKind::Attributes,
            _ => ChangeKind::Modified,
        };
        changes.insert(path[1..].to_owned(), change);
    }
    changes
}

async fn compare(old: Things, new: Things) {
    let world = World::new().await;
    let mut trees = Vec::new();
    for (name, things) in [("old", &old), ("new", &new)] {
        let source = world.path(name);
        lay_out(things, &source);
        world.push(&source, &format!("data:{name}")).await;
        trees.push(walk(&source));
    }
    let browser = world.browser("data");
    let (_, old) = browser.open(&target("x:old").tag).await.unwrap();
    let (_, new) = browser.open(&target("x:new").tag).await.unwrap();
    for (root, tree) in [(&old, &trees[0]), (&new, &trees[1])] {
        let mut found = Vec::new();
        let visited = browser
            .walk::<Error>(&top_of(root), b"", &mut |listed| {
                found.push(format!("/{}", text(&listed.path)));
                Ok(true)
            })
            .await;
        visited.unwrap();
        let wanted: BTreeSet<&String> = tree.keys().filter(|path| !path.is_empty()).collect();
        assert_eq!(found.len(), wanted.len());
        assert_eq!(found.iter().collect::<BTreeSet<_>>(), wanted);
        let files = tree.values().filter(|seen| matches!(seen.what, What::File { .. })).count();
        assert_eq!(root.totals.files, files as u64);
    }
    let mut found = BTreeMap::new();
    let compared = browser
        .diff::<Error>(&old, &new, &mut |change| {
            assert!(found.insert(text(&change.path), change.kind).is_none());
            Ok(())
        })
        .await;
    compared.unwrap();
    assert_eq!(found, naive_diff(&trees[0], &trees[1]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn walks_and_differences_are_those_of_a_naive_model(old in things(), new in things()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(compare(old, new));
    }
}

#[tokio::test]
async fn ranges_are_those_of_the_file() {
    let world = World::new().await;
    let source = world.dir("source");
    write(source.join("small"), noise(1, 3000));
    write(source.join("middle"), noise(2, 700_000));
    write(source.join("large"), noise(3, 9_000_001));
    write(source.join("empty"), "");
    let holes = std::fs::File::create(source.join("holes")).unwrap();
    holes.set_len(6_000_000).unwrap();
    holes.write_all_at(&noise(4, 100_000), 1_000_000).unwrap();
    holes.write_all_at(&noise(5, 100_000), 5_000_000).unwrap();
    world.push(&source, "data").await;
    let browser = world.browser("data");
    let warm = Browser::warm(&world.datasets, target("data").dataset);
    let (_, root) = browser.open(&target("data").tag).await.unwrap();
    for name in ["small", "middle", "large", "empty", "holes"] {
        let bytes = std::fs::read(source.join(name)).unwrap();
        let (_, content) = browser.file_at(&root, &[name.to_owned()]).await.unwrap();
        let len = content.len;
        assert_eq!(len, bytes.len() as u64);
        let dice = noise(6, 16 * 24);
        let mut ranges: Vec<(u64, u64)> = vec![(0, len), (0, 0), (len, len), (len / 2, len / 2)];
        for pair in dice.chunks(16) {
            let number =
                |at: usize| u64::from_le_bytes(pair[at..at + 8].try_into().unwrap()) % (len + 1);
            let (a, b) = (number(0), number(8));
            ranges.push((a.min(b), a.max(b)));
            ranges.push((a, (a + b % 300).min(len)));
        }
        for (start, end) in ranges {
            let wanted = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
            let wanted = &bytes[wanted];
            for browser in [&browser, &warm] {
                let stream = browser.content(&content, start..end).await.unwrap();
                assert!(read(stream).await == wanted, "{name} {start}..{end}");
                let mut stream = browser.content(&content, start..end).await.unwrap();
                // As a client is served: the first piece, and the rest read ahead of it.
                let mut found = stream.next().await.unwrap().map(Vec::from).unwrap_or_default();
                assert_eq!(stream.left(), (wanted.len() - found.len()) as u64);
                found.extend(read(stream.reading_ahead()).await);
                assert!(found == wanted, "{name} {start}..{end}, read ahead");
            }
        }
    }
}

async fn read(mut stream: ContentStream) -> Vec<u8> {
    let mut found = Vec::new();
    while let Some(piece) = stream.next().await.unwrap() {
        assert!(!piece.is_empty());
        found.extend_from_slice(&piece);
    }
    assert_eq!(stream.left(), 0);
    found
}

#[tokio::test]
async fn paths_that_are_not_there_say_so() {
    let world = World::new().await;
    let source = world.dir("source");
    std::fs::create_dir(source.join("d")).unwrap();
    write(source.join("d/f"), "x");
    world.push(&source, "data").await;
    let browser = world.browser("data");
    let (_, root) = browser.open(&target("data").tag).await.unwrap();
    let path = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
    for nothing in ["g", "d/g", "d/f/x", "D", "d/f/"] {
        let error = browser.at(&root, &path(nothing)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{nothing}: {error}");
    }
    assert!(matches!(browser.file_at(&root, &path("d")).await, Err(Error::WrongKind { .. })));
    assert!(browser.file_at(&root, &path("d/f")).await.is_ok());
}
