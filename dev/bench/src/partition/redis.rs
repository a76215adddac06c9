//! Redis with `appendfsync always`, asked by the program that comes with it.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::load::{self, Figures, Served};
use super::{CLIENTS, KEYS, VALUE_BYTES};
use crate::workbench::Workbench;
use crate::{disk, process};

const READY_WAIT: Duration = Duration::from_secs(20);

pub(super) fn puts(bench: &Workbench, seconds: f64) -> Result<Vec<(usize, Figures)>> {
    let place = bench.work.join("redis");
    disk::fresh(&place)?;
    let port = load::free_port()?.to_string();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port, "--bind", "127.0.0.1", "--dir"]).arg(&place);
    command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
    let server = Served::start(&mut command)?;
    let begin = Instant::now();
    while std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
        if begin.elapsed() > READY_WAIT {
            bail!("Redis does not answer");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut found = Vec::new();
    for clients in CLIENTS {
        // A first look tells how many fit into the time.
        let (rate, _) = ask(&port, clients, 20_000.min(4000 * clients as u64), &server)?;
        #[expect(clippy::cast_possible_truncation, reason = "a count of requests")]
        let (_, figures) = ask(&port, clients, (rate * seconds) as u64, &server)?;
        found.push((clients, figures));
    }
    Ok(found)
}

/// `count` puts by so many clients.
fn ask(port: &str, clients: usize, count: u64, server: &Served) -> Result<(f64, Figures)> {
    let mut command = Command::new("redis-benchmark");
    command.args(["-p", port, "-t", "set", "--csv", "-c", &clients.to_string()]);
    command.args(["-n", &count.to_string(), "-d", &VALUE_BYTES.to_string()]);
    command.args(["-r", &KEYS.to_string()]);
    let before = process::cpu(server.0.id())?;
    let said = process::output(&mut command)?;
    let cpu = process::cpu(server.0.id())? - before;
    let row = said.lines().find(|line| line.starts_with("\"SET\"")).context("it says nothing")?;
    // "test","rps","avg","min","p50","p95","p99","max", in milliseconds.
    let cell = |index: usize| -> Result<f64> {
        let cell = row.split(',').nth(index).context("it says too little")?;
        Ok(cell.trim_matches('"').parse()?)
    };
    let rate = cell(1)?;
    let cpu_us = cpu.as_secs_f64() * 1e6 / count as f64;
    Ok((rate, Figures { rate, p50_us: cell(4)? * 1000.0, p99_us: cell(6)? * 1000.0, cpu_us }))
}
