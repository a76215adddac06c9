//! What would harm others if it could: each is told what it broke, and others run.

use bytes::Bytes;
use cairn_wasm::{Call, Command, Done, Failure, Limits, prepare, whole};
use http_body_util::BodyExt as _;

use crate::lab::{code, compiled, function, get, runtime, world};

/// What comes of a module that does this.
async fn ran(parts: &str, start: &str, limits: Limits) -> Result<Done, Failure> {
    let text = format!(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          {parts} (func $start (export "_start") {start}))"#
    );
    let code = code(prepare(text.as_bytes()).unwrap().component).await;
    Command::new(&code, limits, world().0)?.run(Call::default()).await
}

const MEMORY: &str = r#"(memory (export "memory") 1)"#;

#[tokio::test]
async fn memory_that_is_asked_for_at_the_start_is_bounded() {
    let limit_bytes = Limits::default().memory_bytes;
    let huge = r#"(memory (export "memory") 60000)"#;
    assert_eq!(ran(huge, "", Limits::default()).await, Err(Failure::Memory { limit_bytes }));
}

#[tokio::test]
async fn a_table_has_an_end() {
    let huge = "(table 100000000 funcref)";
    let text = format!(r#"(module {MEMORY} {huge} (func (export "_start")))"#);
    let component = prepare(text.as_bytes()).unwrap().component;
    let told = match compiled(&runtime(), component).await {
        Err(error) => error.to_string(),
        Ok(code) => {
            let command = Command::new(&code, Limits::default(), world().0).unwrap();
            command.run(Call::default()).await.unwrap_err().to_string()
        }
    };
    assert!(told.contains("table"), "{told}");
    // One that grows is told that it cannot, and goes on.
    let growing = format!("{MEMORY} (table $t 1 funcref)");
    let grow = "(loop $more (br_if $more (i32.ge_s (table.grow $t (ref.null func) (i32.const 10000)) (i32.const 0))))";
    assert_eq!(ran(&growing, grow, Limits::default()).await.unwrap().exit, 0);
}

#[tokio::test]
async fn a_stack_has_an_end() {
    let failed = ran(MEMORY, "(call $start)", Limits::default()).await.unwrap_err();
    let Failure::Trap { message, .. } = &failed else { panic!("{failed}") };
    assert!(message.contains("stack"), "{message}");
}

#[tokio::test]
async fn output_without_end_is_ended() {
    let line = format!(r#"{MEMORY} (data (i32.const 0) "\20\00\00\00\00\80\00\00")"#);
    let writing = |to: u32| {
        format!(
            "(loop $more (drop (call $write (i32.const {to}) (i32.const 0) (i32.const 1) (i32.const 8))) (br $more))"
        )
    };
    let limits = Limits { output_bytes: 1 << 20, cpu_ms: 60_000, ..Limits::default() };
    let failed = ran(&line, &writing(1), limits).await.unwrap_err();
    assert_eq!(failed, Failure::Output { limit_bytes: 1 << 20 });
    // Of what goes to its log the most is left out; it is ended for what it computes.
    let limits = Limits { cpu_ms: 200, ..Limits::default() };
    let failed = ran(&line, &writing(2), limits).await.unwrap_err();
    assert_eq!(failed, Failure::Cpu { limit_ms: 200 });
}

#[tokio::test]
async fn an_upload_has_an_end() {
    let told = prepare(&vec![0; cairn_wasm::COMPONENT_BYTES_MAX + 1]).err().unwrap().to_string();
    assert!(told.contains("are allowed"), "{told}");
    for wrong in
        [&b""[..], b"\0asm", b"\0asm\x01\0\0\0\xff\xff\xff\xff\x0f", b"(module", b"\x7fELF"]
    {
        assert!(prepare(wrong).is_err(), "{wrong:?}");
    }
}

/// An answer without end is sent as fast as it is read, and ends with the call's time.
#[tokio::test]
async fn a_reader_that_stands_still_holds_nothing_but_its_call() {
    let (hello, _) = function(Limits { wall_ms: 1000, ..Limits::default() }).await;
    let request = http::Request::get("http://localhost/endless").body(whole(Bytes::new())).unwrap();
    let response = hello.handle(request).await.unwrap();
    let mut body = response.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    // Others are answered meanwhile, and it is over after its time, which is the engine's own, read or not.
    assert_eq!(get(&hello, "/x").await.unwrap().0, 200);
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await; // tidy: foreign process
    let (mut bytes, mut broken) = (0, false);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes += frame.data_ref().map_or(0, Bytes::len),
            Err(_) => broken = true,
        }
    }
    assert!(broken && bytes < 16 << 20, "{broken} {bytes}");
}

/// What it logs by `wasi:logging` is in its log with its level and context.
#[tokio::test]
async fn levels_and_contexts_are_in_the_log() {
    let text = r#"(component
      (import "wasi:logging/logging@0.1.0-draft" (instance $l
        (type $kinds (enum "trace" "debug" "info" "warn" "error" "critical"))
        (export "level" (type $level (eq $kinds)))
        (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
      (core module $mem (memory (export "memory") 1) (data (i32.const 0) "shopnothing left\0aat all"))
      (core instance $mem (instantiate $mem))
      (core func $log (canon lower (func $l "log") (memory (core memory $mem "memory"))))
      (core module $m (import "l" "log" (func $log (param i32 i32 i32 i32 i32)))
        (func (export "run") (result i32)
          (call $log (i32.const 3) (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 19))
          (call $log (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 7))
          (i32.const 0)))
      (core instance $i (instantiate $m (with "l" (instance (export "log" (func $log))))))
      (func $run (result (result)) (canon lift (core func $i "run")))
      (instance $runs (export "run" (func $run)))
      (export "wasi:cli/run@0.2.0" (instance $runs)))"#;
    let code = code(prepare(text.as_bytes()).unwrap().component).await;
    let (world, kept) = world();
    let command = Command::new(&code, Limits::default(), world).unwrap();
    assert_eq!(command.run(Call::default()).await.unwrap().exit, 0);
    let all = ["stderr: warn shop: nothing left", "stderr: at all", "stderr: critical: nothing"];
    assert_eq!(kept.lines(), all);
}
