//! Collections whose marks are all that stands between a version and the loss of its chunks.

use std::time::Duration;

use cairn_base::ErrorKind;
use cairn_blocks::CollectOptions;
use cairn_bucket::faulty::{Entry, Kind};
use cairn_sim::{World, block_on, target};

use crate::support::*;

/// Writes of the tag that never comes to be.
fn ref_writes(world: &World) -> usize {
    let log = world.faulty.log();
    let of_tag = |entry: &&Entry| entry.key == "refs/main/data/lost" && entry.kind == Kind::Update;
    log.iter().filter(of_tag).count()
}

/// BLOCKS-1: a root was announced that is not whole, and its publisher died. A collection comes upon the
/// directory that it shares with a version, and must go into it all the same.
#[test]
fn what_an_incomplete_announcement_shares_is_marked_to_the_end() {
    block_on(async {
        let world = World::new(12);
        let (pusher, collector) = (world.open().await.unwrap(), world.open().await.unwrap());
        let (first, lost, kept) = (target("data:first"), target("data:lost"), target("data:zkept"));
        let shared: (&str, &[usize]) = ("d/x", &[5, 6]);
        push(&pusher, &first, &made(&world, &pusher, &tree(&[shared, ("pad", &[20, 21])])))
            .await
            .unwrap();
        let version = made(&world, &pusher, &tree(&[shared, ("b", &[4])]));
        push(&pusher, &kept, &version).await.unwrap();
        // What the announcement will miss is stored, relied on, and swept.
        push(&pusher, &lost, &made(&world, &pusher, &tree(&[("z", &[30])]))).await.unwrap();
        let broken = made(&world, &pusher, &tree(&[shared, ("z", &[30])]));
        let upload = pusher.store.upload(std::slice::from_ref(&lost)).await.unwrap();
        let wanted = claim(upload.as_ref(), &broken).await.unwrap();
        assert!(wanted.len() < broken.chunks.len(), "it relies on what is there");
        for gone in [&lost, &first] {
            collector.store.remove(gone).await.unwrap();
        }
        for _ in 0..3 {
            collect(&world, &collector).await;
        }
        send(upload.as_ref(), &wanted).await.unwrap();
        let before = ref_writes(&world);
        let mut publishing = Box::pin(publish(upload.as_ref(), &broken));
        until(&mut publishing, || ref_writes(&world) > before).await;
        drop(publishing);
        let all = CollectOptions { rewrite_below_percent: 100, ..greedy() };
        for _ in 0..4 {
            // The dead publisher's lease runs out after the first.
            collector.datasets.collect(all).await.unwrap();
            world.env.clock.sleep(Duration::from_secs(70)).await;
        }
        let fresh = world.open().await.unwrap();
        assert_eq!(fresh.store.tag(&lost).await.unwrap_err().kind(), ErrorKind::NotFound);
        reads_as(&world, &kept, &version).await;
    });
}
