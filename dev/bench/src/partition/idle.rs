//! What a cluster costs that nobody asks: requests to the bucket, and memory.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use cairn_testkit::store::{Kind, Server};
use serde_json::{Value, json};

use super::node::{Node, Place};
use crate::workbench::Workbench;
use crate::{disk, proxy};

const NODES: usize = 3;
/// Of the first node; the others keep one each.
pub(super) const PARTITIONS: usize = 128;
/// Until every partition is written to the bucket and every lease is that of an idle node.
const SETTLE: Duration = Duration::from_secs(200);
/// A month, in seconds.
const MONTH: f64 = 30.0 * 86_400.0;
/// Dollars for a thousand requests that write or list, and that read, at the prices of S3 Standard in
/// us-east-1.
const WRITES: f64 = 0.005;
const READS: f64 = 0.0004;

/// What was counted.
pub(super) struct Idle {
    pub(super) seconds: u32,
    /// Requests of all nodes by method; `LIST` apart.
    pub(super) requests: BTreeMap<String, u64>,
    /// Memory of the node with one partition, and for each more.
    pub(super) rss_one: f64,
    pub(super) rss_each: f64,
}

impl Idle {
    fn a_month(&self, count: u64) -> f64 {
        count as f64 * MONTH / f64::from(self.seconds)
    }

    /// Requests a month and their price, by method.
    pub(super) fn prices(&self) -> Vec<(String, u64, f64, f64)> {
        let rows = self.requests.iter().map(|(method, count)| {
            let each = match method.as_str() {
                "GET" | "HEAD" => READS,
                "DELETE" => 0.0,
                _ => WRITES,
            };
            let monthly = self.a_month(*count);
            (method.clone(), *count, monthly, monthly * each / 1000.0)
        });
        rows.collect()
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "seconds": self.seconds, "requests": self.requests,
            "rss_one": self.rss_one, "rss_each": self.rss_each,
        })
    }
}

/// Three nodes on an S3 server, whose requests are counted on the way.
pub(super) fn measure(bench: &Workbench, seconds: u32) -> Result<Idle> {
    let dir = bench.work.join("idle");
    disk::fresh(&dir)?;
    let server = Server::start(Kind::Versitygw)?;
    let address = server.endpoint().trim_start_matches("http://").parse()?;
    let (proxy, requests) = proxy::start_far(address, Duration::ZERO)?;
    let mut env = server.env();
    for (name, value) in &mut env {
        if name == "AWS_ENDPOINT_URL" {
            *value = format!("http://{proxy}");
        }
    }
    let place = Place { bucket: server.url("idle"), env };
    let mut nodes: Vec<Node> = Vec::new();
    for number in 0..NODES {
        let token = nodes.first().map(|node| node.token.clone());
        let dir = dir.join(number.to_string());
        nodes.push(Node::start(bench, &place, &dir, token.as_deref())?);
    }
    for (number, node) in nodes.iter().enumerate() {
        node.wait(&format!("kv create own{number}"))?;
        node.ask(&format!("kv put own{number} key value"))?;
    }
    std::thread::sleep(SETTLE / 4);
    let rss_one = nodes[0].rss();
    for number in 0..PARTITIONS {
        nodes[0].ask(&format!("kv create more{number}"))?;
        nodes[0].ask(&format!("kv put more{number} key value"))?;
    }
    std::thread::sleep(SETTLE);
    requests.take();
    std::thread::sleep(Duration::from_secs(u64::from(seconds)));
    let requests = requests.take();
    let rss_each = (nodes[0].rss() - rss_one) / PARTITIONS as f64;
    Ok(Idle { seconds, requests, rss_one, rss_each })
}
