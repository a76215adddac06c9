//! How fast the log acknowledges on this machine's disk: appends of 150 bytes by some tasks, each of
//! which waits until its append is durable. The first argument is the directory; it is left behind.
//!
//! `cargo run --release --example log_bench -p cairn-partition -- DIR`

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn_env::Env;
use cairn_partition::log::{Disk as _, Log, LogOptions, RealDisk, Writer};
use cairn_partition::{Epoch, PartitionId, Seq};

const APPEND_BYTES: usize = 150;
const WINDOW: Duration = Duration::from_secs(3);
const WARM_UP: Duration = Duration::from_secs(1);

fn main() {
    let dir = std::env::args().nth(1).map_or_else(|| "target/log_bench".into(), PathBuf::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts");
    runtime.block_on(async {
        let env = Env::real();
        let disk = Arc::new(RealDisk::open(&dir).expect("the directory is free"));
        raw(disk.as_ref(), &env);
        let log = Log::open(disk, LogOptions::default(), &env).await.expect("the log opens");
        let mut number = 0;
        for (tasks, partitions) in [(1, 1), (32, 1), (256, 1), (256, 16)] {
            let writers: Vec<Writer> = (0..partitions)
                .map(|_| {
                    number += 1;
                    let mut id = [0; 16];
                    env.rng.fill(&mut id);
                    log.writer(PartitionId(id), Epoch(number), 0).expect("a writer")
                })
                .collect();
            measure(&log, &env, &writers, tasks).await;
        }
        log.close().await.expect("the log closes");
    });
}

/// What the disk does by itself: a sector written and synced, again and again.
fn raw(disk: &RealDisk, env: &Env) {
    let bytes = 16 << 20;
    disk.create("raw", bytes).expect("there is space");
    let begin = env.clock.monotonic();
    let mut times = Vec::new();
    while env.clock.monotonic() < begin + WINDOW {
        let (at, before) = (times.len() as u64 * 512 % bytes, env.clock.monotonic());
        disk.write_at("raw", at, &[7; 512]).expect("it is written");
        disk.sync("raw").expect("it is synced");
        times.push((env.clock.monotonic() - before).as_micros());
    }
    disk.remove("raw").expect("it is removed");
    times.sort_unstable();
    let rate = times.len() as f64 / WINDOW.as_secs_f64();
    println!("the disk alone: {rate:.0} syncs/s, p50 {} us", times[times.len() / 2]);
}

async fn measure(log: &Log, env: &Env, writers: &[Writer], tasks: usize) {
    let (count, begin) = (Arc::new(AtomicU64::new(0)), env.clock.monotonic());
    for task in 0..tasks {
        let (writer, count) = (writers[task % writers.len()].clone(), Arc::clone(&count));
        let clock = Arc::clone(&env.clock);
        env.spawn.task(Box::pin(async move {
            while clock.monotonic() < begin + WARM_UP + WINDOW {
                // One number for all, so that it never falls.
                writer.append(&[7; APPEND_BYTES], Seq(1), Seq(1)).expect("it is taken");
                let (id, flush) = writer.flush();
                flush.await.expect("it is durable");
                if id % 1024 == 0 {
                    writer.release(id - 1);
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    env.clock.sleep(WARM_UP).await;
    let (counted, before) = (count.load(Ordering::Relaxed), log.stats());
    env.clock.sleep(WINDOW).await;
    let (done, after) = (count.load(Ordering::Relaxed) - counted, log.stats());
    env.clock.sleep(Duration::from_millis(100)).await;
    let (groups, syncs) = (after.groups - before.groups, after.syncs - before.syncs);
    let sync_time = after.sync_time.saturating_sub(before.sync_time);
    println!(
        "{tasks} tasks, {} partitions: {:.0} appends/s, {:.0} groups/s of {:.1} appends, sync {:.0} us",
        writers.len(),
        done as f64 / WINDOW.as_secs_f64(),
        groups as f64 / WINDOW.as_secs_f64(),
        done as f64 / groups.max(1) as f64,
        sync_time.as_secs_f64() * 1e6 / syncs.max(1) as f64,
    );
}
