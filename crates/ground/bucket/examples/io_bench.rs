//! Measures the local store with each engine and prints one JSON document.
//!
//! ```text
//! cargo run --release -p cairn-bucket --no-default-features --example io_bench -- [DIR] [SECONDS]
//! ```
//!
//! `DIR` should lie on the disk in question (default: the current directory), `SECONDS` is the length of
//! each measurement (default 3). For each engine: random reads of 64 KiB out of one object of 512 MiB,
//! warm (in the page cache) and cold (evicted with `posix_fadvise` before each round), and durable puts
//! of 4 KiB and 1 MiB, at concurrency 1 and 32. CPU is that of the whole process, kernel included; work
//! that the kernel's own threads do for a ring counts, as they belong to the process.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement, not the product"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_bucket::{Bucket, Engine, Options};
use cairn_env::Env;
use serde_json::{Value, json};

const READ_BYTES: u64 = 64 << 10;
const OBJECT_BYTES: u64 = 512 << 20;

#[derive(Clone, Copy)]
enum Load {
    WarmRead,
    ColdRead,
    Put(usize),
}

impl Load {
    fn name(self) -> String {
        match self {
            Self::WarmRead => String::from("read 64 KiB warm"),
            Self::ColdRead => String::from("read 64 KiB cold"),
            Self::Put(len) => format!("durable put {} KiB", len >> 10),
        }
    }
}

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = args.next().map_or_else(|| PathBuf::from("."), PathBuf::from);
    let seconds: f64 = args.next().map_or(3.0, |text| text.parse().unwrap());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let results = runtime.block_on(measure_all(&dir, Duration::from_secs_f64(seconds)));
    println!("{}", serde_json::to_string_pretty(&results).unwrap());
}

async fn measure_all(dir: &Path, length: Duration) -> Value {
    let mut rows = Vec::new();
    let loads = [Load::WarmRead, Load::ColdRead, Load::Put(4 << 10), Load::Put(1 << 20)];
    for load in loads {
        for concurrency in [1, 32] {
            // Alternate, so that a change of the machine's mood hits both.
            for engine in [Engine::Threads, Engine::IoUring] {
                rows.push(measure(dir, engine, load, concurrency, length).await);
            }
        }
    }
    json!({ "read_bytes": READ_BYTES, "object_bytes": OBJECT_BYTES, "results": rows })
}

async fn measure(
    dir: &Path,
    engine: Engine,
    load: Load,
    concurrency: u64,
    length: Duration,
) -> Value {
    let place = tempfile::tempdir_in(dir).unwrap();
    let url = format!("file://{}", place.path().canonicalize().unwrap().display());
    let options = Options { engine, ..Options::default() };
    let bucket = match Bucket::open(&url, options, &Env::real()).await {
        Ok(bucket) => bucket,
        Err(error) => return json!({ "engine": format!("{engine:?}"), "error": error.to_string() }),
    };
    let object = place.path().join("object");
    if !matches!(load, Load::Put(_)) {
        write_object(&bucket).await;
        drop(bucket.get_range("object", 0..OBJECT_BYTES).await.unwrap());
    }
    if matches!(load, Load::ColdRead) {
        evict(&object);
    }
    let (begin, cpu) = (Instant::now(), cpu_time());
    let latencies = run(&bucket, load, concurrency, length, &object).await;
    let (elapsed, cpu) = (begin.elapsed(), cpu_time() - cpu);
    let count = latencies.len().max(1);
    json!({
        "engine": format!("{engine:?}"),
        "load": load.name(),
        "concurrency": concurrency,
        "ops_per_s": (count as f64 / elapsed.as_secs_f64()).round(),
        "cpu_us_per_op": (cpu.as_secs_f64() * 1e7 / count as f64).round() / 10.0,
        "p50_us": latencies.get(count / 2).map(Duration::as_micros),
        "p99_us": latencies.get(count * 99 / 100).map(Duration::as_micros),
    })
}

async fn run(
    bucket: &Bucket,
    load: Load,
    concurrency: u64,
    length: Duration,
    object: &Path,
) -> Vec<Duration> {
    let done = Arc::new(AtomicU64::new(0));
    let deadline = Instant::now() + length;
    let evictor = matches!(load, Load::ColdRead).then(|| evict_now_and_then(object, deadline));
    let tasks = (0..concurrency).map(|index| {
        let (bucket, done) = (bucket.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let mut state = (index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut latencies = Vec::new();
            let body = match load {
                Load::Put(len) => Bytes::from(vec![7; len]),
                _ => Bytes::new(),
            };
            while Instant::now() < deadline {
                let begin = Instant::now();
                match load {
                    Load::Put(_) => {
                        let number = done.fetch_add(1, Ordering::Relaxed);
                        let key = format!("puts/{:02x}/{number}", number % 16);
                        bucket.put(&key, body.clone()).await.unwrap();
                    }
                    _ => {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        let at = state % (OBJECT_BYTES / READ_BYTES) * READ_BYTES;
                        let read = bucket.get_range("object", at..at + READ_BYTES).await.unwrap();
                        assert_eq!(read.len() as u64, READ_BYTES);
                    }
                }
                latencies.push(begin.elapsed());
            }
            latencies
        })
    });
    let mut latencies = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        latencies.extend(task.await.unwrap());
    }
    if let Some(evictor) = evictor {
        evictor.join().unwrap();
    }
    latencies.sort();
    latencies
}

async fn write_object(bucket: &Bucket) {
    let mut upload =
        bucket.store().put_multipart_opts(&"object".into(), Default::default()).await.unwrap();
    let part = Bytes::from(vec![7; 16 << 20]);
    for _ in 0..OBJECT_BYTES / part.len() as u64 {
        upload.put_part(part.clone().into()).await.unwrap();
    }
    upload.complete().await.unwrap();
}

/// Keeps the object out of the page cache while it is read.
fn evict_now_and_then(object: &Path, deadline: Instant) -> std::thread::JoinHandle<()> {
    let object = object.to_owned();
    std::thread::spawn(move || {
        while Instant::now() < deadline {
            evict(&object);
            std::thread::sleep(Duration::from_millis(20));
        }
    })
}

fn evict(object: &Path) {
    let file = std::fs::File::open(object).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
}

fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, rest) = text.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
