//! The local bucket's two engines: the bench that the bucket crate brings, run several times.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::cli::Io;
use crate::machine;
use crate::process::output;
use crate::report::{Report, table};
use crate::sample::Samples;
use crate::workbench::{Workbench, repository};

pub(crate) fn main(args: &Io, command_line: &str) -> Result<()> {
    let bench = Workbench::new(&args.common)?;
    let machine = machine::describe(&bench.work)?;
    // By load and concurrency, then by engine.
    let mut rows: BTreeMap<(String, u64), BTreeMap<String, Samples>> = BTreeMap::new();
    let mut all = Vec::new();
    for run in 0..args.common.runs {
        eprintln!("run {}", run + 1);
        let document = measure(&bench, args.seconds)?;
        for row in document["results"].as_array().context("the bench of the bucket says nothing")? {
            let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
            let key = (text("load"), row["concurrency"].as_u64().unwrap_or_default());
            let samples = rows.entry(key).or_default().entry(text("engine")).or_default();
            for field in ["ops_per_s", "cpu_us_per_op", "p50_us", "p99_us"] {
                if let Some(value) = row[field].as_f64() {
                    samples.add(field, value);
                }
            }
        }
        all.push(document);
    }
    Report {
        name: "io",
        title: "The local bucket: io_uring beside threads",
        machine,
        command_line: command_line.to_owned(),
        body: body(&rows),
        data: json!(all),
    }
    .publish(&args.common)
}

fn measure(bench: &Workbench, seconds: f64) -> Result<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut run = Command::new(cargo);
    run.args(["run", "--quiet", "--release", "--package", "cairn-bucket"]);
    run.args(["--no-default-features", "--example", "io_bench", "--"]);
    run.arg(&bench.work).arg(seconds.to_string()).current_dir(repository());
    Ok(serde_json::from_str(&output(&mut run)?)?)
}

fn body(rows: &BTreeMap<(String, u64), BTreeMap<String, Samples>>) -> String {
    let head = ["load", "at once", "engine", "operations/s", "CPU µs each", "p50 µs", "p99 µs"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for ((load, concurrency), engines) in rows {
        for (engine, samples) in engines {
            let say = |name: &str, digits: usize| {
                samples.summary(name).map_or("–".to_owned(), |summary| summary.show(1.0, digits))
            };
            lines.push(vec![
                load.clone(),
                concurrency.to_string(),
                engine.clone(),
                say("ops_per_s", 0),
                say("cpu_us_per_op", 1),
                say("p50_us", 0),
                say("p99_us", 0),
            ]);
        }
    }
    table(&lines)
}
