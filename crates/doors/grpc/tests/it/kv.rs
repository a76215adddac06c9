//! Keys over gRPC: single calls.

use bytes::Bytes;
use cairn_audit::{Filter, Line, Outcome};
use cairn_grpc::limits::KV_MESSAGE_BYTES_MAX;
use cairn_grpc::proto::kv::v1::condition::Expected;
use cairn_grpc::proto::kv::v1::{
    ChangeNamespaceRequest, CommitRequest, Condition, CreateNamespaceRequest, DeleteRangeRequest,
    DeleteRequest, Durable, GetNamespaceRequest, GetRequest, KeyRange, ListNamespacesRequest,
    Namespace, Op, Put, PutRequest, RemoveNamespaceRequest, ScanRequest, SetTtlRequest, Settings,
    get_request, op, put,
};
use futures::TryStreamExt as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{Server, carts};

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn put(key: &str, value: &str) -> Op {
    let put = Put { key: bytes(key), value: bytes(value), end: None };
    Op { op: Some(op::Op::Put(put)) }
}

pub(crate) fn delete(key: &str) -> Op {
    Op { op: Some(op::Op::Delete(bytes(key))) }
}

pub(crate) fn condition(key: &str, expected: Expected) -> Condition {
    Condition { key: bytes(key), expected: Some(expected) }
}

fn put_one(key: &str, value: &str, expected: Option<Expected>) -> PutRequest {
    PutRequest {
        namespace: Some(carts()),
        key: bytes(key),
        value: bytes(value),
        condition: expected.map(|expected| condition("", expected)),
        ..PutRequest::default()
    }
}

fn get_one(key: &str) -> GetRequest {
    GetRequest { namespace: Some(carts()), key: bytes(key), at: None }
}

fn found(status: &Status) -> Option<String> {
    status.get_details_error_info().unwrap().metadata.get("found").cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_are_made_listed_set_and_removed() {
    let server = Server::start().await;
    let mut client = server.keys_as(Some(&server.root)).await;
    let named = |name: &str| Namespace { project: "main".to_owned(), name: name.to_owned() };
    let settings =
        |level: Durable, history_ms| Some(Settings { durable: level.into(), history_ms });
    let make = |name: &str, settings| {
        let namespace = Some(named(name));
        CreateNamespaceRequest { namespace, settings, clone_of: String::new() }
    };
    let made = client.create_namespace(make("carts", settings(Durable::Bucket, None))).await;
    let made = made.unwrap().into_inner().info.unwrap();
    assert_eq!(made.namespace, Some(named("carts")));
    assert_eq!(made.settings, settings(Durable::Bucket, Some(3_600_000)));
    let set = ChangeNamespaceRequest {
        namespace: Some(carts()),
        settings: settings(Durable::Unspecified, Some(60_000)),
    };
    let set = client.change_namespace(set).await.unwrap().into_inner().info.unwrap();
    assert_eq!(set.settings, settings(Durable::Bucket, Some(60_000)));
    for name in ["a", "b", "c"] {
        client.create_namespace(make(name, None)).await.unwrap();
    }
    let again = client.create_namespace(make("a", None)).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists, "{again}");
    for (name, settings) in [
        ("Carts", None),
        ("new", settings(Durable::Log, Some(99_999_999_999))),
        ("new", Some(Settings { durable: 9, history_ms: None })),
    ] {
        let refused = client.create_namespace(make(name, settings)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name}: {refused}");
    }
    let (mut names, mut page_token) = (Vec::new(), String::new());
    loop {
        let asked = ListNamespacesRequest { page_size: 3, page_token, ..Default::default() };
        let page = client.list_namespaces(asked).await.unwrap().into_inner();
        names.extend(page.namespaces.into_iter().map(|found| found.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["a", "b", "c", "carts"]);
    client.remove_namespace(RemoveNamespaceRequest { namespace: Some(carts()) }).await.unwrap();
    let asked = GetNamespaceRequest { namespace: Some(carts()) };
    assert_eq!(client.get_namespace(asked).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(client.get(get_one("k")).await.unwrap_err().code(), Code::NotFound);
    // KV-2, ACCESS-4: lists show what the caller may read.
    let (_, reader) = server.user("reader", &["reader b"]).await;
    let mut reader = server.keys_as(Some(&reader)).await;
    let seen = reader.list_namespaces(ListNamespacesRequest::default()).await.unwrap();
    assert_eq!(seen.into_inner().namespaces, [named("b")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_begins_as_its_source_is() {
    let server = Server::start().await;
    let mut client = server.with_carts().await;
    client.put(put_one("a", "one", None)).await.unwrap();
    let named = |name: &str| Some(Namespace { project: "main".to_owned(), name: name.to_owned() });
    let clone = |name: &str, of: &str| CreateNamespaceRequest {
        namespace: named(name),
        settings: None,
        clone_of: of.to_owned(),
    };
    let made = client.create_namespace(clone("copy", "carts")).await.unwrap();
    assert_eq!(made.into_inner().info.unwrap().seq, 1);
    client.put(put_one("a", "two", None)).await.unwrap();
    let copied = GetRequest { namespace: named("copy"), ..get_one("a") };
    assert_eq!(client.get(copied).await.unwrap().into_inner().entry.unwrap().value, "one");
    let settings = Some(Settings { durable: Durable::Log.into(), history_ms: None });
    let chosen = CreateNamespaceRequest { settings, ..clone("other", "carts") };
    for (asked, code) in [
        (clone("copy", "carts"), Code::AlreadyExists),
        (clone("carts", "carts"), Code::AlreadyExists),
        (clone("other", "nothing"), Code::NotFound),
        (clone("other", "no/name"), Code::InvalidArgument),
        (chosen, Code::InvalidArgument),
    ] {
        let said = client.create_namespace(asked.clone()).await.unwrap_err();
        assert_eq!(said.code(), code, "{asked:?}: {said}");
    }
    // KV-2: who may not read the source is told that there is none.
    let (_, writer) = server.user("writer", &["writer mine"]).await;
    let mut writer = server.keys_as(Some(&writer)).await;
    let said = writer.create_namespace(clone("mine", "carts")).await.unwrap_err();
    assert_eq!(said.code(), Code::NotFound, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_put_swapped_read_in_the_past_and_removed() {
    let server = Server::start().await;
    let mut client = server.with_carts().await;
    let first = put_one("a", "one", Some(Expected::Absent(true)));
    assert_eq!(client.put(first.clone()).await.unwrap().into_inner().seq, 1);
    let again = client.put(first).await.unwrap_err();
    assert_eq!((again.code(), found(&again).as_deref()), (Code::Aborted, Some("1")), "{again}");
    let swap = put_one("a", "two", Some(Expected::Seq(1)));
    assert_eq!(client.put(swap.clone()).await.unwrap().into_inner().seq, 2);
    assert_eq!(found(&client.put(swap).await.unwrap_err()).as_deref(), Some("2"));
    let gone = put_one("none", "x", Some(Expected::Seq(1)));
    assert_eq!(found(&client.put(gone).await.unwrap_err()).as_deref(), Some(""));
    let entry = client.get(get_one("a")).await.unwrap().into_inner().entry.unwrap();
    assert_eq!((&entry.value[..], entry.seq, entry.expires_ms), (&b"two"[..], 2, None));
    let past = GetRequest { at: Some(get_request::At::AtSeq(1)), ..get_one("a") };
    assert_eq!(client.get(past).await.unwrap().into_inner().entry.unwrap().value, "one");
    let future = GetRequest { at: Some(get_request::At::AtSeq(99)), ..get_one("a") };
    assert_eq!(client.get(future).await.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(client.get(get_one("none")).await.unwrap().into_inner().entry, None);
    let lived =
        SetTtlRequest { namespace: Some(carts()), key: bytes("a"), ttl_ms: Some(3_600_000) };
    let touched = client.set_ttl(lived.clone()).await.unwrap().into_inner();
    let entry = client.get(get_one("a")).await.unwrap().into_inner().entry.unwrap();
    assert_eq!((&entry.value[..], entry.expires_ms), (&b"two"[..], touched.expires_ms));
    let kept = client.set_ttl(SetTtlRequest { ttl_ms: None, ..lived.clone() }).await.unwrap();
    assert_eq!(kept.into_inner().expires_ms, None);
    let absent = client.set_ttl(SetTtlRequest { key: bytes("none"), ..lived }).await.unwrap_err();
    assert_eq!(absent.code(), Code::NotFound, "{absent}");
    let remove = |expected: Option<Expected>| DeleteRequest {
        namespace: Some(carts()),
        key: bytes("a"),
        condition: expected.map(|expected| condition("", expected)),
        ..DeleteRequest::default()
    };
    let wrong = client.delete(remove(Some(Expected::Seq(1)))).await.unwrap_err();
    assert_eq!(wrong.code(), Code::Aborted, "{wrong}");
    client.delete(remove(Some(Expected::Seq(4)))).await.unwrap();
    client.delete(remove(None)).await.unwrap();
    assert_eq!(client.get(get_one("a")).await.unwrap().into_inner().entry, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_made_whole_or_not_at_all_and_ranges_are_scanned() {
    let server = Server::start().await;
    let mut client = server.with_carts().await;
    let commit = |ops, conditions| CommitRequest {
        namespace: Some(carts()),
        ops,
        conditions,
        ..CommitRequest::default()
    };
    let ops: Vec<Op> = (0..2500).map(|number| put(&format!("k{number:04}"), "v")).collect();
    assert_eq!(client.commit(commit(ops, vec![])).await.unwrap().into_inner().seq, 1);
    let unmet = vec![condition("k0000", Expected::Seq(1)), condition("x", Expected::Seq(1))];
    let refused = client.commit(commit(vec![delete("k0000")], unmet)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused}");
    let met = vec![condition("k0000", Expected::Seq(1)), condition("x", Expected::Absent(true))];
    client
        .commit(commit(vec![delete("k0000"), put("x", &"x".repeat(1_200_000))], met))
        .await
        .unwrap();
    let scan = |range, reverse, limit| ScanRequest {
        namespace: Some(carts()),
        range,
        reverse,
        limit,
        ..ScanRequest::default()
    };
    let keys = async |client: &mut cairn_grpc::proto::kv::v1::kv_api_client::KvApiClient<_>,
                      asked| {
        let parts = client.scan(asked).await.unwrap().into_inner();
        let parts: Vec<_> = parts.try_collect().await.unwrap();
        assert!(parts.iter().all(|part: &cairn_grpc::proto::kv::v1::ScanResponse| part.at == 2));
        let entries = parts.into_iter().flat_map(|part| part.entries);
        entries.map(|entry| String::from_utf8(entry.key.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    let mut expected: Vec<String> = (1..2500).map(|number| format!("k{number:04}")).collect();
    expected.push("x".to_owned());
    assert_eq!(keys(&mut client, scan(None, false, 0)).await, expected);
    expected.reverse();
    assert_eq!(keys(&mut client, scan(None, true, 0)).await, expected);
    assert_eq!(keys(&mut client, scan(None, true, 1200)).await, expected[..1200]);
    let prefix = |text: &str| KeyRange { prefix: Some(bytes(text)), ..KeyRange::default() };
    assert_eq!(keys(&mut client, scan(Some(prefix("k000")), false, 0)).await.len(), 9);
    assert!(keys(&mut client, scan(Some(prefix("z")), false, 0)).await.is_empty());
    let both = KeyRange { from: Some(bytes("a")), ..prefix("k") };
    let refused = client.scan(scan(Some(both), false, 0)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    let remove = |range, all| DeleteRangeRequest {
        namespace: Some(carts()),
        range,
        all,
        ..DeleteRangeRequest::default()
    };
    for (range, all) in
        [(None, false), (Some(KeyRange::default()), false), (Some(prefix("k")), true)]
    {
        let refused = client.delete_range(remove(range, all)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
    client.delete_range(remove(Some(prefix("k")), false)).await.unwrap();
    let asked = ScanRequest { keys_only: true, ..scan(None, false, 0) };
    let parts: Vec<_> = client.scan(asked).await.unwrap().into_inner().try_collect().await.unwrap();
    assert_eq!((parts.len(), parts[0].entries.len(), parts[0].entries[0].value.len()), (1, 1, 0));
}

/// GRPC-1 and the limits of keys: what is over one is refused, with the limit and before it is held.
#[tokio::test(flavor = "multi_thread")]
async fn grpc_1_limits_of_keys_hold() {
    use cairn_kv::limits::{COMMIT_BYTES_MAX, COMMIT_OPS_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
    let server = Server::start().await;
    let mut client = server.with_carts().await;
    let mut largest = put_one(&"k".repeat(KEY_BYTES_MAX), "", None);
    largest.value = vec![7; VALUE_BYTES_MAX].into();
    client.put(largest.clone()).await.unwrap();
    let read = client.get(get_one(&"k".repeat(KEY_BYTES_MAX))).await.unwrap().into_inner();
    assert_eq!(read.entry.unwrap().value, largest.value);
    let mut longer = largest.clone();
    longer.value = vec![7; VALUE_BYTES_MAX + 1].into();
    for (what, asked) in [
        ("a value", longer),
        ("a key", put_one(&"k".repeat(KEY_BYTES_MAX + 1), "", None)),
        ("no key", put_one("", "v", None)),
        ("a level", PutRequest { durable: 7, ..put_one("k", "v", None) }),
        ("no time", PutRequest { ttl_ms: Some(0), ..put_one("k", "v", None) }),
        ("no condition", PutRequest { condition: Some(Condition::default()), ..largest.clone() }),
        ("an absence", put_one("k", "v", Some(Expected::Absent(false)))),
        ("no namespace", PutRequest { namespace: None, ..largest }),
    ] {
        let refused = client.put(asked).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{what}: {refused}");
    }
    let commit = |ops| CommitRequest { namespace: Some(carts()), ops, ..CommitRequest::default() };
    let value = "v".repeat(VALUE_BYTES_MAX);
    let pieces = COMMIT_BYTES_MAX / VALUE_BYTES_MAX;
    let end = put::End::TtlMs(0);
    let timeless = Put { key: bytes("k"), value: Bytes::new(), end: Some(end) };
    let range = op::Op::DeleteRange(KeyRange::default());
    for (what, ops) in [
        ("bytes", (0..=pieces).map(|number| put(&number.to_string(), &value)).collect()),
        ("changes", vec![delete("k"); COMMIT_OPS_MAX + 1]),
        ("no change", vec![Op { op: None }]),
        ("no time", vec![Op { op: Some(op::Op::Put(timeless)) }]),
        ("no range", vec![Op { op: Some(range) }]),
    ] {
        let refused = client.commit(commit(ops)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{what}: {refused}");
    }
    let value = "v".repeat(KV_MESSAGE_BYTES_MAX);
    let refused = client.put(put_one("k", &value, None)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    assert!(refused.message().contains(&KV_MESSAGE_BYTES_MAX.to_string()), "{refused}");
    client.put(put_one("k", "v", None)).await.unwrap();
}

/// ACCESS-9 at this door: many uses are a record of the first and one with their number.
#[tokio::test(flavor = "multi_thread")]
async fn access_9_uses_of_keys_are_counted() {
    let server = Server::start().await;
    server.with_carts().await;
    let (_, writer) = server.user("writer", &["writer carts"]).await;
    let mut client = server.keys_as(Some(&writer)).await;
    for number in 0..50 {
        client.put(put_one("k", &number.to_string(), None)).await.unwrap();
        client.get(get_one("k")).await.unwrap();
    }
    let refused = put_one("k", "x", Some(Expected::Absent(true)));
    client.put(refused).await.unwrap_err();
    let elsewhere = PutRequest {
        namespace: Some(Namespace { project: String::new(), name: "other".to_owned() }),
        ..put_one("k", "x", None)
    };
    assert_eq!(client.put(elsewhere).await.unwrap_err().code(), Code::PermissionDenied);
    server.access.settle().await.unwrap();
    let log = server.access.audit().log().clone();
    let batches: Vec<_> =
        log.read(0, Filter::default()).await.unwrap().try_collect().await.unwrap();
    let told = batches.into_iter().flat_map(|batch| batch.lines).filter_map(|line| match line {
        Line::Entry(entry) if entry.record.caller.to_string() == "writer" => {
            let record = entry.record;
            let (action, detail) = (record.action.to_string(), record.detail.to_string());
            Some((action, record.outcome, record.count, detail))
        }
        _ => None,
    });
    let told: Vec<_> = told.collect();
    let of = |action: &str, outcome: Outcome| {
        let fits = told.iter().filter(|one| one.0 == action && one.1 == outcome);
        fits.fold((0, 0), |(records, uses), one| (records + 1, uses + one.2))
    };
    let (records, uses) = of("write_keys", Outcome::Changed);
    // A busy machine may take longer than the time that one record stands for.
    assert!((1..10).contains(&records) && uses == 50, "{told:#?}");
    assert!(told.iter().any(|one| one.3.starts_with("commits 1 to ")), "{told:#?}");
    assert_eq!(of("write_keys", Outcome::Failed).1, 1, "{told:#?}");
    assert_eq!(of("write_keys", Outcome::Denied), (1, 1), "{told:#?}");
    let (records, uses) = of("read_keys", Outcome::Allowed);
    assert!((1..10).contains(&records) && uses == 50, "{told:#?}");
}
