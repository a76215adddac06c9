//! Clients that others wrote: `wrk` for many small requests, `curl` for a large one.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

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

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) requests_per_second: f64,
    pub(crate) p99_ms: f64,
}

impl Load<'_> {
    pub(crate) fn run(&self, seconds: u32) -> Result<Found> {
        let script = self.paths.with_extension("lua");
        std::fs::write(&script, SCRIPT)?;
        let mut wrk = Command::new("wrk");
        wrk.args(["--threads", "1", "--latency"]);
        wrk.arg("--connections").arg(self.connections.to_string());
        wrk.arg("--duration").arg(format!("{seconds}s")).arg("--script").arg(&script).arg(self.url);
        wrk.env("PATHS", self.paths).env("PREFIX", self.prefix).env_remove("AUTHORIZATION");
        if let Some(header) = self.header {
            wrk.env("AUTHORIZATION", header);
        }
        let output = wrk.output();
        let output = output.context("install wrk with `cargo xtask setup --group bench`")?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "wrk failed: {said}");
        parse(&said)
    }
}

fn parse(said: &str) -> Result<Found> {
    // A server that answers fast by refusing would look good.
    if let Some(line) = said.lines().find(|line| line.contains("Non-2xx")) {
        bail!("{}", line.trim());
    }
    if let Some(line) = said.lines().find(|line| line.contains("Socket errors")) {
        bail!("{}", line.trim());
    }
    let after = |start: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(start));
        line.map(str::trim).with_context(|| format!("wrk says no {start:?}:\n{said}"))
    };
    let requests_per_second = after("Requests/sec:")?.parse()?;
    Ok(Found { requests_per_second, p99_ms: milliseconds(after("99%")?)? })
}

/// A time as wrk writes it.
fn milliseconds(text: &str) -> Result<f64> {
    let number = text.trim_end_matches(char::is_alphabetic);
    let scale = match &text[number.len()..] {
        "us" => 0.001,
        "ms" => 1.0,
        "s" => 1000.0,
        "m" => 60_000.0,
        other => bail!("wrk has the unit {other:?}"),
    };
    Ok(number.parse::<f64>()? * scale)
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

/// What wrk says of itself.
pub(crate) fn version() -> Result<String> {
    // It takes asking for its version for wrong usage.
    let output = Command::new("wrk").arg("--version").output();
    let output = output.context("install wrk with `cargo xtask setup --group bench`")?;
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 4s test @ http://127.0.0.1:7500\n  1 threads and 16 connections\n  \
        Latency Distribution\n     50%  320.00us\n     99%    1.50ms\n  100 requests in 4.00s, 1MB read\n\
        Requests/sec:  13999.12\nTransfer/sec:      9.51MB\n";

    #[test]
    fn what_wrk_says() {
        let found = parse(SAID).unwrap();
        assert_eq!(found, Found { requests_per_second: 13999.12, p99_ms: 1.5 });
        assert!((milliseconds("2.5s").unwrap() - 2500.0).abs() < 1e-9);
        assert!(milliseconds("2.5h").is_err());
    }

    #[test]
    fn refusals_are_no_answers() {
        let refused = format!("{SAID}  Non-2xx or 3xx responses: 7\n");
        assert!(parse(&refused).unwrap_err().to_string().contains("responses: 7"));
        let broken = format!("{SAID}  Socket errors: connect 0, read 3, write 0, timeout 0\n");
        assert!(parse(&broken).is_err());
        assert!(parse("").is_err());
    }
}
