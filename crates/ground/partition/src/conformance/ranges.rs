use super::{Subject, fresh, make, pairs, put, texts};
use crate::{At, Commit, KeyRange};

const LETTERS: [&str; 5] = ["a", "b", "c", "d", "e"];

async fn letters(subject: &dyn Subject, name: &str) -> crate::AnyPartition {
    let partition = fresh(subject, name).await;
    for key in LETTERS {
        put(&partition, key, "1").await;
    }
    partition
}

async fn keys(partition: &crate::AnyPartition) -> String {
    texts(partition, At::Durable).await.into_iter().map(|(key, _)| key).collect()
}

pub(super) async fn empty_and_inverted(subject: &dyn Subject) {
    let partition = letters(subject, "empty").await;
    for (from, to) in [("b", "b"), ("d", "b"), ("x", "z"), ("", ""), ("bb", "c")] {
        make(&partition, Commit::new().delete_range(KeyRange::between(from, to))).await;
        assert_eq!(keys(&partition).await, "abcde", "{from} {to}");
        assert!(
            partition
                .scan(&crate::Scan::of(KeyRange::between(from, to)))
                .await
                .unwrap()
                .entries
                .is_empty()
        );
    }
    make(&partition, Commit::new().put("b", "2").delete_range(KeyRange::between("d", "b"))).await;
    assert_eq!(keys(&partition).await, "abcde");
}

pub(super) async fn all_and_open_ends(subject: &dyn Subject) {
    let partition = letters(subject, "open").await;
    make(&partition, Commit::new().delete_range(KeyRange { from: "d".into(), to: None })).await;
    assert_eq!(keys(&partition).await, "abc");
    make(&partition, Commit::new().delete_range(KeyRange::between("", "b"))).await;
    assert_eq!(keys(&partition).await, "bc");
    make(&partition, Commit::new().put(vec![u8::MAX; 9], "1").put(vec![0], "1")).await;
    make(&partition, Commit::new().delete_range(KeyRange::all())).await;
    assert_eq!(keys(&partition).await, "");
    make(&partition, Commit::new().delete_range(KeyRange::all())).await;
    assert_eq!(keys(&partition).await, "");
}

/// What is put into a deleted range later is there, in the same commit and in others.
pub(super) async fn puts_after(subject: &dyn Subject) {
    let partition = letters(subject, "puts").await;
    let range = KeyRange::between("b", "e");
    let commit =
        Commit::new().put("bb", "0").delete_range(range.clone()).put("c", "2").put("cc", "2");
    make(&partition, commit).await;
    let expected = [("a", "1"), ("c", "2"), ("cc", "2"), ("e", "1")];
    assert_eq!(texts(&partition, At::Durable).await, pairs(&expected));
    put(&partition, "d", "3").await;
    assert_eq!(keys(&partition).await, "acccde");
    make(&partition, Commit::new().delete_range(range)).await;
    assert_eq!(keys(&partition).await, "ae");
    put(&partition, "c", "4").await;
    assert_eq!(texts(&partition, At::Durable).await, pairs(&[("a", "1"), ("c", "4"), ("e", "1")]));
}

pub(super) async fn visible_before(subject: &dyn Subject) {
    let partition = letters(subject, "before").await;
    let before = partition.status().durable;
    let range = KeyRange::between("b", "d");
    let deleted = make(&partition, Commit::new().delete_range(range.clone())).await;
    put(&partition, "b", "2").await;
    let old: Vec<_> = LETTERS.iter().map(|key| (*key, "1")).collect();
    assert_eq!(texts(&partition, At::Seq(before)).await, pairs(&old));
    let found = partition.get(b"b", At::Seq(before)).await.unwrap().unwrap();
    assert_eq!(found.value, "1");
    assert_eq!(partition.get(b"b", At::Seq(deleted)).await.unwrap(), None);
    let expected = [("a", "1"), ("d", "1"), ("e", "1")];
    assert_eq!(texts(&partition, At::Seq(deleted)).await, pairs(&expected));
    make(&partition, Commit::new().delete_range(KeyRange::all())).await;
    assert_eq!(texts(&partition, At::Seq(deleted)).await, pairs(&expected));
}

pub(super) async fn prefixes(subject: &dyn Subject) {
    let partition = fresh(subject, "prefixes").await;
    let keys: [&[u8]; 8] =
        [b"p", b"p\0", b"p/1", b"p\xff", b"p\xff\xff", b"q", b"\xff\xff", b"o\xff"];
    for key in keys {
        make(&partition, Commit::new().put(key.to_vec(), "1")).await;
    }
    let count = async |range| super::all(&partition, range, At::Durable).await.len();
    assert_eq!(count(KeyRange::prefix("p")).await, 5);
    assert_eq!(count(KeyRange::prefix(&b"p\xff"[..])).await, 2);
    assert_eq!(count(KeyRange::prefix(&b"\xff"[..])).await, 1);
    assert_eq!(count(KeyRange::prefix("")).await, 8);
    assert_eq!(count(KeyRange::one(b"p")).await, 1);
    make(&partition, Commit::new().delete_range(KeyRange::prefix(&b"p\xff"[..]))).await;
    assert_eq!(count(KeyRange::all()).await, 6);
    make(&partition, Commit::new().delete_range(KeyRange::prefix("p"))).await;
    assert_eq!(count(KeyRange::all()).await, 3);
    make(&partition, Commit::new().delete_range(KeyRange::prefix(&b"\xff"[..]))).await;
    assert_eq!(count(KeyRange::all()).await, 2);
}

/// Ranges that lie on, in and across each other, each visible from its commit on.
pub(super) async fn many_ranges(subject: &dyn Subject) {
    let partition = fresh(subject, "many").await;
    let name = |number: u32| format!("{number:03}");
    let mut commit = Commit::new();
    for number in 0..200 {
        commit = commit.put(name(number), "1");
    }
    let first = make(&partition, commit).await;
    let ranges = [(10, 20), (15, 30), (0, 5), (12, 14), (100, 200), (150, 160), (3, 12), (50, 51)];
    let mut left: Vec<u32> = (0..200).collect();
    let mut expected = vec![(first, left.clone())];
    for (from, to) in ranges {
        let range = KeyRange::between(name(from), name(to));
        let seq = make(&partition, Commit::new().delete_range(range)).await;
        left.retain(|number| !(from..to).contains(number));
        expected.push((seq, left.clone()));
    }
    for (seq, numbers) in expected {
        let found = texts(&partition, At::Seq(seq)).await;
        let wanted: Vec<_> = numbers.iter().map(|number| (name(*number), "1".to_owned())).collect();
        assert_eq!(found, wanted, "after commit {seq}");
    }
}
