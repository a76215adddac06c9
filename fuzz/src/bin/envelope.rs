//! Envelopes of small objects, in plain and in encrypted buckets.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairn_blocks::fuzzing::envelope(bytes));
