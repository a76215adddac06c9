//! Redis with `appendfsync always`, and our door for its clients, asked by the program that comes with it.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::load::{self, Figures, Served};
use super::node::Node;
use super::{CLIENTS, KEYS, VALUE_BYTES};
use crate::workbench::Workbench;
use crate::{disk, process};

const READY_WAIT: Duration = Duration::from_secs(20);

/// Who is asked.
struct Asked<'a> {
    port: &'a str,
    /// A user and a password.
    user: Option<[&'a str; 2]>,
    pid: u32,
}

/// Puts to a node of ours.
pub(super) fn puts_of_node(bench: &Workbench, seconds: f64) -> Result<Vec<(usize, Figures)>> {
    let node = Node::with_namespace(bench)?;
    let (_, port) = node.redis.rsplit_once(':').context("an address has a port")?;
    Asked { port, user: Some(["bench", &node.token]), pid: node.pid() }.puts(seconds)
}

/// Puts to Redis.
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
    Asked { port: &port, user: None, pid: server.0.id() }.puts(seconds)
}

impl Asked<'_> {
    fn puts(&self, seconds: f64) -> Result<Vec<(usize, Figures)>> {
        let mut found = Vec::new();
        for clients in CLIENTS {
            // A first look tells how many fit into the time.
            let (rate, _) = self.ask(clients, 20_000.min(4000 * clients as u64))?;
            #[expect(clippy::cast_possible_truncation, reason = "a count of requests")]
            let (_, figures) = self.ask(clients, (rate * seconds) as u64)?;
            found.push((clients, figures));
        }
        Ok(found)
    }

    /// `count` puts by so many clients.
    fn ask(&self, clients: usize, count: u64) -> Result<(f64, Figures)> {
        let mut command = Command::new("redis-benchmark");
        command.args(["-p", self.port, "-t", "set", "--csv", "-c", &clients.to_string()]);
        command.args(["-n", &count.to_string(), "-d", &VALUE_BYTES.to_string()]);
        command.args(["-r", &KEYS.to_string()]);
        if let Some([user, password]) = self.user {
            command.args(["--user", user, "-a", password]);
        }
        let before = process::cpu(self.pid)?;
        let said = process::output(&mut command)?;
        let cpu = process::cpu(self.pid)? - before;
        let row =
            said.lines().find(|line| line.starts_with("\"SET\"")).context("it says nothing")?;
        // "test","rps","avg","min","p50","p95","p99","max", in milliseconds.
        let cell = |index: usize| -> Result<f64> {
            let cell = row.split(',').nth(index).context("it says too little")?;
            Ok(cell.trim_matches('"').parse()?)
        };
        let rate = cell(1)?;
        let cpu_us = cpu.as_secs_f64() * 1e6 / count as f64;
        Ok((rate, Figures { rate, p50_us: cell(4)? * 1000.0, p99_us: cell(6)? * 1000.0, cpu_us }))
    }
}
