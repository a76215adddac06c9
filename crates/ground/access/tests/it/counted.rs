//! ACCESS-9: what is counted instead of recorded each time.

use std::sync::Arc;
use std::time::Duration;

use cairn_access::{Access, Action, Error, Resource, TALLY_EVERY, Visit};
use cairn_audit::{Filter, Line, Outcome, Record};
use cairn_bucket::faulty::Faults;
use cairn_bucket::{Bucket, Faulty, Memory};
use cairn_env::Env;
use futures::TryStreamExt as _;

use crate::{first, simulate, visit};

fn keys(name: &str) -> Resource {
    Resource::Dataset("main".parse().unwrap(), name.parse().unwrap())
}

/// The records about keys in the log.
async fn told(access: &Access) -> Vec<Record> {
    let filter = Filter { action: Some("*_keys".to_owned()), ..Filter::default() };
    let batches = access.audit().log().read(0, filter).await.unwrap();
    let batches: Vec<_> = batches.try_collect().await.unwrap();
    let record = |line| match line {
        Line::Entry(entry) => entry.record,
        Line::Gap(gap) => panic!("{gap:?}"),
    };
    batches.into_iter().flat_map(|batch| batch.lines).map(record).collect()
}

/// The outcomes, how many uses each stands for, and what it says.
fn short(records: &[Record]) -> Vec<(Outcome, u64, String)> {
    let grant = |record: &Record| {
        if record.outcome == Outcome::Allowed {
            "grant".to_owned()
        } else {
            record.detail.to_string()
        }
    };
    records.iter().map(|record| (record.outcome, record.count, grant(record))).collect()
}

fn write(visit: &Visit, commit: u64) {
    let used = visit.authorize_counted(Action::WriteKeys, &keys("carts")).unwrap();
    used.changed(commit).unwrap();
}

/// ACCESS-9: the first use is recorded at once, the others within ten seconds by one record with their
/// number and commits.
#[test]
fn access_9_the_first_is_recorded_and_the_others_counted() {
    simulate(1, async |env: Env| {
        let bucket = Bucket::memory(&env);
        let (access, token) = first(&bucket, &env).await;
        let visit = visit(&access, &token).await.unwrap();
        for commit in 5..25 {
            write(&visit, commit);
            visit.authorize_counted(Action::ReadKeys, &keys("carts")).unwrap();
        }
        let used = visit.authorize_counted(Action::WriteKeys, &keys("carts")).unwrap();
        used.failed("it was changed").unwrap();
        // What reads is written within a second, as any decision.
        env.clock.sleep(Duration::from_secs(2)).await;
        let allowed = (Outcome::Allowed, 1, "grant".to_owned());
        assert_eq!(short(&told(&access).await), [allowed.clone(), allowed.clone()]);
        env.clock.sleep(TALLY_EVERY).await;
        let mut expected = vec![
            allowed.clone(),
            allowed.clone(),
            (Outcome::Allowed, 19, "grant".to_owned()),
            (Outcome::Changed, 20, "commits 5 to 24".to_owned()),
            (Outcome::Failed, 1, "it was changed".to_owned()),
        ];
        assert_eq!(short(&told(&access).await), expected);
        // Then it begins again.
        write(&visit, 25);
        access.settle().await.unwrap();
        expected.extend([allowed, (Outcome::Changed, 1, "commit 25".to_owned())]);
        assert_eq!(short(&told(&access).await), expected);
        let last = told(&access).await.pop().unwrap();
        assert_eq!((last.caller.as_str(), last.resource.as_str()), ("root", "@main/carts"));
    });
}

/// ACCESS-9: each caller, action and resource is counted by itself, and nothing is lost when a node stops.
#[test]
fn access_9_counts_are_of_one_caller_and_one_resource() {
    simulate(2, async |env: Env| {
        let bucket = Bucket::memory(&env);
        let (access, token) = first(&bucket, &env).await;
        let visit = visit(&access, &token).await.unwrap();
        for number in 0..12_u64 {
            for name in ["a", "b", "c"] {
                let used = visit.authorize_counted(Action::WriteKeys, &keys(name)).unwrap();
                used.changed(number).unwrap();
            }
        }
        access.settle().await.unwrap();
        let records = told(&access).await;
        for name in ["@main/a", "@main/b", "@main/c"] {
            let changed = records.iter().filter(|record| {
                record.resource.as_str() == name && record.outcome == Outcome::Changed
            });
            assert_eq!(changed.map(|record| record.count).sum::<u64>(), 12, "{name}");
        }
    });
}

/// ACCESS-9: more callers and resources than are counted get a record for each use: none is left out.
#[test]
fn access_9_what_is_not_counted_is_recorded() {
    simulate(3, async |env: Env| {
        let bucket = Bucket::memory(&env);
        let (access, token) = first(&bucket, &env).await;
        let visit = visit(&access, &token).await.unwrap();
        let names = cairn_access::TALLIES_MAX as u64 + 50;
        for number in 0..names {
            let about = keys(&format!("n{number}"));
            let used = visit.authorize_counted(Action::WriteKeys, &about).unwrap();
            used.changed(number + 1).unwrap();
        }
        access.settle().await.unwrap();
        let records = told(&access).await;
        let of = |outcome| records.iter().filter(move |record| record.outcome == outcome);
        assert_eq!(of(Outcome::Allowed).count() as u64, names);
        assert_eq!(of(Outcome::Changed).map(|record| record.count).sum::<u64>(), names);
    });
}

/// ACCESS-9 and AUDIT-4: a refusal is recorded each time; while the log cannot be written what is counted is
/// refused too, and counts are kept until it can.
#[test]
fn access_9_what_cannot_be_recorded_is_refused() {
    simulate(4, async |env: Env| {
        let memory = Arc::new(Memory::new(&env));
        let faulty = Faulty::new(memory, Faults::default(), &env);
        let bucket = Bucket::from_store(Arc::new(faulty.clone()), "faulty://", &env);
        let (access, token) = first(&bucket, &env).await;
        let visit = visit(&access, &token).await.unwrap();
        write(&visit, 1);
        access.audit().commit().await.unwrap();
        faulty.set(Faults { before_ppm: 1_000_000, ..Faults::default() });
        write(&visit, 2);
        // The count is handed to the log, which cannot write it, and a minute goes by.
        env.clock.sleep(TALLY_EVERY + Duration::from_secs(65)).await;
        let refused = visit.authorize_counted(Action::WriteKeys, &keys("carts")).unwrap_err();
        assert!(matches!(refused, Error::Audit(cairn_audit::Error::Behind { .. })), "{refused}");
        faulty.set(Faults::default());
        env.clock.sleep(Duration::from_secs(10)).await;
        access.settle().await.unwrap();
        let records = told(&access).await;
        let changed = records.iter().filter(|record| record.outcome == Outcome::Changed);
        assert_eq!(changed.map(|record| record.count).sum::<u64>(), 2);
    });
}
