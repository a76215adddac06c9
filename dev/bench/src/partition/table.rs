//! What is said of it.

use anyhow::{Context as _, Result};

use super::idle::{Idle, PARTITIONS};
use super::{CLIENTS, Puts, Subject};
use crate::report::{MB, table};
use crate::sample::{Samples, Summary};

/// What was set out: of whom, by how many clients, beside whom, at least how many times.
const GOALS: [(Subject, usize, Subject, f64); 8] = [
    (Subject::Inside, 256, Subject::Etcd, 4.0),
    (Subject::Inside, 256, Subject::Redis, 1.2),
    (Subject::Grpc, 1, Subject::Etcd, 1.2),
    (Subject::Grpc, 32, Subject::Etcd, 1.2),
    (Subject::Grpc, 256, Subject::Etcd, 1.0),
    (Subject::RedisDoor, 1, Subject::Redis, 0.8),
    (Subject::RedisDoor, 32, Subject::Redis, 0.8),
    (Subject::RedisDoor, 256, Subject::Redis, 0.8),
];

pub(super) fn body(
    puts: &Puts,
    reads: &Samples,
    recovery: &Samples,
    idle: &Idle,
) -> Result<String> {
    let mut text = String::from(
        "Durable puts of keys of 16 and values of 100 bytes over 100 000 keys: each is synced before it is \
         acknowledged. All on the same disk, one after the other; who goes first changes from run to run. \
         CPU is that of the process that keeps the data (in process: with its callers). Clients and servers \
         share the machine's cores; etcd and Cairn are asked by the same gRPC client, Redis and Cairn by the same redis-benchmark.\n\n",
    );
    text.push_str(&rates(puts)?);
    text.push('\n');
    text.push_str(&goals(puts)?);
    text.push('\n');
    text.push_str(&singles(reads, recovery)?);
    text.push('\n');
    text.push_str(&costs(idle));
    Ok(text)
}

fn rates(puts: &Puts) -> Result<String> {
    let head = ["clients", "", "puts/s", "p50 µs", "p99 µs", "CPU µs each"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for clients in CLIENTS {
        for subject in Subject::ALL {
            let samples = puts.0.get(&(clients, subject)).context("nothing was measured")?;
            let show = |name: &str, digits| {
                samples.summary(name).map_or_else(String::new, |found| found.show(1.0, digits))
            };
            let label = subject.label().to_owned();
            rows.push(vec![
                clients.to_string(),
                label,
                show("rate", 0),
                show("p50_us", 0),
                show("p99_us", 0),
                show("cpu_us", 1),
            ]);
        }
    }
    Ok(table(&rows))
}

fn goals(puts: &Puts) -> Result<String> {
    let mut rows = vec![["puts/s", "clients", "ratio", "goal"].map(str::to_owned).to_vec()];
    for (ours, clients, theirs, goal) in GOALS {
        let samples = |subject| puts.0.get(&(clients, subject)).context("nothing was measured");
        let mut ratios = Samples::default();
        ratios.0.insert("rate", samples(ours)?.0["rate"].clone());
        ratios.add_ratios("rate", samples(theirs)?, "ratio");
        let ratio = ratios.summary("ratio").context("nothing was measured")?;
        rows.push(vec![
            format!("{} to {}", ours.label(), theirs.label()),
            clients.to_string(),
            ratio.show(1.0, 2),
            format!("≥ {goal}"),
        ]);
    }
    Ok(table(&rows))
}

fn singles(reads: &Samples, recovery: &Samples) -> Result<String> {
    let all: Vec<(&str, &Samples, &str, &str, usize)> = vec![
        ("get, p50", reads, "get_p50_us", "µs", 1),
        ("get, p99", reads, "get_p99_us", "µs", 1),
        ("get of one of 1000 keys, p50", reads, "hot_p50_us", "µs", 1),
        ("get of one of 1000 keys, p99", reads, "hot_p99_us", "µs", 1),
        ("scan of 100 keys, p50", reads, "scan_p50_us", "µs", 0),
        ("scan of 100 keys, p99", reads, "scan_p99_us", "µs", 0),
        ("gRPC: a get", reads, "grpc_get_p50_us", "µs", 0),
        ("gRPC: an empty call of a server that does nothing", reads, "bare_p50_us", "µs", 0),
        ("replay of 256 MiB of log, values of 100 bytes", recovery, "replay_100", "MB/s", 0),
        ("replay of 256 MiB of log, values of 4 KiB", recovery, "replay_4096", "MB/s", 0),
        ("take-over, local bucket", recovery, "take_over_s", "s", 1),
        ("take-over, bucket 50 ms away", recovery, "take_over_far_s", "s", 1),
    ];
    let mut rows = vec![["in process; one client; two nodes", ""].map(str::to_owned).to_vec()];
    for (what, samples, name, unit, digits) in all {
        let found: Summary = samples.summary(name).context("nothing was measured")?;
        rows.push(vec![what.to_owned(), format!("{} {unit}", found.show(1.0, digits))]);
    }
    Ok(table(&rows))
}

fn costs(idle: &Idle) -> String {
    let head = ["requests", "counted", "a month", "$ a month"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut sum = 0.0;
    for (method, count, monthly, price) in idle.prices() {
        sum += price;
        rows.push(vec![method, count.to_string(), format!("{monthly:.0}"), format!("{price:.3}")]);
    }
    format!(
        "Idle: three nodes that keep {} partitions among them, nobody asks; their requests to an S3 server in \
         {} s, and what they cost at $0.005 for a thousand that write or list and $0.0004 that read: ${sum:.2} \
         a month (goal: under $1). Memory: {:.0} MB with one partition, {:.0} KiB for each of {PARTITIONS} more \
         (goal: at most 256).\n\n{}",
        PARTITIONS + 3,
        idle.seconds,
        idle.rss_one / MB,
        idle.rss_each / 1024.0,
        table(&rows),
    )
}
