//! Components are compiled in a process of its own.

use std::sync::Arc;

use bytes::Bytes;
use cairn_env::Env;
use cairn_wasm::{Error, Options, Runtime, prepare};
use cairn_worker::{Compiler, Program};

use crate::lab::hello;

async fn compiled(component: Bytes, seconds: u32) -> Result<(), Error> {
    let path = env!("CARGO_BIN_EXE_cairn-worker").into();
    let compiler = Compiler::of(Program { path, arguments: vec!["compiler".into()] }, seconds);
    let options = Options { compiler: Some(Arc::new(compiler)), ..Options::default() };
    let runtime = Runtime::start(options, &Env::real()).unwrap();
    runtime.code(*blake3::hash(&component).as_bytes(), component).await.map(drop)
}

/// A program with so many functions that are all different.
fn bomb(functions: usize) -> Bytes {
    let body = |at: usize| {
        let steps = (0..200).map(|step| {
            format!(
                "(local.set 0 (i64.add (i64.mul (local.get 0) (i64.const {})) (i64.load (i32.wrap_i64 (local.get 0)))))",
                at * 1000 + step
            )
        });
        let steps: String = steps.collect();
        format!("(func (param i64) (result i64) {steps} (local.get 0))")
    };
    let all: String = (0..functions).map(body).collect();
    let text = format!("(module (memory (export \"memory\") 1) (func (export \"_start\")) {all})");
    prepare(text.as_bytes()).unwrap().component
}

#[tokio::test]
async fn what_is_compiled_elsewhere_is_taken() {
    compiled(hello(), 300).await.unwrap();
}

#[tokio::test]
async fn what_takes_too_long_to_compile_is_told_so() {
    let told = compiled(bomb(3000), 1).await.unwrap_err();
    let Error::Compile { detail } = &told else { panic!("{told}") };
    assert!(detail.contains("more than 1 s of computing"), "{detail}");
}

#[tokio::test]
async fn what_cannot_be_compiled_says_why() {
    let broken = Bytes::from_static(b"\0asm\x0d\0\x01\0no sections");
    let told = compiled(broken, 300).await.unwrap_err();
    let Error::Compile { detail } = &told else { panic!("{told}") };
    assert!(detail.contains("at offset"), "{detail}");
}
