use bytes::Bytes;

use super::{Subject, fresh, make, put, with_history};
use crate::limits::SCAN_ENTRIES_MAX;
use crate::{AnyPartition, At, Commit, Cursor, Error, KeyRange, Page, Scan, Seq};

async fn numbers(subject: &dyn Subject, name: &str, count: u32) -> AnyPartition {
    let partition = fresh(subject, name).await;
    let put = |commit: Commit, number| commit.put(format!("{number:04}"), format!("v{number}"));
    make(&partition, (0..count).fold(Commit::new(), put)).await;
    partition
}

fn keys(page: &Page) -> Vec<u32> {
    let number = |key: &Bytes| std::str::from_utf8(key).unwrap().parse().unwrap();
    page.entries.iter().map(|entry| number(&entry.key)).collect()
}

pub(super) async fn forward_and_back(subject: &dyn Subject) {
    let partition = numbers(subject, "directions", 20).await;
    let ranges = [
        (KeyRange::all(), 0..20),
        (KeyRange::between("0005", "0010"), 5..10),
        (KeyRange::between("00041", "00091"), 5..10),
        (KeyRange { from: "0015".into(), to: None }, 15..20),
        (KeyRange::between("", "0003"), 0..3),
        (KeyRange::between("x", "y"), 0..0),
        (KeyRange::between("0010", "0005"), 0..0),
    ];
    for (range, expected) in ranges {
        let mut expected: Vec<u32> = expected.collect();
        for reverse in [false, true] {
            let page = partition.scan(&Scan { reverse, ..Scan::of(range.clone()) }).await.unwrap();
            assert_eq!(keys(&page), expected, "{range:?} {reverse}");
            assert_eq!((page.next, page.at), (None, Seq(1)));
            expected.reverse();
        }
    }
}

pub(super) async fn limits_and_pages(subject: &dyn Subject) {
    let partition = numbers(subject, "pages", 20).await;
    for reverse in [false, true] {
        for limit in [1, 3, 7, 19, 20, 21, SCAN_ENTRIES_MAX, usize::MAX] {
            let mut scan = Scan { reverse, limit, ..Scan::of(KeyRange::between("0001", "0019")) };
            let mut found = Vec::new();
            loop {
                let page = partition.scan(&scan).await.unwrap();
                assert!(page.entries.len() <= limit && !page.entries.is_empty());
                assert!(page.next.is_none() || page.entries.len() == limit, "a short page goes on");
                found.extend(keys(&page));
                scan.cursor = page.next;
                if scan.cursor.is_none() {
                    break;
                }
            }
            let mut expected: Vec<u32> = (1..19).collect();
            if reverse {
                expected.reverse();
            }
            assert_eq!(found, expected, "{limit} {reverse}");
        }
    }
    let none = Scan { limit: 0, ..Scan::of(KeyRange::all()) };
    assert_eq!(keys(&partition.scan(&none).await.unwrap()), [0]);
    // A page that holds just what there is has no next one.
    let exact = Scan { limit: 20, ..Scan::of(KeyRange::all()) };
    assert_eq!(partition.scan(&exact).await.unwrap().next, None);
}

pub(super) async fn keys_only(subject: &dyn Subject) {
    let partition = numbers(subject, "keys", 3).await;
    let scan = Scan { keys_only: true, ..Scan::of(KeyRange::all()) };
    let page = partition.scan(&scan).await.unwrap();
    assert_eq!(keys(&page), [0, 1, 2]);
    assert!(page.entries.iter().all(|entry| entry.value.is_empty() && entry.seq == Seq(1)));
}

/// Whatever is written between the pages.
pub(super) async fn pages_show_one_state(subject: &dyn Subject) {
    for reverse in [false, true] {
        let name = if reverse { "back" } else { "forward" };
        let partition = numbers(subject, name, 12).await;
        let mut scan = Scan { reverse, limit: 5, ..Scan::of(KeyRange::all()) };
        let mut found = Vec::new();
        loop {
            let page = partition.scan(&scan).await.unwrap();
            assert_eq!(page.at, Seq(1));
            for entry in &page.entries {
                let number: u32 = std::str::from_utf8(&entry.key).unwrap().parse().unwrap();
                assert_eq!((entry.seq, entry.value.clone()), (Seq(1), format!("v{number}").into()));
            }
            found.extend(keys(&page));
            scan.cursor = page.next;
            if scan.cursor.is_none() {
                break;
            }
            let round = found.len();
            put(&partition, &format!("{round:04}"), "changed").await;
            put(&partition, "0006x", "new").await;
            let range = KeyRange::between("0001", "0011");
            make(&partition, Commit::new().delete_range(range).put("0003", "back")).await;
            make(&partition, Commit::new().delete("0000").delete("0011")).await;
        }
        let mut expected: Vec<u32> = (0..12).collect();
        if reverse {
            expected.reverse();
        }
        assert_eq!(found, expected);
        assert_eq!(super::texts(&partition, At::Durable).await.len(), 1);
    }
}

/// Not those of another partition, range or direction. Limit and `keys_only` may change on the way.
pub(super) async fn own_cursors_only(subject: &dyn Subject) {
    let partition = numbers(subject, "own", 12).await;
    let other = numbers(subject, "other", 12).await;
    let range = KeyRange::between("0001", "0009");
    let first = Scan { limit: 2, ..Scan::of(range.clone()) };
    let cursor = partition.scan(&first).await.unwrap().next;
    assert!(cursor.is_some());
    let next = Scan { cursor: cursor.clone(), ..first.clone() };
    assert_eq!(keys(&partition.scan(&next).await.unwrap()), [3, 4]);
    let wider = Scan { limit: 3, keys_only: true, at: At::Newest, ..next.clone() };
    assert_eq!(keys(&partition.scan(&wider).await.unwrap()), [3, 4, 5]);
    // As text, and back.
    let text = cursor.as_ref().unwrap().as_str();
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    let again = Scan { cursor: Some(Cursor::from_text(text).unwrap()), ..first };
    assert_eq!(keys(&partition.scan(&again).await.unwrap()), [3, 4]);

    let refused = async |partition: &AnyPartition, scan: Scan| {
        let error = partition.scan(&scan).await.unwrap_err();
        assert!(matches!(error, Error::Cursor { .. }), "{error:?}");
    };
    refused(&other, next.clone()).await;
    refused(&partition, Scan { reverse: true, ..next.clone() }).await;
    let ranges = [
        KeyRange::all(),
        KeyRange::between("0001", "0008"),
        KeyRange::between("0002", "0009"),
        KeyRange { to: None, ..range },
        KeyRange::between("0001000", "9"),
        KeyRange::between("x", "a"),
    ];
    for range in ranges {
        refused(&partition, Scan { range, ..next.clone() }).await;
    }
}

pub(super) async fn garbage_is_no_cursor(subject: &dyn Subject) {
    let partition = numbers(subject, "garbage", 12).await;
    let scan = Scan { limit: 2, ..Scan::of(KeyRange::all()) };
    let good = partition.scan(&scan).await.unwrap().next.unwrap();
    let refused = async |text: &str| {
        let Ok(cursor) = Cursor::from_text(text) else { return };
        let scan = Scan { cursor: Some(cursor), ..scan.clone() };
        let error = partition.scan(&scan).await.unwrap_err();
        assert!(matches!(error, Error::Cursor { .. }), "{text}: {error:?}");
    };
    for text in ["", "A", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAAA", "====", "é", "a b", "\0", "!!!!"] {
        refused(text).await;
    }
    for at in 0..good.as_str().len() {
        refused(&good.as_str()[..at]).await;
        let mut changed = good.as_str().as_bytes().to_vec();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        refused(std::str::from_utf8(&changed).unwrap()).await;
    }
    refused(&format!("{}A", good.as_str())).await;
    refused(&"A".repeat(1_000_000)).await;
}

pub(super) async fn a_cursor_of_what_is_gone(subject: &dyn Subject) {
    if !subject.paused() {
        return;
    }
    let partition = with_history(subject, "gone", 1000).await;
    for key in ["a", "b", "c"] {
        put(&partition, key, "1").await;
    }
    let mut scan = Scan { limit: 1, ..Scan::of(KeyRange::all()) };
    scan.cursor = partition.scan(&scan).await.unwrap().next;
    put(&partition, "b", "2").await;
    super::history::forgotten(subject, &partition, Seq(3)).await;
    assert!(matches!(partition.scan(&scan).await, Err(Error::Gone { .. })));
}

pub(super) async fn scans_at_a_position(subject: &dyn Subject) {
    let partition = fresh(subject, "positions").await;
    for number in 0..6 {
        put(&partition, &format!("{number:04}"), "1").await;
    }
    for seq in 0..=6 {
        for reverse in [false, true] {
            let at = At::Seq(Seq(seq));
            let scan = Scan { at, reverse, limit: 2, ..Scan::of(KeyRange::all()) };
            let page = partition.scan(&scan).await.unwrap();
            assert_eq!(page.entries.len(), 2.min(seq as usize));
            assert_eq!((page.at, page.next.is_some()), (Seq(seq), seq > 2));
        }
    }
    let later = Scan { at: At::Seq(Seq(7)), ..Scan::of(KeyRange::all()) };
    let error = partition.scan(&later).await.unwrap_err();
    assert!(matches!(error, Error::Future { asked: Seq(7), last: Seq(6) }), "{error:?}");
}
