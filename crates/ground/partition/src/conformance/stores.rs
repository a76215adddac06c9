use super::{Subject, fresh, make, pairs, put, texts, value};
use crate::{At, Commit, Durable, Error, KeyRange, Name, Scan, Seq, Settings};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) async fn create_open_exists_missing(subject: &dyn Subject) {
    let (store, wanted) = (subject.store(), name("kv/main/a"));
    let missing = |error: Error| matches!(error, Error::Missing { name } if name == "kv/main/a");
    assert!(missing(store.open(&wanted).await.err().unwrap()));
    assert!(missing(store.remove(&wanted).await.unwrap_err()));
    assert!(missing(store.change(&wanted, Settings::default()).await.unwrap_err()));
    let made = store.create(&wanted, Settings::default()).await.unwrap();
    put(&made, "a", "1").await;
    let again = store.create(&wanted, Settings::default()).await.err().unwrap();
    assert!(matches!(again, Error::Exists { name } if name == "kv/main/a"));
    let opened = store.open(&wanted).await.unwrap();
    assert_eq!(opened.name(), &wanted);
    assert_eq!(texts(&opened, At::Durable).await, pairs(&[("a", "1")]));
    assert!(store.open(&name("kv/main")).await.is_err(), "a part of a name is no name");
}

pub(super) async fn listing(subject: &dyn Subject) {
    let store = subject.store();
    assert_eq!(store.list("").await.unwrap(), []);
    let names = ["a", "a-b", "a/b", "a/b/c", "a/bc", "ab", "b/a"];
    for text in names.iter().rev() {
        store.create(&name(text), Settings::default()).await.unwrap();
    }
    let list = async |prefix: &str| -> Vec<String> {
        store.list(prefix).await.unwrap().iter().map(ToString::to_string).collect()
    };
    assert_eq!(list("").await, names);
    assert_eq!(list("a").await, ["a", "a/b", "a/b/c", "a/bc"]);
    assert_eq!(list("a/b").await, ["a/b", "a/b/c"]);
    assert_eq!(list("b").await, ["b/a"]);
    assert_eq!(list("b/a").await, ["b/a"]);
    assert_eq!(list("c").await, [""; 0]);
    store.remove(&name("a/b")).await.unwrap();
    assert_eq!(list("a").await, ["a", "a/b/c", "a/bc"]);
    subject.reopen().await;
    let listed = subject.store().list("a").await.unwrap();
    assert_eq!(listed, ["a", "a/b/c", "a/bc"].map(name));
}

/// Another partition of the same name is empty, and knows neither cursors nor handles of the first.
pub(super) async fn remove_and_create_again(subject: &dyn Subject) {
    let (store, wanted) = (subject.store(), name("again"));
    let old = fresh(subject, "again").await;
    for key in ["a", "b", "c"] {
        put(&old, key, "old").await;
    }
    let mut scan = Scan { limit: 1, ..Scan::of(KeyRange::all()) };
    scan.cursor = old.scan(&scan).await.unwrap().next;
    assert!(scan.cursor.is_some());
    store.remove(&wanted).await.unwrap();
    assert!(matches!(store.open(&wanted).await, Err(Error::Missing { .. })));
    let new = store.create(&wanted, Settings::default()).await.unwrap();
    assert_eq!(new.status().newest, Seq(0));
    assert_eq!(texts(&new, At::Durable).await, []);
    make(&new, Commit::new().put("a", "new").put("b", "new")).await;
    make(&new, Commit::new().put("c", "new")).await;
    make(&new, Commit::new().put("d", "new")).await;
    assert!(matches!(new.scan(&scan).await, Err(Error::Cursor { .. })));
    let over = |error: Error| matches!(error, Error::Missing { .. } | Error::Closed { .. });
    assert!(over(old.commit(Commit::new().put("x", "old")).await.unwrap_err()));
    assert!(over(old.get(b"a", At::Durable).await.unwrap_err()));
    assert!(over(old.scan(&Scan::of(KeyRange::all())).await.unwrap_err()));
    assert_eq!(value(&new, b"x", At::Durable).await, None);
    assert_eq!(value(&new, b"a", At::Durable).await, Some("new".into()));
}

pub(super) async fn two_handles(subject: &dyn Subject) {
    let first = fresh(subject, "handles").await;
    let second = subject.store().open(&name("handles")).await.unwrap();
    let seq = put(&first, "a", "1").await;
    assert_eq!(value(&second, b"a", At::Durable).await, Some("1".into()));
    make(&second, Commit::new().expect("a", Some(seq)).put("a", "2")).await;
    assert_eq!(value(&first, b"a", At::Durable).await, Some("2".into()));
    let stale = first.commit(Commit::new().expect("a", Some(seq)).put("a", "3")).await;
    assert!(matches!(stale, Err(Error::Condition { .. })));
    assert_eq!(first.status(), second.status());
    drop(first);
    assert_eq!(value(&second, b"a", At::Durable).await, Some("2".into()));
}

pub(super) async fn partitions_are_apart(subject: &dyn Subject) {
    let (one, two) = (fresh(subject, "one").await, fresh(subject, "one/two").await);
    put(&one, "a", "1").await;
    put(&two, "a", "2").await;
    put(&two, "b", "2").await;
    assert_eq!(texts(&one, At::Durable).await, pairs(&[("a", "1")]));
    assert_eq!((one.status().newest, two.status().newest), (Seq(1), Seq(2)));
    make(&one, Commit::new().delete_range(KeyRange::all())).await;
    assert_eq!(texts(&two, At::Durable).await, pairs(&[("a", "2"), ("b", "2")]));
    subject.store().remove(&name("one")).await.unwrap();
    assert_eq!(texts(&two, At::Durable).await, pairs(&[("a", "2"), ("b", "2")]));
}

pub(super) async fn changing_settings(subject: &dyn Subject) {
    let partition = fresh(subject, "settings").await;
    put(&partition, "a", "1").await;
    let settings = Settings { durable: Durable::Bucket, history_ms: 5000 };
    subject.store().change(&name("settings"), settings).await.unwrap();
    let opened = subject.store().open(&name("settings")).await.unwrap();
    assert_eq!(opened.status().settings, settings);
    assert_eq!(partition.status().settings, settings);
    put(&opened, "a", "2").await;
    assert_eq!(value(&opened, b"a", At::Durable).await, Some("2".into()));
    let wrong = Settings { history_ms: u64::MAX, ..settings };
    let refused = subject.store().change(&name("settings"), wrong).await;
    assert!(matches!(refused, Err(Error::Invalid { .. })));
    assert_eq!(opened.status().settings, settings);
}
