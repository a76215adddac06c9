//! What a version shares with others, and what its producer is told.

use std::str::FromStr as _;

use cairn_base::TagName;
use cairn_datasets::{Performance, stat};

use super::support::{World, noise, target, write};

async fn measured(world: &World, tag: &str, against: Option<&str>) -> Performance {
    let browser = world.browser("data");
    let against = against.map(|tag| TagName::from_str(tag).unwrap());
    stat(&browser, &TagName::from_str(tag).unwrap(), against.as_ref()).await.unwrap()
}

fn sum(performance: &Performance) -> u64 {
    performance.reused_bytes + performance.new_bytes + performance.repeated_bytes
}

#[tokio::test]
async fn a_version_is_measured_against_the_one_before() {
    let world = World::new().await;
    let source = world.dir("source");
    write(source.join("kept.bin"), noise(1, 600_000));
    write(source.join("old.txt"), noise(2, 40_000));
    world.push(&source, "data:v1").await;
    let first = measured(&world, "v1", None).await;
    assert_eq!((first.compared_with.as_ref(), first.new_bytes), (None, 640_000));
    assert_eq!((first.types.len(), first.types[0].name.as_str()), (2, ".bin"));

    write(source.join("new.txt"), noise(3, 70_000));
    world.push(&source, "data:v2").await;
    // Another tag's version is the one before.
    let second = measured(&world, "v2", None).await;
    assert_eq!(second.compared_with, Some(first.version.root.to_string()));
    assert_eq!((second.reused_bytes, second.new_bytes), (640_000, 70_000));
    assert_eq!((second.files.len(), second.files[0].name.as_str()), (1, "new.txt"));

    std::fs::remove_file(source.join("old.txt")).unwrap();
    world.push(&source, "data:v1").await;
    // A tag's own history comes first.
    let moved = measured(&world, "v1", None).await;
    assert_eq!(moved.compared_with, Some(first.version.root.to_string()));
    assert_eq!((moved.reused_bytes, moved.new_bytes), (600_000, 70_000));
    let against = measured(&world, "v1", Some("v2")).await;
    assert_eq!((against.reused_bytes, against.new_bytes), (670_000, 0));
    let none = TagName::from_str("none").unwrap();
    let error = stat(&world.browser("data"), &none, None).await.unwrap_err();
    assert_eq!(error.kind(), cairn_base::ErrorKind::NotFound);
}

#[tokio::test]
async fn producers_are_told_what_costs_them() {
    let world = World::new().await;
    let source = world.dir("source");
    let large = noise(4, 5_000_000);
    write(source.join("large"), &large);
    write(source.join("twin"), &large);
    world.push(&source, "data:v1").await;
    let twins = measured(&world, "v1", None).await;
    assert_eq!((twins.repeated_bytes, sum(&twins)), (5_000_000, 10_000_000));
    assert!(twins.advice.iter().any(|advice| advice.starts_with("50 % of the bytes")));

    write(source.join("large"), noise(5, 5_000_000));
    write(source.join("packed.gz"), noise(6, 3_000_000));
    world.push(&source, "data:v2").await;
    let rewritten = measured(&world, "v2", None).await;
    assert_eq!((rewritten.archives_closed, rewritten.archives_opened), (1, 0));
    for expected in ["37 % of the new bytes are in 1 compressed files", "1 large files were"] {
        let advice = &rewritten.advice;
        assert!(advice.iter().any(|advice| advice.starts_with(expected)), "{advice:?}");
    }
}

/// What is inside of an opened archive counts, so no share is more than the whole.
#[tokio::test]
async fn opened_archives_count_with_what_is_inside() {
    let world = World::new().await;
    let source = world.dir("source");
    let text: String = (0..200_000).map(|n| format!("line {n}\n")).collect();
    write(source.join("text"), &text);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_path_with_name(source.join("text"), "text").unwrap();
    let tar = tar.into_inner().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    std::io::Write::write_all(&mut gzip, &tar).unwrap();
    write(source.join("text.tar.gz"), gzip.finish().unwrap());
    world.push(&source, "data:v1").await;
    let performance = measured(&world, "v1", None).await;
    assert_eq!(performance.archives_opened, 1);
    assert!(sum(&performance) > performance.bytes, "{performance:?}");
    let said = performance.advice.iter().find(|advice| advice.contains("more than once")).unwrap();
    let percent: u64 = said.split(' ').next().unwrap().parse().unwrap();
    assert!((45..=50).contains(&percent), "{said}");
    assert_eq!(
        performance.version.root,
        world.store.tag(&target("data:v1")).await.unwrap().current.root
    );
}
