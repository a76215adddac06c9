//! Cursors of scans, as text and with a sum that holds.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairn_partition::fuzzing::cursor(bytes));
