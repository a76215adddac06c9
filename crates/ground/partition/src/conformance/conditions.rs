use super::{Subject, fresh, make, pairs, put, texts};
use crate::{At, Commit, Error, KeyRange, Seq};

pub(super) async fn absent_and_present(subject: &dyn Subject) {
    let partition = fresh(subject, "conditions").await;
    let first = make(&partition, Commit::new().expect("a", None).put("a", "1")).await;
    let refused = |found: Result<_, Error>| match found {
        Err(Error::Condition { key, expected, found }) => (key, expected, found),
        other => panic!("{other:?}"),
    };
    let again = partition.commit(Commit::new().expect("a", None).put("a", "2")).await;
    assert_eq!(refused(again), (b"a".to_vec(), None, Some(first)));
    let second = make(&partition, Commit::new().expect("a", Some(first)).put("a", "2")).await;
    let stale = partition.commit(Commit::new().expect("a", Some(first)).put("a", "3")).await;
    assert_eq!(refused(stale), (b"a".to_vec(), Some(first), Some(second)));
    let early = partition.commit(Commit::new().expect("a", Some(Seq(99))).put("a", "3")).await;
    assert_eq!(refused(early), (b"a".to_vec(), Some(Seq(99)), Some(second)));
    make(&partition, Commit::new().expect("a", Some(second)).delete("a")).await;
    let gone = partition.commit(Commit::new().expect("a", Some(second)).put("a", "4")).await;
    assert_eq!(refused(gone), (b"a".to_vec(), Some(second), None));
    // After a delete, also one of a range, it is absent.
    let third = make(&partition, Commit::new().expect("a", None).put("a", "5")).await;
    make(&partition, Commit::new().delete_range(KeyRange::all())).await;
    let gone = partition.commit(Commit::new().expect("a", Some(third)).put("a", "6")).await;
    assert_eq!(refused(gone), (b"a".to_vec(), Some(third), None));
    make(&partition, Commit::new().expect("a", None).put("a", "7")).await;
    assert_eq!(texts(&partition, At::Durable).await, pairs(&[("a", "7")]));
}

pub(super) async fn a_failed_condition_changes_nothing(subject: &dyn Subject) {
    let partition = fresh(subject, "refused").await;
    let seq = put(&partition, "a", "1").await;
    let commit = Commit::new()
        .put("a", "2")
        .put("b", "2")
        .delete_range(KeyRange::all())
        .expect("a", Some(seq))
        .expect("b", Some(seq));
    assert!(matches!(partition.commit(commit).await, Err(Error::Condition { .. })));
    assert_eq!(texts(&partition, At::Newest).await, pairs(&[("a", "1")]));
    let status = partition.status();
    assert_eq!((status.newest, status.durable), (seq, seq), "a refusal takes no position");
    assert_eq!(put(&partition, "b", "1").await, seq.next());
}

/// Conditions on several keys, and on keys that are not changed.
pub(super) async fn all_or_none(subject: &dyn Subject) {
    let partition = fresh(subject, "several").await;
    let first = make(&partition, Commit::new().put("a", "1").put("b", "1")).await;
    let both = Commit::new().expect("a", Some(first)).expect("b", Some(first)).expect("c", None);
    make(&partition, both.clone().put("c", "1")).await;
    assert!(matches!(
        partition.commit(both.put("d", "1")).await,
        Err(Error::Condition { key, .. }) if key == b"c"
    ));
    // The same one twice, and two that exclude each other.
    let twice = Commit::new().expect("a", Some(first)).expect("a", Some(first));
    make(&partition, twice.put("e", "1")).await;
    let never = Commit::new().expect("a", Some(first)).expect("a", None).put("f", "1");
    assert!(matches!(partition.commit(never).await, Err(Error::Condition { .. })));
    let bad = Commit::new().expect("", None).put("f", "1");
    assert!(matches!(partition.commit(bad).await, Err(Error::EmptyKey)));
}

/// Not what the same commit does.
pub(super) async fn conditions_see_the_state_before(subject: &dyn Subject) {
    let partition = fresh(subject, "before").await;
    let first = make(&partition, Commit::new().put("a", "1").expect("a", None)).await;
    make(&partition, Commit::new().delete("a").put("a", "2").expect("a", Some(first))).await;
    assert_eq!(texts(&partition, At::Durable).await, pairs(&[("a", "2")]));
}
