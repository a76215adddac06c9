//! Frames, as stored and as sent by clients: never more memory than a frame may have, never a chunk
//! under a wrong id.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairn_blocks::fuzzing::frame(bytes));
