//! What it takes to go on: after a crash on the same disk, and on another node.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use cairn_bucket::{Bucket, Options, Plain};
use cairn_env::Env;
use cairn_partition::log::RealDisk;
use cairn_partition::{At, Commit, Name, Node, NodeOptions, Partitions as _, Settings};
use cairn_testkit::store::{Kind, Server};

use super::load;
use super::node::{self, Place};
use crate::disk;
use crate::proxy;
use crate::report::MB;
use crate::sample::Samples;
use crate::workbench::Workbench;

/// What is left in the log.
const LOG_BYTES: usize = 256 << 20;
/// Keys of one commit.
const COMMIT_KEYS: usize = 64;
/// Sizes of values, and what is measured of them.
const VALUES: [(usize, &str); 2] = [(100, "replay_100"), (4096, "replay_4096")];
/// One way through the network to a bucket that is 50 ms away.
const DELAY: Duration = Duration::from_millis(50);

/// A node whose log is never written to the bucket while it runs.
fn options() -> NodeOptions {
    NodeOptions {
        boot: String::from("bench"),
        memtable_bytes: 4 * LOG_BYTES,
        unflushed_bytes_max: 8 * LOG_BYTES,
        replay_bytes_max: 4 * LOG_BYTES as u64,
        ship_lag: Duration::from_secs(3600),
        ..NodeOptions::default()
    }
}

async fn open(place: &Path, env: &Env) -> Result<Node> {
    let url = format!("file://{}", place.join("bucket").display());
    let bucket = Bucket::open(&url, Options::default(), env).await?;
    let log = Arc::new(RealDisk::open(place.join("log"))?);
    Ok(Node::open(bucket, Arc::new(Plain), log, options(), env).await?)
}

/// Bytes of log that are replayed in a second when a node comes back to its disk.
pub(super) fn replay(bench: &Workbench, samples: &mut Samples) -> Result<()> {
    for (bytes, name) in VALUES {
        let place = bench.work.join("replay");
        disk::fresh(&place)?;
        let logged = load::runtime()?.block_on(fill(&place, bytes))?;
        let took = load::runtime()?.block_on(reopened(&place))?;
        samples.add(name, logged / MB / took.as_secs_f64());
    }
    Ok(())
}

/// Fills a log and falls. How many bytes of frames it has.
async fn fill(place: &Path, bytes: usize) -> Result<f64> {
    let node = open(place, &Env::real()).await?;
    let partition = node.create(&Name::new("bench")?, Settings::default()).await?;
    let commits = LOG_BYTES / (bytes + 32) / COMMIT_KEYS;
    for number in 0..commits as u64 {
        let commit = (0..COMMIT_KEYS as u64).fold(Commit::new(), |commit, index| {
            let number = number * COMMIT_KEYS as u64 + index;
            let value = load::value(0, number).repeat(bytes.div_ceil(super::VALUE_BYTES));
            commit.put(format!("key:{number:012}"), value[..bytes].to_vec())
        });
        partition.commit(commit).await?;
    }
    partition.commit(Commit::new().put("last", "one")).await?;
    let logged = node.log_stats().appended_bytes as f64;
    node.kill();
    Ok(logged)
}

/// Until the last key is there again. The runtime of before, with all its tasks, is gone.
async fn reopened(place: &Path) -> Result<Duration> {
    let env = Env::real();
    let begin = Instant::now();
    let node = open(place, &env).await?;
    let partition = node.open(&Name::new("bench")?).await?;
    let found = partition.get(b"last", At::Durable).await?;
    let took = begin.elapsed();
    ensure!(found.is_some(), "what was acknowledged is lost");
    node.kill();
    Ok(took)
}

/// From the end of a node until another one answers for its keys.
pub(super) fn take_over(bench: &Workbench, samples: &mut Samples) -> Result<()> {
    let dir = bench.work.join("take-over");
    disk::fresh(&dir)?;
    let local = Place { bucket: dir.join("bucket").display().to_string(), env: Vec::new() };
    samples.add("take_over_s", taken_over(bench, &local, &dir.join("local"))?);
    let server = Server::start(Kind::Versitygw)?;
    let address = server.endpoint().trim_start_matches("http://").parse()?;
    let (proxy, _) = proxy::start_far(address, DELAY)?;
    let mut env = server.env();
    for (name, value) in &mut env {
        if name == "AWS_ENDPOINT_URL" {
            *value = format!("http://{proxy}");
        }
    }
    let far = Place { bucket: server.url("far"), env };
    samples.add("take_over_far_s", taken_over(bench, &far, &dir.join("far"))?);
    Ok(())
}

fn taken_over(bench: &Workbench, place: &Place, dir: &Path) -> Result<f64> {
    let first = node::Node::start(bench, place, &dir.join("first"), None)?;
    let token = first.token.clone();
    let second = node::Node::start(bench, place, &dir.join("second"), Some(&token))?;
    first.wait("kv create bench")?;
    for number in 0..20 {
        first.ask(&format!("kv put bench key{number} value"))?;
    }
    // A change after a while: the lease is the one of a busy node, renewed meanwhile.
    std::thread::sleep(Duration::from_secs(6));
    first.ask("kv put bench last one")?;
    // What is not shipped yet is lost with the disk, which the other node has not.
    std::thread::sleep(Duration::from_secs(3));
    drop(first);
    let took = second.wait("kv get bench last")?;
    Ok(took.as_secs_f64())
}
