use std::time::Duration;

use super::{Subject, fresh, make, now_ms, pairs, put, texts, value, with_history};
use crate::{AnyPartition, At, Commit, Error, KeyRange, Name, Seq, Settings};

/// How long it may take until what is too old is forgotten.
const FORGETS_WITHIN: Duration = Duration::from_secs(600);

/// Waits until the state after `seq` cannot be read any more.
pub(super) async fn forgotten(subject: &dyn Subject, partition: &AnyPartition, seq: Seq) {
    let clock = &subject.env().clock;
    let begun = clock.monotonic();
    while !matches!(partition.get(b"x", At::Seq(seq)).await, Err(Error::Gone { .. })) {
        assert!(clock.monotonic() - begun < FORGETS_WITHIN, "{seq} is never forgotten");
        clock.sleep(Duration::from_secs(1)).await;
    }
}

pub(super) async fn reads_at_a_position(subject: &dyn Subject) {
    let partition = fresh(subject, "positions").await;
    let states = [
        (Commit::new().put("a", "1"), pairs(&[("a", "1")])),
        (Commit::new().put("a", "2").put("b", "2"), pairs(&[("a", "2"), ("b", "2")])),
        (Commit::new().delete("a"), pairs(&[("b", "2")])),
        (Commit::new().put("a", "4"), pairs(&[("a", "4"), ("b", "2")])),
        (Commit::new().delete_range(KeyRange::all()), pairs(&[])),
        (Commit::new().put("c", "6"), pairs(&[("c", "6")])),
    ];
    let mut expected = vec![pairs(&[])];
    for (commit, state) in states {
        make(&partition, commit).await;
        expected.push(state);
    }
    for (seq, state) in expected.iter().enumerate() {
        let at = At::Seq(Seq(seq as u64));
        assert_eq!(&texts(&partition, at).await, state, "{at:?}");
        let found = state.iter().find(|(key, _)| key == "a").map(|(_, value)| value.clone().into());
        assert_eq!(value(&partition, b"a", at).await, found, "{at:?}");
    }
    let found = partition.get(b"b", At::Seq(Seq(4))).await.unwrap().unwrap();
    assert_eq!(found.seq, Seq(2), "an entry has the commit that wrote it, not that of the read");
    for asked in [Seq(7), Seq(u64::MAX)] {
        let error = partition.get(b"a", At::Seq(asked)).await.unwrap_err();
        assert!(matches!(error, Error::Future { last: Seq(6), .. }), "{error:?}");
    }
}

pub(super) async fn reads_at_a_time(subject: &dyn Subject) {
    if !subject.paused() {
        return;
    }
    let partition = fresh(subject, "times").await;
    let clock = &subject.env().clock;
    let begun = now_ms(subject) - 1;
    let mut times = Vec::new();
    for number in 1..=5 {
        clock.sleep(Duration::from_millis(100)).await;
        let seq = put(&partition, "a", &number.to_string()).await;
        let made = super::told(&partition, Seq(seq.0 - 1), seq).await[0].time_ms;
        times.push((made, seq, number.to_string()));
    }
    clock.sleep(Duration::from_millis(100)).await;
    let read = async |ms| {
        let seq = partition.seq_at(ms).await.unwrap();
        let found = value(&partition, b"a", At::TimeMs(ms)).await;
        assert_eq!(found, value(&partition, b"a", At::Seq(seq)).await);
        (seq, found)
    };
    assert_eq!(read(begun).await, (Seq(0), None));
    assert_eq!(read(times[0].0 - 1).await, (Seq(0), None));
    for (made, seq, number) in &times {
        assert_eq!(read(*made).await, (*seq, Some(number.clone().into())), "at {made}");
        assert_eq!(read(made - 1).await.0, Seq(seq.0 - 1), "before {made}");
        assert_eq!(read(made + 50).await.0, *seq, "after {made}");
    }
    assert_eq!(read(now_ms(subject)).await.0, Seq(5));
    assert_eq!(read(u64::MAX).await.0, Seq(5));
}

pub(super) async fn what_is_old_is_gone(subject: &dyn Subject) {
    if !subject.paused() {
        return;
    }
    let partition = with_history(subject, "old", 2000).await;
    let clock = &subject.env().clock;
    let begun = now_ms(subject);
    for number in 1..=3 {
        put(&partition, "a", &number.to_string()).await;
        clock.sleep(Duration::from_millis(10)).await;
    }
    make(&partition, Commit::new().delete_range(KeyRange::all()).put("b", "4")).await;
    forgotten(subject, &partition, Seq(2)).await;
    for asked in (0..=2).map(Seq) {
        match partition.get(b"a", At::Seq(asked)).await {
            Err(Error::Gone { asked: found, oldest: kept }) => {
                assert_eq!(found, asked);
                assert!(kept > asked);
            }
            other => panic!("{asked}: {other:?}"),
        }
    }
    for time in [0, begun - 1, begun] {
        let error = partition.seq_at(time).await.unwrap_err();
        assert!(matches!(error, Error::Gone { .. }), "{time}: {error:?}");
        let error = partition.get(b"a", At::TimeMs(time)).await.unwrap_err();
        assert!(matches!(error, Error::Gone { .. }), "{time}: {error:?}");
    }
    // The present is not touched by that, however old it is.
    forgotten(subject, &partition, Seq(3)).await;
    assert_eq!(texts(&partition, At::Durable).await, pairs(&[("b", "4")]));
    assert_eq!(texts(&partition, At::Seq(Seq(4))).await, pairs(&[("b", "4")]));
    assert_eq!(partition.seq_at(now_ms(subject)).await.unwrap(), Seq(4));
    assert_eq!(put(&partition, "a", "5").await, Seq(5));
}

/// Within the window nothing is forgotten, also with no history at all the present is there.
pub(super) async fn what_is_young_is_kept(subject: &dyn Subject) {
    if !subject.paused() {
        return;
    }
    let partition = with_history(subject, "young", 60_000).await;
    let clock = &subject.env().clock;
    for number in 1..=30 {
        put(&partition, "a", &number.to_string()).await;
        clock.sleep(Duration::from_secs(5)).await;
        let back: u64 = 55_000;
        let time = now_ms(subject) - back;
        let reached = number - 11;
        if reached > 0 {
            let seq = partition.seq_at(time).await.unwrap();
            let found = value(&partition, b"a", At::Seq(seq)).await.unwrap();
            assert_eq!(found, seq.0.to_string());
            super::told(&partition, seq, Seq(number as u64)).await;
        }
    }
    let none = with_history(subject, "none", 0).await;
    for number in 1..=3 {
        put(&none, "a", &number.to_string()).await;
        clock.sleep(Duration::from_millis(1)).await;
        assert_eq!(value(&none, b"a", At::Durable).await, Some(number.to_string().into()));
    }
}

pub(super) async fn shrinking_the_history(subject: &dyn Subject) {
    if !subject.paused() {
        return;
    }
    let partition = with_history(subject, "shrinking", 3_600_000).await;
    for number in 1..=3 {
        put(&partition, "a", &number.to_string()).await;
        subject.env().clock.sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(value(&partition, b"a", At::Seq(Seq(1))).await, Some("1".into()));
    let settings = Settings { history_ms: 1000, ..Settings::default() };
    subject.store().change(&Name::new("shrinking").unwrap(), settings).await.unwrap();
    forgotten(subject, &partition, Seq(2)).await;
    assert_eq!(value(&partition, b"a", At::Durable).await, Some("3".into()));
}
