use std::time::Duration;

use cairn_bucket::Plain;

use super::*;
use crate::conformance::Subject;
use crate::log::{RealDisk, SimDisk};
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
    state: Mutex<(Arc<SimDisk>, Node)>,
}

impl Simulated {
    async fn new(seed: u64) -> Self {
        let env = Env::simulated(seed);
        let bucket = Bucket::memory(&env);
        let disk = Arc::new(SimDisk::new());
        let node = simulated_node(&bucket, Arc::clone(&disk), &env).await;
        Self { env, bucket, state: Mutex::new((disk, node)) }
    }

    fn state(&self) -> MutexGuard<'_, (Arc<SimDisk>, Node)> {
        self.state.lock().unwrap()
    }
}

async fn simulated_node(bucket: &Bucket, disk: Arc<SimDisk>, env: &Env) -> Node {
    let log = crate::log::LogOptions { segment_bytes: 1 << 20, ..Default::default() };
    let options = NodeOptions { boot: String::from("b"), log, ..NodeOptions::default() };
    Node::open(bucket.clone(), Arc::new(Plain), disk, options, env).await.unwrap()
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
        let node = simulated_node(&self.bucket, Arc::clone(&disk), &self.env).await;
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
