//! Programs.

use bytes::Bytes;
use cairn_wasm::{Call, Code, Command, Done, Failure, Kind, Limits, held, prepare};

use crate::lab::{code, compiled, hello, runtime, world};

/// Copies its input to its output, and ends with 7: what the adapter of preview 1 makes 1, for success and failure
/// are all that it knows.
const CAT: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2)
  (func (export "_start")
    (loop $again
      (i32.store (i32.const 0) (i32.const 64))
      (i32.store (i32.const 4) (i32.const 65536))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
      (if (i32.load (i32.const 8)) (then
        (i32.store (i32.const 4) (i32.load (i32.const 8)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
        (br $again))))
    (call $exit (i32.const 7))))"#;

async fn run(code: &Code, call: Call, limits: &Limits) -> Result<Done, Failure> {
    Command::new(code, limits.clone(), world().0)?.run(call).await
}

#[tokio::test]
async fn a_program_reads_writes_and_ends() {
    let cat = code(prepare(CAT.as_bytes()).unwrap().component).await;
    assert_eq!(cat.kind(), Kind::Command);
    let input = Bytes::from("line\n".repeat(100_000));
    let call = Call {
        arguments: vec!["cat".to_owned()],
        inputs: vec![held(input.clone())],
        ..Call::default()
    };
    let done = run(&cat, call.clone(), &Limits::default()).await.unwrap();
    assert_eq!((done.exit, done.output == input), (1, true));
    let limits = Limits { output_bytes: 1000, ..Limits::default() };
    let failed = run(&cat, call, &limits).await.unwrap_err();
    assert_eq!(failed, Failure::Output { limit_bytes: 1000 });
}

/// A heap of C takes all memory that it finds, also where that is not the program's.
#[tokio::test]
async fn a_heap_grows_beside_what_wasi_keeps_in_the_same_memory() {
    let module = std::fs::read(cairn_testkit::guests::c("tac").unwrap()).unwrap();
    let tac = code(prepare(&module).unwrap().component).await;
    for count in [10, 5_000, 20_000, 400_000] {
        let lines: Vec<String> = (0..count).map(|number| format!("{number}\n")).collect();
        let call = Call {
            arguments: vec!["tac".to_owned()],
            inputs: vec![held(lines.concat().into())],
            ..Call::default()
        };
        let limits = Limits { cpu_ms: 60_000, ..Limits::default() };
        let done = run(&tac, call, &limits).await.unwrap();
        let expected: String = lines.into_iter().rev().collect();
        assert!(done.exit == 0 && done.output == expected, "{count}: {} bytes", done.output.len());
    }
}

#[tokio::test]
async fn what_answers_requests_is_no_program() {
    let failed = run(&code(hello()).await, Call::default(), &Limits::default()).await;
    assert!(matches!(failed, Err(Failure::Kind { .. })), "{failed:?}");
}

#[tokio::test]
async fn a_component_that_exports_nothing_to_run_is_told_what_would_be() {
    let text = r#"(component (core module $m (func (export "f"))) (core instance $i (instantiate $m)) (func (export "f") (canon lift (core func $i "f"))))"#;
    let component = prepare(text.as_bytes()).unwrap().component;
    let error = compiled(&runtime(), component).await.err().unwrap().to_string();
    assert!(error.contains("it exports f"), "{error}");
    assert!(error.contains("wasi:http/incoming-handler"), "{error}");
}

#[tokio::test]
async fn a_component_that_imports_what_is_not_there_is_told_what() {
    let text = r#"(component (import "acme:things/tool@1.0.0" (instance (export "f" (func)))))"#;
    let component = prepare(text.as_bytes()).unwrap().component;
    let error = compiled(&runtime(), component).await.err().unwrap().to_string();
    assert!(error.contains("acme:things/tool@1.0.0"), "{error}");
}
