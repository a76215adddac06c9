//! References: whatever text comes, parsing ends with an error or with a value that prints as text
//! that parses to the same value.

#![no_main]

use cairn_base::Reference;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(reference) = text.parse::<Reference>() else { return };
    let printed = reference.to_string();
    let again: Reference = printed.parse().expect("what prints also parses");
    assert_eq!(again, reference, "{text:?} printed as {printed:?}");
    assert!(reference.path.iter().all(|part| part != "." && part != ".." && !part.contains('/')));
});
