//! Every limit, at its bound and one beyond it.

use std::time::Duration;

use bytes::Bytes;

use super::{Subject, fresh, make, put};
use crate::limits::{
    COMMIT_BYTES_MAX, COMMIT_OPS_MAX, COMMIT_RANGES_MAX, CONDITIONS_MAX, HISTORY_MAX,
    KEY_BYTES_MAX, NAME_BYTES_MAX, PAGE_BYTES_MAX, READS_MAX, SCAN_ENTRIES_MAX, VALUE_BYTES_MAX,
};
use crate::{
    AnyPartition, At, Commit, Cursor, Error, KeyRange, Name, Op, Reads, Scan, Seq, Settings,
};

/// It is refused by its size, and nothing was changed.
async fn too_large(partition: &AnyPartition, commit: Commit, bound: usize) {
    let before = partition.status().newest;
    match partition.commit(commit).await {
        Err(error @ Error::TooLarge { .. }) => {
            let Error::TooLarge { size, limit, .. } = error else { return };
            assert_eq!((size, limit), (bound + 1, bound));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(partition.status().newest, before);
    assert_eq!(super::value(partition, b"x", At::Newest).await, None);
}

fn key(len: usize) -> Bytes {
    vec![b'k'; len].into()
}

pub(super) async fn keys(subject: &dyn Subject) {
    let partition = fresh(subject, "keys").await;
    let (longest, longer) = (key(KEY_BYTES_MAX), key(KEY_BYTES_MAX + 1));
    make(&partition, Commit::new().put(longest.clone(), "1").expect(longest.clone(), None)).await;
    assert!(partition.get(&longest, At::Durable).await.unwrap().is_some());
    let empty = partition.get(b"", At::Durable).await.unwrap_err();
    assert!(matches!(empty, Error::EmptyKey));
    let error = partition.get(&longer, At::Durable).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: KEY_BYTES_MAX, .. }), "{error:?}");
    let start = Commit::new().put("x", "1");
    too_large(&partition, start.clone().put(longer.clone(), "1"), KEY_BYTES_MAX).await;
    too_large(&partition, start.clone().delete(longer.clone()), KEY_BYTES_MAX).await;
    too_large(&partition, start.clone().expect(longer.clone(), None), KEY_BYTES_MAX).await;
    for bad in [Commit::new().delete(""), Commit::new().expect("", None)] {
        let error = partition.commit(bad.put("x", "1")).await.unwrap_err();
        assert!(matches!(error, Error::EmptyKey), "{error:?}");
    }
    // The end of a range may be the longest key and a byte, so that it can be the last in a range.
    let one = KeyRange::one(&longest);
    assert_eq!(super::all(&partition, one.clone(), At::Durable).await.len(), 1);
    make(&partition, Commit::new().delete_range(one)).await;
    assert!(partition.get(&longest, At::Durable).await.unwrap().is_none());
    for (from, to) in [(0, KEY_BYTES_MAX + 2), (KEY_BYTES_MAX + 2, 0)] {
        let range = KeyRange::between(key(from), key(to));
        too_large(&partition, start.clone().delete_range(range.clone()), KEY_BYTES_MAX + 1).await;
        let error = partition.scan(&Scan::of(range)).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    }
    // A cursor is as long as its key.
    make(&partition, Commit::new().put(longest, "1").put("z", "1")).await;
    let mut scan = Scan { limit: 1, ..Scan::of(KeyRange::all()) };
    let cursor = partition.scan(&scan).await.unwrap().next.unwrap();
    scan.cursor = Some(Cursor::from_text(cursor.as_str()).unwrap());
    assert_eq!(partition.scan(&scan).await.unwrap().entries[0].key, "z");
}

pub(super) async fn values(subject: &dyn Subject) {
    let partition = fresh(subject, "values").await;
    let largest = Bytes::from(vec![7; VALUE_BYTES_MAX]);
    make(&partition, Commit::new().put("a", largest.clone())).await;
    assert!(super::value(&partition, b"a", At::Durable).await == Some(largest));
    let commit = Commit::new().put("x", vec![7; VALUE_BYTES_MAX + 1]);
    too_large(&partition, commit, VALUE_BYTES_MAX).await;
}

pub(super) async fn operations(subject: &dyn Subject) {
    let partition = fresh(subject, "operations").await;
    let ops: Vec<Op> = (0..COMMIT_OPS_MAX)
        .map(|number| Op::Put {
            key: number.to_string().into(),
            value: "1".into(),
            expires_ms: None,
        })
        .collect();
    let mut commit = Commit { ops, ..Commit::default() };
    make(&partition, commit.clone()).await;
    assert_eq!(super::all(&partition, KeyRange::all(), At::Durable).await.len(), COMMIT_OPS_MAX);
    commit.ops.push(Op::Delete { key: "x".into() });
    too_large(&partition, commit, COMMIT_OPS_MAX).await;
    let one = |number: usize| Op::DeleteRange(KeyRange::one(number.to_string().as_bytes()));
    let ranges = (0..COMMIT_RANGES_MAX).map(one).collect();
    let mut commit = Commit { ops: ranges, ..Commit::default() };
    make(&partition, commit.clone()).await;
    let left = super::all(&partition, KeyRange::all(), At::Durable).await.len();
    assert_eq!(left, COMMIT_OPS_MAX - COMMIT_RANGES_MAX);
    commit.ops.push(one(COMMIT_RANGES_MAX));
    too_large(&partition, commit, COMMIT_RANGES_MAX).await;
}

pub(super) async fn bytes_of_a_commit(subject: &dyn Subject) {
    let partition = fresh(subject, "bytes").await;
    let value = Bytes::from(vec![7; VALUE_BYTES_MAX - 1]);
    let mut commit = Commit::new();
    for key in ["a", "b", "c", "d"] {
        commit = commit.put(key, value.clone());
    }
    assert_eq!(commit.bytes(), COMMIT_BYTES_MAX);
    make(&partition, commit.clone()).await;
    too_large(&partition, commit.put("x", ""), COMMIT_BYTES_MAX).await;
}

pub(super) async fn conditions(subject: &dyn Subject) {
    let partition = fresh(subject, "conditions").await;
    let mut commit = Commit::new();
    for number in 0..CONDITIONS_MAX {
        commit = commit.expect(number.to_string(), None);
    }
    make(&partition, commit.clone().put("a", "1")).await;
    too_large(&partition, commit.expect("b", None).put("x", "1"), CONDITIONS_MAX).await;
}

pub(super) async fn reads(subject: &dyn Subject) {
    let partition = fresh(subject, "reads").await;
    let seq = put(&partition, "a", "1").await;
    let keys: Vec<Bytes> = (0..READS_MAX - 1).map(|number| format!("r{number}").into()).collect();
    let mut reads = Reads { at: seq, keys, ranges: vec![KeyRange::prefix("s")] };
    let commit =
        |reads: &Reads| Commit { reads: Some(reads.clone()), ..Commit::new().put("b", "1") };
    make(&partition, commit(&reads)).await;
    put(&partition, "r77", "1").await;
    let found = partition.commit(commit(&reads)).await;
    assert!(matches!(found, Err(Error::Conflict { .. })), "{found:?}");
    reads.ranges.push(KeyRange::prefix("t"));
    too_large(&partition, commit(&reads).put("x", "1"), READS_MAX).await;
    let future = Reads { at: Seq(1000), ..Reads::default() };
    let found = partition.commit(commit(&future)).await;
    assert!(matches!(found, Err(Error::Future { .. })), "{found:?}");
}

pub(super) async fn entries_of_a_page(subject: &dyn Subject) {
    let partition = fresh(subject, "entries").await;
    for part in 0..3 {
        let put = |commit: Commit, number: usize| commit.put(format!("{part}-{number:05}"), "");
        make(&partition, (0..SCAN_ENTRIES_MAX / 2).fold(Commit::new(), put)).await;
    }
    for limit in [SCAN_ENTRIES_MAX, SCAN_ENTRIES_MAX + 1, usize::MAX] {
        let scan = Scan { limit, ..Scan::of(KeyRange::all()) };
        let page = partition.scan(&scan).await.unwrap();
        assert_eq!(page.entries.len(), SCAN_ENTRIES_MAX);
        let rest = partition.scan(&Scan { cursor: page.next, ..scan }).await.unwrap();
        assert_eq!((rest.entries.len(), rest.next), (SCAN_ENTRIES_MAX / 2, None));
    }
}

pub(super) async fn bytes_of_a_page(subject: &dyn Subject) {
    let partition = fresh(subject, "pages").await;
    let size = PAGE_BYTES_MAX / 4;
    for number in 0..10 {
        make(&partition, Commit::new().put(format!("{number}"), vec![7; size])).await;
    }
    for reverse in [false, true] {
        let mut scan = Scan { reverse, ..Scan::of(KeyRange::all()) };
        let (mut pages, mut entries) = (0, 0);
        loop {
            let page = partition.scan(&scan).await.unwrap();
            let bytes: usize = page.entries.iter().map(|entry| entry.value.len()).sum();
            assert!(bytes <= PAGE_BYTES_MAX + size, "{bytes}");
            (pages, entries) = (pages + 1, entries + page.entries.len());
            assert!(!page.entries.is_empty());
            scan.cursor = page.next;
            if scan.cursor.is_none() {
                break;
            }
        }
        assert_eq!((pages, entries), (3, 10));
    }
    // Values that are left out take no place.
    let scan = Scan { keys_only: true, ..Scan::of(KeyRange::all()) };
    let page = partition.scan(&scan).await.unwrap();
    assert_eq!((page.entries.len(), page.next), (10, None));
    // One entry of the largest size is a page.
    make(&partition, Commit::new().put("0", vec![7; VALUE_BYTES_MAX])).await;
    let page = partition.scan(&Scan::of(KeyRange::all())).await.unwrap();
    assert!(!page.entries.is_empty() && page.next.is_some());
}

pub(super) async fn bytes_of_a_watch(subject: &dyn Subject) {
    let partition = fresh(subject, "watch").await;
    let size = PAGE_BYTES_MAX / 4;
    for number in 0..10 {
        make(&partition, Commit::new().put(format!("{number}"), vec![7; size])).await;
    }
    let (mut position, mut parts) = (Seq(0), 0);
    while position < Seq(10) {
        let part = partition.changes(position, Duration::ZERO).await.unwrap();
        assert!(part.changes.len() <= 5 && part.upto > position, "{}", part.changes.len());
        (position, parts) = (part.upto, parts + 1);
    }
    assert!(parts >= 2);
}

pub(super) async fn names(subject: &dyn Subject) {
    let longest = "n".repeat(NAME_BYTES_MAX);
    assert!(Name::new(&format!("{longest}n")).is_err());
    for text in [longest.as_str(), "a", "0", "a-b_c.d/e", "-", "_/_", "a/b/c/d/e/f/g/h"] {
        let name = Name::new(text).unwrap();
        let made = subject.store().create(&name, Settings::default()).await.unwrap();
        put(&made, "a", text).await;
        let opened = subject.store().open(&name).await.unwrap();
        assert_eq!(super::value(&opened, b"a", At::Durable).await, Some(text.to_owned().into()));
    }
}

pub(super) async fn history(subject: &dyn Subject) {
    let longest = HISTORY_MAX.as_millis() as u64;
    for (history_ms, good) in [(0, true), (1, true), (longest, true), (longest + 1, false)] {
        let settings = Settings { history_ms, ..Settings::default() };
        let name = Name::new(&format!("h{history_ms}")).unwrap();
        match subject.store().create(&name, settings).await {
            Ok(made) if good => assert_eq!(made.status().settings, settings),
            Err(Error::Invalid { .. }) if !good => {
                assert!(subject.store().open(&name).await.is_err(), "it was made all the same");
            }
            other => panic!("{history_ms}: {:?}", other.err()),
        }
    }
}
