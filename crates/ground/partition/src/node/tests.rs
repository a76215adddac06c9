mod clones;
mod damage;
mod readers;
mod snapshot;

use std::time::Duration;

use cairn_bucket::Plain;
use futures::TryStreamExt as _;

use super::*;
use crate::conformance::Subject;
use crate::log::{Shipped, SimDisk};
use crate::view::Keyed;
use crate::{AnyPartitions, At, Commit};

/// A node in a world of its own: paused time, a disk that forgets what was not synced.
struct Simulated {
    env: Env,
    bucket: Bucket,
    seal: Arc<dyn Seal>,
    state: Mutex<(Arc<SimDisk>, Node)>,
}

impl Simulated {
    async fn new(seed: u64) -> Self {
        Self::with_seal(seed, |_| Arc::new(Plain)).await
    }

    /// In a bucket that is sealed.
    async fn sealed(seed: u64) -> Self {
        Self::with_seal(seed, |env| Arc::new(Keyed(Arc::clone(&env.rng)))).await
    }

    async fn with_seal(seed: u64, seal: impl Fn(&Env) -> Arc<dyn Seal>) -> Self {
        let env = Env::simulated(seed);
        let (bucket, seal) = (Bucket::memory(&env), seal(&env));
        let disk = Arc::new(SimDisk::new());
        let node = simulated_node(&bucket, &seal, Arc::clone(&disk), &env).await;
        Self { env, bucket, seal, state: Mutex::new((disk, node)) }
    }

    fn state(&self) -> MutexGuard<'_, (Arc<SimDisk>, Node)> {
        self.state.lock().unwrap()
    }
}

async fn simulated_node(
    bucket: &Bucket,
    seal: &Arc<dyn Seal>,
    disk: Arc<SimDisk>,
    env: &Env,
) -> Node {
    let log = crate::log::LogOptions { segment_bytes: 1 << 20, ..Default::default() };
    let options = NodeOptions { boot: String::from("b"), log, ..NodeOptions::default() };
    Node::open(bucket.clone(), Arc::clone(seal), disk, options, env).await.unwrap()
}

#[async_trait]
impl Subject for Simulated {
    fn store(&self) -> AnyPartitions {
        Arc::new(self.state().1.clone())
    }

    fn env(&self) -> Env {
        self.env.clone()
    }

    async fn reopen(&self) -> bool {
        let (disk, node) = {
            let state = self.state();
            (Arc::clone(&state.0), state.1.clone())
        };
        let disk = Arc::new(disk.crash(self.env.rng.as_ref()));
        node.kill();
        let node = simulated_node(&self.bucket, &self.seal, Arc::clone(&disk), &self.env).await;
        *self.state() = (disk, node);
        true
    }
}

/// LOG-2 and LOG-4, case by case; some of them crash in between.
#[tokio::test(start_paused = true)]
async fn the_suite() {
    crate::conformance::run(async || Simulated::new(1).await).await;
}

/// LOG-2 and LOG-4: a node does what an oracle does that keeps every state.
#[tokio::test(start_paused = true)]
async fn what_an_oracle_says() {
    for seed in 0..20 {
        crate::conformance::random(async || Simulated::new(seed).await, seed, 60).await;
    }
}

const NAME: &str = "kv/main/a";

/// Nodes on one bucket, each with a disk of its own.
struct Cluster {
    env: Env,
    bucket: Bucket,
}

impl Cluster {
    fn new(seed: u64) -> Self {
        let env = Env::simulated(seed);
        Self { bucket: Bucket::memory(&env), env }
    }

    async fn node(&self, name: &str, disk: &Arc<SimDisk>) -> Node {
        self.node_with(name, disk, |options| options).await
    }

    async fn node_with(
        &self,
        name: &str,
        disk: &Arc<SimDisk>,
        set: impl Fn(NodeOptions) -> NodeOptions,
    ) -> Node {
        let options = set(NodeOptions {
            name: String::from(name),
            address: Some(format!("http://{name}")),
            boot: String::from(name),
            log: crate::log::LogOptions { segment_bytes: 1 << 20, ..Default::default() },
            ..NodeOptions::default()
        });
        let seal = Arc::new(Plain);
        Node::open(self.bucket.clone(), seal, Arc::clone(disk) as _, options, &self.env)
            .await
            .unwrap()
    }

    async fn seconds(&self, count: u64) {
        self.env.clock.sleep(Duration::from_secs(count)).await;
    }
}

/// A bucket with a partition or more, and whoever is beside their owners.
struct World {
    env: Env,
    seal: Arc<dyn Seal>,
    bucket: Bucket,
    name: Name,
}

impl World {
    fn new(seed: u64, sealed: bool) -> Self {
        let env = Env::simulated(seed);
        let seal: Arc<dyn Seal> =
            if sealed { Arc::new(Keyed(Arc::clone(&env.rng))) } else { Arc::new(Plain) };
        Self { bucket: Bucket::memory(&env), seal, name: Name::new(NAME).unwrap(), env }
    }

    async fn node(&self) -> Node {
        self.node_called("one").await
    }

    async fn node_called(&self, name: &str) -> Node {
        damage::node_on(&self.bucket, &self.seal, name, &self.env).await.unwrap()
    }

    fn snapshots(&self) -> Snapshots {
        Snapshots::new(self.bucket.clone(), Arc::clone(&self.seal), &self.env)
    }

    async fn seconds(&self, seconds: u64) {
        self.env.clock.sleep(Duration::from_secs(seconds)).await;
    }
}

/// Commits `count` changes of keys that come again.
async fn write(partition: &AnyPartition, from: u64, count: u64) {
    for number in from..from + count {
        let commit = Commit::new().put(format!("k{}", number % 7), format!("{number}"));
        partition.commit(commit).await.unwrap();
    }
}

async fn value(partition: &AnyPartition, key: &str) -> Option<String> {
    let found = partition.get(key.as_bytes(), At::Durable).await.unwrap()?;
    Some(String::from_utf8(found.value.to_vec()).unwrap())
}

/// LOG-1: while its owner lives nobody else gets a partition; when it is dead, its lease must be over
/// first, and what it had shipped is there.
#[tokio::test(start_paused = true)]
async fn log_1_a_partition_is_taken_over_when_the_lease_is_over() {
    let (cluster, name) = (Cluster::new(1), Name::new(NAME).unwrap());
    let first = cluster.node("one", &Arc::new(SimDisk::new())).await;
    let second = cluster.node("two", &Arc::new(SimDisk::new())).await;
    let owned = first.create(&name, Settings::default()).await.unwrap();
    owned.commit(Commit::new().put("a", "1")).await.unwrap();
    for _ in 0..40 {
        cluster.seconds(3).await;
        let refused = second.open(&name).await.err();
        let Some(Error::Elsewhere { node, address, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!((node.as_str(), address.as_deref()), ("one", Some("http://one")));
    }
    owned.commit(Commit::new().put("b", "2")).await.unwrap();
    cluster.seconds(3).await;
    first.kill();
    let killed = cluster.env.clock.monotonic();
    let taken = loop {
        match second.open(&name).await {
            Ok(taken) => break taken,
            Err(Error::Elsewhere { .. }) => cluster.seconds(1).await,
            Err(other) => panic!("{other}"),
        }
    };
    let waited = cluster.env.clock.monotonic() - killed;
    // It was seen last when it was renewed for a commit, three seconds before.
    let bounds = Duration::from_secs(10)..Duration::from_secs(17);
    assert!(bounds.contains(&waited), "waited {waited:?}");
    assert_eq!(value(&taken, "a").await.as_deref(), Some("1"));
    assert_eq!(value(&taken, "b").await.as_deref(), Some("2"));
    let late = owned.commit(Commit::new().put("b", "late")).await;
    assert!(late.is_err(), "the old owner acknowledged {late:?}");
    assert!(owned.get(b"b", At::Durable).await.is_err(), "the old owner answers");
}

/// LOG-1: a node whose lease was broken while it lived acknowledges nothing more.
#[tokio::test(start_paused = true)]
async fn log_1_a_node_whose_lease_is_broken_stops() {
    let (cluster, name) = (Cluster::new(2), Name::new(NAME).unwrap());
    let node = cluster.node("one", &Arc::new(SimDisk::new())).await;
    let owned = node.create(&name, Settings::default()).await.unwrap();
    owned.commit(Commit::new().put("a", "1")).await.unwrap();
    let key = records::Lease::key(&node.shared.life());
    let found = node.shared.records.read::<records::Lease>(&key).await.unwrap().unwrap();
    let mut broken = found.record;
    broken.held = records::Held::Broken;
    node.shared.records.swap(&key, Some(&found.version), &broken).await.unwrap().unwrap();
    cluster.seconds(100).await;
    let refused = owned.commit(Commit::new().put("a", "2")).await;
    assert!(refused.is_err(), "{refused:?}");
    assert!(owned.get(b"a", At::Durable).await.is_err());
}

/// At level `bucket` nothing is shown that the bucket has not, whatever this node's disk has.
/// The tree ends the one before whenever somebody opens it, also somebody who lost the ownership while
/// he did: the owner opens it again.
#[tokio::test(start_paused = true)]
async fn an_owner_survives_somebody_who_opens_its_view_late() {
    let cluster = Cluster::new(12);
    let (a, b) = (Arc::new(SimDisk::new()), Arc::new(SimDisk::new()));
    let (a, b) = (cluster.node("a", &a).await, cluster.node("b", &b).await);
    let name = Name::new(NAME).unwrap();
    let partition = a.create(&name, Settings::default()).await.unwrap();
    write(&partition, 0, 10).await;
    let record = b.shared.owner(&name).await.unwrap().unwrap().record;
    let inheritance = super::inherit::Inheritance::of(&b.shared, &name, &record).await.unwrap();
    let late = super::acquire::open(&b.shared, &name, &record, inheritance).await.unwrap();
    // It learns of it when it looks at the bucket.
    let found = a.shared.opened();
    drop(found[0].db.refresh_manifest().await);
    cluster.seconds(5).await;
    let partition = a.open(&name).await.unwrap();
    assert_eq!(value(&partition, "k2").await.as_deref(), Some("9"));
    write(&partition, 10, 1).await;
    drop(late);
}

#[tokio::test(start_paused = true)]
async fn what_is_shown_at_level_bucket_is_in_the_bucket() {
    let (cluster, name) = (Cluster::new(9), Name::new(NAME).unwrap());
    let disk = Arc::new(SimDisk::new());
    let slow = |options| NodeOptions { ship_lag: Duration::from_secs(3600), ..options };
    let node = cluster.node_with("one", &disk, slow).await;
    let partition = node.create(&name, Settings::default()).await.unwrap();
    let read = async |node: &Node| {
        let life = node.shared.log.life();
        let shipped = Shipped::open(cluster.bucket.clone(), Arc::new(Plain), life).await.unwrap();
        let record = node.shared.owner(&name).await.unwrap().unwrap().record;
        let id = record.id().unwrap();
        record.trail.iter().filter_map(|owned| shipped.last_id(id, owned.epoch)).max()
    };
    partition.commit(Commit::new().put("a", "1")).await.unwrap();
    assert_eq!(read(&node).await, None, "it is sent in an hour");
    let settings = Settings { durable: Durable::Bucket, ..Settings::default() };
    node.change(&name, settings).await.unwrap();
    let sent = read(&node).await.expect("what was acknowledged before is sent");
    node.change(&name, Settings::default()).await.unwrap();
    partition.commit(Commit::new().put("a", "2")).await.unwrap();
    assert_eq!(read(&node).await, Some(sent));
    // The record says `bucket`, and the node fell before it could do as it says.
    let key = Owner::key(&name);
    let mut found = node.shared.owner(&name).await.unwrap().unwrap();
    found.record.settings = settings;
    node.shared.records.swap(&key, Some(&found.version), &found.record).await.unwrap().unwrap();
    node.kill();
    let node = cluster.node_with("one", &Arc::new(disk.kill()), slow).await;
    let partition = node.open(&name).await.unwrap();
    assert_eq!(value(&partition, "a").await.as_deref(), Some("2"));
    assert!(read(&node).await > Some(sent), "it is shown, and not in the bucket");
}

/// BUCKET-2: a fresh machine has what was shipped, and a node that stopped well has left everything.
#[tokio::test(start_paused = true)]
async fn bucket_2_a_fresh_disk_goes_on() {
    let (cluster, name) = (Cluster::new(3), Name::new(NAME).unwrap());
    for round in 0..12u64 {
        let node = cluster.node("one", &Arc::new(SimDisk::new())).await;
        let partition = match round {
            0 => node.create(&name, Settings::default()).await.unwrap(),
            _ => loop {
                match node.open(&name).await {
                    Ok(partition) => break partition,
                    Err(Error::Elsewhere { .. }) => cluster.seconds(5).await,
                    Err(other) => panic!("{other}"),
                }
            },
        };
        assert_eq!(partition.status().newest.0, round * 2);
        for before in 0..round {
            assert_eq!(value(&partition, &format!("log {before}")).await.as_deref(), Some("1"));
            assert_eq!(value(&partition, &format!("bucket {before}")).await.as_deref(), Some("2"));
        }
        partition.commit(Commit::new().put(format!("log {round}"), "1")).await.unwrap();
        let mut commit = Commit::new().put(format!("bucket {round}"), "2");
        commit.durable = Some(crate::Durable::Bucket);
        partition.commit(commit).await.unwrap();
        if round % 3 == 0 {
            node.close().await.unwrap();
        } else {
            node.kill();
        }
    }
}

/// History that has left the window goes at compaction, and the present does not change by it.
#[tokio::test(start_paused = true)]
async fn compaction_lets_go_of_history_alone() {
    let (cluster, name) = (Cluster::new(4), Name::new(NAME).unwrap());
    let node = cluster.node("one", &Arc::new(SimDisk::new())).await;
    let settings = Settings { history_ms: 10_000, ..Settings::default() };
    let partition = node.create(&name, settings).await.unwrap();
    let opened = node.shared.open_one(&name).await.unwrap();
    for round in 0..40u64 {
        let mut commit = Commit::new();
        for key in 0..50 {
            commit = commit.put(format!("k{key:02}"), format!("{round}"));
        }
        if round == 5 {
            commit = commit.delete_range(crate::KeyRange::between("k10", "k20"));
        }
        partition.commit(commit.delete("k49")).await.unwrap();
        opened.flush().await.unwrap();
        cluster.seconds(4).await;
    }
    cluster.seconds(600).await;
    partition.commit(Commit::new().put("last", "1")).await.unwrap();
    opened.flush().await.unwrap();
    cluster.seconds(600).await;
    assert!(opened.db.manifest().l0().len() < 4, "nothing was compacted");
    let page = partition.scan(&crate::Scan::of(crate::KeyRange::all())).await.unwrap();
    assert_eq!(page.entries.len(), 50);
    assert!(page.entries.iter().all(|entry| entry.value == "39" || entry.key == "last"));
    let old = partition.get(b"k01", At::Seq(crate::Seq(3))).await;
    assert!(matches!(old, Err(Error::Gone { .. })), "{old:?}");
    let mut rows = crate::view::View::Owned(opened.db.clone())
        .rows("d".into(), "e".into(), false)
        .await
        .unwrap();
    let mut count = 0;
    while rows.next().await.unwrap().is_some() {
        count += 1;
    }
    assert!(count < 1000, "{count} of 2,040 versions of 51 keys are left");
}

#[tokio::test(start_paused = true)]
async fn the_suite_in_a_sealed_bucket() {
    crate::conformance::run(async || Simulated::sealed(1).await).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_oracle_says_of_a_sealed_bucket() {
    for seed in 0..10 {
        crate::conformance::random(async || Simulated::sealed(seed).await, seed, 60).await;
    }
}

/// BUCKET-3: nothing of a partition can be read in a sealed bucket, and a view with a changed byte is an
/// error and not an older or an empty one.
#[tokio::test(start_paused = true)]
async fn bucket_3_views_are_sealed_and_damage_is_an_error() {
    let world = Simulated::sealed(3).await;
    let name = Name::new("kv/main/a").unwrap();
    let node = world.state().1.clone();
    let made = node.create(&name, Settings::default()).await.unwrap();
    for i in 0..500 {
        let commit = Commit::new().put(format!("clear{i:04}"), "clear".repeat(100));
        made.commit(commit).await.unwrap();
    }
    node.close().await.unwrap();
    let heads: Vec<_> = world.bucket.list("").try_collect().await.unwrap();
    let views: Vec<_> = heads.iter().filter(|head| head.key.contains("/views/")).collect();
    assert!(views.iter().any(|head| head.key.ends_with(".sst")), "{views:?}");
    assert!(views.iter().any(|head| head.key.ends_with(".manifest")), "{views:?}");
    for head in &heads {
        let bytes = world.bucket.get(&head.key).await.unwrap().bytes;
        assert!(!bytes.windows(5).any(|window| window == b"clear"), "{}", head.key);
    }
    let manifests = views.iter().filter(|head| head.key.ends_with(".manifest"));
    let newest = manifests.map(|head| head.key.clone()).max().unwrap();
    let mut bytes = world.bucket.get(&newest).await.unwrap().bytes.to_vec();
    bytes[60] ^= 1;
    world.bucket.put(&newest, bytes.into()).await.unwrap();
    let disk = Arc::clone(&world.state().0);
    let again = simulated_node(&world.bucket, &world.seal, disk, &world.env).await;
    let error = again.open(&name).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), cairn_base::ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains(&newest), "{error}");
}

/// A view so crowded that nothing more goes into it before compaction is opened, compacted, and written to.
#[tokio::test(start_paused = true)]
async fn a_crowded_view_is_opened_and_compacted() {
    let (cluster, name) = (Cluster::new(95), Name::new(NAME).unwrap());
    let mut disk = Arc::new(SimDisk::new());
    let nobody_looks =
        |options| NodeOptions { look_every: Duration::from_secs(1 << 20), ..options };
    let node = cluster.node_with("one", &disk, nobody_looks).await;
    let partition = node.create(&name, Settings::default()).await.unwrap();
    for number in 0..acquire::L0_TABLES_MAX {
        let commit = Commit::new().put(format!("k{}", number % 9), format!("{number}"));
        partition.commit(commit).await.unwrap();
        node.shared.opened()[0].flush().await.unwrap();
    }
    node.kill();
    for round in 0..12 {
        disk = Arc::new(disk.kill());
        let node = cluster.node_with("one", &disk, nobody_looks).await;
        let partition = node.open(&name).await.unwrap();
        partition.commit(Commit::new().put("round", format!("{round}"))).await.unwrap();
        node.kill();
    }
    disk = Arc::new(disk.kill());
    let node = cluster.node("one", &disk).await;
    let partition = node.open(&name).await.unwrap();
    assert_eq!(value(&partition, "round").await.as_deref(), Some("11"));
    cluster.seconds(60).await;
    assert!(node.shared.opened()[0].db.manifest().l0().len() < 4, "nothing was compacted");
    partition.commit(Commit::new().put("round", "12")).await.unwrap();
    node.shared.opened()[0].flush().await.unwrap();
    node.close().await.unwrap();
    let node = cluster.node("two", &Arc::new(SimDisk::new())).await;
    assert_eq!(value(&node.open(&name).await.unwrap(), "round").await.as_deref(), Some("12"));
}

/// A node gives back a crowded view as any other.
#[tokio::test(start_paused = true)]
async fn a_crowded_view_is_given_back() {
    let (cluster, name) = (Cluster::new(96), Name::new(NAME).unwrap());
    let nobody_looks =
        |options| NodeOptions { look_every: Duration::from_secs(1 << 20), ..options };
    let node = cluster.node_with("one", &Arc::new(SimDisk::new()), nobody_looks).await;
    let partition = node.create(&name, Settings::default()).await.unwrap();
    for number in 0..acquire::L0_TABLES_MAX {
        partition.commit(Commit::new().put("k", format!("{number}"))).await.unwrap();
        node.shared.opened()[0].flush().await.unwrap();
    }
    partition.commit(Commit::new().put("k", "last")).await.unwrap();
    node.close().await.unwrap();
    let node = cluster.node("two", &Arc::new(SimDisk::new())).await;
    assert_eq!(value(&node.open(&name).await.unwrap(), "k").await.as_deref(), Some("last"));
}
