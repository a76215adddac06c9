//! The catalog's payload and `cairn.json`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairn_blocks::fuzzing::documents(bytes));
