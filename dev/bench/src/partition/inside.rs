//! Cairn's partitions within this process: nothing but the engine.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use cairn_bucket::{Bucket, Options, Plain};
use cairn_env::Env;
use cairn_partition::log::RealDisk;
use cairn_partition::{
    AnyPartition, At, Commit, KeyRange, Name, Node, NodeOptions, Partitions as _, Scan, Settings,
};

use super::load::{self, Figures};
use super::{CLIENTS, KEYS};
use crate::disk;
use crate::sample::Samples;
use crate::workbench::Workbench;

/// Reads of each kind that are timed.
const READS: u64 = 20_000;
/// Keys of one scan.
const SCAN_KEYS: usize = 100;
/// Keys of one commit while a partition is filled.
const FILL_KEYS: u64 = 100;

/// A node in this process, on a local bucket.
pub(super) async fn open(bench: &Workbench, name: &str) -> Result<(Node, Env)> {
    let place = bench.work.join(name);
    disk::fresh(&place)?;
    let env = Env::real();
    let url = format!("file://{}", place.join("bucket").display());
    let bucket = Bucket::open(&url, Options::default(), &env).await?;
    let log = Arc::new(RealDisk::open(place.join("log"))?);
    let options = NodeOptions { boot: String::from("bench"), ..NodeOptions::default() };
    Ok((Node::open(bucket, Arc::new(Plain), log, options, &env).await?, env))
}

pub(super) async fn partition(node: &Node) -> Result<AnyPartition> {
    Ok(node.create(&Name::new("bench")?, Settings::default()).await?)
}

pub(super) fn puts(bench: &Workbench, seconds: f64) -> Result<Vec<(usize, Figures)>> {
    load::runtime()?.block_on(async {
        let (node, _) = open(bench, "inside").await?;
        let partition = partition(&node).await?;
        let mut found = Vec::new();
        for clients in CLIENTS {
            let partition = Arc::clone(&partition);
            let ask = move |client, number| {
                let partition = Arc::clone(&partition);
                async move {
                    let put =
                        Commit::new().put(load::key(client, number), load::value(client, number));
                    partition.commit(put).await?;
                    Ok(())
                }
            };
            found.push((clients, load::run(clients, seconds, 1, std::process::id(), ask).await?));
        }
        node.close().await?;
        Ok(found)
    })
}

/// Single reads of what is in memory, one after the other.
pub(super) fn reads(bench: &Workbench, samples: &mut Samples) -> Result<()> {
    load::runtime()?.block_on(async {
        let (node, _) = open(bench, "inside").await?;
        let partition = partition(&node).await?;
        fill(partition.as_ref(), KEYS).await?;
        // Not on the thread that drives the timers.
        let read = tokio::spawn(async move {
            let cold = gets(partition.as_ref(), KEYS).await?;
            let warm = gets(partition.as_ref(), KEYS / 100).await?;
            Ok::<_, anyhow::Error>((cold, warm, scans(partition.as_ref()).await?))
        });
        let (cold, warm, scan) = read.await??;
        for (names, times) in [
            (["get_p50_us", "get_p99_us"], cold),
            (["hot_p50_us", "hot_p99_us"], warm),
            (["scan_p50_us", "scan_p99_us"], scan),
        ] {
            samples.add(names[0], times[times.len() / 2]);
            samples.add(names[1], times[times.len() * 99 / 100]);
        }
        node.close().await?;
        Ok(())
    })
}

async fn fill(partition: &dyn cairn_partition::Partition, keys: u64) -> Result<()> {
    for first in (0..keys).step_by(usize::try_from(FILL_KEYS)?) {
        let commit = (first..first + FILL_KEYS).fold(Commit::new(), |commit, number| {
            commit.put(format!("key:{number:012}"), load::value(0, number))
        });
        partition.commit(commit).await?;
    }
    Ok(())
}

/// Reads of some of the first `keys` keys; each was read before. In µs, sorted.
async fn gets(partition: &dyn cairn_partition::Partition, keys: u64) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for timed in [false, true] {
        for number in 0..READS {
            let key = format!("key:{:012}", number.wrapping_mul(7919) % keys);
            let begin = Instant::now();
            let found = partition.get(key.as_bytes(), At::Durable).await?;
            if timed {
                times.push(begin.elapsed().as_secs_f64() * 1e6);
            }
            ensure!(found.is_some(), "{key} is lost");
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

async fn scans(partition: &dyn cairn_partition::Partition) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for number in 0..READS / 10 {
        let from = format!("key:{:012}", number.wrapping_mul(7919) % (KEYS - 1000));
        let range = KeyRange::between(from, "key:~");
        let scan = Scan { limit: SCAN_KEYS, ..Scan::of(range) };
        let begin = Instant::now();
        let page = partition.scan(&scan).await?;
        times.push(begin.elapsed().as_secs_f64() * 1e6);
        ensure!(page.entries.len() == SCAN_KEYS, "a scan lacks keys");
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}
