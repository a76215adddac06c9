//! Numbers about the door, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper ends of the duration histogram, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// One number that a process tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its family.
    pub name: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// What it is.
    pub help: &'static str,
    /// The number.
    pub value: u64,
}

/// Asks for numbers of the process.
pub type MoreMetrics = std::sync::Arc<dyn Fn() -> Vec<Metric> + Send + Sync>;

#[derive(Default)]
pub(crate) struct Metrics {
    routes: Mutex<BTreeMap<&'static str, PerRoute>>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

#[derive(Clone, Default)]
struct PerRoute {
    /// By method and status.
    requests: BTreeMap<(&'static str, u16), u64>,
    /// One more than there are ends: the last has no end.
    durations: [u64; BUCKETS.len() + 1],
    seconds: f64,
}

impl Metrics {
    pub(crate) fn request(&self, pattern: &'static str, method: &str, status: u16, took: Duration) {
        // What a client can send as a method is endless; what is counted is not.
        const KNOWN: [&str; 7] = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"];
        let method = KNOWN.into_iter().find(|known| *known == method).unwrap_or("other");
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let route = routes.entry(pattern).or_default();
        *route.requests.entry((method, status)).or_default() += 1;
        let seconds = took.as_secs_f64();
        let bucket = BUCKETS.iter().position(|end| seconds <= *end).unwrap_or(BUCKETS.len());
        route.durations[bucket] += 1;
        route.seconds += seconds;
    }

    pub(crate) fn bytes_in(&self, more: u64) {
        self.bytes_in.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn bytes_out(&self, more: u64) {
        self.bytes_out.fetch_add(more, Ordering::Relaxed);
    }

    /// The door's own families.
    pub(crate) fn text(&self) -> String {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = String::new();
        family(&mut text, "cairn_http_requests_total", "counter", "Requests answered.");
        for (route, numbers) in &routes {
            for ((method, status), count) in &numbers.requests {
                put(
                    &mut text,
                    "cairn_http_requests_total",
                    &format!("route=\"{route}\",method=\"{method}\",status=\"{status}\""),
                    *count,
                );
            }
        }
        let name = "cairn_http_request_duration_seconds";
        family(&mut text, name, "histogram", "Time to the head of the response.");
        for (route, numbers) in &routes {
            let mut below = 0;
            for (at, count) in numbers.durations.iter().enumerate() {
                below += count;
                let end = BUCKETS.get(at).map_or_else(|| "+Inf".to_owned(), f64::to_string);
                let labels = format!("route=\"{route}\",le=\"{end}\"");
                put(&mut text, &format!("{name}_bucket"), &labels, below);
            }
            let labels = format!("route=\"{route}\"");
            put(&mut text, &format!("{name}_sum"), &labels, numbers.seconds);
            put(&mut text, &format!("{name}_count"), &labels, below);
        }
        for (name, help, value) in [
            ("cairn_http_bytes_in_total", "Bytes of request bodies read.", &self.bytes_in),
            ("cairn_http_bytes_out_total", "Bytes of response bodies sent.", &self.bytes_out),
        ] {
            family(&mut text, name, "counter", help);
            put(&mut text, name, "", value.load(Ordering::Relaxed));
        }
        text
    }
}

/// Begins a family.
pub(crate) fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n").expect("a string takes all text");
}

/// One sample.
pub(crate) fn put(text: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    let written = match labels {
        "" => writeln!(text, "{name} {value}"),
        labels => writeln!(text, "{name}{{{labels}}} {value}"),
    };
    written.expect("a string takes all text");
}

/// Memory of this process that is in RAM, in bytes, where the system tells.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_add_up_and_methods_are_bounded() {
        let metrics = Metrics::default();
        for (method, ms) in [("GET", 1), ("GET", 2), ("BREW", 40_000)] {
            metrics.request("/x", method, 200, Duration::from_millis(ms));
        }
        let text = metrics.text();
        for line in [
            "cairn_http_requests_total{route=\"/x\",method=\"GET\",status=\"200\"} 2",
            "cairn_http_requests_total{route=\"/x\",method=\"other\",status=\"200\"} 1",
            "cairn_http_request_duration_seconds_bucket{route=\"/x\",le=\"0.001\"} 1",
            "cairn_http_request_duration_seconds_bucket{route=\"/x\",le=\"30\"} 2",
            "cairn_http_request_duration_seconds_bucket{route=\"/x\",le=\"+Inf\"} 3",
            "cairn_http_request_duration_seconds_count{route=\"/x\"} 3",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
