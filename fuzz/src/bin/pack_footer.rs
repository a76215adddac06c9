//! Footers of packs, as if their checksum were right.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairn_blocks::fuzzing::pack_footer(bytes));
