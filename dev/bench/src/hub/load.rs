//! Clients that others wrote: `wrk` for many small requests, `curl` for a large one.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::wrk::{self, Found};

/// Asks for the paths of a list in an order that jumps; a prime, so that all come up.
const SCRIPT: &str = r#"
local paths, n = {}, 0
for line in io.lines(os.getenv("PATHS")) do paths[#paths + 1] = line end
local headers = {}
if os.getenv("AUTHORIZATION") then headers.Authorization = os.getenv("AUTHORIZATION") end
local prefix = os.getenv("PREFIX")
request = function()
  n = (n + 7919) % #paths
  return wrk.format("GET", prefix .. paths[n + 1], headers)
end
"#;

/// Many requests for small files.
pub(crate) struct Load<'a> {
    pub(crate) url: &'a str,
    /// What stands before each path.
    pub(crate) prefix: &'a str,
    /// The `Authorization` header.
    pub(crate) header: Option<&'a str>,
    /// A file with a path a line.
    pub(crate) paths: &'a Path,
    pub(crate) connections: u32,
}

impl Load<'_> {
    pub(crate) fn run(&self, seconds: u32) -> Result<Found> {
        let script = self.paths.with_extension("lua");
        std::fs::write(&script, SCRIPT)?;
        let mut wrk = Command::new("wrk");
        wrk.arg("--script").arg(&script);
        wrk.env("PATHS", self.paths).env("PREFIX", self.prefix).env_remove("AUTHORIZATION");
        if let Some(header) = self.header {
            wrk.env("AUTHORIZATION", header);
        }
        wrk::run(&mut wrk, self.url, self.connections, seconds)
    }
}

/// Reads the first `bytes` of a file as a range, and throws them away; the seconds it took.
pub(crate) fn get_large(url: &str, header: Option<&str>, bytes: u64) -> Result<f64> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail", "--output", "/dev/null"]);
    curl.arg("--range").arg(format!("0-{}", bytes - 1));
    curl.args(["--write-out", "%{http_code} %{size_download} %{time_total}"]);
    if let Some(header) = header {
        curl.arg("--header").arg(format!("Authorization: {header}"));
    }
    let output = curl.arg(url).output().context("curl cannot be started")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "curl {url}: {wrong}");
    let mut words = said.split(' ');
    let (status, size, time) = (words.next(), words.next(), words.next());
    ensure!(status == Some("206"), "{url} was answered with {said}");
    ensure!(size == Some(bytes.to_string().as_str()), "{url} gave {said}");
    Ok(time.context("curl says no time")?.parse()?)
}
