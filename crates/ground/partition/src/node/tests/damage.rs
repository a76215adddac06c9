//! A bucket in which bytes changed or objects are gone: what is read is right, or an error says what
//! is wrong. Never is it something else, or an older state.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::{Change, Scan, Seq};

/// How many bytes of an object are changed, each by itself.
const FLIPS: usize = 23;

/// All that a partition shows.
#[derive(Debug, PartialEq)]
pub(super) struct Shown {
    present: Vec<crate::Entry>,
    past: Vec<crate::Entry>,
    changes: Vec<Change>,
}

pub(super) async fn show(partition: &AnyPartition) -> Result<Shown, Error> {
    let all = Scan::of(crate::KeyRange::all());
    let present = partition.scan(&all).await?.entries;
    let past = partition.scan(&Scan { at: At::Seq(Seq(90)), ..all }).await?.entries;
    let (mut changes, mut after) = (Vec::new(), Seq(0));
    while after < partition.status().durable {
        let part = partition.changes(after, Duration::ZERO).await?;
        (after, _) = (part.upto, changes.extend(part.changes));
    }
    Ok(Shown { present, past, changes })
}

/// A bucket that two owners have left, the second one by dying, with tables, manifests and logs, of
/// which the view lacks some; and what it shows.
struct Left {
    seal: Arc<dyn Seal>,
    objects: BTreeMap<String, bytes::Bytes>,
    shows: Shown,
}

pub(super) async fn node_on(
    bucket: &Bucket,
    seal: &Arc<dyn Seal>,
    name: &str,
    env: &Env,
) -> Result<Node, Error> {
    let options = NodeOptions {
        name: String::from(name),
        boot: String::from(name),
        log: crate::log::LogOptions { segment_bytes: 1 << 16, ..Default::default() },
        // The log is replayed from the bucket, not yet from the view.
        flush_idle: Duration::from_secs(1 << 30),
        ..NodeOptions::default()
    };
    let disk = Arc::new(SimDisk::new());
    Node::open(bucket.clone(), Arc::clone(seal), disk, options, env).await
}

/// Opens it on a node of its own, when the lease of the last owner is over.
async fn opened(node: &Node, env: &Env) -> Result<AnyPartition, Error> {
    let name = Name::new(NAME).unwrap();
    for _ in 0..40 {
        match node.open(&name).await {
            Err(Error::Elsewhere { .. }) => env.clock.sleep(Duration::from_secs(5)).await,
            other => return other,
        }
    }
    panic!("it is never taken over");
}

async fn left(env: &Env, seal: Arc<dyn Seal>) -> Left {
    let bucket = Bucket::memory(env);
    let name = Name::new(NAME).unwrap();
    let one = node_on(&bucket, &seal, "one", env).await.unwrap();
    let settings = Settings { history_ms: 30 * 24 * 3_600_000, ..Settings::default() };
    let partition = one.create(&name, settings).await.unwrap();
    for i in 0..100 {
        let commit = Commit::new().put(format!("k{:02}", i % 40), format!("value {i}"));
        partition.commit(commit).await.unwrap();
        if i == 60 {
            one.shared.open_one(&name).await.unwrap().flush().await.unwrap();
        }
        if i % 10 == 0 {
            env.clock.sleep(Duration::from_secs(2)).await;
        }
    }
    env.clock.sleep(Duration::from_secs(2)).await;
    one.kill();
    let two = node_on(&bucket, &seal, "two", env).await.unwrap();
    let partition = opened(&two, env).await.unwrap();
    for i in 0..30 {
        let commit = Commit::new().put(format!("k{i:02}"), "last");
        partition.commit(commit).await.unwrap();
        if i % 10 == 0 {
            env.clock.sleep(Duration::from_secs(2)).await;
        }
    }
    env.clock.sleep(Duration::from_secs(2)).await;
    let shows = show(&partition).await.unwrap();
    two.kill();
    let mut objects = BTreeMap::new();
    let heads: Vec<_> = bucket.list("").try_collect().await.unwrap();
    for head in heads {
        let bytes = bucket.get(&head.key).await.unwrap().bytes;
        objects.insert(head.key, bytes);
    }
    Left { seal, objects, shows }
}

impl Left {
    /// What another node finds in the bucket with one object changed, or gone.
    async fn with(
        &self,
        env: &Env,
        key: &str,
        change: Option<(usize, u8)>,
    ) -> Result<Shown, Error> {
        let bucket = Bucket::memory(env);
        for (found, bytes) in &self.objects {
            let mut bytes = bytes.to_vec();
            match change {
                Some((at, bit)) if found == key => bytes[at] ^= bit,
                None if found == key => continue,
                _ => {}
            }
            bucket.put(found, bytes.into()).await.unwrap();
        }
        let node = node_on(&bucket, &self.seal, "three", env).await?;
        let shown = match opened(&node, env).await {
            Ok(partition) => show(&partition).await,
            Err(error) => Err(error),
        };
        node.kill();
        shown
    }
}

/// Counts panics of this thread, on which all of a simulation runs.
fn panics() -> Arc<AtomicUsize> {
    let (count, me) = (Arc::new(AtomicUsize::new(0)), std::thread::current().id());
    let (counted, before) = (Arc::clone(&count), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == me {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        before(info);
    }));
    count
}

async fn changed_bytes(seed: u64, seal: impl Fn(&Env) -> Arc<dyn Seal>) {
    let env = Env::simulated(seed);
    let left = left(&env, seal(&env)).await;
    let count = panics();
    let (mut refused, mut right, mut wrong) = (BTreeMap::new(), 0, BTreeMap::new());
    for (key, bytes) in &left.objects {
        for flip in 0..FLIPS.min(bytes.len()) {
            let at = bytes.len() * flip / FLIPS.min(bytes.len());
            let shown = left.with(&env, key, Some((at, 1 << (flip % 7)))).await;
            let kind = key.split('/').take(2).collect::<Vec<_>>().join("/");
            match shown {
                Err(error) => *refused.entry(format!("{kind}: {error:.90}")).or_insert(0) += 1,
                Ok(shown) if shown == left.shows => right += 1,
                Ok(shown) => {
                    wrong.entry(format!("{key} {at}")).or_insert(shown.present.len());
                }
            }
        }
    }
    for (what, count) in &refused {
        println!("{count:5} {what}");
    }
    println!("{right} right, {wrong:?} wrong");
    assert_eq!(count.load(Ordering::Relaxed), 0, "it panicked");
    assert!(wrong.is_empty(), "{wrong:?}");
    assert!(refused.values().sum::<usize>() > 100, "{refused:?}");
}

/// LOG-3, BUCKET-3: in a sealed bucket.
#[tokio::test(start_paused = true)]
async fn log_3_a_changed_byte_in_a_sealed_bucket_is_an_error() {
    changed_bytes(11, |env| Arc::new(Keyed(Arc::clone(&env.rng)))).await;
}

/// LOG-3.
#[tokio::test(start_paused = true)]
async fn log_3_a_changed_byte_in_a_plain_bucket_is_an_error() {
    changed_bytes(12, |_| Arc::new(Plain)).await;
}

/// LOG-3: of the objects of logs and views none can be missing unseen, but the newest of a log, which
/// may as well not have been shipped.
#[tokio::test(start_paused = true)]
async fn log_3_a_missing_object_is_an_error() {
    let env = Env::simulated(13);
    let left = left(&env, Arc::new(Plain)).await;
    let mut newest = BTreeMap::new();
    for key in left.objects.keys().filter(|key| key.starts_with("log/")) {
        let (life, number) = key.rsplit_once('/').unwrap();
        newest.insert(life, number);
    }
    let mut logs = 0;
    for key in left.objects.keys().filter(|key| !key.starts_with("partitions/leases/")) {
        let is_newest =
            key.rsplit_once('/').is_some_and(|(life, number)| newest.get(life) == Some(&number));
        let shown = left.with(&env, key, None).await;
        println!(
            "{key}: {}",
            shown.as_ref().err().map_or(String::from("read"), ToString::to_string)
        );
        if let Ok(shown) = &shown
            && *shown != left.shows
        {
            assert!(is_newest, "{key} is missing, and nobody says so");
        }
        logs += usize::from(key.starts_with("log/"));
    }
    assert!(logs > 4, "{:?}", left.objects.keys());
}
