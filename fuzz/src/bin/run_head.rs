//! Heads and pages of index runs, as if their checksums were right.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairn_blocks::fuzzing::run_head(bytes));
