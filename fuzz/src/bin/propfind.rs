//! The body of a PROPFIND, and the answer that is made of what it asks for.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| cairn_http::fuzzing::propfind(bytes));
