use std::time::Duration;

use cairn_bucket::Plain;

use super::*;
use crate::conformance::Subject;
use crate::log::{RealDisk, SimDisk};
use crate::view::Keyed;
use crate::{AnyPartitions, At, Commit};

async fn node(bucket: &Bucket, dir: &std::path::Path, env: &Env) -> Node {
    let disk = Arc::new(RealDisk::open(dir).unwrap());
    let options = NodeOptions { boot: String::from("b"), ..NodeOptions::default() };
    Node::open(bucket.clone(), Arc::new(Plain), disk, options, env).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_crash() {
    let env = Env::real();
    let bucket = Bucket::memory(&env);
    let dir = tempfile::tempdir().unwrap();
    let name = Name::new("kv/main/a").unwrap();
    let first = node(&bucket, dir.path(), &env).await;
    let made = first.create(&name, Settings::default()).await.unwrap();
    for i in 0..100u64 {
        made.commit(Commit::new().put(format!("k{i}"), format!("v{i}"))).await.unwrap();
    }
    assert_eq!(made.get(b"k7", At::Durable).await.unwrap().unwrap().value, "v7");
    // Gone without a word.
    first.kill();
    drop(made);
    first.shared.log.close().await.ok();
    drop(first);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = node(&bucket, dir.path(), &env).await;
    let found = second.open(&name).await.unwrap();
    for i in 0..100u64 {
        let entry = found.get(format!("k{i}").as_bytes(), At::Durable).await.unwrap().unwrap();
        assert_eq!(entry.value, format!("v{i}"));
    }
    second.close().await.unwrap();
    let third = node(&bucket, dir.path(), &env).await;
    let found = third.open(&name).await.unwrap();
    assert_eq!(found.status().newest.0, 100);
    assert_eq!(third.list("kv/main").await.unwrap(), [name]);
}

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

#[tokio::test(start_paused = true)]
async fn the_suite() {
    crate::conformance::run(async || Simulated::new(1).await).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_oracle_says() {
    for seed in 0..20 {
        crate::conformance::random(async || Simulated::new(seed).await, seed, 60).await;
    }
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
