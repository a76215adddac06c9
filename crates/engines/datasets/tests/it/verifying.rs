//! Verification and hostile buckets.

use futures::TryStreamExt as _;

use super::support::World;

/// Every key of the bucket.
pub(crate) async fn keys(world: &World) -> Vec<String> {
    let mut keys: Vec<String> =
        world.bucket.list("").map_ok(|head| head.key).try_collect().await.unwrap();
    keys.sort();
    keys
}
