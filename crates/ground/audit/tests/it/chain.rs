//! AUDIT-1 and AUDIT-2: one chain over all hubs, on buckets that lose answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cairn_audit::{Audit, Outcome, Verify};
use cairn_bucket::faulty::Faults;
use cairn_bucket::{Bucket, Faulty, Memory, Options};
use cairn_env::Env;

use crate::support::{hub, log, record, resources, simulate};

/// Records changes until each is known to be in the log.
async fn work(hub: Audit, env: Env, name: &'static str, count: u32) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0..count {
        let resource = format!("{name}-{number}");
        // AUDIT-4: on a bucket as bad as this, a hub may have to wait before it does anything.
        while hub.record(record(name, Outcome::Changed, &resource)).is_err() {
            env.clock.sleep(Duration::from_secs(1)).await;
        }
        if hub.commit().await.is_ok() {
            acknowledged.push(resource);
        }
        let pause = env.rng.next_u64() % 300;
        env.clock.sleep(Duration::from_millis(pause)).await;
    }
    // What was recorded and not written yet is tried again and again.
    for _ in 0..100 {
        if hub.commit().await.is_ok() {
            break;
        }
    }
    acknowledged
}

async fn together(env: Env, faults: Faults, options: Options) -> u64 {
    let memory = Arc::new(Memory::new(&env));
    let faulty = Faulty::new(Arc::clone(&memory) as _, faults, &env);
    let open = || {
        let store = Arc::new(faulty.clone());
        Bucket::from_store_with(store, "faulty://", options.clone(), &env)
    };
    let names = ["a", "b", "c"];
    let hubs = names.map(|name| work(hub(&open(), &env), env.clone(), name, 40));
    let acknowledged = futures::future::join_all(hubs).await;
    faulty.set(Faults::default());
    // Writes that were given up may still be under way.
    env.clock.sleep(Duration::from_secs(3600)).await;
    let calm = Bucket::from_store(memory, "memory://", &env);
    let log = log(&calm, &env);
    let verified = log.verify(Verify::default(), |_| {}).await.unwrap();
    assert_eq!(verified.findings, []);
    let all = resources(&log).await;
    let mut count = BTreeMap::<&str, u32>::new();
    all.iter().for_each(|resource| *count.entry(resource).or_default() += 1);
    let twice: BTreeSet<_> = count.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "AUDIT-2: {twice:?}");
    for resource in acknowledged.iter().flatten() {
        assert!(count.contains_key(resource.as_str()), "AUDIT-1: {resource} is lost");
    }
    for (name, acknowledged) in names.iter().zip(&acknowledged) {
        assert!(acknowledged.len() > 10, "{name} got {} through", acknowledged.len());
        let own: Vec<&String> = all.iter().filter(|r| r.starts_with(name)).collect();
        assert_eq!(own.len(), 40, "what was recorded came into the log in the end");
        assert!(own.iter().map(|r| number(r)).is_sorted(), "a hub's records keep their order");
    }
    verified.segments
}

fn number(resource: &str) -> u32 {
    resource.split_once('-').unwrap().1.parse().unwrap()
}

#[test]
fn audit_1_and_2_hubs_append_to_one_chain() {
    let calm = Faults { latency_max: Duration::from_millis(40), ..Faults::default() };
    let segments = simulate(1, |env| together(env, calm, Options::default()));
    assert!(segments > 40, "each change waited for its own write: {segments}");
}

/// Lost answers, errors and long silences; the bucket gives up early, so that much is in doubt.
#[test]
fn audit_2_a_write_in_doubt_is_never_appended_twice() {
    for seed in 0..40 {
        let faults = Faults {
            before_ppm: 150_000,
            after_ppm: 250_000,
            stall_ppm: 30_000,
            stall: Duration::from_secs(20),
            ..Faults::usual()
        };
        let options = Options {
            attempts_max: 1 + u32::try_from(seed % 3).unwrap(),
            attempt: Duration::from_secs(2),
            deadline: Duration::from_secs(5),
            ..Options::default()
        };
        simulate(seed, |env| together(env, faults, options));
    }
}

/// Nothing is listed, and no more is read than it takes to find the end.
#[test]
fn a_hub_finds_the_end_of_a_long_log() {
    simulate(3, |env| async move {
        let memory = Arc::new(Memory::new(&env));
        let faulty = Faulty::new(memory, Faults::default(), &env);
        let bucket = Bucket::from_store(Arc::new(faulty.clone()), "faulty://", &env);
        let first = hub(&bucket, &env);
        for number in 0..300 {
            crate::support::change(&first, "a", &number.to_string()).await;
        }
        let before = faulty.count();
        let second = hub(&bucket, &env);
        crate::support::change(&second, "b", "new").await;
        let requests = faulty.count() - before;
        assert!(requests < 30, "{requests} requests to append to 300 segments");
        let kinds: Vec<_> = faulty.log()[usize::try_from(before).unwrap()..]
            .iter()
            .map(|entry| entry.kind)
            .collect();
        assert!(!kinds.contains(&cairn_bucket::faulty::Kind::List), "{kinds:?}");
        let log = log(&bucket, &env);
        assert_eq!(log.last().await.unwrap(), 301);
        assert_eq!(resources(&log).await.last().unwrap(), "new");
        assert_eq!(log.verify(Verify::default(), |_| {}).await.unwrap().findings, []);
    });
}

/// One write for all who wait.
#[test]
fn changes_at_once_share_a_segment() {
    simulate(4, |env| async move {
        let memory = Arc::new(Memory::new(&env));
        let slow = Duration::from_millis(50);
        let faults = Faults { latency_min: slow, latency_max: slow, ..Faults::default() };
        let faulty = Faulty::new(memory, faults, &env);
        let bucket = Bucket::from_store(Arc::new(faulty), "faulty://", &env);
        let hub = hub(&bucket, &env);
        let numbers: Vec<String> = (0..200).map(|number| number.to_string()).collect();
        let begin = env.clock.monotonic();
        let late = AtomicBool::new(false);
        futures::future::join_all(numbers.iter().map(|number| async {
            crate::support::change(&hub, "a", number).await;
            let took = env.clock.monotonic() - begin;
            late.fetch_or(took > Duration::from_secs(1), Ordering::Relaxed);
        }))
        .await;
        assert!(!late.into_inner(), "200 changes waited for more than a few writes");
        let log = log(&bucket, &env);
        assert!(log.last().await.unwrap() <= 3);
        assert_eq!(resources(&log).await, numbers);
    });
}
