use super::{Subject, fresh, make, pairs, put, texts, told, value};
use futures::FutureExt as _;

use crate::{AnyPartition, At, Commit, Error, KeyRange, Name, Scan, Seq, Settings, Step};

/// Nothing is to be done before a clone is seen.
fn nothing() -> Step<'static> {
    futures::future::ready(Ok(())).boxed()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// A partition with some history, under `name`.
async fn source(subject: &dyn Subject, name: &str) -> AnyPartition {
    let source = fresh(subject, name).await;
    make(&source, Commit::new().put("a", "1").put("b", "1").put("c", "1")).await;
    put(&source, "a", "2").await;
    make(&source, Commit::new().delete("b").delete_range(KeyRange::prefix("c"))).await;
    put(&source, "d", "4").await;
    source
}

pub(super) async fn it_begins_as_its_source_is(subject: &dyn Subject) {
    let source = source(subject, "source").await;
    let clone = subject.store().clone_to(&name("source"), &name("clone"), nothing()).await.unwrap();
    assert_eq!(clone.name(), &name("clone"));
    assert_eq!(clone.status(), source.status());
    for at in [At::Durable, At::Seq(Seq(1)), At::Seq(Seq(2)), At::Seq(Seq(3))] {
        assert_eq!(texts(&clone, at).await, texts(&source, at).await, "{at:?}");
    }
    assert_eq!(texts(&clone, At::Durable).await, pairs(&[("a", "2"), ("d", "4")]));
    let upto = source.status().durable;
    assert_eq!(told(&clone, Seq(0), upto).await, told(&source, Seq(0), upto).await);
    let again =
        subject.store().clone_to(&name("clone"), &name("clone/of"), nothing()).await.unwrap();
    assert_eq!(texts(&again, At::Seq(Seq(2))).await, texts(&source, At::Seq(Seq(2))).await);
}

pub(super) async fn each_goes_its_own_way(subject: &dyn Subject) {
    let first = source(subject, "source").await;
    let scan = Scan { limit: 1, ..Scan::of(KeyRange::all()) };
    let next = first.scan(&scan).await.unwrap().next;
    let clone = subject.store().clone_to(&name("source"), &name("clone"), nothing()).await.unwrap();
    let foreign = clone.scan(&Scan { cursor: next, ..scan }).await;
    assert!(matches!(foreign, Err(Error::Cursor { .. })));
    make(&clone, Commit::new().put("a", "clone").put("e", "clone")).await;
    put(&first, "a", "source").await;
    make(&first, Commit::new().delete("d")).await;
    assert_eq!((first.status().newest, clone.status().newest), (Seq(6), Seq(5)));
    subject.reopen().await;
    let open = async |text: &str| subject.store().open(&name(text)).await.unwrap();
    let (first, clone) = (open("source").await, open("clone").await);
    assert_eq!(texts(&first, At::Durable).await, pairs(&[("a", "source")]));
    let cloned = pairs(&[("a", "clone"), ("d", "4"), ("e", "clone")]);
    assert_eq!(texts(&clone, At::Durable).await, cloned);
    subject.store().remove(&name("source")).await.unwrap();
    assert_eq!(texts(&clone, At::Durable).await, cloned);
    subject.reopen().await;
    let clone = open("clone").await;
    assert_eq!(texts(&clone, At::Durable).await, cloned);
    assert_eq!(value(&clone, b"b", At::Seq(Seq(1))).await, Some("1".into()));
    put(&clone, "d", "5").await;
    assert_eq!(value(&clone, b"d", At::Durable).await, Some("5".into()));
}

pub(super) async fn names_of_clones(subject: &dyn Subject) {
    let store = subject.store();
    source(subject, "source").await;
    fresh(subject, "taken").await;
    let missing = store.clone_to(&name("nothing"), &name("clone"), nothing()).await;
    assert!(matches!(missing.err(), Some(Error::Missing { name }) if name == "nothing"));
    for there in ["taken", "source"] {
        let exists = store.clone_to(&name("source"), &name(there), nothing()).await;
        assert!(matches!(exists.err(), Some(Error::Exists { name }) if name == there));
    }
    assert_eq!(store.list("").await.unwrap(), ["source", "taken"].map(name));
    store.remove(&name("taken")).await.unwrap();
    store.clone_to(&name("source"), &name("taken"), nothing()).await.unwrap();
    assert_eq!(store.list("").await.unwrap(), ["source", "taken"].map(name));
    let settings = Settings { history_ms: 5000, ..Settings::default() };
    store.change(&name("source"), settings).await.unwrap();
    let clone = store.clone_to(&name("source"), &name("clone"), nothing()).await.unwrap();
    assert_eq!(clone.status().settings, settings);
}
