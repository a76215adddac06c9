//! Ranges of bytes, after RFC 9110, section 14.

use std::ops::Range;

/// Ranges in one request for a file.
pub const RANGES_MAX: usize = 16;

/// What a `Range` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The whole file: no header, or one that means nothing to us.
    Whole,
    /// These ranges, not empty, in order, none touching another.
    Ranges(Vec<Range<u64>>),
    /// Nothing that is there, or too many.
    Unsatisfiable,
}

/// Reads a `Range` header for a file of `len` bytes.
///
/// A header with a syntax error or another unit is as if it were not there. Ranges that overlap or
/// touch are answered as one; more than [`RANGES_MAX`] are refused, whatever they are.
pub fn parse(header: &[u8], len: u64) -> Asked {
    let Some(specs) = specs(header) else { return Asked::Whole };
    if specs.len() > RANGES_MAX {
        return Asked::Unsatisfiable;
    }
    let mut ranges: Vec<Range<u64>> =
        specs.into_iter().filter_map(|spec| spec.within(len)).collect();
    if ranges.is_empty() {
        return Asked::Unsatisfiable;
    }
    let before = ranges.clone();
    ranges.sort_by_key(|range| range.start);
    let mut apart: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match apart.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => apart.push(range),
        }
    }
    // Ranges that do not meet are answered in the order asked for.
    Asked::Ranges(if apart.len() == before.len() { before } else { apart })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

impl Spec {
    fn within(self, len: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From(first) => first..len,
            Self::Between(first, last) => first..last.saturating_add(1).min(len),
            Self::Last(count) => len.saturating_sub(count)..len,
        };
        (range.start < range.end).then_some(range)
    }
}

/// The parts of a header; nothing for a syntax error.
fn specs(header: &[u8]) -> Option<Vec<Spec>> {
    let text = std::str::from_utf8(header).ok()?;
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let parts = set.split(',').map(|part| part.trim_matches([' ', '\t']));
    let specs: Vec<Spec> =
        parts.filter(|part| !part.is_empty()).map(spec).collect::<Option<_>>()?;
    (!specs.is_empty()).then_some(specs)
}

fn spec(part: &str) -> Option<Spec> {
    let (first, last) = part.split_once('-')?;
    Some(match (first, last) {
        ("", last) => Spec::Last(number(last)?),
        (first, "") => Spec::From(number(first)?),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            Spec::Between(first, last)
        }
    })
}

/// Digits only; a number beyond 64 bits is beyond every file.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_table() {
        use Asked::{Ranges, Unsatisfiable, Whole};
        let one = |range| Ranges(vec![range]);
        for (header, asked) in [
            ("bytes=0-0", one(0..1)),
            ("bytes=0-", one(0..100)),
            ("bytes=-1", one(99..100)),
            ("bytes=-1000", one(0..100)),
            ("bytes=50-999999999999999999999999", one(50..100)),
            ("bytes= 1-2 , , 5-6", Ranges(vec![1..3, 5..7])),
            ("bytes=5-6,1-2", Ranges(vec![5..7, 1..3])),
            ("bytes=0-5,3-9", one(0..10)),
            ("bytes=0-4,5-9", one(0..10)),
            ("BYTES=0-0,200-", one(0..1)),
            ("bytes=100-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=2-1", Whole),
            ("bytes=a-b", Whole),
            ("bytes=+1-2", Whole),
            ("bytes=1", Whole),
            ("bytes=", Whole),
            ("lines=0-1", Whole),
            ("bytes=0-1,x", Whole),
        ] {
            assert_eq!(parse(header.as_bytes(), 100), asked, "{header}");
        }
        assert_eq!(parse(b"bytes=0-", 0), Unsatisfiable);
        let many: Vec<String> = (0..17).map(|at| format!("{0}-{0}", at * 3)).collect();
        assert_eq!(parse(format!("bytes={}", many.join(",")).as_bytes(), 100), Unsatisfiable);
    }

    proptest! {
        /// Every byte that a naive reader would give is given, once, and no other.
        #[test]
        fn as_the_naive_model(
            len in 0_u64..60,
            specs in prop::collection::vec((0_u64..70, 0_u64..70, 0..3), 1..8),
        ) {
            let mut wanted = std::collections::BTreeSet::new();
            let mut texts = Vec::new();
            for (a, b, form) in specs {
                let (first, last) = (a.min(b), a.max(b));
                match form {
                    0 => {
                        wanted.extend((0..len).filter(|at| (first..=last).contains(at)));
                        texts.push(format!("{first}-{last}"));
                    }
                    1 => {
                        wanted.extend((0..len).filter(|at| *at >= first));
                        texts.push(format!("{first}-"));
                    }
                    _ => {
                        wanted.extend((0..len).filter(|at| len - at <= first));
                        texts.push(format!("-{first}"));
                    }
                }
            }
            let asked = parse(format!("bytes={}", texts.join(",")).as_bytes(), len);
            match asked {
                Asked::Ranges(ranges) => {
                    let given: Vec<u64> = ranges.into_iter().flatten().collect();
                    prop_assert_eq!(given.len(), wanted.len());
                    prop_assert_eq!(given.into_iter().collect::<std::collections::BTreeSet<_>>(), wanted);
                }
                Asked::Unsatisfiable => prop_assert!(wanted.is_empty()),
                Asked::Whole => prop_assert!(false, "it is a valid header"),
            }
        }

        #[test]
        fn hostile_headers_never_panic(header in prop::collection::vec(any::<u8>(), 0..60), len: u64) {
            if let Asked::Ranges(ranges) = parse(&header, len) {
                prop_assert!(ranges.iter().all(|range| range.start < range.end && range.end <= len));
            }
        }
    }
}
