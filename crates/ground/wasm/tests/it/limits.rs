//! What breaks a limit is told by name, and harms nobody else.

use cairn_wasm::{Failure, Limits};
use futures::FutureExt;
use futures::future::{Either, select};

use crate::lab::{function, get};

/// WASM-2: with one worker, others are answered while a guest computes without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn wasm_2_an_endless_loop_is_stopped_and_others_run_meanwhile() {
    let (hello, _) = function(Limits { cpu_ms: 300, ..Limits::default() }).await;
    // The only worker computes; they are answered all the same, long before it is stopped.
    let others = async {
        for _ in 0..5 {
            assert_eq!(get(&hello, "/x").await.unwrap().1, "hello /x\n");
        }
    };
    let looping = get(&hello, "/loop").boxed();
    let Either::Right(((), looping)) = select(looping, others.boxed()).await else {
        panic!("the loop ended first");
    };
    assert_eq!(looping.await, Err(Failure::Cpu { limit_ms: 300 }));
}

#[tokio::test]
async fn memory_is_bounded() {
    let limit_bytes = 16 << 20;
    let (hello, _) = function(Limits { memory_bytes: limit_bytes, ..Limits::default() }).await;
    assert_eq!(get(&hello, "/memory").await, Err(Failure::Memory { limit_bytes }));
    assert_eq!(get(&hello, "/x").await.unwrap().0, 200);
}

#[tokio::test]
async fn who_only_waits_is_stopped_too() {
    let (hello, _) = function(Limits { wall_ms: 200, ..Limits::default() }).await;
    assert_eq!(get(&hello, "/sleep").await, Err(Failure::Wall { limit_ms: 200 }));
    assert_eq!(get(&hello, "/x").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_panic_is_a_trap_with_its_message_in_the_log() {
    let (hello, kept) = function(Limits::default()).await;
    let failed = get(&hello, "/panic").await.unwrap_err();
    let Failure::Trap { message, backtrace } = &failed else { panic!("{failed}") };
    assert!(message.contains("unreachable"), "{message}");
    assert!(backtrace.contains("rust_panic"), "{backtrace}");
    assert!(kept.lines().iter().any(|line| line.contains("on purpose")), "{:?}", kept.lines());
}

#[tokio::test]
async fn who_says_nothing_is_told() {
    let (hello, _) = function(Limits::default()).await;
    let failed = get(&hello, "/silent").await.unwrap_err();
    assert!(matches!(failed, Failure::NoAnswer { .. }), "{failed}");
}

#[tokio::test]
async fn no_more_run_and_wait_than_may() {
    let limits = Limits { concurrency: 1, queue: 1, wall_ms: 300, ..Limits::default() };
    let (hello, _) = function(limits).await;
    let all = [get(&hello, "/sleep"), get(&hello, "/x"), get(&hello, "/x")].map(FutureExt::boxed);
    let ended = futures::future::join_all(all).await;
    assert_eq!(ended[0], Err(Failure::Wall { limit_ms: 300 }));
    assert_eq!(ended[1].as_ref().unwrap().0, 200);
    assert_eq!(ended[2], Err(Failure::Busy { running: 1, waiting: 1 }));
}

#[tokio::test]
async fn a_place_is_not_waited_for_without_end() {
    let limits = Limits { concurrency: 1, queue: 40, wall_ms: 50, ..Limits::default() };
    let (hello, _) = function(limits).await;
    let before = std::iter::repeat_n("/sleep", 30);
    let all = before.chain(["/x"]).map(|path| get(&hello, path).boxed());
    let ended = futures::future::join_all(all).await;
    assert_eq!(ended[0], Err(Failure::Wall { limit_ms: 50 }));
    assert_eq!(ended[30], Err(Failure::Busy { running: 1, waiting: 40 }));
}

/// Who asks and leaves, again and again, does not get more than the function has.
#[tokio::test]
async fn a_client_that_leaves_does_not_free_the_place_of_its_instance() {
    let limits = Limits { concurrency: 1, queue: 0, wall_ms: 1000, ..Limits::default() };
    let (hello, _) = function(limits).await;
    let soon = std::time::Duration::from_millis(200);
    tokio::time::timeout(soon, get(&hello, "/sleep")).await.unwrap_err();
    let busy = get(&hello, "/x").await;
    assert!(matches!(busy, Err(Failure::Busy { .. })), "{busy:?}");
    let free = async {
        while get(&hello, "/x").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(soon * 50, free).await.unwrap();
}

/// It runs itself again where there is less room.
#[test]
fn guests_run_where_there_is_no_room_for_a_pool() {
    const LIMITED: &str = "WITH_LITTLE_ROOM";
    if std::env::var_os(LIMITED).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let answered = runtime.block_on(async {
            let (function, _) = function(Limits::default()).await;
            get(&function, "/x").await.unwrap()
        });
        assert_eq!(answered, (200, "hello /x\n".to_owned()));
        return;
    }
    let mut again = std::process::Command::new("prlimit");
    again.arg("--as=6442450944").arg(std::env::current_exe().unwrap()).env(LIMITED, "yes");
    let name = "limits::guests_run_where_there_is_no_room_for_a_pool";
    let done = again.args(["--exact", name]).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}
