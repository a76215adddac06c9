//! Keys and values of rows of a partition's view.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairn_partition::fuzzing::view_rows(bytes));
