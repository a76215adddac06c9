//! What a node counts is what is documented.

use std::collections::BTreeMap;

use crate::support::Server;

const TEXT: &str = include_str!("../../../../../docs/METRICS.md");

/// Families by name, with their kinds, as the document has them.
fn documented() -> BTreeMap<&'static str, &'static str> {
    let rows = TEXT.lines().filter_map(|line| line.strip_prefix("| `"));
    let row = |line: &'static str| {
        let (name, rest) = line.split_once("` | ")?;
        Some((name, rest.split(" | ").next()?))
    };
    rows.filter_map(row).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_family_is_documented() {
    let server = Server::start().await;
    let text = server.get("/metrics", &[]).await.text().await.unwrap();
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let served: BTreeMap<&str, &str> = kinds.filter_map(|line| line.split_once(' ')).collect();
    assert!(served.len() > 10, "{text}");
    let documented = documented();
    for (name, kind) in &served {
        assert_eq!(documented.get(name), Some(kind), "docs/METRICS.md and {name}");
    }
    // What is there only with a cache, a log or a door has tests of its own.
    let not_here = [
        "cairn_disk_cache_",
        "cairn_function",
        "cairn_log_",
        "cairn_partitions_",
        "cairn_redis_",
        "cairn_schedule_",
        "cairn_web_",
        "cairn_worker",
    ];
    let here = |name: &&&str| !not_here.iter().any(|prefix| name.starts_with(prefix));
    for name in documented.keys().filter(here) {
        assert!(served.contains_key(name), "{name} is documented and not served");
    }
    server.stop().await;
}
