//! Webhooks: what is told, to whom, how often, and by which of several hubs.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cairn_base::ErrorKind;
use cairn_blocks::Options;
use cairn_bucket::faulty::{Crash, Faults};
use cairn_bucket::{Bucket, Faulty, Memory};
use cairn_datasets::{
    Courier, Datasets, HOOKS_PER_DATASET_MAX, HookRunner, Parcel, PushOptions, Source, Store,
    Version, push,
};
use cairn_env::Env;
use serde_json::Value;
use tokio::sync::watch;

use super::support::target;

/// A receiver that writes down what it takes, and can be closed.
#[derive(Default)]
struct Receiver {
    closed: AtomicBool,
    taken: Mutex<Vec<(String, Value)>>,
    refused: Mutex<Vec<String>>,
}

#[async_trait]
impl Courier for Receiver {
    async fn carry(&self, parcel: &Parcel) -> Result<(), String> {
        if self.closed.load(Ordering::Relaxed) {
            self.refused.lock().unwrap().push(parcel.id.clone());
            return Err("503".to_owned());
        }
        let event = serde_json::from_slice(&parcel.body).unwrap();
        self.taken.lock().unwrap().push((parcel.id.clone(), event));
        Ok(())
    }
}

impl Receiver {
    fn taken(&self) -> Vec<(String, Value)> {
        self.taken.lock().unwrap().clone()
    }

    /// Tag and root of each event, `-` for a removal.
    fn told(&self) -> Vec<String> {
        let tell = |(_, event): &(String, Value)| {
            let data = &event["data"];
            let root = data["version"]["root"].as_str().unwrap_or("-");
            format!("{} {root}", data["tag"].as_str().unwrap())
        };
        self.taken().iter().map(tell).collect()
    }
}

/// A hub with a road of its own to the bucket.
struct Hub {
    faulty: Faulty,
    datasets: Datasets,
    stop: watch::Sender<bool>,
    ended: futures::channel::oneshot::Receiver<()>,
}

struct World {
    env: Env,
    memory: Arc<Memory>,
    receiver: Arc<Receiver>,
}

impl World {
    fn new() -> Self {
        let env = Env::simulated(7);
        let memory = Arc::new(Memory::new(&env));
        Self { env, memory, receiver: Arc::default() }
    }

    async fn hub(&self) -> Hub {
        let faulty = Faulty::new(self.memory.clone(), Faults::default(), &self.env);
        let bucket = Bucket::from_store(Arc::new(faulty.clone()), "memory://", &self.env);
        let options = Options::default();
        let datasets = Datasets::open_or_init(bucket, None, options, &self.env).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        let runner = HookRunner::new(&datasets, self.receiver.clone());
        let (end, ended) = futures::channel::oneshot::channel();
        self.env.spawn.task(Box::pin(async move {
            runner.run(stopped).await;
            end.send(()).unwrap_or(());
        }));
        Hub { faulty, datasets, stop, ended }
    }

    async fn pass(&self, seconds: u64) {
        self.env.clock.sleep(Duration::from_secs(seconds)).await;
    }
}

async fn move_to(datasets: &Datasets, to: &str, content: &str) -> Version {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("f"), content).unwrap();
    let store: Arc<dyn Store> = Arc::new(datasets.clone());
    let source = Source::Path(dir.path().to_path_buf());
    let pushed = push(&store, &source, &[target(to)], &PushOptions::default()).await;
    pushed.unwrap().version
}

const URL: &str = "https://receiver.example/hook";

/// DATASETS-6: each move once and in order, of the tags that the hook is about, from its making on.
#[tokio::test(start_paused = true)]
async fn datasets_6_moves_are_told_in_order() {
    let world = World::new();
    let (one, two) = (world.hub().await, world.hub().await);
    move_to(&one.datasets, "d:v1", "before the hook").await;
    let dataset = target("d").dataset;
    let (hook, secret) = one.datasets.add_hook(&dataset, URL, "v*", "ada").await.unwrap();
    assert_eq!((hook.created_by.as_str(), secret.len()), ("ada", 32));
    let mut expected = Vec::new();
    for round in 0..4 {
        let hub = if round % 2 == 0 { &one } else { &two };
        let version = move_to(&hub.datasets, "d:v1", &format!("{round}")).await;
        expected.push(format!("v1 {}", version.root));
    }
    move_to(&one.datasets, "d:other", "x").await;
    world.pass(10).await;
    assert_eq!(world.receiver.told(), expected);
    two.datasets.remove(&target("d:v1")).await.unwrap();
    world.pass(10).await;
    let back = move_to(&two.datasets, "d:v1", "back").await;
    world.pass(10).await;
    one.datasets.remove(&target("d:v1")).await.unwrap();
    world.pass(10).await;
    expected.extend(["v1 -".to_owned(), format!("v1 {}", back.root), "v1 -".to_owned()]);
    assert_eq!(world.receiver.told(), expected);
    let ids: BTreeSet<String> = world.receiver.taken().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), expected.len(), "each event has an id of its own, removals too");
    let (_, event) = &world.receiver.taken()[0];
    assert_eq!(
        (event["type"].as_str(), event["data"]["dataset"].as_str()),
        (Some("tag.moved"), Some("d"))
    );
    assert!(event["timestamp"].as_str().unwrap().ends_with('Z'));

    assert_eq!(one.datasets.hooks(&dataset).await.unwrap().len(), 1);
    two.datasets.remove_hook(&dataset, &hook.id).await.unwrap();
    let gone = two.datasets.remove_hook(&dataset, &hook.id).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    move_to(&one.datasets, "d:v1", "after the hook").await;
    world.pass(100).await;
    assert_eq!(world.receiver.told(), expected);
}

/// DATASETS-6: a receiver that was away gets everything, under the ids that it refused.
#[tokio::test(start_paused = true)]
async fn datasets_6_a_receiver_that_was_away_misses_nothing() {
    let world = World::new();
    let hub = world.hub().await;
    move_to(&hub.datasets, "d:v1", "0").await;
    let dataset = target("d").dataset;
    hub.datasets.add_hook(&dataset, URL, "*", "ada").await.unwrap();
    world.receiver.closed.store(true, Ordering::Relaxed);
    let mut expected = Vec::new();
    for round in 1..4 {
        let version = move_to(&hub.datasets, "d:v1", &format!("{round}")).await;
        expected.push(format!("v1 {}", version.root));
        world.pass(120).await;
    }
    let hook = hub.datasets.hooks(&dataset).await.unwrap().remove(0);
    assert_eq!(hook.error.as_deref(), Some("503"));
    assert!((4..12).contains(&hook.failures), "the pauses grow: {}", hook.failures);
    assert!(hook.next_try_ns.unwrap() > world.env.clock.wall_ns());
    world.receiver.closed.store(false, Ordering::Relaxed);
    world.pass(3600).await;
    assert_eq!(world.receiver.told(), expected);
    let refused: BTreeSet<String> = world.receiver.refused.lock().unwrap().drain(..).collect();
    assert_eq!(refused, BTreeSet::from([world.receiver.taken()[0].0.clone()]));
    let hook = hub.datasets.hooks(&dataset).await.unwrap().remove(0);
    assert_eq!((hook.failures, hook.error, hook.next_try_ns), (0, None, None));
}

/// DATASETS-6: a hub that is killed costs time and nothing else; one that is stopped not even that.
#[tokio::test(start_paused = true)]
async fn datasets_6_another_hub_goes_on() {
    let world = World::new();
    let dead = world.hub().await;
    move_to(&dead.datasets, "d:v1", "0").await;
    dead.datasets.add_hook(&target("d").dataset, URL, "*", "ada").await.unwrap();
    let first = move_to(&dead.datasets, "d:v1", "1").await;
    world.pass(10).await;
    dead.faulty.crash(Crash::Hang);
    let next = world.hub().await;
    let second = move_to(&next.datasets, "d:v1", "2").await;
    let third = move_to(&next.datasets, "d:v1", "3").await;
    world.pass(20).await;
    assert_eq!(world.receiver.told().len(), 1, "the lease of the dead hub still runs");
    world.pass(90).await;
    let roots = [&first, &second, &third].map(|version| format!("v1 {}", version.root));
    assert_eq!(world.receiver.told(), roots);

    next.stop.send_replace(true);
    next.ended.await.unwrap();
    let last = world.hub().await;
    let fourth = move_to(&last.datasets, "d:v1", "4").await;
    world.pass(6).await;
    assert_eq!(world.receiver.told()[3..], [format!("v1 {}", fourth.root)]);
    drop((dead.stop, dead.ended));
}

#[tokio::test(start_paused = true)]
async fn hooks_have_bounds() {
    let world = World::new();
    let hub = world.hub().await;
    let dataset = target("d").dataset;
    let none = hub.datasets.add_hook(&dataset, URL, "*", "ada").await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound, "{none}");
    move_to(&hub.datasets, "d:v1", "0").await;
    for _ in 0..HOOKS_PER_DATASET_MAX {
        hub.datasets.add_hook(&dataset, URL, "*", "ada").await.unwrap();
    }
    let full = hub.datasets.add_hook(&dataset, URL, "*", "ada").await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Exhausted);
    for (url, tags) in [("x", "*"), ("ftp://x/", "*"), (URL, ""), (URL, "a/b")] {
        let refused = hub.datasets.add_hook(&dataset, url, tags, "ada").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid, "{url} {tags}");
    }
    for id in ["", "../../x", "zz", "0123456789abcdef"] {
        let gone = hub.datasets.remove_hook(&dataset, id).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound, "{id}");
    }
}

/// A hub without hooks hardly looks; once there is one it looks every half minute. What is made
/// elsewhere is found either way.
#[tokio::test(start_paused = true)]
async fn hooks_that_were_made_elsewhere_are_found() {
    let world = World::new();
    let elsewhere = world.hub().await;
    elsewhere.stop.send_replace(true);
    elsewhere.ended.await.unwrap();
    let elsewhere = elsewhere.datasets;
    let _hub = world.hub().await;
    world.pass(1).await;
    move_to(&elsewhere, "d:v1", "1").await;
    elsewhere.add_hook(&target("d").dataset, URL, "*", "ada").await.unwrap();
    let second = move_to(&elsewhere, "d:v1", "2").await;
    world.pass(60).await;
    assert!(world.receiver.told().is_empty(), "a hub that knows no hook looks every 5 minutes");
    world.pass(300).await;
    let mut told = vec![format!("v1 {}", second.root)];
    assert_eq!(world.receiver.told(), told);
    move_to(&elsewhere, "e:v1", "1").await;
    elsewhere.add_hook(&target("e").dataset, URL, "*", "ada").await.unwrap();
    let third = move_to(&elsewhere, "e:v1", "3").await;
    world.pass(40).await;
    told.push(format!("v1 {}", third.root));
    assert_eq!(world.receiver.told(), told);
}
