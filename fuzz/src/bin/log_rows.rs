//! Rows of a partition in a frame of the log.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairn_partition::fuzzing::wal_rows(bytes));
