//! Heads of segments, groups and frames of a node's log, as they are and with sums that hold.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairn_partition::fuzzing::log_group(bytes));
