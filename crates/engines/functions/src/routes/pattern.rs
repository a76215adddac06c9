//! What a route says it is for: `GET example.org/hello/{who}`.
//!
//! `[METHOD ][HOST]/PATH`. A method is a word in capitals; without one, or with `*`, it is any. A host is a name without a port,
//! `*.` and a name for all below it, or nothing for any. A segment of a path is a literal, `{name}` for one
//! segment, or at the end `{*name}` for all that is left. Literals are as they are after percent-decoding.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// The longest pattern, in bytes.
pub(crate) const PATTERN_BYTES_MAX: usize = 1024;
/// Segments of a path.
pub(crate) const SEGMENTS_MAX: usize = 32;
const HOST_BYTES_MAX: usize = 253;
const METHOD_BYTES_MAX: usize = 32;

/// Which requests a route is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    /// Their method.
    pub method: Method,
    /// Whom they ask.
    pub host: Host,
    /// Their path.
    pub path: Vec<Segment>,
}

/// A method.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// This one.
    One(String),
    /// Any.
    Any,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// This one.
    One(String),
    /// Each that ends with a dot and this.
    Below(String),
    /// Any.
    Any,
}

/// A part of a path between slashes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// This text.
    Literal(String),
    /// One segment, which the function is told by this name.
    Param(String),
    /// All that is left, told by this name.
    Rest(String),
}

impl Pattern {
    /// Whether it is for requests with this method.
    pub(crate) fn is_for(&self, method: &str) -> bool {
        match &self.method {
            Method::One(one) => one == method,
            Method::Any => true,
        }
    }
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| Error::Pattern { pattern: shown(text), why: why.to_owned() };
        let long = || wrong(&format!("it has more than {PATTERN_BYTES_MAX} bytes"));
        if text.len() > PATTERN_BYTES_MAX {
            return Err(long());
        }
        let (method, rest) = match text.trim().split_once(char::is_whitespace) {
            Some((method, rest)) => (parse_method(method).map_err(wrong)?, rest.trim_start()),
            None => (Method::Any, text.trim()),
        };
        let slash = rest.find('/').ok_or_else(|| wrong("its path begins with a slash"))?;
        let (host, path) = rest.split_at(slash);
        let host = parse_host(host).map_err(wrong)?;
        let path = parse_path(&path[1..]).map_err(wrong)?;
        let pattern = Self { method, host, path };
        // It is kept as it is written, which can be longer than what was given: with its `*` for any method.
        if pattern.to_string().len() > PATTERN_BYTES_MAX { Err(long()) } else { Ok(pattern) }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

fn parse_method(text: &str) -> Result<Method, &'static str> {
    match text {
        "*" => Ok(Method::Any),
        _ if text.len() <= METHOD_BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-') =>
        {
            Ok(Method::One(text.to_owned()))
        }
        _ => Err("its method is a word in capitals, or * for any"),
    }
}

fn parse_host(text: &str) -> Result<Host, &'static str> {
    let is_name = |name: &str| {
        !name.is_empty()
            && name.len() <= HOST_BYTES_MAX
            && name.split('.').all(|label| {
                !label.is_empty()
                    && label
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            })
    };
    let lower = text.to_ascii_lowercase();
    match lower.strip_prefix("*.") {
        _ if lower.is_empty() || lower == "*" => Ok(Host::Any),
        Some(below) if is_name(below) => Ok(Host::Below(below.to_owned())),
        None if is_name(&lower) => Ok(Host::One(lower)),
        _ => Err("its host is a name without a port, *. and a name, or nothing for any"),
    }
}

fn parse_path(text: &str) -> Result<Vec<Segment>, &'static str> {
    let mut names = Vec::new();
    let mut path = Vec::new();
    for part in text.split('/') {
        if matches!(path.last(), Some(Segment::Rest(_))) {
            return Err("nothing follows {*name}");
        }
        let segment = match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            None if part.contains(['{', '}', '?', '#'])
                || part.contains(char::is_whitespace)
                || part.contains(char::is_control) =>
            {
                return Err("a segment is a text without {, }, ?, # and spaces, or one {name}");
            }
            None if has_escape(part) => {
                return Err("a segment is written as it reads, without %-escapes");
            }
            None if matches!(part, "." | "..") => return Err("no client asks for . or .."),
            None => Segment::Literal(part.to_owned()),
            Some(name) => match name.strip_prefix('*') {
                Some(name) => Segment::Rest(name.to_owned()),
                None => Segment::Param(name.to_owned()),
            },
        };
        if let Segment::Param(name) | Segment::Rest(name) = &segment {
            let is_name = !name.is_empty()
                && name.bytes().all(|byte| {
                    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte)
                });
            if !is_name {
                return Err("a name in {} has lower-case letters, digits, - and _");
            }
            if names.contains(name) {
                return Err("each name in {} is there once");
            }
            names.push(name.clone());
        }
        path.push(segment);
    }
    if path.len() > SEGMENTS_MAX {
        return Err("its path has more than 32 segments");
    }
    Ok(path)
}

fn has_escape(part: &str) -> bool {
    let is_hex = |at: Option<&u8>| at.is_some_and(u8::is_ascii_hexdigit);
    let bytes = part.as_bytes();
    let mut percents = part.match_indices('%').map(|(at, _)| at);
    percents.any(|at| is_hex(bytes.get(at + 1)) && is_hex(bytes.get(at + 2)))
}

impl Pattern {
    /// The same for all patterns that are for the same requests: without its names.
    #[must_use]
    pub fn shape(&self) -> String {
        let nameless = self.path.iter().map(|segment| match segment {
            Segment::Literal(_) => segment.clone(),
            Segment::Param(_) => Segment::Param(String::new()),
            Segment::Rest(_) => Segment::Rest(String::new()),
        });
        Self { path: nameless.collect(), ..self.clone() }.to_string()
    }

    /// Some pattern of this shape.
    pub(crate) fn of_shape(shape: &str) -> Result<Self, Error> {
        let named = shape.split('/').enumerate().map(|(at, part)| match part {
            "{}" => format!("{{p{at}}}"),
            "{*}" => "{*rest}".to_owned(),
            _ => part.to_owned(),
        });
        named.collect::<Vec<_>>().join("/").parse()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.method {
            Method::One(method) => write!(f, "{method} ")?,
            Method::Any => f.write_str("* ")?,
        }
        match &self.host {
            Host::One(host) => f.write_str(host)?,
            Host::Below(host) => write!(f, "*.{host}")?,
            Host::Any => {}
        }
        self.path.iter().try_for_each(|segment| match segment {
            Segment::Literal(text) => write!(f, "/{text}"),
            Segment::Param(name) => write!(f, "/{{{name}}}"),
            Segment::Rest(name) => write!(f, "/{{*{name}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_one_form() {
        for (given, form) in [
            ("GET example.org/hello/{who}", "GET example.org/hello/{who}"),
            ("/", "* /"),
            ("* /", "* /"),
            ("  POST   *.Example.org/a/ ", "POST *.example.org/a/"),
            ("DELETE */x/{*rest}", "DELETE /x/{*rest}"),
            ("/a//b", "* /a//b"),
        ] {
            let pattern: Pattern = given.parse().unwrap();
            assert_eq!(pattern.to_string(), form, "{given}");
            assert_eq!(form.parse::<Pattern>().unwrap(), pattern);
        }
    }

    #[test]
    fn patterns_for_the_same_requests_have_one_shape() {
        let shape = |text: &str| text.parse::<Pattern>().unwrap().shape();
        assert_eq!(shape("GET x.org/a/{b}/{*c}"), "GET x.org/a/{}/{*}");
        assert_eq!(shape("/{a}"), shape("* /{b}"));
        assert_ne!(shape("/{a}"), shape("/{*a}"));
        assert!(shape("/{a}").parse::<Pattern>().is_err(), "no pattern has it for itself");
        for text in ["GET x.org/a/{b}/{*c}", "/{a}/{b}", "*.x.org/"] {
            assert_eq!(Pattern::of_shape(&shape(text)).unwrap().shape(), shape(text));
        }
    }

    #[test]
    fn what_is_no_pattern_is_told_why() {
        for (given, why) in [
            ("", "slash"),
            ("GET", "slash"),
            ("get /x", "capitals"),
            ("GET example.org:80/x", "port"),
            ("GET a..b/x", "host"),
            ("/{who", "segment"),
            ("/a{b}c", "segment"),
            ("/{A}", "lower-case"),
            ("/{}", "lower-case"),
            ("/{a}/{a}", "once"),
            ("/{*a}/b", "follows"),
            ("/a/../b", ".."),
            ("/a?b=c", "segment"),
            ("GET /a\tb", "segment"),
            ("GET /a\u{3000}b", "segment"),
            ("/a\0b", "segment"),
        ] {
            let error = given.parse::<Pattern>().unwrap_err().to_string();
            assert!(error.contains(why), "{given}: {error}");
        }
        assert!(format!("/{}", "a/".repeat(40)).parse::<Pattern>().is_err());
    }

    #[test]
    fn the_longest_pattern_can_be_read_as_it_is_written() {
        let of = |length: usize| format!("/{}", "a".repeat(length - 1)).parse::<Pattern>();
        let longest = of(PATTERN_BYTES_MAX - "* ".len()).unwrap();
        assert_eq!(longest.to_string().parse::<Pattern>().unwrap(), longest);
        for length in [PATTERN_BYTES_MAX - 1, PATTERN_BYTES_MAX, PATTERN_BYTES_MAX + 1] {
            assert!(of(length).unwrap_err().to_string().contains("bytes"), "{length}");
        }
    }
}
