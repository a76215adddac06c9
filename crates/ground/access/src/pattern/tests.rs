use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn dataset(project: &str, name: &str) -> Resource {
    Resource::Dataset(project.parse().unwrap(), name.parse().unwrap())
}

fn pattern(text: &str) -> Resource {
    text.parse::<Pattern>().unwrap().into()
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
        ("@lab/a*", pattern("@lab/a*"), true),
        ("@lab/a*", pattern("@lab/ab*"), true),
        ("@lab/a*", pattern("@lab/*"), false),
        ("@lab/a*", pattern("@l*/a*"), false),
        ("@l*/*", pattern("@lab*/a*"), true),
        ("@lab/a", pattern("@lab/a*"), false),
        ("*a*", pattern("*b*a*b*"), true),
        ("a*b*a", pattern("a*b*b*a"), true),
        ("a*b*b*a", pattern("a*b*a"), false),
        ("*", pattern("@*/*"), false),
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
        ("@lab/a*", pattern("@*/*b"), true),
        ("@lab/a*", pattern("@*/b*"), false),
        ("@*-x/a", pattern("@y-*/*"), true),
    ] {
        let touches = pattern.parse::<Pattern>().unwrap().touches(&resource);
        assert_eq!(touches, expected, "{pattern} {resource}");
    }
}

#[test]
fn a_resource_has_one_form() {
    for (text, resource) in [
        ("@*/*", Resource::Cluster),
        ("*", project("main")),
        ("@lab/*", project("lab")),
        ("@lab/a", dataset("lab", "a")),
        ("@lab/a*", Resource::Pattern("@lab/a*".parse().unwrap())),
        ("@*/a", Resource::Pattern("@*/a".parse().unwrap())),
        ("@l*/*", Resource::Pattern("@l*/*".parse().unwrap())),
    ] {
        assert_eq!(pattern(text), resource);
        assert_eq!(pattern(&resource.to_string()), resource);
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

    /// ACCESS-8: what a pattern includes it matches, name by name; and it includes what it matches in
    /// each of the names that a pattern with one star stands for, and a letter that it does not have.
    #[test]
    fn access_8_inclusion_is_matching_of_every_name(
        wide in "[ab*]{1,8}",
        narrow in "[ab*]{1,8}",
        fillings in proptest::collection::vec("[abc]{0,4}", 32),
    ) {
        let (a, b): (Pattern, Pattern) = (wide.parse().unwrap(), narrow.parse().unwrap());
        let fresh = narrow.replace('*', "c");
        prop_assert_eq!(a.includes(&b), naive(wide.as_bytes(), fresh.as_bytes()));
        let mut runs = fillings.iter();
        let mut filled = || {
            let mut run = || runs.next().map_or("", String::as_str);
            narrow.chars().map(|c| if c == '*' { run().to_owned() } else { c.to_string() }).collect()
        };
        let names: Vec<String> = std::iter::repeat_with(&mut filled).take(4).collect();
        for name in names.iter().chain([&fresh]).filter(|name| !name.is_empty()) {
            let name = dataset("main", name);
            prop_assert!(b.covers(&name));
            prop_assert!(!a.includes(&b) || a.covers(&name), "{} {} {}", a, b, name);
        }
    }

    /// Inclusion holds in both parts, and as an order does.
    #[test]
    fn inclusion_is_an_order(texts in proptest::collection::vec("@[ab*]{1,4}/[ab*]{1,4}", 3)) {
        let all: Vec<Pattern> = texts.iter().map(|text| text.parse().unwrap()).collect();
        let [a, b, c] = all.as_slice() else { unreachable!() };
        prop_assert!(a.includes(a) && Pattern::everything().includes(a));
        prop_assert!(!(a.includes(b) && b.includes(c)) || a.includes(c));
        prop_assert!(!a.includes(b) || a.touches(&Resource::Pattern(b.clone())));
    }

    #[test]
    fn overlap_agrees_with_a_common_text(a in "[ab*]{0,6}", b in "[ab*]{0,6}", text in "[ab]{0,9}") {
        let (a, b) = (a.as_str(), b.as_str());
        prop_assert_eq!(overlap(a, b), overlap(b, a));
        prop_assert_eq!(overlap(a, &text), naive(a.as_bytes(), text.as_bytes()));
        prop_assert!(!(glob(a, &text) && glob(b, &text)) || overlap(a, b));
        // The shortest common text is no longer than both together.
        let texts = (0..=4_u32).flat_map(|len| (0..1_u32 << len).map(move |bits| (len, bits)));
        let mut texts = texts.map(|(len, bits)| {
            (0..len).map(|at| if bits >> at & 1 == 0 { 'a' } else { 'b' }).collect::<String>()
        });
        let short = a.len() + b.len() <= 4;
        prop_assert!(!short || overlap(a, b) == texts.any(|text| glob(a, &text) && glob(b, &text)));
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
