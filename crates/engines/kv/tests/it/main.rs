//! Namespaces on partitions in memory.

#![allow(clippy::unwrap_used, reason = "this whole crate is tests")]

mod keys;
mod large;
mod transfer;

use std::sync::Arc;

use cairn_bucket::Bucket;
use cairn_datasets::Datasets;
use cairn_env::Env;
use cairn_kv::{Kv, Namespace, Settings};
use cairn_partition::MemoryStore;

/// Runs on one thread whose time moves only when every task waits.
pub(crate) fn simulate<T>(seed: u64, test: impl AsyncFnOnce(Env, Kv) -> T) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let env = Env::simulated(seed);
        let (kv, _) = opened(&env).await;
        test(env, kv).await
    })
}

/// Namespaces in memory, and the datasets beside them.
pub(crate) async fn opened(env: &Env) -> (Kv, Datasets) {
    let options = cairn_blocks::Options::default();
    let bucket = Bucket::memory(env);
    let datasets = Datasets::open_or_init(bucket, None, options, env).await.unwrap();
    (Kv::new(Arc::new(MemoryStore::new(env)), &datasets), datasets)
}

pub(crate) fn namespace(text: &str) -> Namespace {
    let (project, name) = text.split_once('/').unwrap();
    Namespace { project: project.parse().unwrap(), name: name.parse().unwrap() }
}

pub(crate) async fn made(kv: &Kv, text: &str) -> Namespace {
    let namespace = namespace(text);
    kv.create(&namespace, Settings::default()).await.unwrap();
    namespace
}
