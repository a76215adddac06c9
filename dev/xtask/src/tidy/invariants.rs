//! The numbered invariants: what code cites is in ARCHITECTURE.md, and each one there has a test.

use std::collections::{BTreeMap, BTreeSet};

use crate::tidy::Finding;
use crate::tidy::tree::Tree;

const FILE: &str = "ARCHITECTURE.md";

/// Prefixes of names that look like an invariant's and are those of standards and algorithms.
const STANDARDS: [&str; 26] = [
    "AES", "AVX", "BLAKE", "BLAKE2", "BLAKE3", "CRC", "CVE", "CWE", "ECMA", "ED", "GCM", "HTTP",
    "IEC", "IEEE", "IPV", "ISO", "LZ", "MD", "PBKDF", "POSIX", "RFC", "RIPEMD", "RUSTSEC", "SHA",
    "UCS", "UTF",
];

/// An invariant that code names is one that ARCHITECTURE.md lists.
pub(crate) fn cited_exist(tree: &Tree) -> Vec<Finding> {
    const RULE: &str = "invariant-unknown";
    let cited = tree.rust().flat_map(|file| {
        let ids = file
            .lines()
            .flat_map(|(number, line)| identifiers(line).into_iter().map(move |id| (id, number)));
        ids.map(|(id, number)| (id, file.path.as_str(), number))
    });
    let Some(listed) = listed(tree) else {
        return match cited.into_iter().next() {
            Some(_) => vec![Finding::error(RULE, FILE, 0, "the file is missing")],
            None => Vec::new(),
        };
    };
    let unknown = cited.filter(|(id, _, _)| !listed.contains_key(id));
    unknown
        .map(|(id, path, number)| {
            Finding::error(RULE, path, number, format!("{id} is not in {FILE}"))
        })
        .collect()
}

/// An invariant that ARCHITECTURE.md lists is named by a test.
pub(crate) fn listed_are_tested(tree: &Tree) -> Vec<Finding> {
    let tested: BTreeSet<String> = tree
        .texts()
        .filter(|file| file.has_extension(&["rs", "ts", "py", "sh"]))
        .flat_map(|file| file.tests().flat_map(|(_, line)| identifiers(line)))
        .collect();
    let untested = listed(tree).unwrap_or_default().into_iter();
    untested
        .filter(|(id, _)| !tested.contains(id))
        .map(|(id, number)| {
            let message = format!("no test names {id}");
            Finding::error("invariant-untested", FILE, number, message)
        })
        .collect()
}

/// The invariants in ARCHITECTURE.md, with the line that first names each.
fn listed(tree: &Tree) -> Option<BTreeMap<String, usize>> {
    let mut listed = BTreeMap::new();
    for (number, line) in tree.file(FILE)?.lines() {
        for id in identifiers(line) {
            listed.entry(id).or_insert(number);
        }
    }
    Some(listed)
}

/// The words of `line` of the form `FAMILY-7`.
fn identifiers(line: &str) -> Vec<String> {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let words = line.split(|c: char| !inner(c));
    words.filter(|word| is_identifier(word)).map(str::to_string).collect()
}

fn is_identifier(word: &str) -> bool {
    let Some((family, number)) = word.split_once('-') else { return false };
    let begins = family.starts_with(|c: char| c.is_ascii_uppercase());
    let upper = family.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    let counted = !number.starts_with('0')
        && (1..=3).contains(&number.len())
        && number.chars().all(|c| c.is_ascii_digit());
    family.len() >= 2 && begins && upper && counted && !STANDARDS.contains(&family)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::tree::sample;

    const DOC: (&str, &str) = (FILE, "# X\n- BUCKET-1 kept\n- LOG-12 fenced; see BUCKET-1\n");

    #[test]
    fn identifiers_are_told_from_standards() {
        let line = "BUCKET-1, (LOG-12) UTF-8 SHA-256 A-1 X86-64-bit log-1 LOG-0 LOG-1234 `BAD-3`.";
        assert_eq!(identifiers(line), ["BUCKET-1", "LOG-12", "BAD-3"]);
    }

    #[test]
    fn cited_invariants_exist() {
        let good = ("crates/a/src/x.rs", "// BUCKET-1\n");
        assert_eq!(cited_exist(&sample(&[DOC, good])), []);
        let findings = cited_exist(&sample(&[DOC, ("crates/a/src/x.rs", "//\n// BUCKET-2\n")]));
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].line, findings[0].path.as_str()), (2, "crates/a/src/x.rs"));
        assert_eq!(cited_exist(&sample(&[good])).len(), 1);
    }

    #[test]
    fn listed_invariants_are_tested() {
        let production = ("crates/a/src/x.rs", "// BUCKET-1 LOG-12\n");
        let untested = listed_are_tested(&sample(&[DOC, production]));
        assert_eq!(untested.iter().map(|f| f.line).collect::<Vec<_>>(), [2, 3]);
        let tail = ("crates/a/src/x.rs", "#[cfg(test)]\nmod tests {\n// BUCKET-1\n}\n");
        let whole = ("crates/a/tests/it/x.rs", "assert!(x, \"LOG-12\");\n");
        assert_eq!(listed_are_tested(&sample(&[DOC, tail, whole])), []);
    }
}
