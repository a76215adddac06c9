use std::sync::Arc;
use std::time::Duration;

use cairn_base::ErrorKind;
use cairn_blocks::frame::FRAME_CHUNKS_MAX;
use cairn_blocks::{Blocks, Error, Frame, OpenFrame, Options, Secret, Want};
use cairn_bucket::Bucket;
use cairn_bucket::faulty::{Faults, Faulty};

use crate::support::*;

const LATENCY: Duration = Duration::from_millis(2);

#[test]
fn what_is_stored_reads_back_from_another_handle() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        assert_eq!(store(&blocks, 0..3000).await, 3000);
        let other = reopened(&blocks, None).await.unwrap();
        read_all(&other, 0..3000).await.unwrap();
        assert_eq!(store(&other, 1000..4000).await, 1000, "stored once");
        read_all(&blocks, 0..4000).await.unwrap();
        let missing = ids(&blocks, 9999..10_000);
        assert_eq!(blocks.has(&missing, Want::Any).await.unwrap(), [false]);
        let error = blocks.read(&key(&blocks), &missing).await.unwrap_err();
        assert!(matches!(error, Error::MissingChunk { .. }), "{error}");
    });
}

#[test]
fn what_another_process_stored_just_now_is_located() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        let other = reopened(&blocks, None).await.unwrap();
        store(&blocks, 0..10).await;
        let found = other.locate(&ids(&other, 0..11)).await.unwrap();
        assert!(found[..10].iter().all(Option::is_some), "{found:?}");
        assert!(found[10].is_none());
    });
}

#[test]
fn a_claim_is_answered_once_and_bounded() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        let session = blocks.session().await.unwrap();
        let asked = ids(&blocks, [1, 2, 1].into_iter());
        assert_eq!(session.claim(&asked).await.unwrap(), [true, true, false]);
        assert_eq!(session.claim(&asked).await.unwrap(), [false, false, false]);
        let many = vec![asked[0]; 16 * 1024 + 1];
        assert_eq!(session.claim(&many).await.unwrap_err().kind(), ErrorKind::Exhausted);
    });
}

/// BLOCKS-2: what was not flushed is not registered; what was is found after a crash of the writer.
#[test]
fn blocks_2_a_dropped_session_leaves_only_what_it_registered() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        let session = blocks.session().await.unwrap();
        add(&session, &blocks, 0..500).await;
        session.flush().await.unwrap();
        add(&session, &blocks, 500..1000).await;
        drop(session);
        let other = reopened(&blocks, None).await.unwrap();
        read_all(&other, 0..500).await.unwrap();
        assert!(read_all(&other, 500..501).await.is_err());
        assert_eq!(store(&other, 0..1000).await, 500, "the next push goes on");
    });
}

/// BLOCKS-5: whatever happens later, an object that was written is not written again.
#[test]
fn blocks_5_objects_are_written_once() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        let mut versions = std::collections::BTreeMap::new();
        for round in 0..30 {
            store(&blocks, round * 10..round * 10 + 10).await;
            collect(&blocks, 0..1, std::time::Duration::ZERO).await.unwrap();
            for prefix in ["packs", "index"] {
                let heads: Vec<cairn_bucket::Head> =
                    futures::TryStreamExt::try_collect(blocks.bucket().list(prefix)).await.unwrap();
                for head in heads {
                    let known = versions.entry(head.key.clone()).or_insert(head.version.clone());
                    assert_eq!(*known, head.version, "{} was written twice", head.key);
                }
            }
        }
    });
}

#[test]
fn many_small_runs_are_merged() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        for round in 0..40 {
            store(&blocks, round * 10..round * 10 + 10).await;
        }
        assert!(blocks.usage().runs < 16, "{:?}", blocks.usage());
        read_all(&reopened(&blocks, None).await.unwrap(), 0..400).await.unwrap();
    });
}

/// A writer that dies between its registration and the merge leaves that to the next one that writes.
#[test]
fn runs_that_nobody_merged_stop_nobody() {
    run(|env| async move {
        let mut most = 0;
        for cut_ms in 0..100 {
            let faults = Faults { latency_min: LATENCY, latency_max: LATENCY, ..Faults::default() };
            let slow = Faulty::new(Bucket::memory(&env).store(), faults, &env);
            let bucket = Bucket::from_store(Arc::new(slow), "memory:///slow", &env);
            let blocks = Blocks::init(bucket, None, Options::default(), &env).await.unwrap();
            for round in 0..7 {
                store(&blocks, round * 10..round * 10 + 10).await;
            }
            let session = blocks.session().await.unwrap();
            add(&session, &blocks, 70..80).await;
            let cut = Duration::from_millis(cut_ms);
            drop(tokio::time::timeout(cut, session.flush()).await);
            let other = reopened(&blocks, None).await.unwrap();
            most = most.max(other.usage().runs);
            assert_eq!(store(&other, 0..70).await, 0, "a push of nothing new, {cut_ms}");
            collect(&other, 0..70, Duration::ZERO).await.unwrap();
            store(&other, 80..90).await;
            assert!(other.usage().runs < 8, "{cut_ms}: {:?}", other.usage());
        }
        assert_eq!(most, 8, "no try was cut off between the registration and the merge");
    });
}

/// BAD-1: a frame from outside that lies is refused and nothing of it is stored.
#[test]
fn bad_1_lying_frames_are_refused() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        let key = key(&blocks);
        let session = blocks.session().await.unwrap();
        let content = content(1);
        let id = key.id(&content);
        session.claim(&[id]).await.unwrap();
        let mut lie = OpenFrame::default();
        lie.push(id, b"something else");
        let refused = session.add_checked(&key, lie.encode(3)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
        let mut unclaimed = OpenFrame::default();
        unclaimed.push(key.id(b"unclaimed"), b"unclaimed");
        assert!(session.add_checked(&key, unclaimed.encode(3)).await.is_err());
        let mut good = OpenFrame::default();
        good.push(id, &content);
        let good = good.encode(3);
        let many = Frame { chunks: vec![good.chunks[0]; FRAME_CHUNKS_MAX + 1], ..good.clone() };
        assert!(session.add_checked(&key, many).await.is_err());
        session.add_checked(&key, good).await.unwrap();
        session.flush().await.unwrap();
        read_all(&blocks, 1..2).await.unwrap();
    });
}

#[test]
fn an_encrypted_bucket_opens_with_its_secret_only() {
    run(|env| async move {
        let passphrase = Secret::Passphrase("correct horse".to_owned().into());
        let bucket = Bucket::memory(&env);
        let blocks = Blocks::init(bucket.clone(), Some(&passphrase), Options::default(), &env)
            .await
            .unwrap();
        store(&blocks, 0..300).await;
        read_all(&reopened(&blocks, Some(&passphrase)).await.unwrap(), 0..300).await.unwrap();
        let locked = reopened(&blocks, None).await.unwrap_err();
        assert!(matches!(locked, Error::Locked { .. }), "{locked}");
        for wrong in [
            Secret::Passphrase("wrong horse".to_owned().into()),
            Secret::KeyFile(vec![1; 32].into()),
        ] {
            let error = reopened(&blocks, Some(&wrong)).await.unwrap_err();
            assert!(matches!(error, Error::WrongSecret { .. }), "{error}");
        }
        let short = Secret::KeyFile(vec![1; 5].into());
        let other = Bucket::memory(&env);
        let error = Blocks::init(other, Some(&short), Options::default(), &env).await.unwrap_err();
        assert!(matches!(error, Error::KeyFile { len: 5 }), "{error}");
        let (empty, other) = (Secret::Passphrase(String::new().into()), Bucket::memory(&env));
        let init = Blocks::init(other.clone(), Some(&empty), Options::default(), &env).await;
        assert!(matches!(init.unwrap_err(), Error::EmptyPassphrase));
        assert!(other.get("cairn.json").await.is_err(), "what is refused makes nothing");
    });
}

#[test]
fn nothing_readable_is_in_an_encrypted_bucket() {
    run(|env| async move {
        let secret = Secret::KeyFile(vec![5; 40].into());
        let bucket = Bucket::memory(&env);
        let blocks =
            Blocks::init(bucket.clone(), Some(&secret), Options::default(), &env).await.unwrap();
        // Noise does not compress, so its bytes would stand in the pack as they are.
        let mut noise = vec![0; 50_000];
        env.rng.fill(&mut noise);
        let id = key(&blocks).id(&noise);
        let session = blocks.session().await.unwrap();
        session.claim(&[id]).await.unwrap();
        let mut open = OpenFrame::default();
        open.push(id, &noise);
        session.add(open.encode(3)).await.unwrap();
        session.flush().await.unwrap();
        let objects: Vec<_> = futures::TryStreamExt::try_collect(bucket.list("")).await.unwrap();
        let objects: Vec<cairn_bucket::Head> = objects;
        assert!(objects.len() >= 4);
        for head in objects {
            let bytes = bucket.get(&head.key).await.unwrap().bytes;
            assert!(!bytes.windows(64).any(|window| window == &noise[..64]), "{}", head.key);
            assert!(!bytes.windows(32).any(|window| window == id.0), "{}", head.key);
        }
    });
}

#[test]
fn a_bucket_is_initialised_once() {
    run(|env| async move {
        let bucket = Bucket::memory(&env);
        let none = Blocks::open(bucket.clone(), None, Options::default(), &env).await.unwrap_err();
        assert!(matches!(none, Error::NotInitialised { .. }), "{none}");
        Blocks::init(bucket.clone(), None, Options::default(), &env).await.unwrap();
        let again = Blocks::init(bucket, None, Options::default(), &env).await.unwrap_err();
        assert!(matches!(again, Error::AlreadyInitialised { .. }), "{again}");
    });
}
