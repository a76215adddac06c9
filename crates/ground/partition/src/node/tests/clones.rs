//! Clones and the views that they share.

use cairn_bucket::Faulty;
use cairn_bucket::faulty::{Crash, Faults};
use futures::FutureExt as _;

use super::*;
use crate::{Scan, Seq};

fn nothing() -> Step<'static> {
    futures::future::ready(Ok(())).boxed()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

impl World {
    async fn views(&self) -> Vec<PartitionId> {
        self.snapshots().views().await.unwrap()
    }
}

/// The present.
async fn state(partition: &AnyPartition) -> Vec<crate::Entry> {
    partition.scan(&Scan::of(crate::KeyRange::all())).await.unwrap().entries
}

fn opened(node: &Node, name: &Name) -> Arc<Opened> {
    node.shared.opened().into_iter().find(|opened| opened.name == *name).unwrap()
}

/// CLONE-1: a clone has all that was acknowledged before, and a beginning of what comes meanwhile.
#[tokio::test(start_paused = true)]
async fn clone_1_beside_a_writer() {
    for seed in 0..6 {
        let world = World::new(seed, seed % 2 == 0);
        let node = world.node().await;
        let source = node.create(&name("source"), Settings::default()).await.unwrap();
        for round in 0..5 {
            let before = round * 70;
            write(&source, before + 1, 50).await;
            let to = name(&format!("clone{round}"));
            let from = name("source");
            let ((), clone) = futures::join!(
                write(&source, before + 51, 20),
                node.clone_to(&from, &to, nothing())
            );
            let clone = clone.unwrap();
            let reached = clone.status().durable;
            assert!(reached >= Seq(before + 50) && reached <= Seq(before + 70), "{reached:?}");
            let of_then = Scan { at: At::Seq(reached), ..Scan::of(crate::KeyRange::all()) };
            let wanted = source.scan(&of_then).await.unwrap().entries;
            assert_eq!(clone.scan(&of_then).await.unwrap().entries, wanted, "{seed} {round}");
        }
        node.close().await.unwrap();
    }
}

/// CLONE-2: compaction of either takes nothing from the other; a clone that has tables of its own alone
/// lets go of its source, and a removed source goes with the last that needed it.
#[tokio::test(start_paused = true)]
async fn clone_2_tables_stay_as_long_as_they_are_needed() {
    let world = World::new(40, true);
    let node = world.node().await;
    let (first, second, third) = (name("first"), name("second"), name("third"));
    let source = node.create(&first, Settings::default()).await.unwrap();
    write(&source, 1, 100).await;
    let clone = node.clone_to(&first, &second, nothing()).await.unwrap();
    let again = node.clone_to(&second, &third, nothing()).await.unwrap();
    let shown = state(&again).await;
    // Much of the source's is compacted and collected.
    for round in 0..6 {
        write(&source, 101 + round * 50, 50).await;
        opened(&node, &first).flush().await.unwrap();
    }
    world.env.clock.sleep(Duration::from_secs(7200)).await;
    write(&source, 500, 1).await;
    assert!(opened(&node, &first).db.manifest().l0().len() < 4, "nothing was compacted");
    assert_eq!(state(&clone).await, shown);
    node.remove(&first).await.unwrap();
    assert_eq!(world.views().await.len(), 3, "its clones need the view of what was removed");
    assert_eq!(world.snapshots().sweep().await.unwrap(), 0);
    let node = restarted(&world, node).await;
    let (clone, again) = (node.open(&second).await.unwrap(), node.open(&third).await.unwrap());
    assert_eq!(state(&clone).await, shown);
    assert_eq!(state(&again).await, shown);
    // The second writes tables of its own.
    for round in 0..6 {
        write(&clone, 101 + round * 50, 50).await;
        opened(&node, &second).flush().await.unwrap();
    }
    world.env.clock.sleep(Duration::from_secs(7200)).await;
    assert_eq!(world.views().await.len(), 3, "the third needs them all");
    assert_eq!(state(&again).await, shown);
    node.remove(&third).await.unwrap();
    for round in 0..6 {
        write(&clone, 501 + round * 50, 50).await;
        opened(&node, &second).flush().await.unwrap();
    }
    world.env.clock.sleep(Duration::from_secs(7200)).await;
    let manifest = opened(&node, &second).db.manifest();
    assert!(manifest.external_dbs().is_empty(), "{:?}", manifest.external_dbs());
    assert_eq!(world.views().await, [opened(&node, &second).id]);
    let shown = state(&clone).await;
    let node = restarted(&world, node).await;
    assert_eq!(state(&node.open(&second).await.unwrap()).await, shown);
    node.close().await.unwrap();
}

async fn restarted(world: &World, node: Node) -> Node {
    node.close().await.unwrap();
    world.node().await
}

/// CLONE-2, SNAPSHOT-1: what a snapshot of a clone has is whole without its source, and with it.
#[tokio::test(start_paused = true)]
async fn clone_2_a_clone_comes_back_from_a_snapshot() {
    for (seed, with_source) in [(50, true), (51, false)] {
        let world = World::new(seed, true);
        let node = world.node().await;
        let (first, second) = (name("first"), name("second"));
        let source = node.create(&first, Settings::default()).await.unwrap();
        write(&source, 1, 100).await;
        let clone = node.clone_to(&first, &second, nothing()).await.unwrap();
        for round in 0..6 {
            write(&source, 101 + round * 50, 50).await;
            opened(&node, &first).flush().await.unwrap();
        }
        world.env.clock.sleep(Duration::from_secs(7200)).await;
        let shown = state(&clone).await;
        if !with_source {
            node.remove(&first).await.unwrap();
        }
        let to = Bucket::memory(&world.env);
        for name in [&first, &second] {
            let taken = world.snapshots().take(name, "label").await.unwrap();
            assert_eq!(taken.is_some(), with_source || name == &second);
            let Some(snapshot) = taken else { continue };
            for key in &snapshot.objects {
                to.put(key, world.bucket.get(key).await.unwrap().bytes).await.unwrap();
            }
            let (key, bytes) = snapshot.record.clone();
            to.put(&key, bytes).await.unwrap();
        }
        node.close().await.unwrap();
        let world = World { bucket: to, ..world };
        for name in [&first, &second] {
            world.snapshots().settle(name).await.unwrap();
        }
        world.snapshots().settle_views().await.unwrap();
        assert_eq!(world.snapshots().sweep().await.unwrap(), 0);
        let node = world.node().await;
        let clone = node.open(&second).await.unwrap();
        assert_eq!(state(&clone).await, shown);
        if with_source {
            let source = node.open(&first).await.unwrap();
            for round in 0..6 {
                write(&source, 1000 + round * 50, 50).await;
                opened(&node, &first).flush().await.unwrap();
            }
            world.env.clock.sleep(Duration::from_secs(7200)).await;
            node.remove(&first).await.unwrap();
        }
        let node = restarted(&world, node).await;
        let clone = node.open(&second).await.unwrap();
        assert_eq!(state(&clone).await, shown, "{with_source}");
        node.remove(&second).await.unwrap();
        assert_eq!(world.views().await, [], "{with_source}");
        node.close().await.unwrap();
    }
}

/// CLONE-2: what ends half way is no partition, and leaves nothing: neither of its own nor pinned.
#[tokio::test(start_paused = true)]
async fn clone_2_a_crash_half_way_leaves_nothing() {
    let mut ended = 0;
    for fault in 0..24 {
        let mut world = World::new(60 + fault, false);
        let store = Arc::new(cairn_bucket::Memory::new(&world.env));
        let faulty = Faulty::new(store, Faults::default(), &world.env);
        world.bucket = Bucket::from_store(Arc::new(faulty.clone()), "memory://", &world.env);
        let node = world.node().await;
        let (first, second) = (name("first"), name("second"));
        let source = node.create(&first, Settings::default()).await.unwrap();
        write(&source, 1, 20).await;
        world.env.clock.sleep(Duration::from_secs(3)).await;
        faulty.crash_at(faulty.count() + fault, Crash::Fail);
        let limit = world.env.clock.sleep(Duration::from_secs(10));
        let done = tokio::select! {
            biased;
            done = node.clone_to(&first, &second, nothing()) => done.is_ok(),
            () = limit => false,
        };
        faulty.heal();
        ended += u64::from(!done);
        if !done {
            world.snapshots().sweep().await.unwrap();
        }
        let clone = match node.clone_to(&first, &second, nothing()).await {
            Err(Error::Exists { .. }) => node.open(&second).await.unwrap(),
            made => made.unwrap(),
        };
        assert_eq!(state(&clone).await, state(&source).await);
        node.remove(&second).await.unwrap();
        world.snapshots().sweep().await.unwrap();
        let id = opened(&node, &first).id;
        assert_eq!(world.views().await, [id], "{fault}");
        let manifest = world.snapshots().manifest(id).await.unwrap().unwrap();
        let eternal = manifest.checkpoints().iter().filter(|made| made.expire_time.is_none());
        assert_eq!(eternal.count(), 0, "{fault}");
        node.close().await.unwrap();
    }
    assert!(ended > 8, "{ended} ended half way");
}

/// CLONE-2: a source that goes while it is cloned takes the clone along.
#[tokio::test(start_paused = true)]
async fn clone_2_a_source_that_goes_meanwhile() {
    let world = World::new(90, false);
    let node = world.node().await;
    let (first, second) = (name("first"), name("second"));
    let source = node.create(&first, Settings::default()).await.unwrap();
    write(&source, 1, 20).await;
    let remove = async { node.remove(&first).await }.boxed();
    let gone = node.clone_to(&first, &second, remove).await.err().unwrap();
    assert!(matches!(gone, Error::Missing { .. }), "{gone}");
    assert_eq!(node.list("").await.unwrap(), []);
    world.snapshots().sweep().await.unwrap();
    assert_eq!(world.views().await, []);
    // Another one of its name is not what was cloned.
    write(&node.create(&first, Settings::default()).await.unwrap(), 1, 20).await;
    let again = async {
        node.remove(&first).await?;
        node.create(&first, Settings::default()).await.map(drop)
    };
    let gone = node.clone_to(&first, &second, again.boxed()).await.err().unwrap();
    assert!(matches!(gone, Error::Busy { .. }), "{gone}");
    let why = Error::Busy { why: String::from("no") };
    let refused = node.clone_to(&first, &second, futures::future::ready(Err(why)).boxed()).await;
    assert!(matches!(refused.err(), Some(Error::Busy { .. })));
    assert_eq!(node.list("").await.unwrap(), [first]);
    node.close().await.unwrap();
}

/// CLONE-2: a clone that was being made when its node died is given up, whatever it was to be called.
#[tokio::test(start_paused = true)]
async fn clone_2_a_clone_whose_maker_died_is_given_up() {
    let world = World::new(91, false);
    let node = world.node().await;
    let (first, second) = (name("first"), name("second"));
    let source = node.create(&first, Settings::default()).await.unwrap();
    write(&source, 1, 20).await;
    let never = futures::future::pending().boxed();
    let limit = world.env.clock.sleep(Duration::from_secs(10));
    tokio::select! {
        _ = node.clone_to(&first, &second, never) => unreachable!(),
        () = limit => {}
    }
    assert_eq!(world.snapshots().sweep().await.unwrap(), 0, "it may be made yet");
    assert!(matches!(node.here(&second).await.unwrap(), crate::Here::Elsewhere));
    assert!(matches!(node.open(&second).await.err(), Some(Error::Missing { .. })));
    world.env.clock.sleep(Duration::from_secs(7 * 3600)).await;
    assert_eq!(world.snapshots().sweep().await.unwrap(), 1);
    assert!(matches!(node.here(&second).await.unwrap(), crate::Here::Removed));
    node.remove(&first).await.unwrap();
    assert_eq!(world.views().await, [], "nothing is pinned");
    node.close().await.unwrap();
}

/// CLONE-2, SNAPSHOT-1: a source whose snapshot is older than its clone is taken again, and a clone that was
/// restored without its source is as good as any.
#[tokio::test(start_paused = true)]
async fn clone_2_snapshots_that_are_restored_together() {
    let world = World::new(92, true);
    let node = world.node().await;
    let (first, second, third) = (name("first"), name("second"), name("third"));
    let source = node.create(&first, Settings::default()).await.unwrap();
    write(&source, 1, 20).await;
    let snapshots = world.snapshots();
    let take = async |name: &Name| snapshots.take(name, "label").await.unwrap().unwrap();
    let early = take(&first).await;
    let clone = node.clone_to(&first, &second, nothing()).await.unwrap();
    let both = vec![early.clone(), take(&second).await];
    let together = snapshots.together(both, "label").await.unwrap();
    let again = together.iter().find(|taken| taken.name == first).unwrap();
    assert_ne!(again.objects, early.objects);
    assert_eq!(snapshots.removed_sources(&together).await.unwrap(), [""; 0]);
    node.remove(&first).await.unwrap();
    let alone = vec![take(&second).await];
    let mut objects = snapshots.removed_sources(&alone).await.unwrap();
    assert!(!objects.is_empty(), "the manifest of the source");
    objects.extend(alone[0].objects.clone());
    let to = Bucket::memory(&world.env);
    for key in &objects {
        to.put(key, world.bucket.get(key).await.unwrap().bytes).await.unwrap();
    }
    let (key, bytes) = alone[0].record.clone();
    to.put(&key, bytes).await.unwrap();
    let shown = state(&clone).await;
    node.close().await.unwrap();
    let world = World { bucket: to, ..world };
    world.snapshots().settle(&second).await.unwrap();
    world.snapshots().settle_views().await.unwrap();
    assert_eq!(world.snapshots().sweep().await.unwrap(), 0);
    let node = world.node().await;
    let other = node.clone_to(&second, &third, nothing()).await.unwrap();
    assert_eq!(state(&other).await, shown);
    node.remove(&third).await.unwrap();
    let clone = node.open(&second).await.unwrap();
    for round in 0..12 {
        write(&clone, 101 + round * 50, 50).await;
        opened(&node, &second).flush().await.unwrap();
        world.env.clock.sleep(Duration::from_secs(1800)).await;
    }
    assert_eq!(world.views().await, [opened(&node, &second).id], "it has tables of its own");
    node.close().await.unwrap();
}
