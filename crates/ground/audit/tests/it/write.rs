//! AUDIT-1 and AUDIT-4: when records are durable, and what happens when they cannot be.

use std::sync::Arc;
use std::time::Duration;

use cairn_audit::{BEHIND_MAX, Error, Filter, Outcome, Verify};
use cairn_base::ErrorKind;
use cairn_bucket::faulty::{Crash, Faults};
use cairn_bucket::{Bucket, Faulty, Memory};

use crate::support::{change, entries, hub, log, record, resources, simulate};

#[test]
fn reads_are_written_within_a_second_and_counted() {
    simulate(1, |env| async move {
        let bucket = Bucket::memory(&env);
        let hub = hub(&bucket, &env);
        for _ in 0..1000 {
            hub.record(record("a", Outcome::Allowed, "@main/x")).unwrap();
        }
        hub.record(record("b", Outcome::Denied, "@main/x")).unwrap();
        let log = log(&bucket, &env);
        assert_eq!(log.last().await.unwrap(), 0, "nothing is written before its time");
        env.clock.sleep(Duration::from_millis(1001)).await;
        let all = entries(&log, Filter::default()).await;
        let told: Vec<_> = all
            .iter()
            .map(|e| (e.seq, e.index, e.record.caller.as_str(), e.record.count))
            .collect();
        assert_eq!(told, [(1, 0, "a", 1000), (1, 1, "b", 1)]);
        env.clock.sleep(Duration::from_secs(60)).await;
        assert_eq!(log.last().await.unwrap(), 1, "nothing to tell writes nothing");
    });
}

#[test]
fn many_records_do_not_wait_for_the_second() {
    simulate(2, |env| async move {
        let bucket = Bucket::memory(&env);
        let hub = hub(&bucket, &env);
        for number in 0..2000 {
            hub.record(record("a", Outcome::Allowed, &number.to_string())).unwrap();
        }
        env.clock.sleep(Duration::from_millis(1)).await;
        assert!(log(&bucket, &env).last().await.unwrap() > 0);
        hub.commit().await.unwrap();
        assert_eq!(resources(&log(&bucket, &env)).await.len(), 2000);
    });
}

/// AUDIT-1: what was committed is there for whoever looks, whatever becomes of the hub.
#[test]
fn audit_1_a_commit_is_durable() {
    simulate(3, |env| async move {
        let memory = Arc::new(Memory::new(&env));
        let faulty = Faulty::new(Arc::clone(&memory) as _, Faults::default(), &env);
        let bucket = Bucket::from_store(Arc::new(faulty.clone()), "faulty://", &env);
        let first = hub(&bucket, &env);
        change(&first, "a", "@main/x").await;
        faulty.crash(Crash::Hang);
        let seen = Bucket::from_store(memory, "memory://", &env);
        assert_eq!(resources(&log(&seen, &env)).await, ["@main/x"]);
    });
}

/// AUDIT-4: while the bucket refuses the log, changes fail at once, reads go on for a while and then
/// stop; nothing is dropped, and all goes on afterwards.
#[test]
fn audit_4_nothing_goes_on_unrecorded_for_long() {
    simulate(4, |env| async move {
        let memory = Arc::new(Memory::new(&env));
        let faulty = Faulty::new(memory, Faults::default(), &env);
        let bucket = Bucket::from_store(Arc::new(faulty.clone()), "faulty://", &env);
        let hub = hub(&bucket, &env);
        change(&hub, "a", "before").await;
        faulty.set(Faults { before_ppm: 1_000_000, ..Faults::default() });
        hub.record(record("a", Outcome::Changed, "refused")).unwrap();
        let refused = hub.commit().await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Retry, "{refused}");
        let begin = env.clock.monotonic();
        let mut kept = 0;
        loop {
            match hub.record(record("a", Outcome::Allowed, &format!("read {kept}"))) {
                Ok(()) => kept += 1,
                Err(error) => {
                    assert!(matches!(error, Error::Behind { .. }), "{error}");
                    break;
                }
            }
            env.clock.sleep(Duration::from_secs(1)).await;
        }
        let took = env.clock.monotonic() - begin;
        assert!(hub.status().behind && hub.status().failures > 0);
        assert!(took <= BEHIND_MAX + Duration::from_secs(1) && kept >= 10, "{took:?} {kept}");
        faulty.set(Faults::default());
        env.clock.sleep(Duration::from_secs(200)).await;
        hub.record(record("a", Outcome::Allowed, "after")).unwrap();
        hub.commit().await.unwrap();
        assert!(!hub.status().behind && hub.status().waiting_bytes == 0);
        let all = resources(&log(&bucket, &env)).await;
        assert_eq!(all.len(), kept + 3);
        assert_eq!((all[0].as_str(), all[1].as_str()), ("before", "refused"));
        assert_eq!(all.last().unwrap(), "after");
    });
}

/// A bucket that answers nothing at all.
#[test]
fn a_commit_does_not_wait_for_ever() {
    simulate(5, |env| async move {
        let memory = Arc::new(Memory::new(&env));
        let faulty = Faulty::new(memory, Faults::default(), &env);
        let bucket = Bucket::from_store(Arc::new(faulty.clone()), "faulty://", &env);
        let hub = hub(&bucket, &env);
        faulty.crash(Crash::Hang);
        hub.record(record("a", Outcome::Changed, "x")).unwrap();
        let begin = env.clock.monotonic();
        let error = hub.commit().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
        assert!(env.clock.monotonic() - begin <= cairn_audit::COMMIT_WAIT_MAX);
    });
}

#[test]
fn the_last_handle_that_goes_leaves_nothing_unwritten() {
    simulate(6, |env| async move {
        let bucket = Bucket::memory(&env);
        let first = hub(&bucket, &env);
        let second = first.clone();
        first.record(record("a", Outcome::Allowed, "x")).unwrap();
        drop(first);
        second.record(record("a", Outcome::Allowed, "y")).unwrap();
        drop(second);
        env.clock.sleep(Duration::from_millis(1)).await;
        let log = log(&bucket, &env);
        assert_eq!(resources(&log).await, ["x", "y"]);
        assert_eq!(log.verify(Verify::default(), |_| {}).await.unwrap().segments, 1);
    });
}
