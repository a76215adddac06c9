//! `wrk`, which asks for the same again and again, and says what came of it.

use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) requests_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Runs `wrk`, which may have options and stand behind another program, for so many seconds.
pub(crate) fn run(wrk: &mut Command, url: &str, connections: u32, seconds: u32) -> Result<Found> {
    wrk.args(["--threads", "1", "--latency"]);
    wrk.arg("--connections").arg(connections.to_string());
    wrk.arg("--duration").arg(format!("{seconds}s")).arg(url);
    let output = wrk.output();
    let output = output.context("install wrk with `cargo xtask setup --group bench`")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk failed: {said}");
    parse(&said)
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
    let (p50_ms, p99_ms) = (milliseconds(after("50%")?)?, milliseconds(after("99%")?)?);
    Ok(Found { requests_per_second, p50_ms, p99_ms })
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
        assert_eq!(found, Found { requests_per_second: 13999.12, p50_ms: 0.32, p99_ms: 1.5 });
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
