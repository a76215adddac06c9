//! The suite that every backend passes: what everything above relies on, and no more.
//!
//! Each check works below a prefix of its own, panics at the first thing that is wrong, and leaves
//! nothing behind when it is right.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a check that fails panics"
)]

mod facade;
mod store;

use cairn_env::Env;
use futures::{StreamExt as _, TryStreamExt as _};

use crate::Bucket;

/// Runs every check on `bucket`.
pub async fn all(bucket: &Bucket) {
    alone(bucket).await;
    pair(bucket, bucket).await;
    assert_eq!(keys(bucket, "").await, Vec::<String>::new(), "something was left behind");
}

/// Runs every check on `bucket` that needs no two at once.
pub async fn alone(bucket: &Bucket) {
    bucket.probe().await.unwrap();
    facade::all(bucket).await;
    store::all(bucket).await;
    assert_eq!(keys(bucket, "").await, Vec::<String>::new(), "something was left behind");
}

/// BUCKET-5 between two handles of one place.
pub async fn pair(first: &Bucket, second: &Bucket) {
    facade::create_once(first, second).await;
    facade::count_by_replacing(first, second).await;
}

/// A prefix that no other check uses.
fn fresh(name: &str) -> String {
    let env = Env::real();
    format!("{name}-{:016x}", env.rng.next_u64())
}

async fn keys(bucket: &Bucket, prefix: &str) -> Vec<String> {
    let mut keys: Vec<_> = bucket.list(prefix).map_ok(|head| head.key).try_collect().await.unwrap();
    keys.sort();
    keys
}

async fn clear(bucket: &Bucket, prefix: &str) {
    let keys = keys(bucket, prefix).await;
    futures::stream::iter(keys)
        .for_each_concurrent(8, |key| async move { bucket.delete(&key).await.unwrap() })
        .await;
    assert_eq!(self::keys(bucket, prefix).await, Vec::<String>::new());
}
