//! Readers beside owners.

use super::*;
use crate::{KeyRange, Readers, Scan, Seq};

impl World {
    fn readers(&self) -> Readers {
        Readers::new(self.bucket.clone(), Arc::clone(&self.seal), &self.env)
    }

    /// What is in the bucket.
    async fn objects(&self) -> Vec<(String, u64)> {
        let heads = self.bucket.list("partitions").map_ok(|head| (head.key, head.size));
        let mut all: Vec<_> = heads.try_collect().await.unwrap();
        all.sort();
        all
    }
}

async fn write(partition: &AnyPartition, from: u64, count: u64) {
    for number in from..from + count {
        let mut commit = Commit::new().put(format!("k{}", number % 7), format!("{number}"));
        if number % 11 == 0 {
            commit = commit.delete(format!("k{}", (number + 3) % 7));
        }
        if number % 29 == 0 {
            commit = commit.delete_range(KeyRange::prefix("k5"));
        }
        partition.commit(commit).await.unwrap();
    }
}

/// The reader shows what the owner did at that commit.
async fn same(reader: &AnyPartition, owner: &AnyPartition) -> Seq {
    let page = reader.scan(&Scan::of(KeyRange::all())).await.unwrap();
    let of_then = Scan { at: At::Seq(page.at), ..Scan::of(KeyRange::all()) };
    assert_eq!(page.entries, owner.scan(&of_then).await.unwrap().entries, "at {}", page.at);
    for entry in page.entries {
        let found = reader.get(&entry.key, At::Seq(page.at)).await.unwrap();
        assert_eq!(found, Some(entry));
    }
    page.at
}

/// READ-1: a reader follows an owner that writes, flushes and compacts, whole commits in their order, and
/// writes nothing.
#[tokio::test(start_paused = true)]
async fn read_1_beside_an_owner_that_works() {
    for seed in 0..6 {
        let world = World::new(seed, seed % 2 == 0);
        let node = world.node().await;
        let owner = node.create(&world.name, Settings::default()).await.unwrap();
        write(&owner, 1, 40).await;
        world.seconds(3).await;
        let before = world.objects().await;
        let readers = world.readers();
        let reader = readers.open(&world.name).await.unwrap();
        assert_eq!(same(&reader, &owner).await, Seq(40));
        assert_eq!(reader.status().settings, owner.status().settings);
        assert_eq!(world.objects().await, before, "a reader writes nothing");
        let mut shown = Seq(40);
        for round in 1..30 {
            write(&owner, 1 + round * 40, 40).await;
            if round % 3 == 0 {
                node.shared.opened()[0].flush().await.unwrap();
            }
            let now = same(&reader, &owner).await;
            assert!(now >= shown, "{now} after {shown}");
            shown = now;
            world.env.clock.sleep(Duration::from_millis(700 * (round % 5))).await;
        }
        world.seconds(4).await;
        assert_eq!(same(&reader, &owner).await, owner.status().durable);
        assert!(node.shared.opened()[0].db.manifest().l0().len() < 4, "it was compacted");
        let refused = reader.commit(Commit::new().put("a", "b")).await.unwrap_err();
        assert_eq!(refused.kind(), cairn_base::ErrorKind::Invalid, "{refused}");
        node.close().await.unwrap();
        world.seconds(3).await;
        let last = owner.status().durable;
        let page = reader.scan(&Scan::of(KeyRange::all())).await.unwrap();
        assert_eq!(page.at, last, "it is whole without its owner");
    }
}

/// READ-1: it follows from owner to owner, however they end, and finds an end when it is removed.
#[tokio::test(start_paused = true)]
async fn read_1_from_owner_to_owner() {
    let world = World::new(70, true);
    let readers = world.readers();
    let missing = readers.open(&world.name).await.err().unwrap();
    assert!(matches!(missing, Error::Missing { .. }), "{missing}");
    let mut node = world.node_called("first").await;
    let mut owner = node.create(&world.name, Settings::default()).await.unwrap();
    let mut written = 0;
    let reader = {
        write(&owner, 1, 10).await;
        world.seconds(3).await;
        readers.open(&world.name).await.unwrap()
    };
    for round in 0..6 {
        write(&owner, written + 11, 30).await;
        written += 30;
        if round % 2 == 0 {
            node.shared.opened()[0].flush().await.unwrap();
            write(&owner, written + 11, 5).await;
            written += 5;
        }
        world.seconds(3).await;
        assert_eq!(same(&reader, &owner).await, owner.status().durable);
        if round == 3 {
            node.close().await.unwrap();
        } else {
            node.kill();
        }
        world.seconds(3).await;
        assert_eq!(reader.status().durable, owner.status().durable, "nobody owns it");
        node = world.node_called(&format!("next-{round}")).await;
        owner = loop {
            match node.open(&world.name).await {
                Err(Error::Elsewhere { .. }) => world.seconds(5).await,
                opened => break opened.unwrap(),
            }
        };
        assert_eq!(same(&reader, &owner).await, owner.status().durable);
    }
    assert_eq!(readers.list("kv").await.unwrap(), std::slice::from_ref(&world.name));
    node.remove(&world.name).await.unwrap();
    world.seconds(3).await;
    let gone = reader.get(b"k1", At::Durable).await.unwrap_err();
    assert!(matches!(gone, Error::Missing { .. }), "{gone}");
    assert_eq!(readers.list("kv").await.unwrap(), []);
    node.create(&world.name, Settings::default()).await.unwrap();
    world.seconds(3).await;
    let reader = readers.open(&world.name).await.unwrap();
    assert_eq!(reader.status().durable, Seq(0), "another one of its name");
    node.close().await.unwrap();
}

/// LOG-4: a watch of a reader tells what the owner's does.
#[tokio::test(start_paused = true)]
async fn read_1_a_watch_tells_every_change() {
    let world = World::new(80, false);
    let node = world.node().await;
    let owner = node.create(&world.name, Settings::default()).await.unwrap();
    write(&owner, 1, 5).await;
    world.seconds(3).await;
    let reader = world.readers().open(&world.name).await.unwrap();
    let wait = Duration::from_secs(20);
    let working = async {
        for round in 0..20 {
            write(&owner, 6 + round * 10, 10).await;
            if round % 7 == 3 {
                node.shared.opened()[0].flush().await.unwrap();
            }
            world.env.clock.sleep(Duration::from_millis(300)).await;
        }
    };
    let watching = async {
        let (mut told, mut after) = (Vec::new(), Seq(0));
        while after < Seq(205) {
            let part = reader.changes(after, wait).await.unwrap();
            assert!(part.upto > after, "nothing came after {after}");
            after = part.upto;
            told.extend(part.changes);
        }
        told
    };
    let ((), told) = futures::join!(working, watching);
    let (mut expected, mut after) = (Vec::new(), Seq(0));
    while after < Seq(205) {
        let part = owner.changes(after, wait).await.unwrap();
        after = part.upto;
        expected.extend(part.changes);
    }
    assert_eq!(told, expected);
    let future = reader.changes(Seq(999), Duration::ZERO).await;
    assert!(matches!(future, Err(Error::Future { .. })));
    assert_eq!(reader.changes(Seq(205), Duration::from_secs(2)).await.unwrap().changes, []);
    node.close().await.unwrap();
}
