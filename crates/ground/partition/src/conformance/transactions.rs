use super::{Subject, fresh, make, pairs, put, texts, value};
use crate::limits::COMMIT_OPS_MAX;
use crate::{AnyPartition, At, Commit, Committed, Error, KeyRange, Transaction};

fn begin(partition: &AnyPartition) -> Transaction {
    Transaction::begin(partition.clone())
}

fn conflicts(found: Result<Committed, Error>) {
    assert!(matches!(found, Err(Error::Conflict { .. })), "{found:?}");
}

pub(super) async fn snapshot_reads(subject: &dyn Subject) {
    let partition = fresh(subject, "snapshot").await;
    let first = make(&partition, Commit::new().put("a", "1").put("b", "1")).await;
    let mut transaction = begin(&partition);
    assert_eq!(transaction.at(), first);
    assert_eq!(transaction.get(b"a").await.unwrap(), Some("1".into()));
    make(&partition, Commit::new().put("a", "2").put("b", "2").put("c", "2")).await;
    make(&partition, Commit::new().delete_range(KeyRange::prefix("a"))).await;
    assert_eq!(transaction.get(b"a").await.unwrap(), Some("1".into()));
    assert_eq!(transaction.get(b"b").await.unwrap(), Some("1".into()));
    assert_eq!(transaction.get(b"c").await.unwrap(), None);
    let found = transaction.scan(&KeyRange::all(), 10).await.unwrap();
    assert_eq!(found.iter().map(|entry| entry.value.clone()).collect::<Vec<_>>(), ["1", "1"]);
}

pub(super) async fn lost_update(subject: &dyn Subject) {
    let partition = fresh(subject, "update").await;
    put(&partition, "a", "1").await;
    let (mut one, mut two) = (begin(&partition), begin(&partition));
    for transaction in [&mut one, &mut two] {
        assert_eq!(transaction.get(b"a").await.unwrap(), Some("1".into()));
        transaction.put("a", "2").unwrap();
    }
    let seq = one.commit().await.unwrap().seq;
    match two.commit().await {
        Err(Error::Conflict { by }) => assert_eq!(by, seq),
        other => panic!("{other:?}"),
    }
    // A read of what is not there counts as well.
    let (mut one, mut two) = (begin(&partition), begin(&partition));
    for transaction in [&mut one, &mut two] {
        assert_eq!(transaction.get(b"new").await.unwrap(), None);
        transaction.put("new", "1").unwrap();
    }
    one.commit().await.unwrap();
    conflicts(two.commit().await);
    // And one whose key was deleted, alone or with a range.
    for commit in [Commit::new().delete("a"), Commit::new().delete_range(KeyRange::all())] {
        put(&partition, "a", "3").await;
        let mut transaction = begin(&partition);
        assert!(transaction.get(b"a").await.unwrap().is_some());
        make(&partition, commit).await;
        transaction.put("b", "1").unwrap();
        conflicts(transaction.commit().await);
    }
}

/// Two that each read what the other one writes.
pub(super) async fn write_skew(subject: &dyn Subject) {
    let partition = fresh(subject, "skew").await;
    make(&partition, Commit::new().put("a", "on").put("b", "on")).await;
    let (mut one, mut two) = (begin(&partition), begin(&partition));
    for (transaction, own) in [(&mut one, "a"), (&mut two, "b")] {
        for key in ["a", "b"] {
            assert_eq!(transaction.get(key.as_bytes()).await.unwrap(), Some("on".into()));
        }
        transaction.put(own, "off").unwrap();
    }
    one.commit().await.unwrap();
    conflicts(two.commit().await);
    assert_eq!(texts(&partition, At::Durable).await, pairs(&[("a", "off"), ("b", "on")]));
}

/// What comes into a range that was read, or leaves it, is a conflict; what is beside it is none.
pub(super) async fn phantoms(subject: &dyn Subject) {
    let partition = fresh(subject, "phantoms").await;
    let range = KeyRange::between("m", "p");
    let inside = [
        Commit::new().put("n", "1"),
        Commit::new().put("m", "1"),
        Commit::new().put("ozzz", "1"),
        Commit::new().put("nn", "changed"),
        Commit::new().delete("nn"),
        Commit::new().delete_range(KeyRange::between("a", "nz")),
        Commit::new().put("a", "1").delete_range(KeyRange::all()),
    ];
    let outside = [
        Commit::new().put("p", "1"),
        Commit::new().put("lzz", "1").put("q", "1"),
        Commit::new().delete("z"),
        Commit::new().delete_range(KeyRange { from: "p".into(), to: None }),
        Commit::new().delete_range(KeyRange::between("a", "m")),
    ];
    let all = inside.into_iter().map(|commit| (commit, true));
    for (commit, bad) in all.chain(outside.into_iter().map(|commit| (commit, false))) {
        let whole = Commit::new().delete_range(KeyRange::all());
        make(&partition, whole.put("b", "1").put("nn", "1").put("z", "1")).await;
        let mut transaction = begin(&partition);
        assert_eq!(transaction.scan(&range, 10).await.unwrap().len(), 1);
        transaction.put("own", "1").unwrap();
        make(&partition, commit.clone()).await;
        match transaction.commit().await {
            Err(Error::Conflict { .. }) if bad => {}
            Ok(_) if !bad => {}
            other => panic!("{commit:?}: {other:?}"),
        }
    }
    // A range in which nothing was found was read, too.
    let mut transaction = begin(&partition);
    let empty = KeyRange::between("x", "y");
    assert!(transaction.scan(&empty, 1).await.unwrap().is_empty());
    put(&partition, "x1", "1").await;
    transaction.put("own", "2").unwrap();
    conflicts(transaction.commit().await);
}

pub(super) async fn read_only_never_conflicts(subject: &dyn Subject) {
    let partition = fresh(subject, "readers").await;
    let first = put(&partition, "a", "1").await;
    let mut transaction = begin(&partition);
    transaction.get(b"a").await.unwrap();
    transaction.scan(&KeyRange::all(), 10).await.unwrap();
    put(&partition, "a", "2").await;
    assert_eq!(transaction.commit().await.unwrap().seq, first);
}

pub(super) async fn own_writes(subject: &dyn Subject) {
    let partition = fresh(subject, "own").await;
    let letters = ["a", "b", "c", "d", "e"];
    make(&partition, letters.iter().fold(Commit::new(), |all, key| all.put(*key, "1"))).await;
    let mut transaction = begin(&partition);
    transaction.put("b", "own").unwrap();
    transaction.put("bb", "own").unwrap();
    transaction.delete("c").unwrap();
    let scan = async |transaction: &mut Transaction, limit| -> String {
        let found = transaction.scan(&KeyRange::all(), limit).await.unwrap();
        let text = |entry: &crate::Entry| {
            String::from_utf8([&entry.key[..], b"=", &entry.value, b" "].concat()).unwrap()
        };
        found.iter().map(text).collect()
    };
    assert_eq!(scan(&mut transaction, 10).await, "a=1 b=own bb=own d=1 e=1 ");
    assert_eq!(scan(&mut transaction, 4).await, "a=1 b=own bb=own d=1 ");
    transaction.delete_range(KeyRange::between("b", "e")).unwrap();
    assert_eq!(scan(&mut transaction, 10).await, "a=1 e=1 ");
    assert_eq!(scan(&mut transaction, 2).await, "a=1 e=1 ");
    assert_eq!(transaction.get(b"b").await.unwrap(), None);
    assert_eq!(transaction.get(b"d").await.unwrap(), None);
    transaction.put("d", "again").unwrap();
    assert_eq!(transaction.get(b"d").await.unwrap(), Some("again".into()));
    assert_eq!(scan(&mut transaction, 10).await, "a=1 d=again e=1 ");
    assert_eq!(value(&partition, b"d", At::Newest).await, Some("1".into()), "it is not made yet");
    transaction.commit().await.unwrap();
    let expected = [("a", "1"), ("d", "again"), ("e", "1")];
    assert_eq!(texts(&partition, At::Durable).await, pairs(&expected));
}

/// What reads nothing is never in anyone's way.
pub(super) async fn blind_writes_never_conflict(subject: &dyn Subject) {
    let partition = fresh(subject, "blind").await;
    put(&partition, "a", "1").await;
    let mut transaction = begin(&partition);
    transaction.put("a", "3").unwrap();
    // Its own write is no read of the partition.
    assert_eq!(transaction.get(b"a").await.unwrap(), Some("3".into()));
    put(&partition, "a", "2").await;
    transaction.commit().await.unwrap();
    assert_eq!(value(&partition, b"a", At::Durable).await, Some("3".into()));
}

pub(super) async fn dropping_changes_nothing(subject: &dyn Subject) {
    let partition = fresh(subject, "dropped").await;
    let seq = put(&partition, "a", "1").await;
    let mut transaction = begin(&partition);
    transaction.put("a", "2").unwrap();
    transaction.delete_range(KeyRange::all()).unwrap();
    drop(transaction);
    assert_eq!(texts(&partition, At::Newest).await, pairs(&[("a", "1")]));
    assert_eq!(partition.status().newest, seq);
}

/// The change that is one too many is not seen by the transaction either.
pub(super) async fn too_many_changes(subject: &dyn Subject) {
    let partition = fresh(subject, "many").await;
    let mut transaction = begin(&partition);
    for number in 0..COMMIT_OPS_MAX {
        transaction.put(number.to_string(), "1").unwrap();
    }
    let error = transaction.put("x", "1").unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    assert!(transaction.delete("0").is_err());
    assert!(transaction.delete_range(KeyRange::all()).is_err());
    assert_eq!(transaction.get(b"x").await.unwrap(), None);
    assert_eq!(transaction.get(b"0").await.unwrap(), Some("1".into()));
    transaction.commit().await.unwrap();
    assert_eq!(texts(&partition, At::Durable).await.len(), COMMIT_OPS_MAX);
}
