//! Verification, and buckets that lie.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_blocks::{EnvelopeKind, Options};
use cairn_datasets::{CollectOptions, Datasets, Rules, Store as _, Verified};
use futures::TryStreamExt as _;

use super::support::{World, noise, target, write};

/// Every key of the bucket.
pub(crate) async fn keys(world: &World) -> Vec<String> {
    let mut keys: Vec<String> =
        world.bucket.list("").map_ok(|head| head.key).try_collect().await.unwrap();
    keys.sort();
    keys
}

async fn sample() -> World {
    let world = World::new().await;
    let source = world.dir("source");
    write(source.join("small"), "small");
    write(source.join("text"), "a line of text\n".repeat(5000));
    write(source.join("large"), noise(1, 2_000_000));
    world.push(&source, "data:one").await;
    write(source.join("small"), "changed");
    world.push(&source, "data:two").await;
    let rules = Rules { history_keep: 3, ..Rules::default() };
    world.store.set_rules(&target("data").dataset, &rules).await.unwrap();
    let (sealer, kind) = (world.datasets.blocks().sealer(), EnvelopeKind::Access);
    let access = sealer.wrap(kind, "access/state", b"who may do what", world.env.rng.as_ref());
    world.bucket.put("access/state", access.into()).await.unwrap();
    world
}

async fn verify(world: &World) -> Result<Verified, cairn_datasets::Error> {
    let (bucket, options) = (world.bucket.clone(), Options::default());
    let fresh = Datasets::open_or_init(bucket, None, options, &world.env).await?;
    fresh.verify(Arc::new(|_| ())).await
}

#[tokio::test]
async fn a_sound_bucket_is_clean() {
    let world = sample().await;
    let verified = verify(&world).await.unwrap();
    assert!(verified.blocks.is_clean(), "{:?}", verified.blocks.findings);
    assert_eq!(verified.versions, 2);
    assert!(verified.references > 10 && verified.blocks.bytes > 2_000_000);
}

#[tokio::test]
async fn a_flipped_byte_is_found_in_every_kind_of_object() {
    let world = sample().await;
    let mut kinds = BTreeSet::new();
    for key in keys(&world).await {
        let kind = key.split('/').next().unwrap().to_owned();
        let sound = world.bucket.get(&key).await.unwrap().bytes;
        let len = sound.len();
        for at in [0, len / 3, len / 2, len - 40.min(len), len - 1] {
            let mut damaged = sound.to_vec();
            damaged[at] ^= 0x10;
            world.bucket.put(&key, Bytes::from(damaged)).await.unwrap();
            let verified = verify(&world).await;
            let Ok(verified) = verified else {
                // Without these nothing can be opened.
                assert!(
                    ["cairn.json", "catalog", "index"].contains(&kind.as_str()),
                    "{key}: {verified:?}"
                );
                continue;
            };
            let findings = &verified.blocks.findings;
            assert!(
                findings.iter().any(|finding| finding.object == key),
                "byte {at} of {len} of {key} was flipped, and nobody noticed: {findings:?}"
            );
            let versions = if kind == "refs" { 1 } else { 2 };
            assert_eq!(verified.versions, versions, "{key}");
            // All but the first bytes of a pack, which nobody needs, belongs to versions.
            let named = findings.iter().any(|finding| finding.object.starts_with("version "));
            assert!(
                kind != "packs" || named || at == 0,
                "byte {at} of {len} of {key}: {findings:?}"
            );
        }
        world.bucket.put(&key, sound).await.unwrap();
        kinds.insert(kind);
    }
    let kinds: Vec<&str> = kinds.iter().map(String::as_str).collect();
    assert_eq!(kinds, ["access", "cairn.json", "catalog", "index", "packs", "refs", "settings"]);
    assert!(verify(&world).await.unwrap().blocks.is_clean());
}

/// What a damaged ref stands in the way of goes on when its tag is removed.
#[tokio::test]
async fn a_damaged_tag_can_be_removed() {
    let world = sample().await;
    world.bucket.put("refs/main/data/one", Bytes::from_static(b"not a ref")).await.unwrap();
    let fresh = world.fresh().await;
    let damaged = fresh.tag(&target("data:one")).await.unwrap_err();
    assert_eq!(damaged.kind(), ErrorKind::Corrupt, "{damaged}");
    let refused = fresh.collect(CollectOptions::default()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Corrupt, "who cannot read a ref must not delete");
    let found = verify(&world).await.unwrap().blocks.findings;
    let names: Vec<&str> = found.iter().map(|finding| finding.object.as_str()).collect();
    assert_eq!(names, ["refs/main/data/one"], "{found:?}");
    assert!(found[0].detail.contains("cairn rm data:one"), "{found:?}");

    fresh.remove(&target("data:one")).await.unwrap();
    assert!(verify(&world).await.unwrap().blocks.is_clean());
    assert_eq!(fresh.tag(&target("data:one")).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fresh.remove(&target("data:one")).await.unwrap_err().kind(), ErrorKind::NotFound);
    fresh.collect(CollectOptions::default()).await.unwrap();
    world.push(&world.path("source"), "data:one").await;
    world.pull("data:one", &world.path("to")).await;
}

#[tokio::test]
async fn a_lost_pack_is_found_with_the_versions_that_need_it() {
    let world = sample().await;
    let packs: Vec<String> =
        keys(&world).await.into_iter().filter(|key| key.starts_with("packs/")).collect();
    for key in packs {
        let sound = world.bucket.get(&key).await.unwrap().bytes;
        world.bucket.delete(&key).await.unwrap();
        let verified = verify(&world).await.unwrap();
        let objects: Vec<&str> =
            verified.blocks.findings.iter().map(|finding| finding.object.as_str()).collect();
        assert!(objects.contains(&key.as_str()), "{objects:?}");
        assert!(objects.iter().any(|object| object.starts_with("version ")), "{objects:?}");
        world.bucket.put(&key, sound).await.unwrap();
    }
}

/// BUCKET-3: damage is an error, and no file is made of it.
#[tokio::test]
async fn damage_is_never_pulled() {
    let world = sample().await;
    for key in keys(&world).await.into_iter().filter(|key| key.starts_with("packs/")) {
        let sound = world.bucket.get(&key).await.unwrap().bytes;
        let mut damaged = sound.to_vec();
        for byte in damaged.iter_mut().skip(100).step_by(500) {
            *byte ^= 1;
        }
        world.bucket.put(&key, Bytes::from(damaged)).await.unwrap();
        let fresh: Arc<dyn cairn_datasets::Store> = Arc::new(world.fresh().await);
        let to = world.path("to");
        let options = cairn_datasets::PullOptions::default();
        let pulled = cairn_datasets::pull(&fresh, &target("data:one"), &to, &options).await;
        if let Err(error) = pulled {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        }
        if let Ok(found) = std::fs::read(to.join("large")) {
            assert!(found == noise(1, 2_000_000));
        }
        world.bucket.put(&key, sound).await.unwrap();
        std::fs::remove_dir_all(&to).unwrap();
    }
}
