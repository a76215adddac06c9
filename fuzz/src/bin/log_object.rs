//! Objects of a shipped log, as they are and with a hash that holds.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairn_partition::fuzzing::log_object(bytes));
