//! Plans.

use std::time::Duration;

use cairn_functions::{PlanSpec, PlanState};

use crate::lab::{Lab, function};

/// A program that rests for a while, so that others may begin meanwhile.
const RESTS: &[u8] = br#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 300000000))
        (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#;

/// FUNCTIONS-8: what `b` and `c` make is one run, so `d` has the same inputs twice, and does its work once.
#[tokio::test]
async fn functions_8_what_is_the_same_is_done_once_also_within_a_step() {
    let lab = Lab::new().await;
    lab.deployed("f", RESTS).await;
    let spec = PlanSpec::from_toml(
        r#"
            [steps]
            a = { function = "f" }
            b = { function = "f", arguments = ["x"], inputs = ["a"] }
            c = { function = "f", arguments = ["x"], inputs = ["a"] }
            d = { function = "f", inputs = ["b", "c"], each = true }
        "#,
    );
    let key = (function("p"), "1".to_owned());
    lab.functions.add_plan(&key, &spec.unwrap(), false, "root").await.unwrap();
    let done = tokio::select! {
        biased;
        done = lab.functions.plan(&key, Duration::from_secs(60)) => done.unwrap(),
        () = lab.functions.keep_running() => panic!("it never ends"),
    };
    assert_eq!(done.state, PlanState::Done, "{done:?}");
    let counts: Vec<_> =
        done.steps.iter().map(|step| (step.runs, step.done, step.reused)).collect();
    assert_eq!(counts, [(Some(1), 1, 0), (Some(1), 1, 0), (Some(1), 1, 1), (Some(2), 2, 1)]);
}
