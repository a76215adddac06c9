//! Records of every resource manager against pages, both of any bytes (PGWAL-1 to PGWAL-4).

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairn_pgwal::fuzzing::redo(bytes));
