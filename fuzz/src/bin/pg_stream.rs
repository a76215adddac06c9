//! A log laid out right, and then changed: streams, records, images (PGWAL-1), however it is cut.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairn_pgwal::fuzzing::stream(bytes));
