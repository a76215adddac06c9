//! Patterns of routes from any text: what is one is written as it was read, and is found again by the requests that
//! it is for.

#![no_main]

use cairn_functions::Pattern;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(pattern) = text.parse::<Pattern>() else { return };
    let again: Pattern = pattern.to_string().parse().expect("what was read can be read");
    assert_eq!(again, pattern);
    assert_eq!(again.shape(), pattern.shape());
});
