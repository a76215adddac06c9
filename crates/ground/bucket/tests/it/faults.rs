//! The bucket over a store that fails, in simulated time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_bucket::faulty::{Crash, Faults, Kind, Outcome, PPM};
use cairn_bucket::{Bucket, Error, Faulty, Memory};
use cairn_env::Env;
use futures::future::join_all;
use futures::{FutureExt as _, TryStreamExt as _};

/// A paused clock, one thread, one seed.
fn simulate<T, Answer: Future<Output = T>>(seed: u64, run: impl FnOnce(Env) -> Answer) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async { run(Env::simulated(seed)).await })
}

fn world(env: &Env, faults: Faults) -> (Bucket, Faulty) {
    let store = Faulty::new(Arc::new(Memory::new(env)), faults, env);
    (Bucket::from_store(Arc::new(store.clone()), "memory://", env), store)
}

fn always(set: impl FnOnce(&mut Faults)) -> Faults {
    let mut faults = Faults::default();
    set(&mut faults);
    faults
}

/// What became of each attempt to append a line, by its name.
#[derive(Default, Debug)]
struct Appends {
    done: Vec<String>,
    refused: Vec<String>,
}

/// Appends lines with `replace` until each of them is in, or it is not known whether it is.
async fn append(bucket: &Bucket, writer: usize) -> Appends {
    let mut appends = Appends::default();
    for line in 0..8 {
        for attempt in 0..50 {
            let name = format!("{writer}.{line}.{attempt}\n");
            let Ok(object) = bucket.get("list").await else { continue };
            let next = [object.bytes.as_ref(), name.as_bytes()].concat();
            match bucket.replace("list", next.into(), &object.version).await {
                Ok(_) => {
                    appends.done.push(name);
                    break;
                }
                Err(Error::Changed { .. }) => appends.refused.push(name),
                Err(Error::InDoubt { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    appends
}

async fn appends_of_all(env: Env) -> (u64, usize) {
    let (bucket, store) = world(&env, Faults::default());
    bucket.create("list", Bytes::new()).await.unwrap();
    store.set(Faults::usual());
    let appends = join_all((0..4).map(|writer| append(&bucket, writer))).await;
    store.set(Faults::default());
    let list = bucket.get("list").await.unwrap().bytes;
    let mut counts = BTreeMap::new();
    for line in std::str::from_utf8(&list).unwrap().lines() {
        *counts.entry(format!("{line}\n")).or_insert(0) += 1;
    }
    let mut done = 0;
    for Appends { done: succeeded, refused } in appends {
        done += succeeded.len();
        for name in succeeded {
            assert_eq!(counts.get(&name), Some(&1), "BUCKET-6: {name:?} succeeded");
        }
        for name in refused {
            assert_eq!(counts.get(&name), None, "BUCKET-6: {name:?} was refused");
        }
    }
    assert!(counts.values().all(|&count| count == 1), "{counts:?}");
    (store.trace(), done)
}

#[test]
fn conditional_writes_end_as_a_success_a_refusal_or_doubt() {
    let mut traces = Vec::new();
    for seed in 0..60 {
        let (trace, done) = simulate(seed, appends_of_all);
        let (again, _) = simulate(seed, appends_of_all);
        assert_eq!(trace, again, "seed {seed} gave two traces");
        assert!(done > 20, "seed {seed}: only {done} of 32 appends succeeded");
        traces.push(trace);
    }
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 60, "different seeds gave the same trace");
}

#[test]
fn a_lost_answer_is_a_success_when_the_object_is_ours() {
    simulate(1, |env| async move {
        let (bucket, store) = world(&env, always(|faults| faults.after_ppm = PPM));
        let healed = async {
            while store.count() < 1 || store.log().is_empty() {
                tokio::task::yield_now().await;
            }
            store.set(Faults::default());
        };
        let (version, ()) = futures::join!(bucket.create("k", Bytes::from_static(b"1")), healed);
        let version = version.unwrap();
        assert_eq!(store.log()[0].outcome, Outcome::FailedAfter);
        assert_eq!(store.log()[1].outcome, Outcome::Refused, "the retry met its own object");
        assert_eq!(bucket.get("k").await.unwrap().version, version);

        let count = store.log().len();
        store.set(always(|faults| faults.after_ppm = PPM));
        let healed = async {
            while store.log().len() == count {
                tokio::task::yield_now().await;
            }
            store.set(Faults::default());
        };
        let replace = bucket.replace("k", Bytes::from_static(b"2"), &version);
        let (second, ()) = futures::join!(replace, healed);
        assert_eq!(bucket.get("k").await.unwrap().version, second.unwrap());
        let error = bucket.create("k", Bytes::from_static(b"3")).await.unwrap_err();
        assert!(matches!(error, Error::Exists { .. }), "{error:?}");
    });
}

#[test]
fn a_store_that_never_answers_costs_no_more_than_the_deadline() {
    simulate(2, |env| async move {
        let (bucket, _store) = world(
            &env,
            always(|faults| {
                faults.stall_ppm = PPM;
                faults.stall = Duration::from_secs(1_000_000);
            }),
        );
        for put in [false, true] {
            let begin = env.clock.monotonic();
            let error = if put {
                bucket.create("k", Bytes::new()).await.map(drop).unwrap_err()
            } else {
                bucket.get("k").await.map(drop).unwrap_err()
            };
            let spent = env.clock.monotonic() - begin;
            assert!(spent < Duration::from_secs(200), "{spent:?}");
            assert!(error.to_string().contains("\"k\""), "{error}");
            let expected = if put { ErrorKind::Conflict } else { ErrorKind::Retry };
            assert_eq!(error.kind(), expected, "{error:?}");
            assert_eq!(matches!(error, Error::InDoubt { .. }), put, "{error:?}");
        }
    });
}

#[test]
fn damaged_reads_are_repeated_and_broken_listings_are_errors() {
    simulate(3, |env| async move {
        let (bucket, store) = world(&env, Faults::default());
        for index in 0..20 {
            bucket.put(&format!("d/{index}"), Bytes::from(vec![1; 100])).await.unwrap();
        }
        store.set(always(|faults| faults.truncate_ppm = PPM / 2));
        for _ in 0..50 {
            assert_eq!(bucket.get("d/1").await.unwrap().bytes.len(), 100);
            assert_eq!(bucket.get_range("d/1", 10..90).await.unwrap().len(), 80);
            let found = bucket.get_ranges("d/1", &[0..10, 50..100]).await.unwrap();
            assert_eq!(found.iter().map(Bytes::len).sum::<usize>(), 60);
        }
        let damaged = |entry: &cairn_bucket::faulty::Entry| entry.outcome == Outcome::Damaged;
        assert!(store.log().iter().filter(|entry| damaged(entry)).count() > 50);

        store.set(always(|faults| faults.corrupt_ppm = PPM));
        let bytes = bucket.get("d/1").await.unwrap().bytes;
        assert_eq!(bytes.iter().map(|byte| (byte ^ 1).count_ones()).sum::<u32>(), 1, "one bit");

        store.set(always(|faults| faults.list_ppm = PPM));
        let listed: Result<Vec<_>, Error> = bucket.list("d").try_collect().await;
        assert_eq!(listed.unwrap_err().kind(), ErrorKind::Retry);
    });
}

#[test]
fn after_the_crash_nothing_has_an_effect() {
    for crash in [Crash::Fail, Crash::Hang] {
        for seed in 0..20 {
            simulate(seed, |env| async move {
                let (bucket, store) = world(&env, Faults::default());
                let raw = store.clone();
                store.crash_at(10, crash);
                for index in 0..15 {
                    let key = format!("k/{index}");
                    // A hung operation never returns: its caller dies with it.
                    let put = bucket.put(&key, Bytes::from_static(b"x"));
                    let limit = Duration::from_secs(300);
                    drop(tokio::time::timeout(limit, put).await);
                }
                raw.heal();
                let found: Vec<_> = bucket.list("k").try_collect().await.unwrap();
                assert!((10..=11).contains(&found.len()), "{crash:?}, {seed}: {}", found.len());
                let crashed = |outcome| matches!(outcome, Outcome::Crashed | Outcome::CrashedAfter);
                let log = store.log();
                assert!(log.iter().take(10).all(|entry| entry.outcome == Outcome::Done));
                assert!(log.iter().any(|entry| crashed(entry.outcome) && entry.kind == Kind::Put));
            });
        }
    }
}

#[test]
fn a_dropped_write_may_still_arrive() {
    simulate(5, |env| async move {
        let slow = always(|faults| {
            faults.latency_min = Duration::from_secs(1);
            faults.latency_max = Duration::from_secs(1);
        });
        let (bucket, store) = world(&env, slow);
        assert!(bucket.put("k", Bytes::from_static(b"x")).now_or_never().is_none());
        // tidy: paused time
        env.clock.sleep(Duration::from_secs(5)).await;
        store.set(Faults::default());
        assert_eq!(bucket.get("k").await.unwrap().bytes, "x");
    });
}
