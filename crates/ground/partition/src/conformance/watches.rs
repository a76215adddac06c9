use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join;

use super::{Subject, fresh, make, now_ms, put, told, with_history};
use crate::limits::{CHANGES_MAX, WATCH_WAIT_MAX};
use crate::{AnyPartition, At, Change, Changes, Commit, Error, KeyRange, Name, Seq, What};

const LONG: Duration = Duration::from_secs(30);

pub(super) async fn order_without_gaps(subject: &dyn Subject) {
    let partition = fresh(subject, "order").await;
    let begun = now_ms(subject);
    for number in 1..=30 {
        put(&partition, &format!("k{}", number % 7), &number.to_string()).await;
    }
    let ended = now_ms(subject);
    for after in [0, 1, 17, 29] {
        let changes = told(&partition, Seq(after), Seq(30)).await;
        let mut time = begun;
        for (change, number) in changes.iter().zip(after + 1..) {
            assert_eq!(change.seq, Seq(number));
            assert!(change.time_ms >= time, "time goes back");
            time = change.time_ms;
            let What::Put(entry) = &change.what else { panic!("{change:?}") };
            assert_eq!((entry.seq, entry.expires_ms), (change.seq, None));
            assert_eq!(entry.key, format!("k{}", number % 7));
            assert_eq!(entry.value, number.to_string());
        }
        assert_eq!(changes.len() as u64, 30 - after);
        assert!(time <= ended || !subject.paused());
    }
}

/// One answer has a commit whole, also one that is larger than an answer should be.
pub(super) async fn commits_are_whole(subject: &dyn Subject) {
    let partition = fresh(subject, "whole").await;
    let sizes = [3, CHANGES_MAX / 2, CHANGES_MAX / 2 + 10, CHANGES_MAX, 1, 2];
    for size in sizes {
        let put = |commit: Commit, number| commit.put(format!("{number}"), "1");
        make(&partition, (0..size).fold(Commit::new(), put)).await;
    }
    let (mut position, mut answers) = (Seq(0), 0);
    while position < Seq(sizes.len() as u64) {
        let part = partition.changes(position, LONG).await.unwrap();
        let mut counts: BTreeMap<Seq, usize> = BTreeMap::new();
        part.changes.iter().for_each(|change| *counts.entry(change.seq).or_default() += 1);
        let expected: Vec<(Seq, usize)> = (position.0 + 1..=part.upto.0)
            .map(|number| (Seq(number), sizes[number as usize - 1]))
            .collect();
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
        assert!(part.changes.len() < 2 * CHANGES_MAX, "{} in one answer", part.changes.len());
        (position, answers) = (part.upto, answers + 1);
    }
    assert!(answers >= 2);
}

pub(super) async fn waits_and_wakes(subject: &dyn Subject) {
    let partition = fresh(subject, "waits").await;
    let seq = put(&partition, "a", "1").await;
    let clock = &subject.env().clock;
    for number in 0..3 {
        let before = partition.status().durable;
        let writer = async {
            clock.sleep(Duration::from_millis(20 * number)).await;
            put(&partition, "a", "2").await
        };
        let begun = clock.monotonic();
        let (found, written) = join(partition.changes(before, LONG), writer).await;
        let found = found.unwrap();
        assert_eq!((found.upto, found.changes.len()), (written, 1));
        assert!(clock.monotonic() - begun < LONG / 2, "it was not woken");
    }
    // Several wait at once, from different positions.
    let before = partition.status().durable;
    let waits = [before, before, seq].map(|after| partition.changes(after, LONG));
    let all = futures::future::join_all(waits);
    let (found, written) = join(all, put(&partition, "b", "1")).await;
    for (answer, old) in found.into_iter().zip([false, false, true]) {
        let answer = answer.unwrap();
        assert!(if old { answer.upto >= seq.next() } else { answer.upto == written });
        assert!(!answer.changes.is_empty());
    }
}

pub(super) async fn waits_no_longer(subject: &dyn Subject) {
    let partition = fresh(subject, "longer").await;
    let seq = put(&partition, "a", "1").await;
    let nothing = Changes { changes: Vec::new(), upto: seq };
    assert_eq!(partition.changes(seq, Duration::ZERO).await.unwrap(), nothing);
    if !subject.paused() {
        return;
    }
    let clock = &subject.env().clock;
    for (wait, expected) in [
        (Duration::from_millis(700), Duration::from_millis(700)),
        (Duration::from_secs(86_400), WATCH_WAIT_MAX),
        (Duration::MAX, WATCH_WAIT_MAX),
    ] {
        let begun = clock.monotonic();
        assert_eq!(partition.changes(seq, wait).await.unwrap(), nothing);
        let waited = clock.monotonic() - begun;
        assert!(waited >= expected && waited <= expected + Duration::from_secs(1), "{waited:?}");
    }
}

pub(super) async fn positions(subject: &dyn Subject) {
    let partition = fresh(subject, "positions").await;
    assert_eq!(partition.changes(Seq(0), Duration::ZERO).await.unwrap(), Changes::default());
    let seq = put(&partition, "a", "1").await;
    assert!(partition.changes(seq, Duration::ZERO).await.unwrap().changes.is_empty());
    for after in [seq.next(), Seq(100), Seq(u64::MAX)] {
        let error = partition.changes(after, LONG).await.unwrap_err();
        assert!(matches!(error, Error::Future { .. }), "{after}: {error:?}");
    }
}

pub(super) async fn deletes_are_told(subject: &dyn Subject) {
    let partition = fresh(subject, "deletes").await;
    make(&partition, Commit::new().put("a", "1").put("b", "1").put("c", "1")).await;
    let deleted = make(&partition, Commit::new().delete("a")).await;
    let range = KeyRange::between("b", "d");
    let ranged = make(&partition, Commit::new().delete_range(range.clone()).put("c", "2")).await;
    let changes = told(&partition, Seq(1), ranged).await;
    let whats =
        |seq| changes.iter().filter(move |change| change.seq == seq).map(|change| &change.what);
    let key = "a".into();
    assert_eq!(whats(deleted).collect::<Vec<_>>(), [&What::Deleted { key, expired: false }]);
    let found: Vec<_> = whats(ranged).collect();
    assert_eq!(found[0], &What::RangeDeleted(range));
    assert!(matches!(found[1], What::Put(entry) if entry.key == "c"), "{found:?}");
}

fn replay(state: &mut BTreeMap<Bytes, Bytes>, change: &Change) {
    match &change.what {
        What::Put(entry) => drop(state.insert(entry.key.clone(), entry.value.clone())),
        What::Deleted { key, .. } => drop(state.remove(key)),
        What::RangeDeleted(range) => state.retain(|key, _| !range.contains(key)),
    }
}

/// Whoever applies what is told has the state of that position.
pub(super) async fn replay_gives_the_state(subject: &dyn Subject) {
    let partition = fresh(subject, "replay").await;
    let commits = [
        Commit::new().put("a", "1").put("b", "1").delete("a"),
        Commit::new().delete_range(KeyRange::all()).put("c", "1").put("d", "1"),
        Commit::new().put("e", "1").delete_range(KeyRange::between("d", "f")).delete("zzz"),
        Commit::new().put("a", "2").put("a", "3"),
        Commit::new().delete_range(KeyRange::between("x", "b")).put("x", "1"),
        Commit::new().put("y", "1").delete_range(KeyRange { from: "x".into(), to: None }),
    ];
    for commit in commits {
        make(&partition, commit).await;
    }
    let last = partition.status().durable;
    let changes = told(&partition, Seq(0), last).await;
    let mut state = BTreeMap::new();
    for seq in 1..=last.0 {
        let own = changes.iter().filter(|change| change.seq == Seq(seq));
        own.for_each(|change| replay(&mut state, change));
        let found = super::all(&partition, KeyRange::all(), At::Seq(Seq(seq))).await;
        assert_eq!(found, state.clone().into_iter().collect::<Vec<_>>(), "after commit {seq}");
    }
}

pub(super) async fn gone_after_the_window(subject: &dyn Subject) {
    if !subject.paused() {
        return;
    }
    let partition = with_history(subject, "window", 1000).await;
    for number in 1..=3 {
        put(&partition, "a", &number.to_string()).await;
    }
    super::history::forgotten(subject, &partition, Seq(2)).await;
    for after in (0..=2).map(Seq) {
        let error = partition.changes(after, LONG).await.unwrap_err();
        assert!(matches!(error, Error::Gone { asked, .. } if asked == after), "{error:?}");
    }
    let newest = partition.status().durable;
    assert!(partition.changes(newest, Duration::ZERO).await.unwrap().changes.is_empty());
    let seq = put(&partition, "a", "4").await;
    assert_eq!(told(&partition, newest, seq).await.len(), 1);
}

/// A watch that waits fails when its partition is removed; it does not wait for another one.
pub(super) async fn removal_ends_it(subject: &dyn Subject) {
    let partition: AnyPartition = fresh(subject, "removed").await;
    let (store, name) = (subject.store(), Name::new("removed").unwrap());
    let (found, removed) = join(partition.changes(Seq(0), LONG), store.remove(&name)).await;
    removed.unwrap();
    assert!(matches!(found, Err(Error::Missing { .. } | Error::Closed { .. })), "{found:?}");
}
