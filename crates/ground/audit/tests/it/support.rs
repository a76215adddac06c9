use std::sync::Arc;

use cairn_audit::{Audit, Entry, Filter, Line, Log, Outcome, Record};
use cairn_bucket::{Bucket, Plain};
use cairn_env::Env;
use futures::TryStreamExt as _;

/// Runs in a world that `seed` decides.
pub(crate) fn simulate<F: Future>(seed: u64, work: impl FnOnce(Env) -> F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { work(Env::simulated(seed)).await })
}

pub(crate) fn hub(bucket: &Bucket, env: &Env) -> Audit {
    Audit::new(bucket.clone(), env.clone(), Arc::new(Plain))
}

pub(crate) fn log(bucket: &Bucket, env: &Env) -> Log {
    Log::new(bucket.clone(), env.clone(), Arc::new(Plain))
}

pub(crate) fn record(caller: &str, outcome: Outcome, resource: &str) -> Record {
    Record {
        time_ms: 0,
        request: "00112233445566ff".into(),
        door: "rest".into(),
        peer: "192.0.2.7".into(),
        caller: caller.into(),
        credential: "token 8839xxvdmpktx0xd".into(),
        action: "write_dataset".into(),
        resource: resource.into(),
        outcome,
        detail: "".into(),
        count: 0,
    }
}

/// A change that is durable when this returns.
pub(crate) async fn change(hub: &Audit, caller: &str, resource: &str) {
    hub.record(record(caller, Outcome::Changed, resource)).unwrap();
    hub.commit().await.unwrap();
}

/// All lines of the log.
pub(crate) async fn lines(log: &Log, filter: Filter) -> Vec<Line> {
    let batches: Vec<_> = log.read(0, filter).await.unwrap().try_collect().await.unwrap();
    batches.into_iter().flat_map(|batch| batch.lines).collect()
}

/// All entries of a log without a gap.
pub(crate) async fn entries(log: &Log, filter: Filter) -> Vec<Entry> {
    let entry = |line| match line {
        Line::Entry(entry) => *entry,
        Line::Gap(gap) => panic!("{gap:?}"),
    };
    lines(log, filter).await.into_iter().map(entry).collect()
}

pub(crate) async fn resources(log: &Log) -> Vec<String> {
    let all = entries(log, Filter::default()).await;
    all.into_iter().map(|entry| entry.record.resource.to_string()).collect()
}
