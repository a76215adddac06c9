//! Real nodes with a log, and the command that asks them.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::workbench::Workbench;
use crate::{disk, process};

const PAUSE: Duration = Duration::from_millis(20);
/// More than any lease.
const ANSWER_WAIT: Duration = Duration::from_secs(300);

/// A bucket, and how to reach it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) bucket: String,
    pub(super) env: Vec<(String, String)>,
}

/// A node; killed as `kill -9` does when dropped.
pub(super) struct Node {
    child: Child,
    cairn: PathBuf,
    place: PathBuf,
    pub(super) address: String,
    /// Where it listens for clients of Redis.
    pub(super) redis: String,
    pub(super) token: String,
}

impl Node {
    /// Starts one with its log below `dir`. `token`: the cluster's, when the bucket has one already.
    pub(super) fn start(
        bench: &Workbench,
        place: &Place,
        dir: &Path,
        token: Option<&str>,
    ) -> Result<Self> {
        let mut command = Command::new(&bench.cairn);
        command.args(["up", "--json", "--listen", "127.0.0.1:0", "--bucket", &place.bucket]);
        command.args(["--redis", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(dir).envs(place.env.iter().cloned());
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("it was asked for")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line).context("the node did not start")?;
        let url = said["urls"][0].as_str().context("the node says no address")?;
        let address = url.trim_start_matches("http://").to_owned();
        let redis = said["redis_urls"][0].as_str().context("the node has no door for Redis")?;
        let redis = redis.trim_start_matches("redis://").to_owned();
        let token = said["root_token"].as_str().or(token).context("there is no token")?.to_owned();
        let (cairn, place) = (bench.cairn.clone(), dir.to_owned());
        Ok(Self { child, cairn, place, address, redis, token })
    }

    /// One on a bucket of its own, with the namespace `bench`.
    pub(super) fn with_namespace(bench: &Workbench) -> Result<Self> {
        let dir = bench.work.join("node");
        disk::fresh(&dir)?;
        let bucket = dir.join("bucket").display().to_string();
        let place = Place { bucket, env: Vec::new() };
        let node = Self::start(bench, &place, &dir.join("data"), None)?;
        node.wait("kv create bench")?;
        Ok(node)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn rss(&self) -> f64 {
        process::status_bytes(self.pid(), "VmRSS").unwrap_or_default() as f64
    }

    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(&self.cairn);
        command.args(words.split(' ')).env_remove("CAIRN_BUCKET");
        command.env("CAIRN_URL", format!("http://{}", self.address));
        command.env("CAIRN_TOKEN", &self.token);
        command.env("XDG_CACHE_HOME", self.place.join("cache"));
        command.env("XDG_STATE_HOME", self.place.join("state"));
        command
    }

    /// Runs `cairn` with these words against it.
    pub(super) fn ask(&self, words: &str) -> Result<String> {
        process::output(&mut self.command(words))
    }

    /// Runs it until it succeeds, and says how long that took.
    pub(super) fn wait(&self, words: &str) -> Result<Duration> {
        let begin = Instant::now();
        while begin.elapsed() < ANSWER_WAIT {
            if self.ask(words).is_ok() {
                return Ok(begin.elapsed());
            }
            std::thread::sleep(PAUSE);
        }
        bail!("`cairn {words}` does not succeed")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
