use cairn_bucket::faulty::Faults;
use cairn_bucket::{Bucket, Faulty, Plain, Seal, SealError};
use futures::TryStreamExt as _;

use super::*;
use crate::log::object;

async fn start(log: &Log, bucket: &Bucket) -> Result<Shipper, Error> {
    Shipper::start(log, bucket.clone(), Arc::new(Plain), ShipOptions::default()).await
}

async fn shipped(log: &Log, bucket: &Bucket) -> Result<Shipped, Error> {
    Shipped::open(bucket.clone(), Arc::new(Plain), log.life()).await
}

async fn texts(shipped: &Shipped, partition: PartitionId, after: u64) -> Vec<String> {
    let mut replay = shipped.replay(partition, after, |_| true);
    let mut texts = Vec::new();
    while let Some(frame) = replay.next().await.unwrap() {
        texts.push(format!("{} {}", frame.id, String::from_utf8_lossy(&frame.payload)));
    }
    texts
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_in_the_bucket_within_the_lag() {
    let (env, disk) = (Env::simulated(1), SimDisk::new());
    let bucket = Bucket::memory(&env);
    let log = open(&disk, &env).await.unwrap();
    let writers = [1, 2].map(|number| log.writer(partition(number), Epoch(1), 0).unwrap());
    put(&writers[0], "before", 1).await.unwrap();
    start(&log, &bucket).await.unwrap();
    env.clock.sleep(Duration::from_secs(2)).await;
    assert_eq!(shipped(&log, &bucket).await.unwrap().last().unwrap().number, 1);
    env.clock.sleep(Duration::from_secs(100)).await;
    assert_eq!(log.stats().unshipped_age, None);
    for seq in 1..=40 {
        put(&writers[1], &"v".repeat(500), seq).await.unwrap();
    }
    assert!(log.stats().unshipped_bytes > 20_000 && log.stats().unshipped_age.is_some());
    env.clock.sleep(Duration::from_secs(2)).await;
    let stats = log.stats();
    assert_eq!((stats.unshipped_bytes, stats.unshipped_age), (0, None));
    let read = shipped(&log, &bucket).await.unwrap();
    assert_eq!(read.last().unwrap().number, 2, "nothing is sent when nothing was written");
    assert_eq!(read.last().unwrap().group, 41);
    assert_eq!(texts(&read, partition(1), 0).await, ["1 before"]);
    assert_eq!(texts(&read, partition(2), 30).await.len(), 10);
    put(&writers[0], "last", 2).await.unwrap();
    log.close().await.unwrap();
    let read = shipped(&log, &bucket).await.unwrap();
    assert_eq!(texts(&read, partition(1), 0).await, ["1 before", "2 last"], "close ships");
    let log = open(&disk.kill(), &env).await.unwrap();
    start(&log, &bucket).await.unwrap();
    let writer = log.writer(partition(1), Epoch(2), 2).unwrap();
    put(&writer, "again", 3).await.unwrap();
    writer.shipped(3).await.unwrap();
    let read = shipped(&log, &bucket).await.unwrap();
    assert_eq!(texts(&read, partition(1), 1).await, ["2 last", "3 again"]);
    assert_eq!(read.last().unwrap().number, 4);
}

#[derive(Default)]
struct Latch(std::sync::atomic::AtomicBool);

impl Gate for Latch {
    fn open(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// LOG-1 for the bucket: who waits for it is told when the gate is open after the PUT.
#[tokio::test(start_paused = true)]
async fn log_1_the_bucket_is_acknowledged_through_the_gate() {
    let (env, disk) = (Env::simulated(2), SimDisk::new());
    let bucket = Bucket::memory(&env);
    let log = open(&disk, &env).await.unwrap();
    start(&log, &bucket).await.unwrap();
    let writer = log.writer(partition(1), Epoch(1), 0).unwrap();
    let begin = env.clock.monotonic();
    let id = put(&writer, "one", 1).await.unwrap();
    writer.shipped(id).await.unwrap();
    let took = env.clock.monotonic() - begin;
    assert!(took < Duration::from_millis(100), "who waits hurries it: {took:?}");
    let latch = Arc::new(Latch::default());
    log.gate(Arc::clone(&latch) as Arc<dyn Gate>);
    writer.append(b"two", Seq(2), Seq(2)).unwrap();
    let (id, flush) = writer.flush();
    let mut waiting = writer.shipped(id);
    assert!(is_ready(&mut waiting).is_none());
    env.clock.sleep(Duration::from_secs(5)).await;
    assert!(is_ready(&mut waiting).is_none());
    assert_eq!(shipped(&log, &bucket).await.unwrap().last().unwrap().group, 2);
    latch.0.store(true, Ordering::Relaxed);
    log.gate_changed();
    waiting.await.unwrap();
    flush.await.unwrap();
}

/// A bucket that fails as buckets do loses nothing, doubles nothing, and the log goes on meanwhile.
#[tokio::test(start_paused = true)]
async fn a_failing_bucket_gets_all_in_the_end() {
    for seed in 0..8 {
        let env = Env::simulated(seed);
        let memory = Bucket::memory(&env);
        let faulty = Faulty::new(memory.store(), Faults::usual(), &env);
        let bucket = Bucket::from_store(Arc::new(faulty.clone()), "memory://faulty", &env);
        let mut disk = SimDisk::new();
        let mut seq = 0;
        for epoch in 1..=4 {
            let log = open(&disk, &env).await.unwrap();
            while let Err(error) = start(&log, &bucket).await {
                assert_eq!(error.kind(), cairn_base::ErrorKind::Retry, "{error}");
            }
            let writer = log.writer(partition(1), Epoch(epoch), seq).unwrap();
            for _ in 0..20 {
                seq += 1;
                put(&writer, &format!("{seq}"), seq).await.unwrap();
                writer.release(seq.saturating_sub(3));
                if seq % 7 == 0 {
                    writer.shipped(seq).await.unwrap();
                }
            }
            if epoch % 2 == 0 {
                log.close().await.unwrap();
            }
            disk = disk.crash(env.rng.as_ref());
        }
        let log = open(&disk, &env).await.unwrap();
        faulty.set(Faults::default());
        start(&log, &bucket).await.unwrap();
        log.close().await.unwrap();
        let read = shipped(&log, &memory).await.unwrap();
        let expected: Vec<String> = (1..=seq).map(|id| format!("{id} {id}")).collect();
        assert_eq!(texts(&read, partition(1), 0).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn objects_are_collected_when_all_is_released() {
    let (env, disk) = (Env::simulated(3), SimDisk::new());
    let bucket = Bucket::memory(&env);
    let log = open(&disk, &env).await.unwrap();
    let shipper = start(&log, &bucket).await.unwrap();
    let writers = [1, 2].map(|number| log.writer(partition(number), Epoch(1), 0).unwrap());
    for (seq, writer) in [(1, 0), (1, 1), (2, 0), (3, 0)] {
        put(&writers[writer], &format!("{seq}"), seq).await.unwrap();
        writers[writer].shipped(seq).await.unwrap();
    }
    assert_eq!(shipper.collect().await.unwrap(), 0);
    writers[0].release(3);
    assert_eq!(shipper.collect().await.unwrap(), 0, "no object says yet that it is released");
    put(&writers[0], "4", 4).await.unwrap();
    writers[0].shipped(4).await.unwrap();
    assert_eq!(shipper.collect().await.unwrap(), 1, "the second holds what is not released");
    let disk = disk.kill();
    let log = open(&disk, &env).await.unwrap();
    let shipper = start(&log, &bucket).await.unwrap();
    let read = shipped(&log, &bucket).await.unwrap();
    assert_eq!(texts(&read, partition(2), 0).await, ["1 1"]);
    log.release(partition(1), 4);
    log.release(partition(2), 1);
    let writer = log.writer(partition(1), Epoch(2), 4).unwrap();
    for seq in [5, 6] {
        put(&writer, &format!("{seq}"), seq).await.unwrap();
        writer.shipped(seq).await.unwrap();
        // The first object after the start does not know what those of before hold.
        shipper.collect().await.unwrap();
    }
    assert_eq!(shipper.collect().await.unwrap(), 0);
    let read = shipped(&log, &bucket).await.unwrap();
    let left = texts(&read, partition(1), 4).await;
    assert_eq!(left, ["5 5", "6 6"], "what was collected is no hole");
    assert_eq!(read.last().unwrap().number, 7);
    let keys = bucket.list("log").map_ok(|head| head.key).try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(keys.len(), 2, "{keys:?}");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_comes_back_does_not_count() {
    let (env, disk) = (Env::simulated(5), SimDisk::new());
    let bucket = Bucket::memory(&env);
    let log = open(&disk, &env).await.unwrap();
    let shipper = start(&log, &bucket).await.unwrap();
    let writer = log.writer(partition(1), Epoch(1), 0).unwrap();
    let key = object::key(log.life(), 1);
    let mut first = None;
    for seq in 1..=4 {
        put(&writer, "value", seq).await.unwrap();
        writer.shipped(seq).await.unwrap();
        if first.is_none() {
            first = Some(bucket.get(&key).await.unwrap().bytes);
        }
        writer.release(seq);
        shipper.collect().await.unwrap();
    }
    let keys = bucket.list("log").map_ok(|head| head.key).try_collect::<Vec<_>>().await.unwrap();
    assert!(!keys.contains(&key) && keys.len() < 4, "{keys:?}");
    bucket.create(&key, first.unwrap()).await.unwrap();
    let read = shipped(&log, &bucket).await.unwrap();
    assert_eq!(texts(&read, partition(1), 3).await, ["4 value"]);
    let log = open(&disk.kill(), &env).await.unwrap();
    let shipper = start(&log, &bucket).await.unwrap();
    log.release(partition(1), 4);
    shipper.collect().await.unwrap();
    assert!(bucket.get(&key).await.is_err(), "it is collected again");
}

#[tokio::test(start_paused = true)]
async fn holes_and_damage_are_named() {
    let (env, disk) = (Env::simulated(4), SimDisk::new());
    let bucket = Bucket::memory(&env);
    let log = open(&disk, &env).await.unwrap();
    start(&log, &bucket).await.unwrap();
    let writer = log.writer(partition(1), Epoch(1), 0).unwrap();
    for seq in 1..=3 {
        put(&writer, "value", seq).await.unwrap();
        writer.shipped(seq).await.unwrap();
    }
    let key = object::key(log.life(), 2);
    let whole = bucket.get(&key).await.unwrap().bytes;
    bucket.delete(&key).await.unwrap();
    let hole = shipped(&log, &bucket).await.map(|_| ()).unwrap_err();
    assert!(matches!(&hole, Error::Corrupt { what, .. } if *what == key), "{hole}");
    for at in 0..whole.len() {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 1;
        bucket.put(&key, bytes.into()).await.unwrap();
        let damage = shipped(&log, &bucket).await.map(|_| ()).unwrap_err();
        assert!(matches!(&damage, Error::Corrupt { what, .. } if *what == key), "{damage}");
    }
    bucket.put(&key, whole.slice(..whole.len() - 1)).await.unwrap();
    assert!(shipped(&log, &bucket).await.is_err());
    bucket.put(&key, whole).await.unwrap();
    assert_eq!(texts(&shipped(&log, &bucket).await.unwrap(), partition(1), 0).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_set_back_is_refused_by_name() {
    let (env, disk) = (Env::simulated(5), SimDisk::new());
    let bucket = Bucket::memory(&env);
    let log = open(&disk, &env).await.unwrap();
    start(&log, &bucket).await.unwrap();
    let writer = log.writer(partition(1), Epoch(1), 0).unwrap();
    put(&writer, "one", 1).await.unwrap();
    let image = disk.image();
    put(&writer, "two", 2).await.unwrap();
    log.close().await.unwrap();
    let stale = open(&image, &env).await.unwrap();
    let error = start(&stale, &bucket).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::StaleLog { .. }), "{error}");
    // Also when it went on by itself as far as the other one.
    let writer = stale.writer(partition(1), Epoch(1), 1).unwrap();
    put(&writer, "2nd", 2).await.unwrap();
    put(&writer, "3rd", 3).await.unwrap();
    let error = start(&stale, &bucket).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, Error::StaleLog { .. }), "{error}");
}

/// What was shipped last was recycled since, and what follows it was not shipped: that is no other log.
#[tokio::test(start_paused = true)]
async fn a_log_that_has_recycled_what_was_shipped_is_the_same() {
    let (env, disk) = (Env::simulated(7), SimDisk::new());
    let bucket = Bucket::memory(&env);
    let log = open(&disk, &env).await.unwrap();
    start(&log, &bucket).await.unwrap();
    let writer = log.writer(partition(1), Epoch(1), 0).unwrap();
    let segment = "v".repeat(7000);
    put(&writer, &segment, 1).await.unwrap();
    writer.shipped(1).await.unwrap();
    put(&writer, &segment, 2).await.unwrap();
    writer.release(1);
    put(&writer, "recycled", 3).await.unwrap();
    assert_eq!(log.stats().segments, 1);
    assert_eq!(shipped(&log, &bucket).await.unwrap().last().unwrap().group, 1);
    let log = open(&disk.kill(), &env).await.unwrap();
    start(&log, &bucket).await.unwrap();
    log.close().await.unwrap();
    let read = shipped(&log, &bucket).await.unwrap();
    assert_eq!(texts(&read, partition(1), 2).await, ["3 recycled"]);
}

/// Two that run with the same log: the second to ship finds out and stops.
#[tokio::test(start_paused = true)]
async fn a_log_that_runs_twice_is_found() {
    let (env, disk) = (Env::simulated(6), SimDisk::new());
    let bucket = Bucket::memory(&env);
    let log = open(&disk, &env).await.unwrap();
    let twin = open(&disk.image(), &env).await.unwrap();
    for log in [&log, &twin] {
        start(log, &bucket).await.unwrap();
    }
    let writers = [&log, &twin].map(|log| log.writer(partition(1), Epoch(1), 0).unwrap());
    put(&writers[0], "one", 1).await.unwrap();
    writers[0].shipped(1).await.unwrap();
    put(&writers[1], "another", 1).await.unwrap();
    let error = writers[1].shipped(1).await.unwrap_err();
    assert!(matches!(error, Error::StaleLog { .. }), "{error}");
    assert!(matches!(put(&writers[1], "more", 2).await, Err(Error::StaleLog { .. })));
}

struct Xor;

impl Seal for Xor {
    fn seal(&self, name: &str, plain: &[u8]) -> Vec<u8> {
        let mut sealed: Vec<u8> = plain.iter().map(|byte| byte ^ 0xa5).collect();
        sealed.extend_from_slice(blake3::hash(name.as_bytes()).as_bytes());
        sealed
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let name = blake3::hash(name.as_bytes());
        let plain = sealed.strip_suffix(name.as_bytes()).ok_or_else(|| SealError {
            kind: cairn_base::ErrorKind::Corrupt,
            detail: "it was sealed under another name".to_owned(),
        })?;
        Ok(plain.iter().map(|byte| byte ^ 0xa5).collect())
    }
}

#[tokio::test(start_paused = true)]
async fn objects_are_sealed_under_their_names() {
    let (env, disk) = (Env::simulated(7), SimDisk::new());
    let bucket = Bucket::memory(&env);
    let log = open(&disk, &env).await.unwrap();
    Shipper::start(&log, bucket.clone(), Arc::new(Xor), ShipOptions::default()).await.unwrap();
    let writer = log.writer(partition(1), Epoch(1), 0).unwrap();
    put(&writer, "secret", 1).await.unwrap();
    writer.shipped(1).await.unwrap();
    let key = object::key(log.life(), 1);
    let stored = bucket.get(&key).await.unwrap().bytes;
    assert!(!stored.windows(6).any(|window| window == b"secret"));
    assert!(shipped(&log, &bucket).await.is_err());
    let read = Shipped::open(bucket.clone(), Arc::new(Xor), log.life()).await.unwrap();
    assert_eq!(texts(&read, partition(1), 0).await, ["1 secret"]);
    bucket.put(&object::key(log.life(), 2), stored).await.unwrap();
    assert!(Shipped::open(bucket.clone(), Arc::new(Xor), log.life()).await.is_err());
}
