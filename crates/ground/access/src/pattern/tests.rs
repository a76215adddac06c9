use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn dataset(project: &str, name: &str) -> Resource {
    Resource::Dataset(project.parse().unwrap(), name.parse().unwrap())
}

fn project(name: &str) -> Resource {
    Resource::Project(name.parse().unwrap())
}

#[test]
fn what_a_pattern_covers() {
    for (pattern, resource, expected) in [
        ("@*/*", dataset("main", "a"), true),
        ("@*/*", project("lab"), true),
        ("@*/*", Resource::Cluster, true),
        ("@**/***", Resource::Cluster, true),
        ("*", dataset("main", "a"), true),
        ("*", dataset("lab", "a"), false),
        ("*", project("main"), true),
        ("*", Resource::Cluster, false),
        ("@lab/*", project("lab"), true),
        ("@lab/a*", project("lab"), false),
        ("@lab/*", Resource::Cluster, false),
        ("@*/a", dataset("x", "a"), true),
        ("@*/a", project("x"), false),
        ("@lab-*/raw.*", dataset("lab-7", "raw.2026"), true),
        ("@lab-*/raw.*", dataset("lab7", "raw.2026"), false),
        ("@lab/a", dataset("lab", "a"), true),
        ("@lab/a", dataset("lab", "A"), false),
        ("@lab/a", dataset("lab", "ab"), false),
        ("ab*ba", dataset("main", "aba"), false),
        ("ab*ba", dataset("main", "abba"), true),
        ("*aa*aa*", dataset("main", "aaa"), false),
        ("*aa*aa*", dataset("main", "aaaa"), true),
    ] {
        let covers = pattern.parse::<Pattern>().unwrap().covers(&resource);
        assert_eq!(covers, expected, "{pattern} {resource}");
    }
}

#[test]
fn what_a_pattern_touches() {
    for (pattern, resource, expected) in [
        ("@lab/a*", Resource::Cluster, true),
        ("@lab/a*", project("lab"), true),
        ("@l*/a", project("lab"), true),
        ("@lab/a*", project("main"), false),
        ("@lab/a*", dataset("lab", "b"), false),
        ("@lab/a*", dataset("lab", "ab"), true),
    ] {
        let touches = pattern.parse::<Pattern>().unwrap().touches(&resource);
        assert_eq!(touches, expected, "{pattern} {resource}");
    }
}

fn check(text: &str, expected: Expect) {
    let shown = match text.parse::<Pattern>() {
        Ok(pattern) => pattern.to_string(),
        Err(Error::Pattern { reason, .. }) => reason.to_owned(),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(&shown);
}

#[test]
fn patterns_are_normalised_or_refused() {
    check("*", expect!["@main/*"]);
    check("@lab/**x***", expect!["@lab/*x*"]);
    check("", expect!["the project or the name is empty"]);
    check("@lab", expect!["a project is followed by / and a name"]);
    check("@/a", expect!["the project or the name is empty"]);
    check("@a/", expect!["the project or the name is empty"]);
    check("@a/b/c", expect!["the project and the name hold A-Z a-z 0-9 . _ - and *"]);
    check("@a/-b", expect!["the project and the name begin with a letter, a digit or *"]);
    check("@a/b?", expect!["the project and the name hold A-Z a-z 0-9 . _ - and *"]);
    check("@a/é", expect!["the project and the name begin with a letter, a digit or *"]);
    check(&"*".repeat(129), expect!["the project or the name is longer than any name"]);
    check(&"a".repeat(300), expect!["the pattern has 300 bytes, more than 258"]);
}

/// The definition: a star is nothing, or one character and a star.
fn naive(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => naive(rest, text),
        (Some((b'*', rest)), Some((_, tail))) => naive(rest, text) || naive(pattern, tail),
        (Some((a, rest)), Some((b, tail))) => a == b && naive(rest, tail),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_matcher_agrees_with_the_naive_one(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
        prop_assert_eq!(glob(&pattern, &text), naive(pattern.as_bytes(), text.as_bytes()));
    }

    /// Making runs of stars one changes no verdict.
    #[test]
    fn normalising_keeps_the_meaning(pattern in "[ab*]{1,8}", text in "[ab]{1,10}") {
        let parsed = pattern.parse::<Pattern>().unwrap();
        let expected = naive(pattern.as_bytes(), text.as_bytes());
        prop_assert_eq!(parsed.covers(&dataset("main", &text)), expected);
        prop_assert_eq!(parsed.to_string().parse::<Pattern>().unwrap(), parsed);
    }

    #[test]
    fn hostile_patterns_never_panic(text in ".{0,300}") {
        if let Ok(pattern) = text.parse::<Pattern>() {
            prop_assert!(pattern.to_string().len() <= PATTERN_BYTES_MAX + "@main/".len());
            prop_assert!(!pattern.covers(&Resource::Cluster) || text.starts_with("@*"));
        }
    }

    /// What covers a resource touches it.
    #[test]
    fn covering_is_touching(
        pattern in "@[ab*]{1,4}/[ab*]{1,4}",
        a in "[ab]{1,3}",
        b in "[ab]{1,3}",
    ) {
        let pattern = pattern.parse::<Pattern>().unwrap();
        for resource in [Resource::Cluster, project(&a), dataset(&a, &b)] {
            prop_assert!(!pattern.covers(&resource) || pattern.touches(&resource));
        }
    }
}

/// Many stars cost no more than a few: a matcher that goes back to each star would not end here.
#[test]
fn many_stars_are_no_attack() {
    let pattern = format!("{}b", "a*".repeat(63));
    let text = "a".repeat(128);
    for _ in 0..10_000 {
        assert!(!glob(&pattern, &text));
    }
}
