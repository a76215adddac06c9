use bytes::Bytes;
use cairn_bucket::Bucket;
use cairn_datasets::{EditPublication, FileWrite};

use super::*;

/// A dataset of these files, whose bytes are their names.
async fn made(names: &[&str]) -> (Browser, Root) {
    let env = Env::real();
    let options = cairn_blocks::Options::default();
    let datasets = Datasets::open_or_init(Bucket::memory(&env), None, options, &env).await.unwrap();
    let dataset = Dataset { project: "main".parse().unwrap(), name: "d".parse().unwrap() };
    let target = Target { dataset: dataset.clone(), tag: "latest".parse().unwrap() };
    let edits = Edits::new(datasets.clone());
    let id = edits.begin(&target, "ada").await.unwrap();
    for name in names {
        let bytes = Bytes::copy_from_slice(name.as_bytes());
        let (path, size) = (path(name).unwrap(), bytes.len() as u64);
        let write = FileWrite { path, offset: 0, size, mtime: None, executable: None };
        edits.write(id, "ada", write, bytes).await.unwrap();
    }
    edits.publish(id, "ada", &EditPublication::default()).await.unwrap();
    let browser = Browser::warm(&datasets, dataset);
    let (_, root) = browser.open(&target.tag).await.unwrap();
    (browser, root)
}

#[tokio::test]
async fn names_are_listed_on_from_any_place() {
    let all = ["a", "b/a", "b/c/d", "b/c/e", "b/d", "b.txt", "c/a/b/c", "d"];
    let (browser, root) = made(&all).await;
    // A folder stands where its name does: after those that its name begins with, or before.
    let listed = names(&browser, &root, None).await.unwrap();
    assert_eq!(listed, ["a", "b/a", "b/c/d", "b/c/e", "b/d", "b.txt", "c/a/b/c", "d"]);
    for (at, name) in listed.iter().enumerate() {
        let rest = names(&browser, &root, Some(name)).await.unwrap();
        assert_eq!(rest, listed[at + 1..], "after {name}");
    }
    // What was told before may be gone by now, or something else.
    for (after, first) in [
        ("", Some("a")),
        ("0", Some("a")),
        ("a/x", Some("a")),
        ("aa", Some("b/a")),
        ("b", Some("b/a")),
        ("b/b", Some("b/c/d")),
        ("b/c", Some("b/c/d")),
        ("b/c/dd/e", Some("b/c/e")),
        ("b/c/z", Some("b/d")),
        ("c/z", Some("d")),
        ("d/a", Some("d")),
        ("z", None),
    ] {
        let rest = names(&browser, &root, Some(after)).await.unwrap();
        assert_eq!(rest.first().map(String::as_str), first, "after {after:?}");
    }
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let all: Vec<String> = (0..NAMES_MAX + 5).map(|number| format!("f/{number:05}")).collect();
    let (browser, root) = made(&all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let first = names(&browser, &root, None).await.unwrap();
    assert_eq!(first, all[..NAMES_MAX]);
    let second = names(&browser, &root, first.last().map(String::as_str)).await.unwrap();
    assert_eq!(second, all[NAMES_MAX..]);
}
