use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn texts(frames: &[Frame]) -> Vec<(u64, String)> {
    let text = |frame: &Frame| String::from_utf8(frame.payload.to_vec()).unwrap();
    frames.iter().map(|frame| (frame.id, text(frame))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_on_a_real_disk() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::real());
    let path = dir.path().join("a/log");
    let log = Log::open(Arc::new(RealDisk::open(&path).unwrap()), small(), &env).await.unwrap();
    let life = log.life();
    let writers: Vec<Writer> =
        (1..=3).map(|number| log.writer(partition(number), Epoch(1), 0).unwrap()).collect();
    for seq in 1..=50u64 {
        for writer in &writers {
            put(writer, &format!("{:?} {seq}", writer.partition()), seq).await.unwrap();
        }
    }
    assert!(matches!(RealDisk::open(&path), Err(Error::InUse { .. })), "another process");
    assert!(log.stats().segments > 5 && log.stats().frames == 150);
    log.close().await.unwrap();
    assert!(matches!(put(&writers[0], "late", 51).await, Err(Error::Closed { .. })));
    let log = Log::open(Arc::new(RealDisk::open(&path).unwrap()), small(), &env).await.unwrap();
    assert_eq!(log.life(), life);
    for writer in &writers {
        let frames = replayed(&log, writer.partition(), 10).await.unwrap();
        let expected = (11..=50)
            .map(|seq| (seq, format!("{:?} {seq}", writer.partition())))
            .collect::<Vec<_>>();
        assert_eq!(texts(&frames), expected);
        assert!(frames.iter().all(|frame| frame.first_seq == Seq(frame.id)));
    }
    log.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn appends_share_a_frame_until_it_is_frozen() {
    let (env, disk) = (Env::simulated(1), SimDisk::new());
    let log = open(&disk, &env).await.unwrap();
    let writer = log.writer(partition(1), Epoch(7), 40).unwrap();
    let (id, mut flush) = writer.flush();
    assert!(id == 40 && matches!(is_ready(&mut flush), Some(Ok(()))), "nothing to freeze");
    writer.append(b"one ", Seq(5), Seq(6)).unwrap();
    writer.append_with(Seq(7), Seq(9), |buffer| buffer.extend_from_slice(b"two")).unwrap();
    writer.append(b"", Seq(9), Seq(9)).unwrap();
    let status = writer.status();
    assert_eq!((status.buffered_bytes, status.buffered_appends), (7, 2));
    assert!(matches!(writer.append(b"x", Seq(8), Seq(8)), Err(Error::Invalid { .. })));
    let (id, mut flush) = writer.flush();
    assert!(id == 41 && is_ready(&mut flush).is_none());
    writer.append(b"three", Seq(10), Seq(10)).unwrap();
    flush.await.unwrap();
    writer.flush().1.await.unwrap();
    let status = writer.status();
    assert_eq!((status.buffered_bytes, status.buffered_appends), (0, 0));
    assert_eq!((status.last_durable_id, status.last_durable_seq), (42, Some(Seq(10))));
    assert!(writer.bytes_since(40) >= 12 && writer.bytes_since(42) == 0);
    let frames = replayed(&log, partition(1), 40).await.unwrap();
    assert_eq!(texts(&frames), [(41, "one two".to_owned()), (42, "three".to_owned())]);
    assert_eq!((frames[0].first_seq, frames[0].last_seq), (Seq(5), Seq(9)));
    assert_eq!(log.stats().buffered_bytes, 0);
    log.close().await.unwrap();
}

/// Acknowledged or not, `text` of commit `seq` is what the events say.
fn events_of(writer: &Writer) -> Arc<Mutex<Vec<String>>> {
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&events);
    writer.subscribe(Arc::new(move |event| {
        let line = match event {
            Event::Durable(status) => format!("durable {}", status.last_durable_id),
            Event::Closed(status) => format!("closed: {}", status.closed.unwrap()),
        };
        told.lock().unwrap().push(line);
    }));
    events
}

#[derive(Default)]
struct Latch(AtomicBool);

impl Gate for Latch {
    fn open(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// LOG-1: nothing is acknowledged while the gate is closed, though it is on disk.
#[tokio::test(start_paused = true)]
async fn log_1_a_closed_gate_holds_acknowledgements_back() {
    let (env, disk, latch) = (Env::simulated(2), SimDisk::new(), Arc::new(Latch::default()));
    let log = open(&disk, &env).await.unwrap();
    log.gate(Arc::clone(&latch) as Arc<dyn Gate>);
    let writer = log.writer(partition(1), Epoch(1), 0).unwrap();
    let events = events_of(&writer);
    let mut flushes = Vec::new();
    for seq in 1..=3 {
        writer.append(b"value", Seq(seq), Seq(seq)).unwrap();
        flushes.push(writer.flush().1);
        env.clock.sleep(Duration::from_millis(20)).await;
        assert!(flushes.iter_mut().all(|flush| is_ready(flush).is_none()));
    }
    assert_eq!((log.stats().syncs, writer.status().last_durable_id), (3, 0));
    assert_eq!(writer.status().buffered_bytes, 15, "it counts until it is acknowledged");
    latch.0.store(true, Ordering::Relaxed);
    log.gate_changed();
    for flush in flushes {
        flush.await.unwrap();
    }
    assert_eq!(events.lock().unwrap().len(), 3);
    latch.0.store(false, Ordering::Relaxed);
    writer.append(b"late", Seq(4), Seq(4)).unwrap();
    let flush = writer.flush().1;
    env.clock.sleep(Duration::from_millis(20)).await;
    let fenced = Error::Fenced { name: "p".to_owned(), epoch: Epoch(1) };
    log.poison(fenced);
    latch.0.store(true, Ordering::Relaxed);
    log.gate_changed();
    assert!(matches!(flush.await, Err(Error::Fenced { .. })));
    assert!(matches!(writer.append(b"x", Seq(5), Seq(5)), Err(Error::Fenced { .. })));
    env.clock.sleep(Duration::from_millis(20)).await;
    let events = events.lock().unwrap().clone();
    assert_eq!(events[..3], ["durable 1", "durable 2", "durable 3"]);
    assert!(events.len() == 4 && events[3].starts_with("closed: p was taken over"), "{events:?}");
    // What was synced and not acknowledged may be there.
    let log = open(&disk.kill(), &env).await.unwrap();
    assert_eq!(replayed(&log, partition(1), 0).await.unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_or_sync_is_the_end() {
    for (seed, fails) in [SimDisk::fail_write, SimDisk::fail_sync].into_iter().enumerate() {
        let (env, disk) = (Env::simulated(seed as u64), SimDisk::new());
        let log = open(&disk, &env).await.unwrap();
        let writers = [1, 2].map(|number| log.writer(partition(number), Epoch(1), 0).unwrap());
        put(&writers[0], "kept", 1).await.unwrap();
        let events = events_of(&writers[1]);
        fails(&disk, 1);
        assert!(matches!(put(&writers[0], "lost", 2).await, Err(Error::Storage { .. })));
        assert!(matches!(put(&writers[1], "late", 1).await, Err(Error::Storage { .. })));
        assert!(writers[1].status().closed.is_some());
        assert!(matches!(log.writer(partition(3), Epoch(1), 0), Err(Error::Storage { .. })));
        env.clock.sleep(Duration::from_millis(20)).await;
        assert!(matches!(events.lock().unwrap().as_slice(), [only] if only.contains("closed")));
        assert!(matches!(log.close().await, Err(Error::Storage { .. })));
        let log = open(&disk.crash(env.rng.as_ref()), &env).await.unwrap();
        let frames = texts(&replayed(&log, partition(1), 0).await.unwrap());
        assert_eq!(frames[0], (1, "kept".to_owned()));
        assert!(frames.len() <= 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_and_recovers() {
    let (env, disk) = (Env::simulated(3), SimDisk::new());
    let log = open(&disk, &env).await.unwrap();
    let writer = log.writer(partition(1), Epoch(1), 0).unwrap();
    disk.set_full(true);
    let mut seq = 0;
    let waiting = loop {
        seq += 1;
        writer.append(&[7; 900], Seq(seq), Seq(seq)).unwrap();
        let mut flush = writer.flush().1;
        env.clock.sleep(Duration::from_millis(50)).await;
        if is_ready(&mut flush).is_none() {
            break flush;
        }
    };
    assert!(seq > 5);
    let refused = writer.append(b"x", Seq(seq + 1), Seq(seq + 1));
    assert!(matches!(refused, Err(Error::Full { .. })), "{refused:?}");
    assert!(writer.status().closed.is_none());
    disk.set_full(false);
    waiting.await.unwrap();
    put(&writer, "after", seq + 1).await.unwrap();
    log.close().await.unwrap();
    let log = open(&disk.kill(), &env).await.unwrap();
    assert_eq!(replayed(&log, partition(1), 0).await.unwrap().len() as u64, seq + 1);
}

#[tokio::test(start_paused = true)]
async fn segments_are_used_again_when_all_have_released_them() {
    let (env, disk) = (Env::simulated(4), SimDisk::new());
    let log = open(&disk, &env).await.unwrap();
    let writers = [1, 2].map(|number| log.writer(partition(number), Epoch(1), 0).unwrap());
    put(&writers[1], "slow", 1).await.unwrap();
    for seq in 1..=60 {
        put(&writers[0], &"v".repeat(600), seq).await.unwrap();
        writers[0].release(seq);
    }
    assert!(log.stats().local_bytes > 32768);
    assert_eq!(log.laggards(), [(partition(2), 1)]);
    let held = Held { partition: partition(2), epoch: Epoch(1), first_id: 1, last_id: 1 };
    assert_eq!(log.partitions(), [held]);
    let mut replay = log.replay(partition(2), 0, |_| true);
    writers[1].release(1);
    put(&writers[0], "x", 61).await.unwrap();
    assert!(log.stats().local_bytes > 32768, "it is being read");
    assert_eq!(texts(&[replay.next().await.unwrap().unwrap()]), [(1, "slow".to_owned())]);
    drop(replay);
    put(&writers[0], "y", 62).await.unwrap();
    env.clock.sleep(Duration::from_millis(50)).await;
    assert_eq!((log.stats().segments, log.laggards()), (1, Vec::new()));
    // What was there before never reads as new.
    for seq in 63..=200 {
        put(&writers[0], &format!("{seq}"), seq).await.unwrap();
        writers[0].release(seq - 1);
        let image = disk.image();
        let log = open(&image, &env).await.unwrap();
        let frames = replayed(&log, partition(1), seq - 1).await.unwrap();
        assert_eq!(texts(&frames), [(seq, format!("{seq}"))]);
    }
    let files = disk.list().unwrap();
    assert!(files.len() <= small().spares_max + 2, "{files:?}");
    log.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn epochs_follow_one_another() {
    let (env, disk) = (Env::simulated(5), SimDisk::new());
    let log = open(&disk, &env).await.unwrap();
    let old = log.writer(partition(1), Epoch(2), 0).unwrap();
    for seq in 1..=4 {
        put(&old, &format!("old {seq}"), seq).await.unwrap();
    }
    assert!(matches!(log.writer(partition(1), Epoch(1), 0), Err(Error::Fenced { .. })));
    assert!(matches!(log.writer(partition(1), Epoch(2), 4), Err(Error::Busy { .. })));
    old.append(b"lost", Seq(5), Seq(5)).unwrap();
    let new = log.writer(partition(1), Epoch(3), 2).unwrap();
    assert!(matches!(old.append(b"late", Seq(6), Seq(6)), Err(Error::Fenced { .. })));
    put(&new, "new 3", 3).await.unwrap();
    new.close().await.unwrap();
    assert!(matches!(new.append(b"late", Seq(6), Seq(6)), Err(Error::Closed { .. })));
    assert!(matches!(log.writer(partition(1), Epoch(3), 2), Err(Error::Invalid { .. })));
    let again = log.writer(partition(1), Epoch(3), 3).unwrap();
    put(&again, "new 4", 4).await.unwrap();
    let expected = [(1, "old 1"), (2, "old 2"), (3, "new 3"), (4, "new 4")];
    let frames = texts(&replayed(&log, partition(1), 0).await.unwrap());
    assert_eq!(frames, expected.map(|(id, text)| (id, text.to_owned())));
    let log = open(&disk.kill(), &env).await.unwrap();
    let frames = texts(&replayed(&log, partition(1), 0).await.unwrap());
    assert_eq!(frames, expected.map(|(id, text)| (id, text.to_owned())));
    let mut replay = log.replay(partition(1), 0, |epoch| epoch == Epoch(2));
    let mut count = 0;
    while replay.next().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 4, "only what is asked for counts");
}

/// A group larger than a segment has one of its own, which is not kept.
#[tokio::test(start_paused = true)]
async fn large_appends_have_their_own_segment() {
    let (env, disk) = (Env::simulated(6), SimDisk::new());
    let log = open(&disk, &env).await.unwrap();
    let writer = log.writer(partition(1), Epoch(1), 0).unwrap();
    put(&writer, "small", 1).await.unwrap();
    put(&writer, &"large".repeat(10_000), 2).await.unwrap();
    put(&writer, "small", 3).await.unwrap();
    let log = open(&disk.kill(), &env).await.unwrap();
    let frames = replayed(&log, partition(1), 0).await.unwrap();
    assert_eq!(frames.iter().map(|frame| frame.payload.len()).collect::<Vec<_>>(), [5, 50_000, 5]);
    log.release(partition(1), 3);
    let writer = log.writer(partition(1), Epoch(1), 3).unwrap();
    put(&writer, &"large".repeat(3_000), 4).await.unwrap();
    env.clock.sleep(Duration::from_millis(50)).await;
    assert!(log.stats().local_bytes < 20_000);
}

/// The driver ends with the last handle, and so does the lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_log_lets_its_directory_go() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::real());
    let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
    let log = Log::open(Arc::clone(&disk) as Arc<dyn Disk>, small(), &env).await.unwrap();
    let writer = log.writer(partition(1), Epoch(1), 0).unwrap();
    put(&writer, "kept", 1).await.unwrap();
    let mut ended = log.handle.core.ended.subscribe();
    drop(log);
    put(&writer, "kept", 2).await.unwrap();
    drop(writer);
    ended.wait_for(Option::is_some).await.unwrap();
    let log =
        Log::open(Arc::new(RealDisk::open(dir.path()).unwrap()), small(), &env).await.unwrap();
    assert_eq!(replayed(&log, partition(1), 0).await.unwrap().len(), 2);
    log.close().await.unwrap();
}
