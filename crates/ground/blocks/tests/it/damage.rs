use std::sync::Arc;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_blocks::{Blocks, OpenFrame, Options};
use cairn_bucket::Bucket;
use cairn_bucket::faulty::{Faults, Faulty, PPM};
use cairn_chunk::ChunkId;
use cairn_env::{Env, Rng as _, SeededRng};
use futures::TryStreamExt as _;

use crate::support::*;

async fn objects(blocks: &Blocks) -> Vec<cairn_bucket::Head> {
    blocks.bucket().list("").try_collect().await.unwrap()
}

/// BUCKET-3: whichever byte of whichever object is flipped, a reader gets the true content or an
/// error, and `verify` finds it.
#[test]
fn bucket_3_flipped_bytes_are_errors_never_data() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        store(&blocks, 0..400).await;
        for head in objects(&blocks).await {
            let whole = blocks.bucket().get(&head.key).await.unwrap().bytes;
            let step = (whole.len() / 97).max(1);
            for at in (0..whole.len()).step_by(step) {
                let mut bad = whole.to_vec();
                bad[at] ^= 0x40;
                blocks.bucket().put(&head.key, Bytes::from(bad)).await.unwrap();
                match reopened(&blocks, None).await {
                    Err(error) => {
                        let kind = error.kind();
                        assert!(matches!(kind, ErrorKind::Corrupt | ErrorKind::Invalid), "{error}");
                    }
                    Ok(other) => {
                        let read = read_all(&other, 0..400).await;
                        let progress = Arc::new(|_| ()) as _;
                        let report = other.verify(&[key(&other)], &progress).await.unwrap();
                        // The first bytes of packs and runs are for people; nothing is read from
                        // them. White space in the configuration is not part of it either.
                        let for_people = head.key == "cairn.json"
                            || at < if head.key.starts_with("packs/") { 24 } else { 8 };
                        let found = !report.is_clean() || read.is_err();
                        assert!(for_people || found, "{} byte {at} was not found", head.key);
                    }
                }
            }
            blocks.bucket().put(&head.key, whole).await.unwrap();
        }
        read_all(&reopened(&blocks, None).await.unwrap(), 0..400).await.unwrap();
    });
}

#[test]
fn truncated_objects_are_errors() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        store(&blocks, 0..400).await;
        for head in objects(&blocks).await {
            let whole = blocks.bucket().get(&head.key).await.unwrap().bytes;
            for len in [0, 1, whole.len() / 2, whole.len() - 1] {
                blocks.bucket().put(&head.key, whole.slice(..len)).await.unwrap();
                let place = format!("{} at {len}", head.key);
                match reopened(&blocks, None).await {
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{place}: {error}"),
                    Ok(other) => is_damaged(&other, &place).await,
                }
            }
            blocks.bucket().put(&head.key, whole).await.unwrap();
        }
    });
}

/// What is read is damage and nothing else, and a verification tells of it instead of ending.
async fn is_damaged(blocks: &Blocks, place: &str) {
    let report = blocks.verify(&[key(blocks)], &(Arc::new(|_| ()) as _)).await.unwrap();
    assert!(!report.is_clean(), "{place}");
    if let Err(error) = read_all(blocks, 0..400).await {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{place}: {error}");
    }
}

/// BUCKET-3: what the index leads to and is gone is damage too, not merely nothing.
#[test]
fn what_is_lost_is_damage() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        store(&blocks, 0..400).await;
        for head in objects(&blocks).await {
            let whole = blocks.bucket().get(&head.key).await.unwrap().bytes;
            blocks.bucket().delete(&head.key).await.unwrap();
            match (reopened(&blocks, None).await, head.key.as_str()) {
                (Err(error), "cairn.json") => assert_eq!(error.kind(), ErrorKind::NotFound),
                (Err(error), key) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{key}: {error}"),
                // Nothing in the blocks says what there was; the versions do.
                (Ok(_), "catalog") => {}
                (Ok(other), key) => {
                    is_damaged(&other, key).await;
                    assert!(read_all(&other, 0..400).await.is_err(), "{key}");
                }
            }
            blocks.bucket().put(&head.key, whole).await.unwrap();
        }
    });
}

#[test]
fn a_missing_pack_is_found_by_verify() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        store(&blocks, 0..400).await;
        let clean = blocks.verify(&[key(&blocks)], &(Arc::new(|_| ()) as _)).await.unwrap();
        assert!(clean.is_clean() && clean.chunks == 400, "{clean:?}");
        let pack = objects(&blocks).await.into_iter().find(|head| head.key.starts_with("packs/"));
        blocks.bucket().delete(&pack.unwrap().key).await.unwrap();
        let other = reopened(&blocks, None).await.unwrap();
        let report = other.verify(&[key(&other)], &(Arc::new(|_| ()) as _)).await.unwrap();
        assert_eq!(report.findings.len(), 1, "{report:?}");
        assert!(read_all(&other, 0..1).await.is_err());
    });
}

#[test]
fn a_later_format_is_refused_with_advice() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        let config = blocks.bucket().get("cairn.json").await.unwrap().bytes;
        let text =
            String::from_utf8(config.to_vec()).unwrap().replace("\"version\": 1", "\"version\": 9");
        blocks.bucket().put("cairn.json", Bytes::from(text)).await.unwrap();
        let bucket = blocks.bucket().clone();
        let error = Blocks::open(bucket, None, Options::default(), &env).await.unwrap_err();
        assert!(error.to_string().contains("format version 9"), "{error}");
    });
}

/// Stores chunks that no compression hides a flipped byte in, as one frame in one pack.
async fn store_noise(blocks: &Blocks, rng: &SeededRng) -> Vec<ChunkId> {
    let session = blocks.session().await.unwrap();
    let mut open = OpenFrame::default();
    let mut ids = Vec::new();
    for _ in 0..20 {
        let mut chunk = [0; 400];
        rng.fill(&mut chunk);
        let id = key(blocks).id(&chunk);
        open.push(id, &chunk);
        ids.push(id);
    }
    session.add(open.encode(1)).await.unwrap();
    session.flush().await.unwrap();
    session.end().await.unwrap();
    ids
}

/// BUCKET-3: frames that were damaged on their way, each in another chunk than the one that was wanted,
/// lie in the cache unnoticed. They stand in nobody's way: the bucket has the true bytes.
#[test]
fn what_was_damaged_on_its_way_is_read_again() {
    for seed in 0..20 {
        run(|_| async move {
            let (env, rng) = (Env::simulated(seed), SeededRng::new(seed));
            let faulty = Faulty::new(Bucket::memory(&env).store(), Faults::default(), &env);
            let bucket = Bucket::from_store(Arc::new(faulty.clone()), "memory://", &env);
            let blocks = Blocks::init(bucket, None, Options::default(), &env).await.unwrap();
            let mut frames = Vec::new();
            for _ in 0..6 {
                frames.push(store_noise(&blocks, &rng).await);
            }
            let other = reopened(&blocks, None).await.unwrap();
            // The index is in memory; only what is read of packs is damaged, every time.
            other.locate(&frames.concat()).await.unwrap();
            faulty.set(Faults { corrupt_ppm: PPM, ..Faults::default() });
            for ids in &frames {
                match other.read(&key(&other), &ids[..1]).await {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
                }
            }
            faulty.set(Faults::default());
            other.read(&key(&other), &frames.concat()).await.unwrap();
        });
    }
}

/// A frame that came as it was stored may repeat chunks of another frame of its pack.
#[test]
fn a_chunk_twice_in_a_pack_is_no_damage() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        let session = blocks.session().await.unwrap();
        for numbers in [0..3, 2..5] {
            let mut open = OpenFrame::default();
            for number in numbers {
                open.push(key(&blocks).id(&content(number)), &content(number));
            }
            session.add(open.encode(3)).await.unwrap();
        }
        session.flush().await.unwrap();
        session.end().await.unwrap();
        let report = blocks.verify(&[key(&blocks)], &(Arc::new(|_| ()) as _)).await.unwrap();
        assert!(report.is_clean(), "{report:?}");
        read_all(&blocks, 0..5).await.unwrap();
    });
}
