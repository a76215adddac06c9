use std::time::Duration;

use super::{Subject, all, fresh, make, now_ms, pairs, put, texts, value};
use crate::{AnyPartition, At, Change, Commit, Error, KeyRange, Seq, Transaction, What};

/// How long it may take until a watch tells that something is over.
const TOLD_WITHIN: Duration = Duration::from_secs(10);

async fn sleep(subject: &dyn Subject, ms: u64) {
    subject.env().clock.sleep(Duration::from_millis(ms)).await;
}

/// The change that tells that `key` is over.
async fn told(subject: &dyn Subject, partition: &AnyPartition, key: &str, after: Seq) -> Change {
    let clock = &subject.env().clock;
    let (mut position, begun) = (after, clock.monotonic());
    loop {
        assert!(clock.monotonic() - begun <= TOLD_WITHIN, "nobody tells that {key} is over");
        let part = partition.changes(position, Duration::from_secs(1)).await.unwrap();
        position = part.upto;
        let over = |change: &Change| matches!(&change.what, What::Deleted { key: found, expired: true } if found == key);
        if let Some(found) = part.changes.into_iter().find(over) {
            return found;
        }
    }
}

pub(super) async fn exact_to_the_millisecond(subject: &dyn Subject) {
    if !subject.paused() {
        return;
    }
    let partition = fresh(subject, "exact").await;
    let end = now_ms(subject) + 2000;
    make(&partition, Commit::new().put_until("a", "1", end).put("b", "1")).await;
    assert_eq!(partition.get(b"a", At::Durable).await.unwrap().unwrap().expires_ms, Some(end));
    while now_ms(subject) < end - 3 {
        sleep(subject, end - 3 - now_ms(subject)).await;
    }
    let (mut there, mut over) = (0, 0);
    while over < 3 {
        let before = now_ms(subject);
        let got = value(&partition, b"a", At::Durable).await.is_some();
        let newest = value(&partition, b"a", At::Newest).await.is_some();
        let scanned = all(&partition, KeyRange::all(), At::Durable).await.len() == 2;
        let after = now_ms(subject);
        if before >= end {
            assert!(!got && !newest && !scanned, "{} ms too long", before - end);
            over += 1;
        }
        if after < end {
            assert!(got && newest && scanned, "{} ms too short", end - after);
            there += 1;
        }
        sleep(subject, 1).await;
    }
    assert!(there > 0, "time moved too far");
    assert_eq!(texts(&partition, At::Durable).await, pairs(&[("b", "1")]));
    let mut transaction = Transaction::begin(partition.clone());
    assert_eq!(transaction.get(b"a").await.unwrap(), None);
}

pub(super) async fn told_by_watch(subject: &dyn Subject) {
    if !subject.paused() {
        return;
    }
    let partition = fresh(subject, "told").await;
    let end = now_ms(subject) + 1500;
    let seq =
        make(&partition, Commit::new().put_until("a", "1", end).put_until("b", "1", end)).await;
    // A watch that waits is woken by it.
    let change = told(subject, &partition, "a", seq).await;
    assert!(change.time_ms >= end && change.seq > seq, "{change:?}");
    told(subject, &partition, "b", seq).await;
    assert!(value(&partition, b"a", At::Seq(change.seq)).await.is_none());
    assert!(value(&partition, b"a", At::Seq(Seq(change.seq.0 - 1))).await.is_some());
    // Once.
    sleep(subject, 20_000).await;
    let last = partition.status().durable;
    let changes = super::told(&partition, seq, last).await;
    let over = |key: &str| {
        let is = |what: &What| matches!(what, What::Deleted { key: found, expired: true } if found == key);
        changes.iter().filter(|change| is(&change.what)).count()
    };
    assert_eq!((over("a"), over("b"), changes.len()), (1, 1, 2), "{changes:?}");
}

pub(super) async fn in_the_past(subject: &dyn Subject) {
    if !subject.paused() {
        return;
    }
    let partition = fresh(subject, "past").await;
    put(&partition, "a", "old").await;
    for end in [0, 1, now_ms(subject) - 1, now_ms(subject)] {
        let seq = make(&partition, Commit::new().put_until("a", "1", end)).await;
        assert_eq!(value(&partition, b"a", At::Durable).await, None, "{end}");
        told(subject, &partition, "a", seq).await;
        assert_eq!(texts(&partition, At::Durable).await, []);
    }
}

pub(super) async fn put_over_what_is_over(subject: &dyn Subject) {
    if !subject.paused() {
        return;
    }
    let partition = fresh(subject, "over").await;
    make(&partition, Commit::new().put_until("a", "1", now_ms(subject) + 100)).await;
    sleep(subject, 100).await;
    let seq = put(&partition, "a", "2").await;
    sleep(subject, 30_000).await;
    let found = partition.get(b"a", At::Durable).await.unwrap().unwrap();
    assert_eq!((found.value, found.seq, found.expires_ms), ("2".into(), seq, None));
    // The end of the first is not told after the second.
    let later = super::told(&partition, seq, partition.status().durable).await;
    assert_eq!(later, []);
}

pub(super) async fn a_later_put_lifts_the_end(subject: &dyn Subject) {
    if !subject.paused() {
        return;
    }
    let partition = fresh(subject, "lifted").await;
    let end = now_ms(subject) + 1000;
    let commit = Commit::new().put_until("a", "1", end).put_until("b", "1", end);
    make(&partition, commit.put_until("c", "1", end).put_until("d", "1", end)).await;
    let later = end + 60_000;
    let commit = Commit::new().put("a", "2").put_until("b", "2", later).delete("c");
    let seq = make(&partition, commit.put_until("d", "2", end - 500)).await;
    sleep(subject, 600).await;
    assert_eq!(texts(&partition, At::Durable).await, pairs(&[("a", "2"), ("b", "2")]));
    sleep(subject, 20_000).await;
    assert_eq!(texts(&partition, At::Durable).await, pairs(&[("a", "2"), ("b", "2")]));
    let changes = super::told(&partition, seq, partition.status().durable).await;
    assert_eq!(changes.len(), 1, "{changes:?}");
    sleep(subject, 60_000).await;
    assert_eq!(texts(&partition, At::Durable).await, pairs(&[("a", "2")]));
}

pub(super) async fn absent_to_conditions(subject: &dyn Subject) {
    if !subject.paused() {
        return;
    }
    let partition = fresh(subject, "conditions").await;
    let end = now_ms(subject) + 10_000;
    let first = make(&partition, Commit::new().put_until("a", "1", end)).await;
    let early = partition.commit(Commit::new().expect("a", None).put("a", "2")).await;
    assert!(now_ms(subject) < end, "a commit takes too long for this case");
    assert!(matches!(early, Err(Error::Condition { .. })), "{early:?}");
    sleep(subject, 10_000).await;
    let stale = partition.commit(Commit::new().expect("a", Some(first)).put("a", "2")).await;
    assert!(matches!(stale, Err(Error::Condition { found: None, .. })), "{stale:?}");
    make(&partition, Commit::new().expect("a", None).put("a", "3")).await;
    assert_eq!(value(&partition, b"a", At::Durable).await, Some("3".into()));
}

pub(super) async fn past_reads_show_it(subject: &dyn Subject) {
    if !subject.paused() {
        return;
    }
    let partition = fresh(subject, "shown").await;
    let end = now_ms(subject) + 5000;
    let seq = make(&partition, Commit::new().put_until("a", "1", end)).await;
    put(&partition, "b", "1").await;
    let change = told(subject, &partition, "a", seq).await;
    let found = partition.get(b"a", At::Seq(seq)).await.unwrap().unwrap();
    assert_eq!((found.value, found.seq, found.expires_ms), ("1".into(), seq, Some(end)));
    assert_eq!(texts(&partition, At::Seq(seq)).await, pairs(&[("a", "1")]));
    assert_eq!(texts(&partition, At::TimeMs(end - 1)).await, pairs(&[("a", "1"), ("b", "1")]));
    assert_eq!(texts(&partition, At::TimeMs(change.time_ms)).await, pairs(&[("b", "1")]));
}

/// Many ends pass at once, in an order that is not that of the puts, and nobody looked meanwhile.
pub(super) async fn a_long_sleep(subject: &dyn Subject) {
    if !subject.paused() {
        return;
    }
    let partition = fresh(subject, "sleep").await;
    let begun = now_ms(subject);
    for number in 0..100_u64 {
        let end = begun + 60_000 + number * 37 % 100 * 10_000;
        make(&partition, Commit::new().put_until(format!("{number:02}"), "1", end)).await;
    }
    make(&partition, Commit::new().delete_range(KeyRange::between("20", "40"))).await;
    sleep(subject, 500_000).await;
    let now = now_ms(subject);
    let left = texts(&partition, At::Durable).await;
    let is_left = |number: &u64| {
        !(20..40).contains(number) && begun + 60_000 + number * 37 % 100 * 10_000 > now
    };
    let expected: Vec<_> =
        (0..100).filter(is_left).map(|number| (format!("{number:02}"), "1".to_owned())).collect();
    assert_eq!(left, expected);
    sleep(subject, 1_000_000).await;
    assert_eq!(texts(&partition, At::Durable).await, []);
}
