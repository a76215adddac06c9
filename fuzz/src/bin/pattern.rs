//! Patterns of grants: what parses prints as itself, and matching any name ends at once.

#![no_main]

use cairn_access::{Pattern, Resource};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (pattern, name) = text.split_once('\n').unwrap_or((text, "a"));
    let Ok(pattern) = pattern.parse::<Pattern>() else { return };
    let again: Pattern = pattern.to_string().parse().expect("what prints also parses");
    assert_eq!(again.to_string(), pattern.to_string());
    let (Ok(project), Ok(name)) = ("main".parse(), name.parse()) else { return };
    drop(pattern.covers(&Resource::Dataset(project, name)));
});
