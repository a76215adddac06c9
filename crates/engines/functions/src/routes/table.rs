//! The table that requests are looked up in.
//!
//! FUNCTIONS-1 Of the routes that fit a request the most particular one answers, whatever the order they were made in:
//! a host before those below a name, the longest of those first, and any host last; in a path, from left to right, a
//! literal before `{name}` before `{*rest}`; a method before any. No two routes are for the same requests.

use std::collections::BTreeMap;

use super::pattern::{Host, Method, Pattern, Segment};

/// Routes with what they lead to.
#[derive(Debug)]
pub(crate) struct Table<T> {
    hosts: BTreeMap<String, Node<T>>,
    below: BTreeMap<String, Node<T>>,
    any: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    literals: BTreeMap<String, Node<T>>,
    param: Option<Box<Node<T>>>,
    here: Methods<T>,
    rest: Methods<T>,
}

type Methods<T> = BTreeMap<Method, (Pattern, T)>;

/// What a look for a request found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a, T> {
    /// What a route leads to, and what the route's names stand for.
    Route(&'a T, Vec<(String, String)>),
    /// Routes for the path, all for other methods.
    Method(Vec<String>),
    /// No route.
    Nothing,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { hosts: BTreeMap::new(), below: BTreeMap::new(), any: Node::default() }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        let (here, rest) = (BTreeMap::new(), BTreeMap::new());
        Self { literals: BTreeMap::new(), param: None, here, rest }
    }
}

impl<T> Node<T> {
    fn is_empty(&self) -> bool {
        self.literals.is_empty()
            && self.param.is_none()
            && self.here.is_empty()
            && self.rest.is_empty()
    }
}

impl<T> Table<T> {
    /// Adds a route. The one that is for the same requests already, with what it leads to, when there is one.
    pub(crate) fn insert(&mut self, pattern: Pattern, target: T) -> Result<(), (Pattern, T)> {
        let mut node = match &pattern.host {
            Host::One(host) => self.hosts.entry(host.clone()).or_default(),
            Host::Below(host) => self.below.entry(host.clone()).or_default(),
            Host::Any => &mut self.any,
        };
        for segment in &pattern.path {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Param(_) => node.param.get_or_insert_default(),
                Segment::Rest(_) => break,
            };
        }
        let methods = match pattern.path.last() {
            Some(Segment::Rest(_)) => &mut node.rest,
            _ => &mut node.here,
        };
        match methods.insert(pattern.method.clone(), (pattern, target)) {
            None => Ok(()),
            Some(before) => Err(before),
        }
    }

    /// The route for the same requests as `pattern`.
    pub(crate) fn same(&self, pattern: &Pattern) -> Option<(&Pattern, &T)> {
        let mut node = match &pattern.host {
            Host::One(host) => self.hosts.get(host)?,
            Host::Below(host) => self.below.get(host)?,
            Host::Any => &self.any,
        };
        for segment in &pattern.path {
            node = match segment {
                Segment::Literal(text) => node.literals.get(text)?,
                Segment::Param(_) => node.param.as_ref()?,
                Segment::Rest(_) => break,
            };
        }
        let methods = match pattern.path.last() {
            Some(Segment::Rest(_)) => &node.rest,
            _ => &node.here,
        };
        methods.get(&pattern.method).map(|(pattern, target)| (pattern, target))
    }

    /// Removes the route for the same requests as `pattern`.
    pub(crate) fn remove(&mut self, pattern: &Pattern) {
        let (nodes, host) = match &pattern.host {
            Host::One(host) => (&mut self.hosts, host),
            Host::Below(host) => (&mut self.below, host),
            Host::Any => return removed(&mut self.any, &pattern.path, &pattern.method),
        };
        let Some(node) = nodes.get_mut(host) else { return };
        removed(node, &pattern.path, &pattern.method);
        if node.is_empty() {
            nodes.remove(host);
        }
    }

    /// The patterns of the routes that lead to what `of` says.
    pub(crate) fn patterns(&self, of: impl Fn(&T) -> bool) -> Vec<Pattern> {
        let mut found = Vec::new();
        let hosts = self.hosts.values().chain(self.below.values());
        hosts.chain([&self.any]).for_each(|node| collect(node, &of, &mut found));
        found
    }

    /// The route for a request: `host` without a port, `path` as it was sent, without its query.
    pub(crate) fn find(&self, method: &str, host: &str, path: &str) -> Found<'_, T> {
        let host = host.to_ascii_lowercase();
        let Some(path) = segments(path) else { return Found::Nothing };
        let mut allowed = Vec::new();
        let below = host.match_indices('.').map(|(at, _)| &host[at + 1..]);
        let below = below.filter_map(|name| self.below.get(name));
        let nodes = self.hosts.get(&host).into_iter().chain(below).chain([&self.any]);
        for node in nodes {
            if let Some((pattern, target)) = walked(node, &path, method, &mut allowed) {
                return Found::Route(target, named(pattern, &path));
            }
        }
        allowed.sort();
        allowed.dedup();
        if allowed.is_empty() { Found::Nothing } else { Found::Method(allowed) }
    }
}

fn collect<T>(node: &Node<T>, of: &impl Fn(&T) -> bool, found: &mut Vec<Pattern>) {
    let leaves = node.here.values().chain(node.rest.values());
    found.extend(leaves.filter(|(_, target)| of(target)).map(|(pattern, _)| pattern.clone()));
    let next = node.literals.values().chain(node.param.as_deref());
    next.for_each(|node| collect(node, of, found));
}

/// The segments of a path, decoded; none for one that is no text, or has more than any pattern could need.
fn segments(path: &str) -> Option<Vec<String>> {
    const SEGMENTS_SENT_MAX: usize = 1024;
    let decoded = |part| percent_encoding::percent_decode_str(part).decode_utf8();
    let parts =
        path.strip_prefix('/')?.split('/').map(|part| Some(decoded(part).ok()?.into_owned()));
    let parts: Vec<String> = parts.take(SEGMENTS_SENT_MAX + 1).collect::<Option<_>>()?;
    (parts.len() <= SEGMENTS_SENT_MAX).then_some(parts)
}

/// Visits each node at most once for each segment: patterns have at most [`super::pattern::SEGMENTS_MAX`].
fn walked<'a, T>(
    node: &'a Node<T>,
    path: &[String],
    method: &str,
    allowed: &mut Vec<String>,
) -> Option<&'a (Pattern, T)> {
    let found = match path.split_first() {
        None => of_method(&node.here, method, allowed),
        Some((first, rest)) => {
            let literal = node.literals.get(first);
            let param = node.param.as_deref().filter(|_| !first.is_empty());
            literal
                .and_then(|node| walked(node, rest, method, allowed))
                .or_else(|| param.and_then(|node| walked(node, rest, method, allowed)))
        }
    };
    found.or_else(|| if path.is_empty() { None } else { of_method(&node.rest, method, allowed) })
}

fn of_method<'a, T>(
    methods: &'a Methods<T>,
    method: &str,
    allowed: &mut Vec<String>,
) -> Option<&'a (Pattern, T)> {
    let one = methods.get(&Method::One(method.to_owned()));
    // Who answers GET answers HEAD, as everywhere.
    let head = || methods.get(&Method::One("GET".to_owned())).filter(|_| method == "HEAD");
    let found = one.or_else(head).or_else(|| methods.get(&Method::Any));
    if found.is_none() {
        allowed.extend(methods.keys().filter_map(|method| match method {
            Method::One(method) => Some(method.clone()),
            Method::Any => None,
        }));
    }
    found
}

/// What the names of a pattern stand for in a path that fits it.
fn named(pattern: &Pattern, path: &[String]) -> Vec<(String, String)> {
    let segments = pattern.path.iter().enumerate();
    let named = segments.filter_map(|(at, segment)| match segment {
        Segment::Literal(_) => None,
        Segment::Param(name) => Some((name.clone(), path.get(at)?.clone())),
        Segment::Rest(name) => Some((name.clone(), path.get(at..)?.join("/"))),
    });
    named.collect()
}

fn removed<T>(node: &mut Node<T>, path: &[Segment], method: &Method) {
    match path.split_first() {
        None => drop(node.here.remove(method)),
        Some((Segment::Rest(_), _)) => drop(node.rest.remove(method)),
        Some((Segment::Param(_), rest)) => {
            if let Some(next) = &mut node.param {
                removed(next, rest, method);
            }
            node.param.take_if(|next| next.is_empty());
        }
        Some((Segment::Literal(text), rest)) => {
            if let Some(next) = node.literals.get_mut(text) {
                removed(next, rest, method);
                if next.is_empty() {
                    node.literals.remove(text);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: [&str; 11] = [
        "GET /api/a",
        "GET /api/{p}",
        "GET /api/{p}/edit",
        "/api/{*rest}",
        "POST /api/a",
        "GET example.org/api/{p}",
        "GET *.example.org/api/a",
        "GET *.b.example.org/api/{p}",
        "GET /files/{*path}",
        "GET /a/b/c",
        "GET /a/{x}/d",
    ];

    fn table() -> Table<&'static str> {
        let mut table = Table::default();
        for route in ROUTES {
            table.insert(route.parse().unwrap(), route).unwrap();
        }
        table
    }

    fn found(table: &Table<&'static str>, method: &str, host: &str, path: &str) -> String {
        match table.find(method, host, path) {
            Found::Route(target, named) => {
                let named = named.iter().map(|(name, value)| format!(" {name}={value}"));
                format!("{target}{}", named.collect::<String>())
            }
            Found::Method(allowed) => format!("only {}", allowed.join(", ")),
            Found::Nothing => "nothing".to_owned(),
        }
    }

    /// FUNCTIONS-1: whatever the order that routes were made in.
    #[test]
    fn functions_1_the_most_particular_route_answers() {
        let table = table();
        for (method, host, path, wanted) in [
            ("GET", "x.org", "/api/a", "GET /api/a"),
            ("HEAD", "x.org", "/api/a", "GET /api/a"),
            ("GET", "x.org", "/api/b", "GET /api/{p} p=b"),
            ("GET", "x.org", "/api/a/edit", "GET /api/{p}/edit p=a"),
            ("GET", "x.org", "/api/a/b/c", "/api/{*rest} rest=a/b/c"),
            ("GET", "x.org", "/api/", "/api/{*rest} rest="),
            ("GET", "x.org", "/api", "nothing"),
            ("POST", "x.org", "/api/a", "POST /api/a"),
            ("PUT", "x.org", "/api/a", "/api/{*rest} rest=a"),
            ("GET", "Example.ORG", "/api/a", "GET example.org/api/{p} p=a"),
            ("GET", "a.example.org", "/api/a", "GET *.example.org/api/a"),
            ("GET", "a.b.example.org", "/api/a", "GET *.b.example.org/api/{p} p=a"),
            ("GET", "a.example.org", "/api/z", "GET /api/{p} p=z"),
            ("GET", "x.org", "/api/%61", "GET /api/a"),
            ("GET", "x.org", "/api/%2F", "GET /api/{p} p=/"),
            ("GET", "x.org", "/api/%ff", "nothing"),
            ("GET", "x.org", "/files/", "GET /files/{*path} path="),
            ("POST", "x.org", "/files/a", "only GET"),
            ("GET", "x.org", "/a/b/d", "GET /a/{x}/d x=b"),
            ("GET", "x.org", "/a//d", "nothing"),
            ("GET", "x.org", "*", "nothing"),
        ] {
            assert_eq!(found(&table, method, host, path), wanted, "{method} {host}{path}");
        }
    }

    #[test]
    fn functions_1_no_two_routes_are_for_the_same_requests() {
        let mut table = table();
        let again: Pattern = "GET /api/{other}".parse().unwrap();
        assert_eq!(table.same(&again).unwrap().1, &"GET /api/{p}");
        assert_eq!(table.insert(again, "again").unwrap_err().1, "GET /api/{p}");
        assert!(table.same(&"GET /api/{p}/view".parse().unwrap()).is_none());
    }

    #[test]
    fn what_is_removed_leaves_nothing() {
        let mut table = table();
        ROUTES.iter().for_each(|route| table.remove(&route.parse().unwrap()));
        assert!(table.hosts.is_empty() && table.below.is_empty() && table.any.is_empty());
    }
}
