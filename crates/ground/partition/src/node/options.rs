use std::time::Duration;

use super::LeaseTimes;
use crate::log::LogOptions;

/// How a node keeps partitions. `NodeOptions::default()` fits production; name and address are the
/// caller's to give.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// What people call the node.
    pub name: String,
    /// Where others reach it.
    pub address: Option<String>,
    /// What tells this boot of this machine from all others: whoever has the lock of a log in the
    /// same boot knows that its last owner is dead.
    pub boot: String,
    /// How long its lease holds.
    pub lease: LeaseTimes,
    /// The log.
    pub log: LogOptions,
    /// What is synced is in the bucket after so long, when the bucket takes it.
    pub ship_lag: Duration,
    /// Bytes of blocks, indices and filters in memory, for all partitions together.
    pub cache_bytes: u64,
    /// Bytes of keys and values in memory, for all partitions together.
    pub values_bytes: u64,
    /// A memtable of this size is written to the bucket.
    pub memtable_bytes: usize,
    /// Bytes that may be in memory only, per partition, while the bucket takes nothing.
    pub unflushed_bytes_max: usize,
    /// A partition whose log has more than this is written to the bucket: it bounds what a restart
    /// has to replay.
    pub replay_bytes_max: u64,
    /// A partition that has not changed for so long is written to the bucket.
    pub flush_idle: Duration,
    /// How long a commit is waited for before its outcome is said to be in doubt.
    pub commit_wait: Duration,
    /// How long an opening is waited for. It goes on after that.
    pub open_wait: Duration,
    /// How often the node looks after its partitions. A partition that does not change costs no request.
    pub look_every: Duration,
    /// How often history beyond the window is let go.
    pub tidy_every: Duration,
    /// Objects of a view that nothing refers to are deleted after so long: readers may still hold them.
    pub collect_after: Duration,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            name: String::from("node"),
            address: None,
            boot: String::new(),
            lease: LeaseTimes::default(),
            log: LogOptions::default(),
            ship_lag: Duration::from_secs(1),
            cache_bytes: 128 << 20,
            values_bytes: 32 << 20,
            memtable_bytes: 8 << 20,
            unflushed_bytes_max: 128 << 20,
            replay_bytes_max: 32 << 20,
            flush_idle: Duration::from_secs(60),
            commit_wait: Duration::from_secs(30),
            open_wait: Duration::from_secs(10),
            look_every: Duration::from_secs(1),
            tidy_every: Duration::from_secs(60),
            collect_after: Duration::from_secs(900),
        }
    }
}
