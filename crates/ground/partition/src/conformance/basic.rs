use std::time::Duration;

use bytes::Bytes;

use super::{Subject, all, fresh, make, pairs, put, texts, value};
use crate::limits::{KEY_BYTES_MAX, REFERENCE_BYTES_MAX};
use crate::{At, Commit, Durable, Entry, Error, KeyRange, Name, Op, Scan, Seq, Settings, What};

pub(super) async fn put_get_delete(subject: &dyn Subject) {
    let partition = fresh(subject, "basic").await;
    assert_eq!(partition.name().as_str(), "basic");
    assert_eq!(partition.get(b"a", At::Durable).await.unwrap(), None);
    let seq = put(&partition, "a", "1").await;
    for at in [At::Durable, At::Newest, At::Seq(seq)] {
        let found = partition.get(b"a", at).await.unwrap();
        let (key, value) = ("a".into(), "1".into());
        assert_eq!(
            found,
            Some(Entry { key, value, reference: None, seq, expires_ms: None }),
            "{at:?}"
        );
        assert_eq!(partition.get(b"aa", at).await.unwrap(), None);
        assert_eq!(partition.get(b"\0", at).await.unwrap(), None);
    }
    let second = put(&partition, "a", "2").await;
    let found = partition.get(b"a", At::Durable).await.unwrap().unwrap();
    assert_eq!((found.value, found.seq), ("2".into(), second));
    make(&partition, Commit::new().delete("a")).await;
    assert_eq!(value(&partition, b"a", At::Durable).await, None);
    make(&partition, Commit::new().delete("a")).await;
    put(&partition, "a", "3").await;
    assert_eq!(value(&partition, b"a", At::Durable).await, Some("3".into()));
}

/// A reference is told from a value wherever a key is seen, and read as it was given.
pub(super) async fn references(subject: &dyn Subject) {
    let partition = fresh(subject, "references").await;
    let put = |reference: &'static [u8], expires_ms| {
        let (key, reference) = (Bytes::from_static(b"k"), Bytes::from_static(reference));
        Commit::new().op(Op::Refer { key, reference, expires_ms })
    };
    let first = make(&partition, Commit::new().put("k", "inline")).await;
    let second = make(&partition, put(b"one", None)).await;
    let found = partition.get(b"k", At::Durable).await.unwrap().unwrap();
    let expected = Entry {
        key: "k".into(),
        value: Bytes::new(),
        reference: Some("one".into()),
        seq: second,
        expires_ms: None,
    };
    assert_eq!(found, expected);
    for keys_only in [false, true] {
        let scan = Scan { keys_only, ..Scan::of(KeyRange::all()) };
        let page = partition.scan(&scan).await.unwrap();
        assert_eq!(page.entries.as_slice(), std::slice::from_ref(&expected));
    }
    let told = partition.changes(first, Duration::ZERO).await.unwrap();
    let puts: Vec<&What> = told.changes.iter().map(|change| &change.what).collect();
    assert_eq!(puts, [&What::Put(expected)]);
    let third = make(&partition, put(b"two", Some(u64::MAX))).await;
    let partition = match subject.reopen().await {
        true => subject.store().open(partition.name()).await.unwrap(),
        false => partition,
    };
    let found = partition.get(b"k", At::Seq(third)).await.unwrap().unwrap();
    assert_eq!((found.reference, found.expires_ms), (Some("two".into()), Some(u64::MAX)));
    let before = partition.get(b"k", At::Seq(first)).await.unwrap().unwrap();
    assert_eq!((before.value, before.reference), ("inline".into(), None));
    let long = Bytes::from(vec![0; REFERENCE_BYTES_MAX + 1]);
    let op = Op::Refer { key: "k".into(), reference: long, expires_ms: None };
    let refused = partition.commit(Commit::new().op(op)).await;
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
}

pub(super) async fn values_of_every_size(subject: &dyn Subject) {
    let partition = fresh(subject, "sizes").await;
    for size in [0, 1, 100, 4096, 65_536, 1_000_000] {
        let written: Bytes = (0..size).map(|at| (at * 31 % 251) as u8).collect();
        make(&partition, Commit::new().put("k", written.clone())).await;
        assert_eq!(value(&partition, b"k", At::Durable).await, Some(written), "{size}");
    }
}

/// Bytes decide, also 0x00 and 0xFF, prefixes of each other, and the longest keys.
pub(super) async fn order_of_keys(subject: &dyn Subject) {
    let partition = fresh(subject, "order").await;
    let mut keys: Vec<Bytes> =
        [&b"\0"[..], b"\0\0", b"\0\xff", b"\x01", b"a", b"a\0", b"a\0\0", b"a\xff", b"aa", b"b"]
            .iter()
            .map(|key| Bytes::copy_from_slice(key))
            .collect();
    keys.extend(
        [&b"\x7f"[..], b"\x80", b"\xfe\xff", b"\xff", b"\xff\0", b"\xff\xff"].map(Into::into),
    );
    for byte in [0, b'a', u8::MAX] {
        keys.push(vec![byte; KEY_BYTES_MAX].into());
        keys.push(vec![byte; KEY_BYTES_MAX - 1].into());
    }
    // Not in their order, and some in commits of their own.
    for (number, key) in keys.iter().enumerate().rev() {
        let commit = Commit::new().put(key.clone(), number.to_string());
        make(&partition, commit).await;
    }
    let mut expected: Vec<(Bytes, Bytes)> = keys
        .iter()
        .enumerate()
        .map(|(number, key)| (key.clone(), number.to_string().into()))
        .collect();
    expected.sort();
    let found = all(&partition, KeyRange::all(), At::Durable).await;
    assert_eq!(found, expected);
    for (key, written) in &expected {
        assert_eq!(value(&partition, key, At::Durable).await.as_ref(), Some(written));
        let one = all(&partition, KeyRange::one(key), At::Durable).await;
        assert_eq!(one, [(key.clone(), written.clone())]);
        let from = KeyRange { from: key.clone(), to: None };
        let at = expected.iter().position(|(other, _)| other == key).unwrap();
        assert_eq!(all(&partition, from, At::Durable).await, expected[at..]);
    }
}

pub(super) async fn batches_are_atomic_and_later_wins(subject: &dyn Subject) {
    let partition = fresh(subject, "batches").await;
    let commit = Commit::new().put("a", "1").put("b", "1").put("a", "2").put("c", "1").delete("c");
    let seq = make(&partition, commit).await;
    assert_eq!(texts(&partition, At::Durable).await, pairs(&[("a", "2"), ("b", "1")]));
    for key in [b"a", b"b"] {
        assert_eq!(partition.get(key, At::Durable).await.unwrap().unwrap().seq, seq);
    }
    // One bad change, and none is made.
    let commit = Commit::new().put("a", "3").put("", "x").put("b", "3");
    assert!(matches!(partition.commit(commit).await, Err(crate::Error::EmptyKey)));
    assert_eq!(texts(&partition, At::Durable).await, pairs(&[("a", "2"), ("b", "1")]));
    assert_eq!(partition.status().newest, seq);
}

/// A put, a delete and the delete of a range of one key: the last one decides.
pub(super) async fn puts_deletes_and_ranges_in_every_order(subject: &dyn Subject) {
    const ORDERS: [[u8; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let partition = fresh(subject, "orders").await;
    for before in [false, true] {
        for order in ORDERS {
            make(&partition, Commit::new().delete_range(KeyRange::all())).await;
            if before {
                put(&partition, "k", "old").await;
            }
            let mut commit = Commit::new();
            for what in order {
                commit = match what {
                    0 => commit.put("k", "new").put("l", "new"),
                    1 => commit.delete("k"),
                    _ => commit.delete_range(KeyRange::between("a", "l")),
                };
            }
            make(&partition, commit).await;
            let there = order[2] == 0;
            let expected =
                if there { pairs(&[("k", "new"), ("l", "new")]) } else { pairs(&[("l", "new")]) };
            assert_eq!(texts(&partition, At::Durable).await, expected, "{before} {order:?}");
        }
    }
}

pub(super) async fn positions_count_commits(subject: &dyn Subject) {
    let partition = fresh(subject, "positions").await;
    let status = partition.status();
    assert_eq!((status.newest, status.durable, status.oldest), (Seq(0), Seq(0), Seq(0)));
    assert_eq!(make(&partition, Commit::new()).await, Seq(0), "nothing takes no position");
    assert_eq!(put(&partition, "a", "1").await, Seq(1));
    assert_eq!(make(&partition, Commit::new().put("a", "2").put("b", "2")).await, Seq(2));
    assert_eq!(make(&partition, Commit::new().delete("absent")).await, Seq(3));
    let empty = KeyRange::between("x", "x");
    assert_eq!(make(&partition, Commit::new().delete_range(empty)).await, Seq(3), "nor does this");
    assert_eq!(make(&partition, Commit::new().expect("a", Some(Seq(2)))).await, Seq(3));
    let range = KeyRange::between("x", "y");
    assert_eq!(make(&partition, Commit::new().delete_range(range)).await, Seq(4));
    let status = partition.status();
    assert_eq!((status.newest, status.durable), (Seq(4), Seq(4)));
}

pub(super) async fn settings_are_kept(subject: &dyn Subject) {
    for (name, durable) in [("log", Durable::Log), ("bucket", Durable::Bucket)] {
        let settings = Settings { durable, history_ms: 77_000 };
        let name = Name::new(name).unwrap();
        let partition = subject.store().create(&name, settings).await.unwrap();
        assert_eq!(partition.status().settings, settings);
        let commit = Commit { durable: Some(Durable::Bucket), ..Commit::new().put("a", "1") };
        let seq = make(&partition, commit).await;
        assert!(partition.status().durable >= seq);
        drop(partition);
        subject.reopen().await;
        let partition = subject.store().open(&name).await.unwrap();
        assert_eq!(partition.status().settings, settings);
    }
}

/// BUCKET-1
pub(super) async fn what_was_acknowledged_is_there_after_a_crash(subject: &dyn Subject) {
    let name = Name::new("lasting").unwrap();
    let partition = fresh(subject, "lasting").await;
    let cursor = {
        for number in 0..40 {
            put(&partition, &format!("k{number:02}"), "1").await;
        }
        make(&partition, Commit::new().delete_range(KeyRange::between("k10", "k20"))).await;
        let mut scan = crate::Scan::of(KeyRange::all());
        scan.limit = 5;
        partition.scan(&scan).await.unwrap().next.unwrap()
    };
    let (before, last) = (texts(&partition, At::Durable).await, partition.status().durable);
    drop(partition);
    if !subject.reopen().await {
        return;
    }
    let partition = subject.store().open(&name).await.unwrap();
    assert!(partition.status().durable >= last);
    assert_eq!(texts(&partition, At::Durable).await, before);
    assert_eq!(texts(&partition, At::Seq(Seq(3))).await.len(), 3);
    assert_eq!(super::told(&partition, Seq(0), last).await.len(), 41);
    // A scan that was under way goes on.
    let mut scan = crate::Scan::of(KeyRange::all());
    scan.cursor = Some(cursor);
    assert_eq!(partition.scan(&scan).await.unwrap().entries.len(), 25);
    assert!(put(&partition, "z", "1").await > last);
}
