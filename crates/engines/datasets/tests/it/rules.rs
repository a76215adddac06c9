//! Retention, and references that lead nowhere.

use std::time::Duration;

use cairn_base::ErrorKind;
use cairn_datasets::{CollectOptions, PushOptions, Rules, Source, push};

use super::support::{World, noise, same, target, walk, write};

fn greedy() -> CollectOptions {
    CollectOptions { grace: Duration::ZERO, ..CollectOptions::default() }
}

async fn push_rounds(world: &World, rounds: u64) {
    let source = world.dir("source");
    for round in 0..rounds {
        write(source.join("f"), noise(round, 50_000));
        world.push(&source, "data").await;
        world.later(60);
    }
}

#[tokio::test]
async fn history_is_trimmed_to_its_rules() {
    let world = World::new().await;
    push_rounds(&world, 8).await;
    let dataset = target("data").dataset;
    let tag = target("data");
    // The default keeps the last ten.
    world.datasets.collect(greedy()).await.unwrap();
    assert_eq!(world.store.tag(&tag).await.unwrap().history.len(), 7);

    let rules = Rules { history_keep: 2, history_seconds: 250, ..Rules::default() };
    world.store.set_rules(&dataset, &rules).await.unwrap();
    assert_eq!(world.store.rules(&dataset).await.unwrap(), rules);
    let looked = CollectOptions { dry_run: true, ..greedy() };
    let collected = world.datasets.collect(looked).await.unwrap();
    assert_eq!(collected.versions_removed, 4);
    assert_eq!(world.store.tag(&tag).await.unwrap().history.len(), 7, "it only looked");
    let collected = world.datasets.collect(greedy()).await.unwrap();
    assert_eq!(collected.versions_removed, 4);
    assert_eq!(world.store.tag(&tag).await.unwrap().history.len(), 3);

    let rules = Rules { history_keep: 1, history_seconds: 0, ..Rules::default() };
    world.store.set_rules(&dataset, &rules).await.unwrap();
    let mut deleted = 0;
    for _ in 0..4 {
        world.later(1);
        deleted += world.datasets.collect(greedy()).await.unwrap().blocks.packs_deleted;
    }
    assert_eq!(world.store.tag(&tag).await.unwrap().history.len(), 1);
    assert_eq!(deleted, 6, "each version had a pack of its own");
    let to = world.path("to");
    world.pull("data", &to).await;
    same(&walk(&world.path("source")), &walk(&to));
}

#[tokio::test]
async fn the_newest_tags_are_kept() {
    let world = World::new().await;
    let source = world.dir("source");
    for number in 0..5 {
        write(source.join("f"), noise(number, 5000));
        world.push(&source, &format!("data:t{number}")).await;
        world.later(60);
    }
    world.push(&source, "bystander:x").await;
    let rules = Rules { tags_keep: Some(2), tags_seconds: Some(200), ..Rules::default() };
    world.store.set_rules(&target("data").dataset, &rules).await.unwrap();
    assert_eq!(world.datasets.collect(greedy()).await.unwrap().tags_removed, 2);
    let names =
        |tags: Vec<cairn_datasets::Tag>| tags.into_iter().map(|tag| tag.tag).collect::<Vec<_>>();
    assert_eq!(names(world.store.tags(&target("data").dataset).await.unwrap()), ["t2", "t3", "t4"]);
    world.later(100_000);
    assert_eq!(world.datasets.collect(greedy()).await.unwrap().tags_removed, 1);
    let rules = Rules { tags_keep: Some(0), tags_seconds: None, ..Rules::default() };
    world.store.set_rules(&target("data").dataset, &rules).await.unwrap();
    world.datasets.collect(greedy()).await.unwrap();
    assert_eq!(names(world.store.tags(&target("data").dataset).await.unwrap()), ["t4"]);
    assert_eq!(world.store.tags(&target("bystander").dataset).await.unwrap().len(), 1);
}

#[tokio::test]
async fn tags_expire() {
    let world = World::new().await;
    let source = world.dir("source");
    write(source.join("f"), "x");
    let expires_ns = Some(world.env.clock.wall_ns() + 100_000_000_000);
    let options = PushOptions { expires_ns, ..world.push_options() };
    push(&world.store, &Source::Path(source.clone()), &[target("data:soon")], &options)
        .await
        .unwrap();
    world.push(&source, "data:stays").await;
    assert_eq!(world.datasets.collect(greedy()).await.unwrap().tags_removed, 0);
    world.later(101);
    assert_eq!(world.datasets.collect(greedy()).await.unwrap().tags_removed, 1);
    let error = world.store.tag(&target("data:soon")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    world.pull("data:stays", &world.path("to")).await;
    // A tag of that name can be made again.
    world.push(&source, "data:soon").await;
    assert_eq!(world.datasets.collect(greedy()).await.unwrap().tags_removed, 0);
}

#[tokio::test]
async fn references_that_lead_nowhere_say_so() {
    let world = World::new().await;
    let source = world.dir("source");
    write(source.join("f"), "x");
    world.push(&source, "data").await;
    let store = &world.store;
    let nothing = target("nothing:at-all");
    let missing = target("data:missing");
    for error in [
        store.tag(&missing).await.map(drop).unwrap_err(),
        store.tag(&nothing).await.map(drop).unwrap_err(),
        store.tags(&nothing.dataset).await.map(drop).unwrap_err(),
        store.remove(&missing).await.unwrap_err(),
        store.rules(&nothing.dataset).await.map(drop).unwrap_err(),
        store.set_rules(&nothing.dataset, &Rules::default()).await.unwrap_err(),
        store.copy_tag(&missing, &target("data:x"), "ada").await.map(drop).unwrap_err(),
        world
            .try_pull("data:missing", &world.path("to"), &world.pull_options())
            .await
            .map(drop)
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        let text = error.to_string();
        assert!(text.contains("missing") || text.contains("nothing"), "{text}");
    }
    assert!(!world.path("to").exists(), "a pull of nothing makes nothing");
    let elsewhere = target("@other/data:x");
    let error = store.copy_tag(&target("data"), &elsewhere, "ada").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    store.remove(&target("data")).await.unwrap();
    assert_eq!(store.remove(&target("data")).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(store.list(&target("data").dataset.project).await.unwrap().is_empty());
}
