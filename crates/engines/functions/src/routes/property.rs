//! FUNCTIONS-1, for any routes and any requests, against what it says taken literally.

use proptest::prelude::*;
use proptest::sample::select;

use super::{Found, Host, Method, Pattern, Segment, Table};

/// How particular a pattern is for a request that fits it: its host, its path from left to right, its method.
type Rank = (usize, Vec<u8>, u8);

fn host(pattern: &Pattern, host: &str) -> Option<usize> {
    match &pattern.host {
        Host::One(one) => (one == host).then_some(0),
        Host::Below(name) => {
            host.strip_suffix(name.as_str())?.strip_suffix('.')?;
            Some(1000 - name.len())
        }
        Host::Any => Some(2000),
    }
}

fn path(pattern: &Pattern, sent: &[&str]) -> Option<Vec<u8>> {
    let mut kinds = Vec::new();
    for (at, segment) in pattern.path.iter().enumerate() {
        let found = sent.get(at)?;
        kinds.push(match segment {
            Segment::Literal(text) if text == found => 0,
            Segment::Param(_) if !found.is_empty() => 1,
            Segment::Rest(_) => {
                kinds.push(2);
                return Some(kinds);
            }
            _ => return None,
        });
    }
    (pattern.path.len() == sent.len()).then_some(kinds)
}

fn method(pattern: &Pattern, sent: &str) -> Option<u8> {
    match &pattern.method {
        Method::One(one) if one == sent => Some(0),
        Method::One(one) if one == "GET" && sent == "HEAD" => Some(1),
        Method::One(_) => None,
        Method::Any => Some(2),
    }
}

fn rank(pattern: &Pattern, asked: (&str, &str, &[&str])) -> Option<Rank> {
    let (sent_method, sent_host, sent_path) = asked;
    Some((host(pattern, sent_host)?, path(pattern, sent_path)?, method(pattern, sent_method)?))
}

fn patterns() -> impl Strategy<Value = Vec<Pattern>> {
    let methods = select(vec!["GET", "POST", "HEAD", "*"]);
    let hosts = select(vec!["", "a.org", "b.a.org", "*.a.org", "*.b.a.org", "*.org"]);
    let segment = select(vec!["a", "b", "", "{p}"]);
    let path = (prop::collection::vec(segment, 1..4), any::<bool>());
    let one = (methods, hosts, path).prop_map(|(method, host, (path, rest))| {
        let path: Vec<Segment> = path
            .into_iter()
            .map(|text| match text {
                "{p}" => Segment::Param("p".to_owned()),
                text => Segment::Literal(text.to_owned()),
            })
            .chain(rest.then(|| Segment::Rest("r".to_owned())))
            .collect();
        let method = match method {
            "*" => Method::Any,
            method => Method::One(method.to_owned()),
        };
        let host = match host.strip_prefix("*.") {
            Some(below) => Host::Below(below.to_owned()),
            None if host.is_empty() => Host::Any,
            None => Host::One(host.to_owned()),
        };
        Pattern { method, host, path }
    });
    prop::collection::vec(one, 0..24)
}

fn table(patterns: &[Pattern]) -> Table<Pattern> {
    let mut table = Table::default();
    for pattern in patterns {
        // The one that came first stays, as a registry keeps it.
        if let Err((before, target)) = table.insert(pattern.clone(), pattern.clone()) {
            table.insert(before, target).expect_err("the second one was there");
        }
    }
    table
}

proptest! {
    #[test]
    fn functions_1_what_answers_is_the_most_particular_of_what_fits(
        patterns in patterns(),
        sent_method in select(vec!["GET", "POST", "HEAD", "PUT"]),
        sent_host in select(vec!["", "a.org", "b.a.org", "x.b.a.org", "x.org"]),
        sent in prop::collection::vec(select(vec!["a", "b", "", "c"]), 1..5),
    ) {
        let fits = |pattern: &&Pattern| rank(pattern, (sent_method, sent_host, &sent)).is_some();
        let best = patterns.iter().filter(fits)
            .min_by_key(|pattern| rank(pattern, (sent_method, sent_host, &sent)));
        let path = format!("/{}", sent.join("/"));
        let reversed: Vec<Pattern> = patterns.iter().rev().cloned().collect();
        for table in [table(&patterns), table(&reversed)] {
            let found = match table.find(sent_method, sent_host, &path) {
                Found::Route(target, _) => Some(target),
                Found::Method(_) | Found::Nothing => None,
            };
            prop_assert_eq!(found, best);
        }
    }

    #[test]
    fn what_is_removed_is_gone_and_the_rest_stays(patterns in patterns(), at in any::<prop::sample::Index>()) {
        prop_assume!(!patterns.is_empty());
        let gone = at.get(&patterns);
        let mut without = table(&patterns);
        without.remove(gone);
        prop_assert!(without.same(gone).is_none());
        for pattern in patterns.iter().filter(|pattern| pattern.shape() != gone.shape()) {
            prop_assert!(without.same(pattern).is_some(), "{}", pattern);
        }
    }
}
