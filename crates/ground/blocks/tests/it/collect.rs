use std::time::Duration;

use cairn_base::ErrorKind;
use cairn_blocks::{CollectOptions, Error, Standing};
use futures::StreamExt as _;

use crate::support::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn garbage_goes_after_the_grace_and_the_living_stay() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        store(&blocks, 0..2000).await;
        store(&blocks, 2000..4000).await;
        let first = collect(&blocks, 0..2000, DAY).await.unwrap();
        assert_eq!((first.packs_condemned, first.packs_deleted), (1, 0), "{first:?}");
        read_all(&blocks, 2000..4000).await.unwrap();
        env.clock.sleep(DAY * 2).await;
        let second = collect(&blocks, 0..2000, DAY).await.unwrap();
        assert_eq!(second.packs_deleted, 1, "{second:?}");
        read_all(&blocks, 0..2000).await.unwrap();
        assert!(read_all(&blocks, 2000..2001).await.is_err());
        let other = reopened(&blocks, None).await.unwrap();
        read_all(&other, 0..2000).await.unwrap();
        assert_eq!(other.usage().packs, 1);
    });
}

/// Runs that are merged while a collection reads them stay until the next one.
#[test]
fn a_collection_goes_on_while_runs_are_merged() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        for round in 0..7 {
            store(&blocks, round * 10..round * 10 + 10).await;
        }
        let collector = reopened(&blocks, None).await.unwrap();
        let options = CollectOptions { grace: DAY, ..CollectOptions::default() };
        let mut collection = collector.collect(options).await.unwrap();
        for round in 7..20 {
            store(&blocks, round * 10..round * 10 + 10).await;
        }
        collection.mark(&ids(&blocks, 0..200)).await.unwrap();
        let report = collection.finish().await.unwrap();
        assert_eq!((report.chunks, report.packs_condemned), (70, 0), "{report:?}");
        read_all(&blocks, 0..200).await.unwrap();
        collect(&blocks, 0..200, DAY).await.unwrap();
        let runs = blocks.bucket().list("index").count().await;
        assert_eq!(runs as u64, blocks.usage().runs, "merged runs are gone");
        read_all(&reopened(&blocks, None).await.unwrap(), 0..200).await.unwrap();
    });
}

/// BLOCKS-3: a condemned chunk is not offered, it is stored afresh.
#[test]
fn blocks_3_a_condemned_chunk_is_stored_again() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        store(&blocks, 0..100).await;
        store(&blocks, 100..200).await;
        collect(&blocks, 0..100, DAY).await.unwrap();
        assert_eq!(store(&blocks, 100..200).await, 100);
        env.clock.sleep(DAY * 2).await;
        collect(&blocks, 0..200, DAY).await.unwrap();
        read_all(&blocks, 0..200).await.unwrap();
    });
}

/// BLOCKS-4: a condemned pack that a root reaches again lives on, even when it was dying.
#[test]
fn blocks_4_a_pack_that_is_reached_again_is_rescued() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        store(&blocks, 0..100).await;
        store(&blocks, 100..200).await;
        collect(&blocks, 0..100, DAY).await.unwrap();
        env.clock.sleep(DAY * 2).await;
        let report = collect(&blocks, 0..200, DAY).await.unwrap();
        assert_eq!((report.packs_rescued, report.packs_deleted), (1, 0), "{report:?}");
        env.clock.sleep(DAY * 2).await;
        let report = collect(&blocks, 0..200, DAY).await.unwrap();
        assert_eq!((report.packs_condemned, report.packs_deleted), (0, 0), "{report:?}");
        read_all(&blocks, 0..200).await.unwrap();
    });
}

/// BLOCKS-4: of two collections that cross, the one with the older mark deletes nothing that the
/// other rescued.
#[test]
fn blocks_4_a_stale_collection_does_not_undo_a_rescue() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        store(&blocks, 0..100).await;
        store(&blocks, 100..200).await;
        collect(&blocks, 0..100, DAY).await.unwrap();
        env.clock.sleep(DAY * 2).await;
        let options = CollectOptions { grace: DAY, ..CollectOptions::default() };
        let mut stale = blocks.collect(options).await.unwrap();
        stale.mark(&ids(&blocks, 0..100)).await.unwrap();
        let other = reopened(&blocks, None).await.unwrap();
        collect(&other, 0..200, DAY).await.unwrap();
        let report = stale.finish().await.unwrap();
        assert_eq!(report.packs_deleted, 0, "{report:?}");
        read_all(&reopened(&blocks, None).await.unwrap(), 0..200).await.unwrap();
    });
}

/// BLOCKS-6: two writers stored the same chunks, both packs are dying, and the runs are merged between
/// the mark and the sweep. The copy whose pack the marks keep alive must not lose its entry.
#[test]
fn blocks_6_a_merge_drops_no_copy_that_a_mark_rests_on() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        let twins = [blocks.session().await.unwrap(), blocks.session().await.unwrap()];
        for twin in &twins {
            assert_eq!(add(twin, &blocks, 0..200).await, 200, "both store them");
        }
        for twin in &twins {
            twin.flush().await.unwrap();
            twin.end().await.unwrap();
        }
        let first = collect(&blocks, 0..0, DAY).await.unwrap();
        assert_eq!(first.packs_condemned, 2, "{first:?}");
        env.clock.sleep(DAY * 2).await;

        let collector = reopened(&blocks, None).await.unwrap();
        let options = CollectOptions { grace: DAY, ..CollectOptions::default() };
        let mut collection = collector.collect(options).await.unwrap();
        collection.mark(&ids(&blocks, 0..200)).await.unwrap();
        // Runs of the same size, until there are so many that they are merged.
        for round in 0..8 {
            store(&blocks, 1000 + round * 200..1200 + round * 200).await;
        }
        let report = collection.finish().await.unwrap();
        assert_eq!((report.packs_rescued, report.packs_deleted), (1, 1), "{report:?}");
        read_all(&reopened(&blocks, None).await.unwrap(), 0..200).await.unwrap();
    });
}

#[test]
fn a_session_learns_that_something_was_swept() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        store(&blocks, 0..100).await;
        store(&blocks, 100..200).await;
        let calm = blocks.session().await.unwrap();
        collect(&blocks, 0..100, DAY).await.unwrap();
        assert_eq!(calm.standing().await.unwrap(), Standing::Unswept, "condemning deletes nothing");
        env.clock.sleep(DAY * 2).await;
        let late = blocks.session().await.unwrap();
        collect(&blocks, 0..100, DAY).await.unwrap();
        assert_eq!(calm.standing().await.unwrap(), Standing::Swept);
        assert_eq!(late.standing().await.unwrap(), Standing::Swept);
    });
}

/// BLOCKS-2: a session that stalled over a sweep fails clean, and its objects are collected.
#[test]
fn blocks_2_a_stalled_session_cannot_register() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        store(&blocks, 0..100).await;
        let stalled = blocks.session().await.unwrap();
        add(&stalled, &blocks, 100..200).await;
        stalled.flush().await.unwrap();
        add(&stalled, &blocks, 200..300).await;
        env.clock.sleep(DAY).await;
        let report = collect(&blocks, 0..100, DAY).await.unwrap();
        assert_eq!(report.sessions_expired, 1, "{report:?}");
        let error = stalled.flush().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
        assert!(matches!(error, Error::SessionExpired), "{error}");
        assert!(matches!(stalled.flush().await, Err(Error::Upload { .. })), "it stays failed");
        let report = collect(&blocks, 0..100, DAY).await.unwrap();
        assert!(report.orphans_deleted >= 1, "{report:?}");
        read_all(&blocks, 0..200).await.unwrap();
    });
}

/// A session that stores nothing for hours, because its source is slow, and says that it goes on.
#[test]
fn blocks_2_a_session_that_is_kept_does_not_expire() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        let kept = blocks.session().await.unwrap();
        kept.keep().await.unwrap();
        assert_eq!(reopened(&blocks, None).await.unwrap().usage().sessions, 0, "nothing to lose");
        add(&kept, &blocks, 0..100).await;
        for _ in 0..30 {
            env.clock.sleep(Duration::from_secs(240)).await;
            kept.keep().await.unwrap();
            let report = collect(&blocks, 0..0, Duration::ZERO).await.unwrap();
            assert_eq!(report.sessions_expired, 0, "{report:?}");
        }
        kept.flush().await.unwrap();
        read_all(&blocks, 0..100).await.unwrap();
        env.clock.sleep(DAY).await;
        collect(&blocks, 0..100, DAY).await.unwrap();
        assert!(matches!(kept.keep().await, Err(Error::SessionExpired)));
    });
}

#[test]
fn a_living_session_keeps_its_objects() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        store(&blocks, 0..100).await;
        let session = blocks.session().await.unwrap();
        add(&session, &blocks, 100..200).await;
        let report = collect(&blocks, 0..100, Duration::ZERO).await.unwrap();
        assert_eq!((report.sessions_expired, report.orphans_deleted), (0, 0), "{report:?}");
        session.flush().await.unwrap();
        read_all(&blocks, 0..200).await.unwrap();
    });
}

#[test]
fn mostly_dead_packs_are_rewritten() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        store(&blocks, 0..3000).await;
        let report = collect(&blocks, 0..300, DAY).await.unwrap();
        assert_eq!((report.packs_rewritten, report.packs_deleted), (1, 0), "{report:?}");
        env.clock.sleep(DAY * 2).await;
        let report = collect(&blocks, 0..300, DAY).await.unwrap();
        assert_eq!(report.packs_deleted, 1, "{report:?}");
        assert_eq!((report.chunks, report.chunks_live), (3300, 300), "{report:?}");
        let other = reopened(&blocks, None).await.unwrap();
        assert_eq!(other.usage().chunks, 300);
        read_all(&other, 0..300).await.unwrap();
        read_all(&blocks, 0..300).await.unwrap();
        assert!(read_all(&other, 300..301).await.is_err());
    });
}

#[test]
fn a_dry_run_changes_nothing() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        store(&blocks, 0..100).await;
        let options = CollectOptions { dry_run: true, grace: Duration::ZERO, ..Default::default() };
        for _ in 0..3 {
            let report = blocks.collect(options).await.unwrap().finish().await.unwrap();
            assert_eq!((report.packs_condemned, report.packs_deleted), (1, 0));
        }
        assert_eq!(blocks.usage().condemned, 0);
        read_all(&blocks, 0..100).await.unwrap();
    });
}

#[test]
fn a_root_that_misses_a_chunk_stops_the_collection() {
    run(|env| async move {
        let blocks = blocks(&env).await;
        store(&blocks, 0..100).await;
        let error = collect(&blocks, 0..101, Duration::ZERO).await.unwrap_err();
        assert!(matches!(error, Error::MissingChunk { .. }), "{error}");
        read_all(&blocks, 0..100).await.unwrap();
    });
}
