//! Patterns of grants: what parses prints as itself, and covers exactly the names that a naive
//! matcher says.

#![no_main]

use cairn_access::{Pattern, Resource};
use libfuzzer_sys::fuzz_target;

/// Whether `name` is `pattern` with each star for any run of characters: a row for each character of
/// the pattern, with what it can have reached of the name.
fn covers(pattern: &str, name: &str) -> bool {
    let name = name.as_bytes();
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for wanted in pattern.bytes() {
        let before = reached.clone();
        for at in 0..reached.len() {
            let stepped = at > 0 && before[at - 1] && name[at - 1] == wanted;
            let ran = before[at] || (at > 0 && reached[at - 1]);
            reached[at] = if wanted == b'*' { ran } else { stepped };
        }
    }
    reached[name.len()]
}

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let (pattern, name) = (lines.next().unwrap_or_default(), lines.next().unwrap_or("a"));
    let project = lines.next().unwrap_or("main");
    let Ok(pattern) = pattern.parse::<Pattern>() else { return };
    let printed = pattern.to_string();
    let again: Pattern = printed.parse().expect("what prints also parses");
    assert_eq!(again, pattern, "{printed:?}");
    let (Ok(of_project), Ok(of_name)) = (project.parse(), name.parse()) else { return };
    let (projects, names) = match printed.strip_prefix('@') {
        Some(scoped) => scoped.split_once('/').expect("a project is followed by a name"),
        None => ("main", printed.as_str()),
    };
    assert_eq!(
        pattern.covers(&Resource::Dataset(of_project, of_name)),
        covers(projects, project) && covers(names, name),
        "{printed:?} on @{project}/{name}"
    );
});
