use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Elements of one table.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 100_000;

/// What one call of a function may use. What is not said is as [`Limits::default`] says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Linear memory of an instance, in bytes, all its memories together.
    pub memory_bytes: u64,
    /// Computing for one call, in milliseconds, to about [`crate::TICK`].
    pub cpu_ms: u64,
    /// From the call to the end of its answer, in milliseconds.
    pub wall_ms: u64,
    /// Bytes of the output of a command, and of objects that a call has not finished; what is streamed has no bound.
    pub output_bytes: u64,
    /// Bytes of stdout and stderr that are kept of one call; the rest is counted.
    pub log_bytes: u64,
    /// Calls that run at a time on a node.
    pub concurrency: u32,
    /// Calls that wait for that; more are refused.
    pub queue: u32,
    /// Requests that one call sends to others.
    pub requests: u32,
    /// How often an instance is used.
    pub reuse: Reuse,
}

/// How often an instance is used. By default each call has a fresh one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reuse {
    /// Requests that one instance answers before it is dropped.
    pub requests: u32,
    /// Requests that one instance answers at a time; more than one needs `wasi:http` 0.3.
    pub at_once: u32,
    /// How long an instance waits for the next request, in milliseconds.
    pub idle_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: 128 << 20,
            cpu_ms: 1000,
            wall_ms: 30_000,
            output_bytes: 64 << 20,
            log_bytes: 64 << 10,
            concurrency: 64,
            queue: 256,
            requests: 32,
            reuse: Reuse::default(),
        }
    }
}

impl Default for Reuse {
    fn default() -> Self {
        Self { requests: 1, at_once: 1, idle_ms: 1000 }
    }
}

impl Limits {
    /// What a server allows at most: of instances and of requests that wait a part of what a node has, so that one
    /// function leaves room for others.
    #[must_use]
    pub fn caps() -> Self {
        Self {
            memory_bytes: 4 << 30,
            cpu_ms: 3_600_000,
            wall_ms: 3_600_000,
            output_bytes: 1 << 30,
            log_bytes: 1 << 20,
            concurrency: 256,
            queue: 512,
            requests: 10_000,
            reuse: Reuse { requests: 1_000_000, at_once: 256, idle_ms: 600_000 },
        }
    }

    /// The first limit that is above `caps`, or nothing at all, as a sentence.
    #[must_use]
    pub fn wrong(&self, caps: &Self) -> Option<String> {
        let checks = [
            ("memory_bytes", self.memory_bytes, 1 << 16, caps.memory_bytes),
            ("cpu_ms", self.cpu_ms, 1, caps.cpu_ms),
            ("wall_ms", self.wall_ms, 1, caps.wall_ms),
            ("output_bytes", self.output_bytes, 0, caps.output_bytes),
            ("log_bytes", self.log_bytes, 0, caps.log_bytes),
            ("concurrency", self.concurrency.into(), 1, caps.concurrency.into()),
            ("queue", self.queue.into(), 0, caps.queue.into()),
            ("requests", self.requests.into(), 0, caps.requests.into()),
            ("reuse.requests", self.reuse.requests.into(), 1, caps.reuse.requests.into()),
            ("reuse.at_once", self.reuse.at_once.into(), 1, caps.reuse.at_once.into()),
            ("reuse.idle_ms", self.reuse.idle_ms, 0, caps.reuse.idle_ms),
        ];
        let wrong = checks.into_iter().find(|(_, value, min, max)| value < min || value > max)?;
        let (name, value, min, max) = wrong;
        Some(format!("limits.{name} is {value}, and takes {min} to {max} here"))
    }

    pub(crate) fn wall(&self) -> Duration {
        Duration::from_millis(self.wall_ms)
    }

    pub(crate) fn idle(&self) -> Duration {
        Duration::from_millis(self.reuse.idle_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_the_caps_and_what_is_above_is_named() {
        let caps = Limits::caps();
        assert_eq!(Limits::default().wrong(&caps), None);
        let more = Limits { cpu_ms: caps.cpu_ms + 1, ..Limits::default() };
        let wrong = more.wrong(&caps).unwrap();
        assert!(wrong.starts_with("limits.cpu_ms is 3600001"), "{wrong}");
        let none = Limits { concurrency: 0, ..Limits::default() };
        assert!(none.wrong(&caps).unwrap().starts_with("limits.concurrency is 0"));
    }
}
