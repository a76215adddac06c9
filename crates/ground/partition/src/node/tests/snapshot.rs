//! Snapshots beside their owners.

use super::damage::{node_on, show};
use super::*;
use crate::{Scan, Seq};

const LABEL: &str = "backup-1";

impl World {
    async fn take(&self) -> Snapshot {
        self.snapshots().take(&self.name, LABEL).await.unwrap().unwrap()
    }

    /// What a snapshot is in a bucket of its own, on a node that goes on from it.
    async fn restored(&self, snapshot: &Snapshot) -> (Bucket, Node) {
        let to = Bucket::memory(&self.env);
        for key in &snapshot.objects {
            to.put(key, self.bucket.get(key).await.unwrap().bytes).await.unwrap();
        }
        let (key, bytes) = snapshot.record.clone();
        to.put(&key, bytes).await.unwrap();
        let snapshots = Snapshots::new(to.clone(), Arc::clone(&self.seal), &self.env);
        snapshots.settle(&self.name).await.unwrap();
        snapshots.settle_views().await.unwrap();
        let node = node_on(&to, &self.seal, "elsewhere", &self.env).await.unwrap();
        (to, node)
    }

    async fn keys(&self) -> Vec<String> {
        let keys = self.bucket.list("partitions/views").map_ok(|head| head.key);
        keys.try_collect().await.unwrap()
    }
}

/// SNAPSHOT-1: what a snapshot holds is the state of then, with its history, whatever of it was in the
/// view and whatever in the log; it can be gone on from, and so can what it was taken of.
#[tokio::test(start_paused = true)]
async fn snapshot_1_a_snapshot_is_the_state_of_then() {
    for (seed, sealed, flush) in [(1, false, true), (2, true, true), (3, false, false)] {
        let world = World::new(seed, sealed);
        let node = world.node().await;
        let partition = node.create(&world.name, Settings::default()).await.unwrap();
        write(&partition, 1, 120).await;
        if flush {
            node.shared.opened()[0].flush().await.unwrap();
            write(&partition, 121, 30).await;
        }
        world.env.clock.sleep(Duration::from_secs(2)).await;
        let shown = show(&partition).await.unwrap();
        let snapshot = world.take().await;
        assert_eq!(snapshot.name.as_str(), NAME);
        let copied = |key: &String| key.starts_with("log/");
        assert!(snapshot.objects.iter().any(copied), "the view lacks some");
        write(&partition, 200, 50).await;
        node.shared.opened()[0].flush().await.unwrap();
        write(&partition, 250, 9).await;
        let (_, elsewhere) = world.restored(&snapshot).await;
        let restored = elsewhere.open(&world.name).await.unwrap();
        assert_eq!(restored.loss(), None, "nothing is missing");
        assert_eq!(show(&restored).await.unwrap(), shown);
        write(&restored, 500, 20).await;
        assert_eq!(value(&restored, "k1").await.as_deref(), Some("519"));
        elsewhere.close().await.unwrap();
        assert_eq!(value(&partition, "k6").await.as_deref(), Some("258"));
        node.close().await.unwrap();
    }
}

/// SNAPSHOT-1: however the owner writes, flushes, compacts and dies meanwhile, a snapshot is a state
/// that was, and no older than what was shipped before.
#[tokio::test(start_paused = true)]
async fn snapshot_1_beside_an_owner_that_works() {
    for seed in 0..8 {
        let world = World::new(seed, seed % 2 == 0);
        let mut node = world.node().await;
        let mut partition = node.create(&world.name, Settings::default()).await.unwrap();
        let mut written = 0;
        for round in 0..12 {
            write(&partition, written + 1, 25).await;
            written += 25;
            world.env.clock.sleep(Duration::from_secs(2)).await;
            let opened = node.shared.opened()[0].clone();
            let (mut flushed, snapshot) = (Ok(()), world.snapshots());
            let (more, taken) = futures::join!(
                async {
                    flushed = opened.flush().await;
                    write(&partition, written + 1, 5).await;
                },
                snapshot.take(&world.name, LABEL)
            );
            let ((), taken) = (more, taken.unwrap().unwrap());
            flushed.unwrap();
            written += 5;
            let (_, elsewhere) = world.restored(&taken).await;
            let restored = elsewhere.open(&world.name).await.unwrap();
            let reached = restored.status().durable;
            let of_then = Scan { at: At::Seq(reached), ..Scan::of(crate::KeyRange::all()) };
            let wanted = partition.scan(&of_then).await.unwrap().entries;
            assert!(reached >= Seq(written - 5), "{reached:?} of {written}");
            assert_eq!(restored.scan(&of_then).await.unwrap().entries, wanted, "{seed} {round}");
            elsewhere.kill();
            if round % 4 == 3 {
                world.env.clock.sleep(Duration::from_secs(2)).await;
                node.kill();
                world.env.clock.sleep(Duration::from_secs(60)).await;
                node = world.node().await;
                partition = loop {
                    match node.open(&world.name).await {
                        Ok(opened) => break opened,
                        Err(_) => world.env.clock.sleep(Duration::from_secs(1)).await,
                    }
                };
            }
        }
        node.close().await.unwrap();
    }
}

/// LOG-3: a node whose log has a later past of the partition takes nothing of it for its own when the
/// bucket was set back to a snapshot.
#[tokio::test(start_paused = true)]
async fn a_log_of_an_undone_past_counts_for_nothing() {
    let world = World::new(30, false);
    let disk = Arc::new(SimDisk::new());
    let on = async |bucket: &Bucket, disk: &SimDisk| {
        let options = NodeOptions { boot: String::from("b"), ..NodeOptions::default() };
        let disk = Arc::new(disk.clone()) as _;
        Node::open(bucket.clone(), Arc::clone(&world.seal), disk, options, &world.env)
            .await
            .unwrap()
    };
    let node = on(&world.bucket, &disk).await;
    let partition = node.create(&world.name, Settings::default()).await.unwrap();
    write(&partition, 1, 100).await;
    world.env.clock.sleep(Duration::from_secs(2)).await;
    let shown = show(&partition).await.unwrap();
    let snapshot = world.take().await;
    node.kill();
    let mut disk = disk.kill();
    // The undone past goes through more ownerships than the copy begins with.
    for round in 0..3 {
        let node = on(&world.bucket, &disk).await;
        let partition = node.open(&world.name).await.unwrap();
        write(&partition, 101 + round * 5, 5).await;
        node.kill();
        disk = disk.kill();
    }
    let (copy, elsewhere) = world.restored(&snapshot).await;
    elsewhere.close().await.unwrap();
    for round in 0..4 {
        let node = on(&copy, &disk).await;
        let partition = node.open(&world.name).await.unwrap();
        if round == 0 {
            assert_eq!(show(&partition).await.unwrap(), shown);
        }
        write(&partition, 200 + round, 1).await;
        assert_eq!(partition.status().durable, Seq(101 + round));
        node.kill();
        disk = disk.kill();
    }
}

/// SNAPSHOT-2: a snapshot outlives its partition, and nothing is left when it is released.
#[tokio::test(start_paused = true)]
async fn snapshot_2_a_snapshot_outlives_its_partition() {
    let world = World::new(20, false);
    let node = world.node().await;
    let partition = node.create(&world.name, Settings::default()).await.unwrap();
    for _ in 0..6 {
        write(&partition, 1, 50).await;
        node.shared.opened()[0].flush().await.unwrap();
    }
    world.env.clock.sleep(Duration::from_secs(60)).await;
    let manifest = node.shared.opened()[0].db.manifest();
    assert!(!manifest.checkpoints().is_empty(), "it was compacted");
    let snapshot = world.take().await;
    node.remove(&world.name).await.unwrap();
    node.create(&world.name, Settings::default()).await.unwrap();
    let (_, elsewhere) = world.restored(&snapshot).await;
    let restored = elsewhere.open(&world.name).await.unwrap();
    assert_eq!(value(&restored, "k1").await.as_deref(), Some("50"));
    let snapshots = world.snapshots();
    assert_eq!(snapshots.sweep().await.unwrap(), 0, "it is pinned");
    snapshots.release(snapshot.id, "another").await.unwrap();
    assert_eq!(snapshots.sweep().await.unwrap(), 0, "another label pins nothing");
    snapshots.release(snapshot.id, LABEL).await.unwrap();
    assert_eq!(snapshots.sweep().await.unwrap(), 1);
    let (left, id) = (world.keys().await, hex::encode(snapshot.id.0));
    assert!(!left.is_empty() && !left.iter().any(|key| key.contains(&id)), "{left:?}");
    node.close().await.unwrap();
}

/// A partition that is not there has no snapshot, and one that nobody ever wrote to has.
#[tokio::test(start_paused = true)]
async fn what_has_a_snapshot() {
    let world = World::new(21, false);
    let none = world.snapshots().take(&world.name, LABEL).await.unwrap();
    assert_eq!(none, None);
    let node = world.node().await;
    node.create(&world.name, Settings::default()).await.unwrap();
    let snapshot = world.take().await;
    let (_, elsewhere) = world.restored(&snapshot).await;
    let restored = elsewhere.open(&world.name).await.unwrap();
    assert_eq!(value(&restored, "k1").await, None);
    let names = world.snapshots().names().await.unwrap();
    assert!(names.len() == 1 && names[0] == world.name);
    node.remove(&world.name).await.unwrap();
    assert_eq!(world.snapshots().take(&world.name, LABEL).await.unwrap(), None);
}
