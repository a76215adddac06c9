//! Chunks given as frames.

use std::collections::BTreeMap;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_blocks::{Blocks, Frame, Options, Secret};
use cairn_bucket::Bucket;
use cairn_chunk::ChunkId;
use futures::TryStreamExt as _;

use crate::support::*;

/// Content of each chunk of the frames, once they are verified.
fn opened(blocks: &Blocks, frames: &[Frame]) -> BTreeMap<ChunkId, Bytes> {
    let mut chunks = BTreeMap::new();
    for frame in frames {
        frame.verify(&key(blocks)).unwrap();
        let content = Bytes::from(cairn_blocks::frame::decode(&frame.bytes).unwrap());
        let mut at = 0;
        for chunk in &frame.chunks {
            let end = at + chunk.len as usize;
            assert!(chunks.insert(chunk.id, content.slice(at..end)).is_none(), "given twice");
            at = end;
        }
    }
    chunks
}

async fn stored(env: &cairn_env::Env, secret: Option<&Secret>) -> Blocks {
    let blocks = Blocks::init(Bucket::memory(env), secret, Options::default(), env).await.unwrap();
    store(&blocks, 0..2000).await;
    blocks
}

#[test]
fn whole_frames_are_given_as_they_are_stored() {
    run(|env| async move {
        for secret in [None, Some(Secret::KeyFile(vec![7; 32].into()))] {
            let blocks = stored(&env, secret.as_ref()).await;
            let mut wanted = ids(&blocks, 0..2000);
            wanted.reverse();
            wanted.push(wanted[7]);
            let frames = blocks.read_frames(&key(&blocks), &wanted, 19).await.unwrap();
            let chunks = opened(&blocks, &frames);
            assert_eq!(chunks.len(), 2000);
            for (number, id) in (0..2000).zip(ids(&blocks, 0..2000)) {
                assert_eq!(chunks[&id], content(number));
            }
            // Level 19 was never used: the bytes are those of the pack.
            if secret.is_none() {
                let key = |head: &cairn_bucket::Head| head.key.starts_with("packs/");
                let heads: Vec<_> = blocks.bucket().list("").try_collect().await.unwrap();
                let pack = heads.iter().find(|head| key(head)).unwrap();
                let pack = blocks.bucket().get(&pack.key).await.unwrap().bytes;
                for frame in &frames {
                    let found = pack.windows(frame.bytes.len()).any(|part| part == frame.bytes);
                    assert!(found, "a frame of {} chunks was made anew", frame.chunks.len());
                }
            }
        }
    });
}

#[test]
fn no_chunk_is_given_that_was_not_asked_for() {
    run(|env| async move {
        let blocks = stored(&env, None).await;
        let all = ids(&blocks, 0..2000);
        for wanted in [
            all.iter().step_by(3).copied().collect::<Vec<_>>(),
            all[..5].to_vec(),
            all[1..1999].to_vec(),
            all[..1999].to_vec(),
            vec![all[1000]],
        ] {
            let frames = blocks.read_frames(&key(&blocks), &wanted, 3).await.unwrap();
            let chunks = opened(&blocks, &frames);
            let mut asked = wanted.clone();
            asked.sort_unstable();
            assert_eq!(chunks.keys().copied().collect::<Vec<_>>(), asked);
        }
        assert!(blocks.read_frames(&key(&blocks), &[], 3).await.unwrap().is_empty());
    });
}

/// BUCKET-3, for what is given without being made anew.
#[test]
fn bucket_3_damaged_frames_are_errors_however_they_are_given() {
    run(|env| async move {
        let blocks = stored(&env, None).await;
        let heads: Vec<_> = blocks.bucket().list("packs/").try_collect().await.unwrap();
        let whole = blocks.bucket().get(&heads[0].key).await.unwrap().bytes;
        let mut bad = whole.to_vec();
        // Inside the first frame.
        bad[300] ^= 1;
        blocks.bucket().put(&heads[0].key, Bytes::from(bad)).await.unwrap();
        let all = ids(&blocks, 0..2000);
        let error = blocks.read_frames(&key(&blocks), &all, 3).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        blocks.bucket().put(&heads[0].key, whole).await.unwrap();
        blocks.read_frames(&key(&blocks), &all, 3).await.unwrap();
    });
}
