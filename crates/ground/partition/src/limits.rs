//! What one request may ask for. All of it is checked before anything is done.

use std::time::Duration;

/// Bytes of a key at most; at least 1.
pub const KEY_BYTES_MAX: usize = 4096;
/// Bytes of a value at most.
pub const VALUE_BYTES_MAX: usize = 4 << 20;
/// Bytes of a reference that stands in place of a value at most.
pub const REFERENCE_BYTES_MAX: usize = 256;
/// Changes in one commit at most.
pub const COMMIT_OPS_MAX: usize = 10_000;
/// Deleted ranges in one commit at most.
pub const COMMIT_RANGES_MAX: usize = 100;
/// Bytes of keys and values in one commit at most.
pub const COMMIT_BYTES_MAX: usize = 16 << 20;
/// Conditions in one commit at most.
pub const CONDITIONS_MAX: usize = 10_000;
/// Keys and ranges that one transaction may have read at most.
pub const READS_MAX: usize = 100_000;
/// Entries in one page of a scan at most.
pub const SCAN_ENTRIES_MAX: usize = 10_000;
/// Bytes of keys and values in one page of a scan, and in one answer of a watch, give or take one entry.
pub const PAGE_BYTES_MAX: usize = 4 << 20;
/// Changes in one answer of a watch at most, give or take one commit.
pub const CHANGES_MAX: usize = 10_000;
/// How long one answer of a watch may be waited for.
pub const WATCH_WAIT_MAX: Duration = Duration::from_secs(60);
/// Bytes of a partition's name at most.
pub const NAME_BYTES_MAX: usize = 255;
/// The history window at most.
pub const HISTORY_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
