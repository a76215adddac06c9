//! Partitions: durable puts beside etcd and Redis, reads, replay, take-over, and what an idle one costs.

mod bare;
mod etcd;
mod grpc;
mod idle;
mod inside;
mod load;
mod node;
mod peer;
mod recover;
mod redis;
mod table;

pub(crate) use bare::serve as bare_grpc;

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cli::Partition;
use crate::machine;
use crate::report::Report;
use crate::sample::Samples;
use crate::workbench::Workbench;
use load::Figures;

/// Callers at a time.
const CLIENTS: [usize; 3] = [1, 32, 256];
/// Of every key.
const KEY_BYTES: usize = 16;
/// Of every value.
const VALUE_BYTES: usize = 100;
/// Keys that are written over and over.
const KEYS: u64 = 100_000;

/// Who is asked, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Inside,
    Grpc,
    Stream,
    Etcd,
    Redis,
    RedisDoor,
}

impl Subject {
    const ALL: [Self; 6] =
        [Self::Inside, Self::Grpc, Self::Stream, Self::Etcd, Self::Redis, Self::RedisDoor];

    fn label(self) -> &'static str {
        match self {
            Self::Inside => "cairn, in process",
            Self::Grpc => "cairn, gRPC",
            Self::Stream => "cairn, gRPC, batches of 16 on a stream",
            Self::Etcd => "etcd, gRPC",
            Self::Redis => "Redis, `appendfsync always`",
            Self::RedisDoor => "cairn, Redis protocol",
        }
    }
}

/// What was measured of puts.
#[derive(Default)]
struct Puts(BTreeMap<(usize, Subject), Samples>);

pub(crate) fn main(args: &Partition, command_line: &str) -> Result<()> {
    let bench = Workbench::new(&args.common)?;
    let machine = machine::describe(&bench.work)?;
    let mut puts = Puts::default();
    let mut reads = Samples::default();
    for run in 0..args.common.runs {
        eprintln!("run {}", run + 1);
        // Who goes first changes.
        for step in 0..Subject::ALL.len() {
            let subject = Subject::ALL[(step + run as usize) % Subject::ALL.len()];
            for (clients, figures) in measure(subject, &bench, args.seconds)? {
                puts.add(clients, subject, &figures);
            }
        }
        inside::reads(&bench, &mut reads)?;
        reads.add("bare_p50_us", bare::calls(args.seconds)?.p50_us);
        reads.add("grpc_get_p50_us", grpc::gets(&bench, args.seconds)?.p50_us);
    }
    let mut recovery = Samples::default();
    for run in 0..args.common.runs {
        eprintln!("recovery, run {}", run + 1);
        recover::replay(&bench, &mut recovery)?;
        recover::take_over(&bench, &mut recovery)?;
    }
    eprintln!("an idle cluster");
    let idle = idle::measure(&bench, args.idle_seconds)?;
    let body = table::body(&puts, &reads, &recovery, &idle)?;
    let data = json!({
        "puts": puts.json(), "reads": reads.json(), "recovery": recovery.json(),
        "idle": idle.json(),
    });
    Report {
        name: "partition",
        title: "Partitions: keys and values",
        machine,
        command_line: command_line.to_owned(),
        body,
        data,
    }
    .publish(&args.common)
}

fn measure(subject: Subject, bench: &Workbench, seconds: f64) -> Result<Vec<(usize, Figures)>> {
    match subject {
        Subject::Inside => inside::puts(bench, seconds),
        Subject::Grpc => grpc::puts(bench, seconds, false),
        Subject::Stream => grpc::puts(bench, seconds, true),
        Subject::Etcd => etcd::puts(bench, seconds),
        Subject::Redis => redis::puts(bench, seconds),
        Subject::RedisDoor => redis::puts_of_node(bench, seconds),
    }
}

impl Puts {
    fn add(&mut self, clients: usize, subject: Subject, figures: &Figures) {
        let samples = self.0.entry((clients, subject)).or_default();
        samples.add("rate", figures.rate);
        samples.add("p50_us", figures.p50_us);
        samples.add("p99_us", figures.p99_us);
        samples.add("cpu_us", figures.cpu_us);
    }

    fn json(&self) -> Value {
        let rows = self.0.iter().map(|((clients, subject), samples)| {
            json!({"clients": clients, "subject": subject.label(), "samples": samples.json()})
        });
        rows.collect()
    }
}
