//! A node: how fast it starts, what it needs when nobody asks, and what passes over the wire.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::cli::{Common, Set};
use crate::data::{self, Version};
use crate::report::{MB, Report, table};
use crate::sample::Samples;
use crate::workbench::Workbench;
use crate::{disk, machine, process, proxy};

/// A node is idle when it was left alone for so long.
const IDLE_AFTER: Duration = Duration::from_secs(2);
/// What a pull or push of a small change may move.
const CHANGE_BYTES_MAX: f64 = 5e6;

pub(crate) struct Node {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Where its functions answer.
    pub(crate) web: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) started_ms: f64,
}

impl Node {
    /// Starts one, and waits for the line that says where it listens.
    pub(crate) fn start(bench: &Workbench, bucket: &Path) -> Result<Self> {
        Self::started(Command::new(&bench.cairn).arg("up").arg("--bucket").arg(bucket))
    }

    /// The same by a command that has options of its own.
    pub(crate) fn started(command: &mut Command) -> Result<Self> {
        command.args(["--json", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped());
        let start = Instant::now();
        let mut child = command.spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("it was asked for")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let started_ms = start.elapsed().as_secs_f64() * 1000.0;
        let said: Value = serde_json::from_str(&line).context("the node did not start")?;
        let url = said["urls"][0].as_str().context("the node says no address")?;
        let address = url.trim_start_matches("http://").parse()?;
        let token = said["root_token"].as_str().map(str::to_owned);
        let web = said["web_urls"][0].as_str().map(str::to_owned);
        Ok(Self { child, address, web, token, started_ms })
    }

    pub(crate) fn rss(&self) -> f64 {
        process::status_bytes(self.child.id(), "VmRSS").unwrap_or_default() as f64
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn main(common: &Common, command_line: &str) -> Result<()> {
    let bench = Workbench::new(common)?;
    let machine = machine::describe(&bench.work)?;
    let versions = data::prepare(Set::A, &bench.cache)?;
    let mut samples = Samples::default();
    for run in 0..common.runs {
        eprintln!("run {}", run + 1);
        one_run(&bench, &versions, &mut samples)?;
    }
    Report {
        name: "node",
        title: "A node",
        machine,
        command_line: command_line.to_owned(),
        body: body(&samples),
        data: samples.json(),
    }
    .publish(common)
}

fn one_run(bench: &Workbench, versions: &[Version], samples: &mut Samples) -> Result<()> {
    let [.., older, newer] = versions else { return Ok(()) };
    let place = bench.work.join("node");
    disk::fresh(&place)?;
    let bucket = place.join("bucket");
    let first = Node::start(bench, &bucket)?;
    samples.add("start_fresh_ms", first.started_ms);
    let token = first.token.clone().context("a fresh bucket gives a root token")?;
    drop(first);
    let node = Node::start(bench, &bucket)?;
    samples.add("start_ms", node.started_ms);
    std::thread::sleep(IDLE_AFTER);
    samples.add("idle_rss", node.rss());

    let (proxy, counts) = proxy::start(node.address)?;
    let cairn = || {
        let mut command = Command::new(&bench.cairn);
        command.env_remove("CAIRN_BUCKET");
        command.env("CAIRN_URL", format!("http://{proxy}")).env("CAIRN_TOKEN", &token);
        command.env("XDG_CACHE_HOME", place.join("cache"));
        command.env("XDG_STATE_HOME", place.join("state"));
        command
    };
    let mut step = |names: [&'static str; 3], command: &mut Command| -> Result<()> {
        counts.take();
        let cost = process::measure(command)?;
        let (up, down) = counts.take();
        samples.add(names[0], cost.wall.as_secs_f64());
        samples.add(names[1], up as f64);
        samples.add(names[2], down as f64);
        Ok(())
    };
    let pushed = |version: &Version| format!("data:{}", version.name);
    let to = place.join("pulled");
    let (from, with) = (pushed(older), pushed(newer));
    step(["push_s", "push_up", "push_down"], cairn().arg("push").arg(&older.dir).arg(&from))?;
    step(["more_s", "more_up", "more_down"], cairn().arg("push").arg(&newer.dir).arg(&with))?;
    step(["same_s", "same_up", "same_down"], cairn().arg("push").arg(&newer.dir).arg("data:x"))?;
    step(["pull_s", "pull_up", "pull_down"], cairn().arg("pull").arg(&from).arg(&to))?;
    let mut again = cairn();
    again.arg("pull").arg(&with).arg(&to).arg("--delete");
    step(["next_s", "next_up", "next_down"], &mut again)?;
    anyhow::ensure!(disk::same(&newer.dir, &to)?, "the node gave back something else");
    samples.add("busy_rss", process::status_bytes(node.child.id(), "VmHWM").unwrap_or(0) as f64);
    drop(node);
    disk::set_aside(&place)
}

fn body(samples: &Samples) -> String {
    let say = |name: &str, scale: f64, digits: usize| {
        samples.summary(name).map_or("–".to_owned(), |summary| summary.show(scale, digits))
    };
    let mut text = format!(
        "Start, from the process to the address it says: {} ms on a bucket that exists, {} ms on a \
         fresh one. Idle: {} MB. Most memory while it served what follows: {} MB.\n\n",
        say("start_ms", 1.0, 0),
        say("start_fresh_ms", 1.0, 0),
        say("idle_rss", MB, 1),
        say("busy_rss", MB, 0),
    );
    let head = ["", "s", "MB up", "MB down"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (what, names) in [
        ("first push, 14.2.20 (86 MB)", ["push_s", "push_up", "push_down"]),
        ("push of 14.2.25 after it", ["more_s", "more_up", "more_down"]),
        ("the same once more", ["same_s", "same_up", "same_down"]),
        ("pull of 14.2.20", ["pull_s", "pull_up", "pull_down"]),
        ("pull of 14.2.25 over it", ["next_s", "next_up", "next_down"]),
    ] {
        let cells = [say(names[0], 1.0, 2), say(names[1], MB, 2), say(names[2], MB, 2)];
        rows.push(std::iter::once(what.to_owned()).chain(cells).collect());
    }
    text.push_str(&table(&rows));
    for (what, name) in [("push", "more_up"), ("pull", "next_down")] {
        let Some(summary) = samples.summary(name) else { continue };
        let verdict = if summary.median <= CHANGE_BYTES_MAX { "met" } else { "missed" };
        text.push_str(&format!(
            "\n- 14.2.20 → 14.2.25, {what}: {:.2} MB on the wire, target 5 MB: {verdict}",
            summary.median / MB
        ));
    }
    text.push('\n');
    text
}
