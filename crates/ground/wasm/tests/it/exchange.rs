//! Modules for My Own Cluster, which know no WASI.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use cairn_wasm::{
    Call, Command, Failure, File, FileError, Limits, Store, StoreError, Stores, World, held,
    prepare,
};

use crate::lab::{code, world};

/// Keys in memory.
#[derive(Clone, Default)]
struct Keys(Arc<Mutex<BTreeMap<String, Bytes>>>);

#[async_trait::async_trait]
impl Stores for Keys {
    async fn open(&self, name: &str) -> Result<Arc<dyn Store>, StoreError> {
        if name == "default" { Ok(Arc::new(self.clone())) } else { Err(StoreError::NoSuchStore) }
    }
}

#[async_trait::async_trait]
impl Store for Keys {
    async fn get(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let all = self.0.lock().unwrap();
        Ok(keys.iter().map(|key| all.get(key).cloned()).collect())
    }

    async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.0.lock().unwrap().contains_key(key))
    }

    async fn set(&self, pairs: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        if pairs.iter().any(|(key, _)| key == "forbidden") {
            return Err(StoreError::Denied);
        }
        self.0.lock().unwrap().extend(pairs);
        Ok(())
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        self.0.lock().unwrap().retain(|key, _| !keys.contains(key));
        Ok(())
    }

    // Two keys at a time, so that they are asked for again and again.
    async fn keys(&self, after: Option<&str>) -> Result<(Vec<String>, bool), StoreError> {
        let all = self.0.lock().unwrap();
        let left = all.keys().filter(|key| after.is_none_or(|after| key.as_str() > after));
        let page: Vec<String> = left.clone().take(2).cloned().collect();
        Ok((page, left.count() > 2))
    }

    async fn increment(&self, _: &str, _: i64) -> Result<i64, StoreError> {
        Err(StoreError::Denied)
    }

    async fn versioned(&self, _: &str) -> Result<(Option<Bytes>, u64), StoreError> {
        Err(StoreError::Denied)
    }

    async fn swap(&self, _: &str, _: u64, _: Bytes) -> Result<bool, StoreError> {
        Err(StoreError::Denied)
    }
}

/// Imports, with the types that the earlier system gave them.
const IMPORTS: [(&str, usize); 31] = [
    ("get_input_buffer_id", 0),
    ("get_output_buffer_id", 0),
    ("create_exchange_buffer", 0),
    ("write_exchange_buffer", 3),
    ("write_exchange_buffer_header", 5),
    ("write_exchange_buffer_status_code", 2),
    ("read_exchange_buffer", 3),
    ("read_exchange_buffer_headers", 1),
    ("base64_decode", 2),
    ("base64_encode", 2),
    ("register_blob_with_name", 6),
    ("register_blob", 4),
    ("get_blob_tech_id_from_name", 2),
    ("get_blob_bytes_as_string", 2),
    ("plug_function", 12),
    ("plug_file", 8),
    ("unplug_path", 4),
    ("get_status", 0),
    ("persistence_set", 4),
    ("get_url", 2),
    ("persistence_get", 2),
    ("persistence_get_subset", 2),
    ("print_debug", 2),
    ("get_time", 2),
    ("free_buffer", 1),
    ("call_function", 14),
    ("export_database", 0),
    ("beta_web_proxy", 2),
    ("is_trace", 0),
    ("plug_filter", 6),
    ("unplug_filter", 2),
];

/// A module of these functions, in which `'text'` is an address and a length; $emit writes a buffer to the answer.
fn module(provider: &str, functions: &str) -> String {
    let (mut imports, mut data) = (String::new(), String::new());
    for (name, takes) in IMPORTS {
        let takes = " i32".repeat(takes);
        imports += &format!(
            "(import \"{provider}\" \"{name}\" (func ${name} (param{takes}) (result i32)))\n"
        );
    }
    let (mut body, mut at) = (String::new(), 16);
    for (index, piece) in functions.split('\'').enumerate() {
        if index % 2 == 0 {
            body += piece;
            continue;
        }
        let bytes: String = piece.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        data += &format!("(data (i32.const {at}) \"{bytes}\")\n");
        body += &format!("(i32.const {at}) (i32.const {})", piece.len());
        at += piece.len();
    }
    let emit = "(func $emit (param $id i32) (local $size i32)
        (local.set $size (call $read_exchange_buffer (local.get $id) (i32.const 0) (i32.const 0)))
        (drop (call $read_exchange_buffer (local.get $id) (i32.const 4096) (local.get $size)))
        (drop (call $write_exchange_buffer (call $get_output_buffer_id) (i32.const 4096) (local.get $size))))";
    format!("(module {imports} (memory (export \"memory\") 64) {data} {emit} {body})")
}

/// What is given to a run.
#[derive(Default)]
struct With {
    keys: Keys,
    blobs: crate::blobs::Kept,
    environment: Vec<(&'static str, &'static str)>,
    arguments: Vec<&'static str>,
    input: Vec<u8>,
    /// In place of the input.
    file: Option<Arc<dyn File>>,
    limits: Limits,
}

/// A file that does not know how long it is, and may not be there just now.
struct Untold(Option<Bytes>);

#[async_trait]
impl File for Untold {
    async fn size(&self) -> Option<u64> {
        None
    }

    async fn read(&self, at: u64, most: usize) -> Result<Bytes, FileError> {
        let gone = || FileError::Other("it cannot be read now".to_owned());
        let bytes = self.0.as_ref().ok_or_else(gone)?;
        let from = usize::try_from(at).unwrap().min(bytes.len());
        // A little at a time.
        Ok(bytes.slice(from..(from + most.min(5)).min(bytes.len())))
    }
}

/// The exit code, the output and the log.
async fn run(text: &str, with: &With) -> Result<(i32, Bytes, Vec<String>), Failure> {
    let component = prepare(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    let (world, kept) = world();
    let world = World {
        stores: Arc::new(with.keys.clone()),
        blobs: Arc::new(with.blobs.clone()),
        outside: Arc::new(crate::files::Echo),
        ..world
    };
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let call = Call {
        arguments: ["f"].iter().chain(&with.arguments).map(|one| (*one).to_owned()).collect(),
        inputs: vec![with.file.clone().unwrap_or_else(|| held(with.input.clone().into()))],
        environment: with.environment.iter().map(owned).collect(),
        ..Call::default()
    };
    let command = Command::new(&code(component.component).await, with.limits.clone(), world);
    let done = command.unwrap().run(call).await?;
    Ok((done.exit, done.output, kept.lines()))
}

/// What a function of these instructions writes and logs.
async fn does(instructions: &str, with: &With) -> (String, String) {
    let text = module("core", &format!("(func (export \"main\") {instructions})"));
    let (exit, output, log) = run(&text, with).await.unwrap();
    assert_eq!(exit, 0, "{instructions}: {log:?}");
    (String::from_utf8_lossy(&output).into_owned(), log.concat())
}

#[tokio::test]
async fn buffers_are_made_written_read_and_freed() {
    let round = "(func (export \"_start\") (param i32 i32) (result i32) (local $b i32)
        (drop (call $print_debug 'hello'))
        (local.set $b (call $create_exchange_buffer))
        (drop (call $write_exchange_buffer (local.get $b) 'hello'))
        (drop (call $write_exchange_buffer (local.get $b) ' world'))
        (call $emit (local.get $b))
        (if (i32.ne (call $read_exchange_buffer (local.get $b) (i32.const 4096) (i32.const 3)) (i32.const 11))
            (then (return (i32.const 1))))
        (drop (call $free_buffer (local.get $b)))
        (if (call $read_exchange_buffer (local.get $b) (i32.const 0) (i32.const 0)) (then (return (i32.const 2))))
        (i32.add (i32.const 700) (i32.add (local.get 0) (local.get 1))))";
    for provider in ["core", "my-own-cluster"] {
        let with = With { arguments: vec!["20", "3"], ..With::default() };
        let (exit, output, log) = run(&module(provider, round), &with).await.unwrap();
        assert_eq!((exit, &output[..]), (723, &b"hello world"[..]), "{log:?}");
        assert_eq!(log, ["stdout: hello"]);
    }
}

/// What is read reaches its place whole, however long it is, and nothing beside it changes.
#[tokio::test]
async fn inputs_are_read_where_they_are_asked_for() {
    let text = module(
        "core",
        "(func (export \"main\") (param $to i32) (result i32) (local $size i32)
            (i64.store (i32.const 0) (i64.const 0x1122334455667788))
            (local.set $size (call $read_exchange_buffer (i32.const 1) (i32.const 0) (i32.const 0)))
            (if (i32.ne (local.get $size) (call $read_exchange_buffer (i32.const 1) (local.get $to) (local.get $size)))
                (then (return (i32.const 1))))
            (drop (call $write_exchange_buffer (i32.const 2) (i32.const 0) (i32.add (i32.const 8) (local.get $size))))
            (i32.const 0))",
    );
    let before = 0x1122_3344_5566_7788_u64.to_le_bytes();
    for size in [0, 1, 7, 8, 9, 1000, 3_000_000] {
        let input: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
        for (to, at) in [("8", 8), ("1", 1), ("5", 5)] {
            let with = With { arguments: vec![to], input: input.clone(), ..With::default() };
            let (exit, output, log) = run(&text, &with).await.unwrap();
            assert_eq!(exit, 0, "{log:?}");
            assert!(output[at..].starts_with(&input), "{size} bytes at {to}");
            assert_eq!(output[..at.min(8)], before[..at.min(8)], "{size} bytes at {to}");
        }
    }
}

/// An input of which nobody can say how long it is is not taken for one without bytes.
#[tokio::test]
async fn an_input_that_cannot_be_read_is_no_empty_one() {
    let with = |file| With { file: Some(Arc::new(Untold(file))), ..With::default() };
    let emits = "(result i32) (call $emit (i32.const 1)) (i32.const 0)";
    let (output, _) = does(emits, &with(Some(Bytes::from_static(b"twelve bytes")))).await;
    assert_eq!(output, "twelve bytes");
    let text = module("core", &format!("(func (export \"main\") {emits})"));
    let failed = run(&text, &with(None)).await.unwrap_err();
    assert!(failed.to_string().contains("it cannot be read now"), "{failed}");
}

#[tokio::test]
async fn an_answer_has_headers_and_a_status_where_they_are_asked_for() {
    let text = module(
        "core",
        "(func (export \"main\") (local $h i32)
            (local.set $h (call $read_exchange_buffer_headers (call $get_input_buffer_id)))
            (drop (call $write_exchange_buffer_status_code (call $get_output_buffer_id) (i32.const 201)))
            (drop (call $write_exchange_buffer_header (i32.const 2) 'X-One' 'two'))
            (drop (call $write_exchange_buffer_header (i32.const 2) 'bad name' 'x'))
            (call $emit (local.get $h))
            (drop (call $write_exchange_buffer_header (i32.const 2) 'late' 'x')))
         (func (export \"silent\") (drop (call $get_output_buffer_id)))",
    );
    let request = vec![
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("REQUEST_METHOD", "POST"),
        ("PATH_INFO", "/a/b"),
        ("QUERY_STRING", "c=d"),
        ("HTTP_X_MOC_METHOD", "forged"),
        ("HTTP_X_MOC_PLUG_DATA", "forged"),
        ("HTTP_CAIRN_PARAM_WHO", "me"),
        ("PLUG_DATA", "given"),
    ];
    let mut with = With { environment: request, ..With::default() };
    let (_, output, log) = run(&text, &with).await.unwrap();
    let output = String::from_utf8_lossy(&output).into_owned();
    let (head, body) = output.split_once("\r\n\r\n").unwrap();
    assert_eq!(head, "Status: 201\r\nx-one: two");
    let texts: Vec<&str> =
        body.split(|c: char| c.is_control()).filter(|text| text.len() > 1).collect();
    for (name, value) in [
        ("x-moc-method", "POST"),
        ("x-moc-request-uri", "/a/b?c=d"),
        ("x-moc-url-path", "/a/b"),
        ("x-moc-path-param-who", "me"),
        ("x-moc-plug-data", "given"),
    ] {
        let at = texts.iter().position(|text| *text == name);
        assert!(at.is_some_and(|at| texts[at + 1] == value), "{name}: {texts:?}");
    }
    assert!(!output.contains("forged"), "{output}");
    assert!(
        log.concat().contains("bad name") && log.concat().contains("the answer has begun"),
        "{log:?}"
    );
    with.environment.push(("START_FUNCTION", "silent"));
    assert_eq!(run(&text, &with).await.unwrap().1, "Status: 200\r\n\r\n");
    let called = With::default();
    assert!(!run(&text, &called).await.unwrap().1.starts_with(b"Status"));
}

#[tokio::test]
async fn keys_and_blobs_are_the_functions_own() {
    let with = With::default();
    let set =
        "(drop (call $persistence_set 'a/1' 'one')) (drop (call $persistence_set 'a/2' 'two'))
        (drop (call $persistence_set 'a/3' 'three')) (drop (call $persistence_set 'b' 'four'))";
    assert_eq!(does(set, &with).await, (String::new(), String::new()));
    assert_eq!(does("(call $emit (call $persistence_get 'a/2'))", &with).await.0, "two");
    assert_eq!(does("(call $emit (call $persistence_get 'c'))", &with).await.0, "");
    let all = "\x06\0\0\0\x03\0\0\0a/1\x03\0\0\0one\x03\0\0\0a/2\x03\0\0\0two\x03\0\0\0a/3\x05\0\0\0three";
    assert_eq!(does("(call $emit (call $persistence_get_subset 'a/'))", &with).await.0, all);
    let (_, said) = does("(drop (call $persistence_set 'forbidden' 'x'))", &with).await;
    assert!(said.contains("persistence_set was not done: the function may not"), "{said}");
    let hash = blake3::hash(b"bytes").to_hex().to_string();
    let put = "(call $emit (call $register_blob 'text/plain' 'bytes'))
        (call $emit (call $register_blob_with_name 'some/name' 'text/plain' 'bytes'))
        (call $emit (call $get_blob_tech_id_from_name 'some/name'))";
    assert_eq!(does(put, &with).await.0, hash.repeat(3));
    let get = format!("(call $emit (call $get_blob_bytes_as_string '{hash}'))");
    assert_eq!(does(&get, &with).await.0, "bytes");
    let (_, said) = does("(drop (call $get_blob_tech_id_from_name 'other'))", &with).await;
    assert!(said.contains("there is no such object"), "{said}");
}

#[tokio::test]
async fn others_are_asked_and_answer_into_buffers() {
    let with = With { input: b"input".to_vec(), ..With::default() };
    let got = does("(call $emit (call $get_url 'https://example.org/a'))", &with).await;
    assert_eq!(got.0, "GET https://example.org/a");
    let (none, said) =
        does("(call $emit (call $get_url 'https://example.org/elsewhere'))", &with).await;
    assert!(none.is_empty() && said.contains("not there"), "{none} {said}");
    let call = "(if (call $call_function 'other' '' '' '' (i32.const 1) (i32.const 2) '' '') (then unreachable))";
    assert_eq!(does(call, &with).await.0, "POST http://other.cairn.internal/");
    let call = call.replace("'other'", "'@lab/other'");
    assert_eq!(does(&call, &with).await.0, "POST http://other.lab.cairn.internal/");
    let spec = |url: &str| {
        format!(
            "{{\"method\":\"PUT\",\"url\":\"{url}\",\"headers\":{{\"a\":\"b\"}},\"inputBufferId\":1,\"outputBufferId\":2}}"
        )
    };
    let proxy = |url: &str| format!("(drop (call $beta_web_proxy '{}'))", spec(url));
    assert_eq!(does(&proxy("https://example.org/x"), &with).await.0, "PUT https://example.org/x");
    let cgi = With { environment: vec![("GATEWAY_INTERFACE", "CGI/1.1")], ..With::default() };
    let missing = does(&proxy("https://example.org/missing"), &cgi).await.0;
    assert!(missing.starts_with("Status: 404\r\n"), "{missing}");
    let (_, said) = does(&proxy("wss://example.org/x"), &with).await;
    assert!(said.contains("beta_web_proxy was not done"), "{said}");
}

#[tokio::test]
async fn small_things_are_as_they_were() {
    let with = With { environment: vec![("TRACE", "1")], ..With::default() };
    assert_eq!(
        does("(call $emit (call $base64_encode 'any bytes'))", &with).await.0,
        "YW55IGJ5dGVz"
    );
    assert_eq!(
        does("(call $emit (call $base64_decode 'YW55IGJ5dGVz'))", &with).await.0,
        "any bytes"
    );
    let (_, said) = does("(drop (call $base64_decode '***'))", &with).await;
    assert!(said.contains("base64_decode was not done"), "{said}");
    let status =
        does("(drop (call $create_exchange_buffer)) (call $emit (call $get_status))", &with);
    assert!(status.await.0.starts_with("{\"nb_created_buffers\":1,"));
    assert_eq!(does("(if (i32.eqz (call $is_trace)) (then unreachable))", &with).await.0, "");
    let time = "(if (call $get_time (i32.const 4097) (i32.const 8)) (then unreachable))
        (drop (call $write_exchange_buffer (i32.const 2) (i32.const 4097) (i32.const 8)))
        (if (i32.ne (call $get_time (i32.const 4097) (i32.const 7)) (i32.const 65535)) (then unreachable))";
    let text = module("core", &format!("(func (export \"main\") {time})"));
    let (_, output, _) = run(&text, &with).await.unwrap();
    let ns = i64::from_le_bytes(output[..].try_into().unwrap());
    assert!(ns > 1_700_000_000_000_000_000, "{ns}");
}

#[tokio::test]
async fn what_would_change_the_cluster_is_refused_and_told_why() {
    let with = With::default();
    for (call, instead) in [
        ("plug_function 'GET' '/a' 'f' 'main' '' ''", "cairn route add"),
        ("plug_file 'GET' '/a' 'f' ''", "cairn route add"),
        ("unplug_path 'GET' '/a'", "cairn route rm"),
        ("plug_filter 'f' 'main' ''", "cairn filter add"),
        ("unplug_filter '1'", "cairn filter rm"),
        ("export_database", "cairn backup"),
    ] {
        let refused = format!("(if (i32.ne (call ${call}) (i32.const 65535)) (then unreachable))");
        let (_, said) = does(&refused, &with).await;
        assert!(said.contains("was not done") && said.contains(instead), "{call}: {said}");
    }
}

#[tokio::test]
async fn a_call_begins_where_it_says_and_ends_within_its_bounds() {
    let text = module(
        "core",
        "(func (export \"add\") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
         (func (export \"none\"))
         (func (export \"long\") (param i64))
         (func (export \"many\") (loop $l (br_if $l (i32.ne (call $create_exchange_buffer) (i32.const 65535)))))
         (func (export \"much\") (local $b i32) (local.set $b (call $create_exchange_buffer))
            (loop $l (br_if $l (i32.ne
                (call $write_exchange_buffer (local.get $b) (i32.const 0) (i32.const 1000000)) (i32.const 65535)))))",
    );
    let begun = |name: &'static str| With {
        environment: vec![("START_FUNCTION", name)],
        arguments: vec!["40", "-5", "7"],
        limits: Limits { output_bytes: 3_000_000, ..Limits::default() },
        ..With::default()
    };
    assert_eq!(run(&text, &begun("add")).await.unwrap().0, 35);
    assert_eq!(run(&text, &begun("none")).await.unwrap().0, 0);
    for (name, why) in [("long", "\"long\""), ("missing", "\"missing\"")] {
        let failed = run(&text, &begun(name)).await.unwrap_err().to_string();
        assert!(failed.contains("it exports no function") && failed.contains(why), "{failed}");
    }
    let unnamed = run(&text, &With::default()).await.unwrap_err().to_string();
    assert!(unnamed.contains("START_FUNCTION"), "{unnamed}");
    for (name, why) in [("many", "1000 buffers"), ("much", "limits.output_bytes")] {
        let (_, _, log) = run(&text, &begun(name)).await.unwrap();
        assert!(log.concat().contains(why), "{name}: {log:?}");
    }
}

#[tokio::test]
async fn what_assemblyscript_aborts_with_is_told() {
    let text = r#"(module (import "env" "abort" (func $abort (param i32 i32 i32 i32)))
        (import "env" "seed" (func $seed (result f64)))
        (memory (export "memory") 1)
        (data (i32.const 16) "\06\00\00\00n\00o\00!\00") (data (i32.const 32) "\04\00\00\00a\00s\00")
        (func (export "main") (if (f64.ge (call $seed) (f64.const 1)) (then unreachable))
            (call $abort (i32.const 20) (i32.const 36) (i32.const 7) (i32.const 3))))"#;
    let failed = run(text, &With::default()).await.unwrap_err().to_string();
    assert!(failed.contains("abort: no! in as(7:3)"), "{failed}");
}

/// Programs for WASI have these functions too.
#[tokio::test]
async fn wasi_and_the_exchange_go_together() {
    let text = r#"(module (import "core" "print_debug" (func $print (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) (data (i32.const 0) "both")
        (func (export "_start") (drop (call $print (i32.const 0) (i32.const 4))) (call $exit (i32.const 0))))"#;
    let (exit, _, log) = run(text, &With::default()).await.unwrap();
    assert_eq!((exit, log), (0, vec!["stdout: both".to_owned()]));
}
