//! What a node keeps in memory for who asks again.

use std::time::Duration;

use cairn_bucket::faulty::{Faults, Kind, PPM};
use cairn_datasets::{Browser, Error, Store as _, TAG_AGE_MAX};

use super::support::{World, noise, target, write};

const READS: [Kind; 2] = [Kind::Get, Kind::Head];

/// What stands in the file `f` of a tag, as one of many requests finds it.
async fn ask(browser: &Browser, tag: &str) -> Result<Vec<u8>, Error> {
    let (_, root) = browser.open(&target(tag).tag).await?;
    let (_, content) = browser.file_at(&root, &["d", "f"]).await?;
    let mut stream = browser.content(&content, 0..content.len).await?;
    let mut found = Vec::new();
    while let Some(piece) = stream.next().await? {
        found.extend_from_slice(&piece);
    }
    Ok(found)
}

async fn world() -> World {
    let world = World::new().await;
    let source = world.dir("source/d");
    write(source.join("f"), "one");
    world.push(&world.path("source"), "data").await;
    world
}

#[tokio::test]
async fn who_asks_again_is_answered_from_memory() {
    let world = world().await;
    let datasets = world.fresh().await;
    let browser = Browser::warm(&datasets, target("data").dataset);
    assert_eq!(ask(&browser, "data").await.unwrap(), b"one");
    let (before, packs) = (world.requests(&READS, ""), world.requests(&READS, "packs"));
    assert!(packs > 0, "it was read once");
    for _ in 0..100 {
        let another = Browser::warm(&datasets, target("data").dataset);
        assert_eq!(ask(&another, "data").await.unwrap(), b"one");
    }
    // It may read the tag again now and then.
    assert!(world.requests(&READS, "") - before < 20);
    assert_eq!(world.requests(&READS, "packs"), packs);
}

/// A move through the same handle is seen at once, also a removal; one through another handle once
/// what is remembered is too old.
#[tokio::test]
async fn a_tag_that_moved_is_seen() {
    let world = world().await;
    let browser = Browser::warm(&world.datasets, target("data").dataset);
    for round in 0..10 {
        let text = format!("round {round}");
        write(world.path("source/d/f"), &text);
        world.push(&world.path("source"), "data").await;
        assert_eq!(ask(&browser, "data").await.unwrap(), text.as_bytes());
    }
    let other = world.fresh().await;
    other.copy_tag(&target("data"), &target("data:copy"), "ada").await.unwrap();
    assert_eq!(ask(&browser, "data:copy").await.unwrap(), b"round 9");
    world.later(TAG_AGE_MAX.as_secs() + 1);
    other.remove(&target("data:copy")).await.unwrap();
    world.later(TAG_AGE_MAX.as_secs() + 1);
    assert!(matches!(ask(&browser, "data:copy").await, Err(Error::NoTag { .. })));
    world.datasets.remove(&target("data")).await.unwrap();
    assert!(matches!(ask(&browser, "data").await, Err(Error::NoTag { .. })));
    assert!(TAG_AGE_MAX < Duration::from_secs(1), "what the reference promises");
}

/// A project's chunks are nobody else's, also when they are in memory and the ids are known.
#[tokio::test]
async fn memory_keeps_projects_apart() {
    let world = world().await;
    let own = Browser::warm(&world.datasets, target("data").dataset);
    let (_, root) = own.open(&target("data").tag).await.unwrap();
    let (_, content) = own.file_at(&root, &["d", "f"]).await.unwrap();
    assert_eq!(ask(&own, "data").await.unwrap(), b"one");
    let foreign = Browser::warm(&world.datasets, target("@lab/data").dataset);
    let mut stream = foreign.content(&content, 0..content.len).await.unwrap();
    assert!(stream.next().await.is_err());
    assert!(foreign.directory(root.page.unwrap()).await.is_err());
    assert!(foreign.at(&root, &["d", "f"]).await.is_err());
    assert_eq!(foreign.at_hand(&content, &(0..content.len)), None);
}

/// What is at hand is what a stream would give, and nothing behind the end of the file.
#[tokio::test]
async fn what_is_in_memory_is_at_hand() {
    let world = world().await;
    let browser = Browser::warm(&world.datasets, target("data").dataset);
    let (version, root) = browser.open(&target("data").tag).await.unwrap();
    let (entry, content) = browser.file_at(&root, &["d", "f"]).await.unwrap();
    assert_eq!(browser.at_hand(&content, &(0..3)), None, "nobody has read it");
    assert_eq!(ask(&browser, "data").await.unwrap(), b"one");
    for (range, found) in [(0..3, Some("one")), (1..2, Some("n")), (3..3, Some("")), (0..4, None)] {
        let found = found.map(bytes::Bytes::from);
        assert_eq!(browser.at_hand(&content, &range), found, "{range:?}");
    }
    let path = vec![b"d".to_vec(), b"f".to_vec()];
    assert_eq!(browser.remembered(version.root, &path), None);
    browser.remember(version.root, path.clone(), &std::sync::Arc::new(entry.clone()));
    let again = Browser::warm(&world.datasets, target("data").dataset);
    assert_eq!(again.remembered(version.root, &path).as_deref(), Some(&entry));
    assert_eq!(again.remembered(version.root, &path[..1]), None);
    let foreign = Browser::warm(&world.datasets, target("@lab/data").dataset);
    assert_eq!(foreign.remembered(version.root, &path), None);
}

/// BUCKET-3: what came damaged is an error for who asked, and nothing that stays in memory.
#[tokio::test]
async fn bucket_3_damage_does_not_stay_in_memory() {
    let world = World::new().await;
    let source = world.dir("source/d");
    let file = noise(9, 30_000);
    write(source.join("f"), &file);
    world.push(&world.path("source"), "data").await;
    let browser = Browser::warm(&world.fresh().await, target("data").dataset);
    world.faulty.set(Faults { corrupt_ppm: PPM, ..Faults::default() });
    assert!(ask(&browser, "data").await.is_err());
    world.faulty.set(Faults::default());
    assert_eq!(ask(&browser, "data").await.unwrap(), file);
}
