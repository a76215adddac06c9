//! The environment variables the code reads are documented in one place.

use std::collections::BTreeMap;

use crate::tidy::Finding;
use crate::tidy::tree::Tree;

const FILE: &str = "docs/ENVIRONMENT.md";
const RULE: &str = "environment";

/// Every `CAIRN_*` that code names is in docs/ENVIRONMENT.md, and the other way round.
pub(crate) fn documented(tree: &Tree) -> Vec<Finding> {
    let Some(file) = tree.file(FILE) else { return Vec::new() };
    let mut listed = BTreeMap::new();
    for (number, line) in file.lines() {
        for name in variables(line, |_| true) {
            listed.entry(name).or_insert(number);
        }
    }
    let mut findings = Vec::new();
    let mut read = Vec::new();
    for file in tree.rust() {
        for (number, line) in file.lines() {
            // In Rust a variable is named by a string.
            for name in variables(line, |before| before.ends_with('"')) {
                if !listed.contains_key(&name) {
                    let message = format!("{name} is not in {FILE}");
                    findings.push(Finding::error(RULE, &file.path, number, message));
                }
                read.push(name);
            }
        }
    }
    for (name, number) in listed {
        if !read.contains(&name) {
            let message = format!("no code reads {name}");
            findings.push(Finding::warning(RULE, FILE, number, message));
        }
    }
    findings
}

/// The names `CAIRN_X` in `line` before which `wanted` holds. `CAIRN__SECTION__KEY` is the
/// configuration's own rule and is documented as one.
fn variables(line: &str, wanted: fn(&str) -> bool) -> Vec<String> {
    let mut names = Vec::new();
    for (at, prefix) in line.match_indices("CAIRN_") {
        let rest = &line[at + prefix.len()..];
        let inner = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let end = rest.find(|c| !inner(c)).unwrap_or(rest.len());
        let inside = line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if end > 0 && !rest.starts_with('_') && !inside && wanted(&line[..at]) {
            names.push(format!("{prefix}{}", &rest[..end]));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::sample;

    const CODE: (&str, &str) =
        ("crates/a/src/x.rs", "x(\"CAIRN_LOG\");\n// CAIRN_NOT\nx(\"CAIRN__NODE__ADDRESS\");\n");

    #[test]
    fn variables_are_documented() {
        assert_eq!(documented(&sample(&[CODE, (FILE, "`CAIRN_LOG` levels")])), []);
        assert_eq!(documented(&sample(&[CODE])), []);
        let findings = documented(&sample(&[CODE, (FILE, "nothing")]));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].message, "CAIRN_LOG is not in docs/ENVIRONMENT.md");
        let stale = documented(&sample(&[CODE, (FILE, "CAIRN_LOG, CAIRN_OLD")]));
        assert!(stale.len() == 1 && stale[0].warning);
    }
}
