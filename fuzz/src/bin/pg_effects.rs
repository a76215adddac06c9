//! What records of any bytes do beyond pages: bounded by their length (PGWAL-1).

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairn_pgwal::fuzzing::effects(bytes));
