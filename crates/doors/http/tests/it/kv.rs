//! Namespaces of keys over REST, with curl's help where a client that is not ours matters.

use std::collections::BTreeMap;

use axum::http::Method;
use cairn_audit::{Filter, Line, Outcome};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Server, program};

pub(crate) async fn call(
    server: &Server,
    token: &str,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> reqwest::Response {
    let url = format!("{}/api/v1/kv/{path}", server.url);
    let mut request = server.http().request(method, url).bearer_auth(token).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

pub(crate) async fn ask(server: &Server, method: Method, path: &str, body: &str) -> (u16, Value) {
    let answer = call(server, &server.root, method, path, &[], body.to_owned()).await;
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

pub(crate) async fn with_namespace() -> Server {
    let server = Server::start().await;
    assert_eq!(ask(&server, Method::PUT, "main/carts", "").await.0, 201);
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_are_made_listed_set_and_removed() {
    let server = Server::start().await;
    let (status, made) = ask(&server, Method::PUT, "main/carts", r#"{"durable":"bucket"}"#).await;
    assert_eq!(
        (status, &made["durable"], &made["history_ms"]),
        (201, &json!("bucket"), &json!(3_600_000))
    );
    let (status, set) = ask(&server, Method::PUT, "main/carts", r#"{"history_ms":60000}"#).await;
    assert_eq!(
        (status, &set["durable"], &set["history_ms"]),
        (200, &json!("bucket"), &json!(60_000))
    );
    let only_make = [("if-none-match", "*")];
    let again = call(&server, &server.root, Method::PUT, "main/carts", &only_make, "").await;
    assert_eq!(again.status(), 409);
    let only_set = [("if-match", "*")];
    let absent = call(&server, &server.root, Method::PUT, "main/none", &only_set, "").await;
    assert_eq!(absent.status(), 404);
    for name in ["a", "b", "c"] {
        assert_eq!(ask(&server, Method::PUT, &format!("main/{name}"), "").await.0, 201);
    }
    let (_, page) = ask(&server, Method::GET, "main?limit=2", "").await;
    assert_eq!(page["namespaces"][1], json!({"project": "main", "name": "b"}));
    let (_, page) = ask(&server, Method::GET, "main?limit=2&after=b", "").await;
    assert_eq!(page["namespaces"][1]["name"], "carts");
    assert_eq!(page["next"], Value::Null);
    assert_eq!(ask(&server, Method::PUT, "main/carts/keys/k", "v").await.0, 200);
    assert_eq!(ask(&server, Method::DELETE, "main/carts", "").await.0, 204);
    assert_eq!(ask(&server, Method::GET, "main/carts", "").await.0, 404);
    assert_eq!(ask(&server, Method::GET, "main/carts/keys/k", "").await.0, 404);
    for (path, body, status) in [
        ("main/Carts", "", 400),
        ("main/ca~rts", "", 400),
        ("main/new", "{", 400),
        ("main/new", r#"{"durable":"never"}"#, 400),
        ("main/new", r#"{"history_ms":99999999999}"#, 400),
        ("main/new", r#"{"historyms":5}"#, 400),
    ] {
        let (found, said) = ask(&server, Method::PUT, path, body).await;
        assert_eq!(found, status, "{path} {body}: {said}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_begins_as_its_source_is() {
    let server = with_namespace().await;
    assert_eq!(ask(&server, Method::PUT, "main/carts/keys/k", "one").await.0, 200);
    let clone_of = r#"{"clone_of":"carts"}"#;
    let (status, made) = ask(&server, Method::PUT, "main/copy", clone_of).await;
    assert_eq!((status, &made["name"], &made["seq"]), (201, &json!("copy"), &json!(1)));
    assert_eq!(ask(&server, Method::PUT, "main/carts/keys/k", "two").await.0, 200);
    let copied = call(&server, &server.root, Method::GET, "main/copy/keys/k", &[], "").await;
    assert_eq!(copied.text().await.unwrap(), "one");
    for (path, body, status) in [
        ("main/copy", clone_of, 409),
        ("main/other", r#"{"clone_of":"nothing"}"#, 404),
        ("lab/copy", clone_of, 404),
        ("main/other", r#"{"clone_of":"no/name"}"#, 400),
        ("main/other", r#"{"clone_of":"carts","durable":"log"}"#, 400),
    ] {
        let (found, said) = ask(&server, Method::PUT, path, body).await;
        assert_eq!(found, status, "{path} {body}: {said}");
    }
    // KV-2: who may not read the source is told that there is none.
    let writer = server.user("writer", &["writer mine"]).await;
    let put = async |headers: &[(&str, &str)], body: &'static str| {
        call(&server, &writer, Method::PUT, "main/mine", headers, body).await.status().as_u16()
    };
    assert_eq!(put(&[], clone_of).await, 404);
    let only_change = [("if-match", "*")];
    let changed = call(&server, &server.root, Method::PUT, "main/new", &only_change, clone_of);
    assert_eq!(changed.await.status(), 400);
    assert_eq!(put(&[("if-none-match", "*")], "").await, 201);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_etags() {
    let server = with_namespace().await;
    let key = "main/carts/keys/alice";
    let put = async |headers: &[(&str, &str)], value: &str| {
        let answer = call(&server, &server.root, Method::PUT, key, headers, value.to_owned()).await;
        let etag = answer.headers().get("etag").map(|etag| etag.to_str().unwrap().to_owned());
        (answer.status().as_u16(), etag)
    };
    let (status, first) = put(&[("if-none-match", "*")], "one").await;
    assert_eq!((status, first.as_deref()), (200, Some("\"1\"")));
    assert_eq!(put(&[("if-none-match", "*")], "two").await.0, 412);
    let (status, second) = put(&[("if-match", "\"1\"")], "two").await;
    assert_eq!((status, second.as_deref()), (200, Some("\"2\"")));
    assert_eq!(put(&[("if-match", "\"1\"")], "three").await.0, 412);
    for wrong in ["1", "\"x\"", "*", "\"1\", \"2\"", "W/\"1\""] {
        assert_eq!(put(&[("if-match", wrong)], "x").await.0, 400, "{wrong}");
    }
    assert_eq!(put(&[("if-match", "\"2\""), ("if-none-match", "*")], "x").await.0, 400);
    let get = async |headers: &[(&str, &str)], query: &str| {
        let path = format!("{key}{query}");
        let answer = call(&server, &server.root, Method::GET, &path, headers, "").await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(get(&[], "").await, (200, "two".to_owned()));
    assert_eq!(get(&[], "?at=1").await, (200, "one".to_owned()), "the past is readable");
    assert_eq!(get(&[("if-none-match", "\"2\"")], "").await, (304, String::new()));
    assert_eq!(get(&[("if-none-match", "\"1\", W/\"2\"")], "").await.0, 304);
    assert_eq!(get(&[("if-none-match", "\"1\"")], "").await.0, 200);
    assert_eq!(get(&[], "?at=99").await.0, 400);
    assert_eq!(get(&[], "?at=1&at_ms=1").await.0, 400);
    let head = call(&server, &server.root, Method::HEAD, key, &[], "").await;
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-length"]),
        (200, &"3".parse().unwrap())
    );
    assert_eq!(head.headers()["etag"], "\"2\"");
    let delete = async |headers: &[(&str, &str)]| {
        call(&server, &server.root, Method::DELETE, key, headers, "").await.status().as_u16()
    };
    assert_eq!(delete(&[("if-match", "\"1\"")]).await, 412);
    assert_eq!(delete(&[("if-match", "\"2\"")]).await, 200);
    assert_eq!(get(&[], "").await.0, 404);
    assert_eq!(delete(&[]).await, 200, "removing what is not there is no error");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_any_bytes_and_values_have_a_limit() {
    let server = with_namespace().await;
    let mut expected = BTreeMap::new();
    for (number, text) in
        ["a", "a/b", "a%2Fc", "%00%ff", "sp%20ace", "q%3F%23", "%C3%BC", "a//b/"].iter().enumerate()
    {
        let path = format!("main/carts/keys/{text}");
        let value = number.to_string();
        assert_eq!(ask(&server, Method::PUT, &path, &value).await.0, 200, "{text}");
        let answer = call(&server, &server.root, Method::GET, &path, &[], "").await;
        assert_eq!(answer.text().await.unwrap(), value, "{text}");
        expected.insert(percent_decoded(text), value);
    }
    let (_, page) = ask(&server, Method::GET, "main/carts/scan", "").await;
    let found: BTreeMap<Vec<u8>, String> =
        page["entries"].as_array().unwrap().iter().map(pair).collect();
    assert_eq!(found, expected);
    let long = format!("main/carts/keys/{}", "k".repeat(4096));
    assert_eq!(ask(&server, Method::PUT, &long, "v").await.0, 200);
    assert_eq!(ask(&server, Method::PUT, &format!("{long}k"), "v").await.0, 413);
    let most = vec![7; 4 << 20];
    let path = "main/carts/keys/big";
    let put = call(&server, &server.root, Method::PUT, path, &[], most.clone()).await;
    assert_eq!(put.status(), 200);
    let got = call(&server, &server.root, Method::GET, path, &[], "").await;
    assert_eq!(got.bytes().await.unwrap(), most);
    assert_eq!(ask(&server, Method::PUT, "main/carts/keys/", "v").await.0, 404);
    server.stop().await;
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let pair = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&pair).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    bytes
}

fn pair(entry: &Value) -> (Vec<u8>, String) {
    let key = match entry["key"].as_str() {
        Some(key) => key.as_bytes().to_vec(),
        // The only one here that is not UTF-8.
        None => {
            assert_eq!(entry["key_base64"], "AP8=");
            vec![0, 0xff]
        }
    };
    (key, entry["value"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn scans_come_in_pages_of_one_state() {
    let server = with_namespace().await;
    let op = |number: u32| json!({"op": "put", "key": format!("k{number:03}"), "value": "v"});
    let ops: Vec<Value> = (0..100).map(op).collect();
    let commit = json!({"ops": ops}).to_string();
    assert_eq!(
        ask(&server, Method::POST, "main/carts/commit", &commit).await,
        (200, json!({"seq": 1}))
    );
    let mut keys = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("main/carts/scan?prefix=k0&limit=7&reverse=true&keys_only=true{cursor}");
        let (status, page) = ask(&server, Method::GET, &path, "").await;
        assert_eq!((status, &page["at"]), (200, &json!(1)));
        for entry in page["entries"].as_array().unwrap() {
            assert_eq!(entry.get("value"), None);
            keys.push(entry["key"].as_str().unwrap().to_owned());
        }
        // What is put meanwhile is not in it.
        assert_eq!(ask(&server, Method::PUT, "main/carts/keys/k000a", "new").await.0, 200);
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..100).rev().map(|number| format!("k{number:03}")).collect();
    assert_eq!(keys, expected);
    let (_, page) = ask(&server, Method::GET, "main/carts/scan?from=k098&to=k1", "").await;
    assert_eq!(page["entries"].as_array().unwrap().len(), 2);
    for wrong in ["limit=0", "limit=10001", "cursor=x", "prefix=a&from=b", "reverse=maybe", "at=x"]
    {
        let (status, _) = ask(&server, Method::GET, &format!("main/carts/scan?{wrong}"), "").await;
        assert_eq!(status, 400, "{wrong}");
    }
    for (query, left) in [("prefix=k00", 90), ("from=k05&to=k06", 80), ("all=true", 0)] {
        let (status, _) =
            ask(&server, Method::POST, &format!("main/carts/delete-range?{query}"), "").await;
        assert_eq!(status, 200);
        let (_, page) = ask(&server, Method::GET, "main/carts/scan", "").await;
        assert_eq!(page["entries"].as_array().unwrap().len(), left, "{query}");
    }
    for wrong in ["", "?all=true&prefix=a"] {
        let path = format!("main/carts/delete-range{wrong}");
        assert_eq!(ask(&server, Method::POST, &path, "").await.0, 400);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_whole_or_nothing() {
    let server = with_namespace().await;
    let commit = async |body: Value| {
        ask(&server, Method::POST, "main/carts/commit", &body.to_string()).await
    };
    let put = |key: &str, value: &str| json!({"op": "put", "key": key, "value": value});
    let (status, _) = commit(json!({
        "ops": [put("a", "1"), put("b", "1")],
        "conditions": [{"key": "a", "absent": true}],
        "durable": "bucket",
    }))
    .await;
    assert_eq!(status, 200);
    let (status, said) = commit(json!({
        "ops": [put("a", "2"), {"op": "delete", "key": "b"}],
        "conditions": [{"key": "a", "seq": 1}, {"key": "b", "seq": 7}],
    }))
    .await;
    assert_eq!((status, &said["error"]["kind"]), (412, &json!("conflict")), "{said}");
    let (_, page) = ask(&server, Method::GET, "main/carts/scan", "").await;
    assert_eq!(page["entries"][0]["value"], "1");
    let (status, _) = commit(json!({"ops": [
        {"op": "delete_range", "from": "a", "to": "b"},
        {"op": "put", "key_base64": "/w==", "value_base64": "/wA=", "ttl_ms": 60000},
    ]}))
    .await;
    assert_eq!(status, 200);
    let (_, page) = ask(&server, Method::GET, "main/carts/scan", "").await;
    assert_eq!(page["entries"][0]["key"], "b");
    assert_eq!(page["entries"][1]["value_base64"], "/wA=");
    assert!(page["entries"][1]["expires_ms"].as_u64().unwrap() > 1_700_000_000_000);
    for wrong in [
        json!({"ops": [{"op": "put", "key": "a"}]}),
        json!({"ops": [{"op": "put", "key": "a", "key_base64": "AA==", "value": ""}]}),
        json!({"ops": [{"op": "put", "key": "", "value": ""}]}),
        json!({"ops": [{"op": "put", "key": "a", "value": "", "ttl_ms": 0}]}),
        json!({"ops": [{"op": "put", "key": "a", "value": "", "ttl_ms": 5, "expires_ms": 5}]}),
        json!({"ops": [{"op": "drop", "key": "a"}]}),
        json!({"ops": [{"op": "delete", "key_base64": "/"}]}),
        json!({"ops": [], "conditions": [{"key": "a"}]}),
        json!({"ops": [], "conditions": [{"key": "a", "seq": 1, "absent": true}]}),
        json!({"ops": [], "unknown": 1}),
        json!([]),
    ] {
        let (status, said) = commit(wrong.clone()).await;
        assert_eq!(status, 400, "{wrong}: {said}");
    }
    let many: Vec<Value> = (0..10_001).map(|number| put(&number.to_string(), "")).collect();
    assert_eq!(commit(json!({ "ops": many })).await.0, 413);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_lives_as_long_as_it_is_told() {
    let server = with_namespace().await;
    let key = "main/carts/keys/session";
    let life = "main/carts/ttl/session";
    let expires = async || {
        let answer = call(&server, &server.root, Method::GET, key, &[], "").await;
        let header = answer.headers().get("x-cairn-expires-ms");
        header.map(|ms| ms.to_str().unwrap().parse::<u64>().unwrap())
    };
    assert_eq!(ask(&server, Method::PUT, &format!("{life}?ttl=1h"), "").await.0, 404);
    assert_eq!(ask(&server, Method::PUT, &format!("{key}?ttl=30m"), "v").await.0, 200);
    let first = expires().await.unwrap();
    let (status, touched) = ask(&server, Method::PUT, &format!("{life}?ttl=1h"), "").await;
    assert_eq!((status, touched["expires_ms"].as_u64()), (200, expires().await));
    assert!(expires().await.unwrap() - first > 1_700_000);
    assert_eq!(ask(&server, Method::DELETE, life, "").await.0, 200);
    assert_eq!(expires().await, None);
    for wrong in ["", "?ttl=", "?ttl=0", "?ttl=1y", "?ttl=-1s", "?ttl=99999999999w"] {
        assert_eq!(
            ask(&server, Method::PUT, &format!("{life}{wrong}"), "").await.0,
            400,
            "{wrong}"
        );
    }
    assert_eq!(ask(&server, Method::PUT, &format!("{key}?ttl=1ms"), "v").await.0, 200);
    while ask(&server, Method::HEAD, key, "").await.0 != 404 {
        tokio::task::yield_now().await;
    }
    server.stop().await;
}

/// KV-1 through the door: what is exported gives the same entries elsewhere, and again.
#[tokio::test(flavor = "multi_thread")]
async fn kv_1_an_export_imported_elsewhere_gives_the_same() {
    let server = with_namespace().await;
    assert_eq!(ask(&server, Method::PUT, "lab/copy", "").await.0, 201);
    let mut ops = vec![json!({"op": "put", "key_base64": "/w==", "value_base64": "/wD/"})];
    ops.extend((0..2500).map(|number| {
        json!({"op": "put", "key": format!("k{number}"), "value": "x".repeat(number % 700),
            "expires_ms": 99_999_999_999_999_u64})
    }));
    let commit = json!({ "ops": ops }).to_string();
    assert_eq!(ask(&server, Method::POST, "main/carts/commit", &commit).await.0, 200);
    let export = async |path: &str| {
        let answer = call(&server, &server.root, Method::GET, path, &[], "").await;
        assert_eq!(answer.headers()["content-type"], "application/x-ndjson");
        answer.bytes().await.unwrap()
    };
    let lines = export("main/carts/export").await;
    for _ in 0..2 {
        let answer =
            call(&server, &server.root, Method::POST, "lab/copy/import", &[], lines.clone()).await;
        assert_eq!(answer.status(), 200);
        let done: Value = answer.json().await.unwrap();
        assert_eq!(done["entries"], 2501);
    }
    assert_eq!(export("lab/copy/export").await, lines);
    let hostile =
        "{\"key\":\"a\",\"value\":\"1\"}\n\n{\"key\":\"b\"}\n{\"key\":\"c\",\"value\":\"1\"}\n";
    let (status, said) = ask(&server, Method::POST, "lab/copy/import", hostile).await;
    let message = said["error"]["message"].as_str().unwrap();
    assert_eq!(status, 400);
    assert!(
        message.starts_with("line 3: it has neither value nor value_base64; 1 entries"),
        "{message}"
    );
    assert_eq!(ask(&server, Method::GET, "lab/copy/keys/a", "").await.0, 200);
    assert_eq!(ask(&server, Method::GET, "lab/copy/keys/c", "").await.0, 404);
    server.stop().await;
}

/// KV-2: keys are reached through the grants of their namespace alone, and a namespace that one may not
/// read is in no list.
#[tokio::test(flavor = "multi_thread")]
async fn kv_2_keys_are_reached_through_grants_alone() {
    let server = with_namespace().await;
    assert_eq!(ask(&server, Method::PUT, "main/secret", "").await.0, 201);
    for namespace in ["carts", "secret"] {
        let path = format!("main/{namespace}/keys/k");
        assert_eq!(ask(&server, Method::PUT, &path, "v").await.0, 200);
    }
    let reader = server.user("reader", &["reader carts"]).await;
    let writer = server.user("writer", &["writer carts"]).await;
    let (get, put, post, delete) = (Method::GET, Method::PUT, Method::POST, Method::DELETE);
    for (method, path, body, read, write) in [
        (&get, "keys/k", "", 200, 200),
        (&get, "scan", "", 200, 200),
        (&get, "export", "", 200, 200),
        (&get, "", "", 200, 200),
        (&put, "keys/k", "v", 403, 200),
        (&put, "ttl/k?ttl=1h", "", 403, 200),
        (&delete, "ttl/k", "", 403, 200),
        (&post, "commit", r#"{"ops":[]}"#, 403, 200),
        (&post, "delete-range?prefix=z", "", 403, 200),
        (&post, "import", "", 403, 200),
        (&delete, "keys/z", "", 403, 200),
        (&put, "", "", 403, 200),
    ] {
        for (token, namespace, expected) in [
            (&reader, "carts", read),
            (&writer, "carts", write),
            (&reader, "secret", 403),
            (&writer, "secret", 403),
            (&writer, "nowhere", 403),
        ] {
            let path = format!("main/{namespace}/{path}");
            let path = path.trim_end_matches('/');
            let answer = call(&server, token, method.clone(), path, &[], body).await;
            assert_eq!(answer.status(), expected, "{method} {path}");
        }
    }
    let list = call(&server, &reader, Method::GET, "main", &[], "").await;
    let list: Value = list.json().await.unwrap();
    assert_eq!(list["namespaces"], json!([{"project": "main", "name": "carts"}]));
    let nobody = server.http().get(format!("{}/api/v1/kv/main/carts/keys/k", server.url));
    assert_eq!(nobody.send().await.unwrap().status(), 401);
    server.stop().await;
}

/// ACCESS-9 through the door: a thousand changes are a record of the first and one with their number.
#[tokio::test(flavor = "multi_thread")]
async fn access_9_changes_of_keys_are_counted() {
    let server = with_namespace().await;
    let writer = server.user("writer", &["writer carts"]).await;
    for number in 0..100 {
        let path = format!("main/carts/keys/k{number}");
        assert_eq!(call(&server, &writer, Method::PUT, &path, &[], "v").await.status(), 200);
        assert_eq!(call(&server, &writer, Method::GET, &path, &[], "").await.status(), 200);
    }
    let failing = [("if-match", "\"7777\"")];
    let failed = call(&server, &writer, Method::PUT, "main/carts/keys/k1", &failing, "v").await;
    assert_eq!(failed.status(), 412);
    let denied = call(&server, &writer, Method::PUT, "main/other/keys/k", &[], "v").await;
    assert_eq!(denied.status(), 403);
    server.access.settle().await.unwrap();
    let filter = Filter { caller: Some("writer".to_owned()), ..Filter::default() };
    let batches = server.access.audit().log().read(0, filter).await.unwrap();
    let batches: Vec<_> = batches.try_collect().await.unwrap();
    let lines = batches.into_iter().flat_map(|batch| batch.lines);
    let records: Vec<_> = lines
        .map(|line| match line {
            Line::Entry(entry) => entry.record,
            Line::Gap(gap) => panic!("{gap:?}"),
        })
        .collect();
    let count = |action: &str, outcome| {
        let fits = records
            .iter()
            .filter(|record| record.action.as_str() == action && record.outcome == outcome);
        let (records, uses) = fits.fold((0, 0), |(n, sum), record| (n + 1, sum + record.count));
        (records, uses)
    };
    let (records_changed, changed) = count("write_keys", Outcome::Changed);
    assert!((1..10).contains(&records_changed), "{records_changed}");
    assert_eq!(changed, 100);
    assert_eq!(count("write_keys", Outcome::Failed).1, 1);
    assert_eq!(count("read_keys", Outcome::Allowed).1, 100);
    assert_eq!(count("write_keys", Outcome::Denied), (1, 1));
    let told = records.iter().find(|record| record.outcome == Outcome::Changed).unwrap();
    assert!(told.detail.as_str().starts_with("commits 1 to "), "{}", told.detail);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_requests_are_refused_and_change_nothing() {
    let server = with_namespace().await;
    let (get, put, post) = (Method::GET, Method::PUT, Method::POST);
    for (method, path, body, status) in [
        (&get, "main/carts/keys/%", "", 404),
        (&put, "main/carts/keys/a?durable=always", "v", 400),
        (&get, "main/carts/watch?after=x", "", 400),
        (&get, "main/carts/watch?after=99", "", 400),
        (&post, "main/carts/keys/a", "v", 405),
        (&get, "main/..%2Fcarts/scan", "", 400),
        (&get, "main/carts/export?at=12", "", 400),
        (&post, "main/carts/import", "\u{0}", 400),
        (&post, "main/carts/import", "{\"key\":\"a\",\"value\":\"b\"} trailing", 400),
        (&post, "main/carts/import", "[1,2]", 400),
    ] {
        let (found, said) = ask(&server, method.clone(), path, body).await;
        assert_eq!(found, status, "{method} {path}: {said}");
    }
    let invalid =
        call(&server, &server.root, post, "main/carts/import", &[], vec![0xff; 100]).await;
    assert_eq!(invalid.status(), 400);
    let (_, page) = ask(&server, get, "main/carts/scan", "").await;
    assert_eq!(page["entries"], json!([]));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_puts_gets_scans_and_swaps() {
    let server = with_namespace().await;
    let user = format!(":{}", server.root);
    let base = format!("{}/api/v1/kv/main/carts", server.url);
    let curl = async |args: &[&str], path: &str| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20", "--path-as-is", "-u", &user]).args(args);
        let output = program(command.arg(format!("{base}{path}"))).await?;
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let Some(put) =
        curl(&["-f", "-T-", "-X", "PUT", "-H", "content-length: 0"], "/keys/none").await
    else {
        return;
    };
    drop(put);
    let code = ["-o", "/dev/null", "-w", "%{http_code}"];
    let with = |args: &[&'static str]| [&code[..], args].concat();
    assert_eq!(
        curl(&["-f", "--data-binary", "apples", "-X", "PUT"], "/keys/users/42").await.unwrap(),
        r#"{"seq":2}"#
    );
    assert_eq!(curl(&["-f"], "/keys/users/42").await.unwrap(), "apples");
    assert_eq!(curl(&["-f"], "/keys/users%2F42").await.unwrap(), "apples");
    let swap = ["-X", "PUT", "-d", "pears", "-H", "If-Match: \"2\""];
    assert_eq!(curl(&with(&swap), "/keys/users/42").await.unwrap(), "200");
    assert_eq!(curl(&with(&swap), "/keys/users/42").await.unwrap(), "412");
    let work = tempfile::tempdir().unwrap();
    std::fs::write(work.path().join("large"), vec![7; (4 << 20) + 1]).unwrap();
    let large = format!("@{}", work.path().join("large").display());
    let code_and_text = ["-w", "%{http_code}", "-X", "PUT", "--data-binary", &large];
    let put = curl(&code_and_text, "/keys/users/large").await.unwrap();
    assert_eq!(put, r#"{"seq":4}200"#);
    let scan = curl(&["-f", "-G", "--data-urlencode", "prefix=users/"], "/scan").await.unwrap();
    let scan: Value = serde_json::from_str(&scan).unwrap();
    assert_eq!(scan["entries"][0]["value"], "pears");
    let entry = serde_json::json!({
        "key": "users/large", "large": true, "size": (4 << 20) + 1, "seq": 4,
    });
    assert_eq!(scan["entries"][1], entry);
    let ends = curl(&["-f", "-r", "4194300-", "-D-"], "/keys/users/large").await.unwrap();
    assert!(ends.starts_with("HTTP/1.1 206"), "{ends}");
    assert!(ends.contains("content-range: bytes 4194300-4194304/4194305"), "{ends}");
    assert!(ends.ends_with("\u{7}\u{7}\u{7}\u{7}\u{7}"), "{ends}");
    assert_eq!(curl(&with(&["-r", "4194305-"]), "/keys/users/large").await.unwrap(), "416");
    let part = curl(&["-f", "-r", "1-2"], "/keys/users/42").await.unwrap();
    assert_eq!(part, "ea", "of a small value too");
    let long = ["-X", "PUT", "-d", "x", "-H", "content-length: 1073741825"];
    assert_eq!(curl(&with(&long), "/keys/users/42").await.unwrap(), "413");
    assert_eq!(curl(&with(&["-X", "DELETE"]), "/keys/users/42").await.unwrap(), "200");
    assert_eq!(curl(&with(&[]), "/keys/users/42").await.unwrap(), "404");
    let watched = curl(&["-N", "-m", "1"], "/watch?after=0").await.unwrap();
    let lines: Vec<Value> =
        watched.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(told, ["position", "put", "put", "put", "put", "delete"]);
    server.stop().await;
}
