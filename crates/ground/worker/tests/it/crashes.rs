//! Workers that end, and what becomes of their calls.

use std::sync::Arc;

use cairn_wasm::{Failure, Limits};
use rustix::process::{Pid, Signal, kill_process};

use crate::lab::{Ground, answer, code, get, hello, request, rust, workers};

/// Ends a worker by a signal. Handlers of faults let the first one pass: a fault would come again.
async fn signal(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).unwrap();
    while kill_process(pid, signal).is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_takes_its_own_calls_and_no_others() {
    let (workers, code) = (workers(), code(rust("proxy")).await);
    let ground = Arc::new(Ground::default());
    let upstream = [("UPSTREAM", "http://example.org")];
    let of = |project: &str| {
        workers.function(project, &code, Limits::default(), ground.world(&upstream))
    };
    let (first, second) = (of("first"), of("second"));
    assert_eq!(get(&first, "/x").await.unwrap().0, 203);
    assert_eq!(get(&second, "/x").await.unwrap().0, 203);
    let before = workers.processes();
    let [(_, pid), (_, other)] = before[..] else { panic!("{before:?}") };
    assert!(pid != other && i64::from(pid) != i64::from(std::process::id()));
    for (by, name) in [(Signal::SEGV, "signal 11 (SIGSEGV)"), (Signal::KILL, "signal 9 (SIGKILL)")]
    {
        let (_, pid) = workers.processes()[0];
        let killed = async {
            ground.waits.notified().await;
            signal(pid, by).await;
            assert_eq!(get(&second, "/x").await.unwrap().0, 203);
        };
        let (waited, ()) = tokio::join!(get(&first, "/wait"), killed);
        assert_eq!(waited, Err(Failure::Crashed { how: name.to_owned() }));
        assert_eq!(get(&first, "/y").await.unwrap().0, 203);
        assert_ne!(workers.processes()[0].1, pid);
    }
    assert_eq!(workers.processes()[1], before[1], "the other project's worker is as it was");
    let numbers = workers.numbers();
    assert_eq!((numbers.workers, numbers.starts, numbers.lost_calls), (2, 4, 2), "{numbers:?}");
    assert_eq!(numbers.crashes, 2, "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_begun_breaks_off_with_its_worker() {
    let (workers, code) = (workers(), code(hello()).await);
    let ground = Arc::new(Ground::default());
    let hello = workers.function("main", &code, Limits::default(), ground.world(&[]));
    let body = "x".repeat(4_000_000);
    let response = hello.handle(request("POST", "/echo", &body)).await.unwrap();
    signal(workers.processes()[0].1, Signal::KILL).await;
    let broke = http_body_util::BodyExt::collect(response.into_body()).await;
    assert!(broke.is_err());
    let whole = hello.handle(request("POST", "/echo", &body)).await.unwrap();
    assert_eq!(answer(whole).await.unwrap(), (200, body));
}

/// A worker ends with the node's handle of it.
#[tokio::test(flavor = "multi_thread")]
async fn workers_end_with_their_node() {
    let (workers, code) = (workers(), code(hello()).await);
    let ground = Arc::new(Ground::default());
    let hello = workers.function("main", &code, Limits::default(), ground.world(&[]));
    assert_eq!(get(&hello, "/x").await.unwrap().0, 200);
    let pid = Pid::from_raw(workers.processes()[0].1).unwrap();
    drop((workers, hello));
    let gone = async {
        while rustix::process::test_kill_process(pid).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.unwrap();
}
