//! Which records somebody wants to see.

use crate::error::Error;
use crate::record::{Outcome, Record};

/// The longest pattern of a filter, in bytes.
pub const PATTERN_BYTES_MAX: usize = 512;

/// Which records somebody wants to see: all that fit everything that is set. Texts are patterns, in
/// which `*` stands for any characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Who asked.
    pub caller: Option<String>,
    /// What was asked for.
    pub action: Option<String>,
    /// On what.
    pub resource: Option<String>,
    /// At which door.
    pub door: Option<String>,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// Not before, in milliseconds since 1970 UTC.
    pub since_ms: Option<i64>,
    /// Not from then on, in milliseconds since 1970 UTC.
    pub until_ms: Option<i64>,
}

impl Filter {
    /// Whether its patterns are within bounds.
    ///
    /// # Errors
    /// [`Error::LongPattern`].
    pub fn check(&self) -> Result<(), Error> {
        let patterns = [&self.caller, &self.action, &self.resource, &self.door];
        if patterns.into_iter().flatten().any(|pattern| pattern.len() > PATTERN_BYTES_MAX) {
            return Err(Error::LongPattern { max: PATTERN_BYTES_MAX });
        }
        Ok(())
    }

    /// Whether the record fits.
    #[must_use]
    pub fn fits(&self, record: &Record) -> bool {
        let texts = [
            (&self.caller, &record.caller),
            (&self.action, &record.action),
            (&self.resource, &record.resource),
            (&self.door, &record.door),
        ];
        self.outcome.is_none_or(|outcome| outcome == record.outcome)
            && self.since_ms.is_none_or(|since| record.time_ms >= since)
            && self.until_ms.is_none_or(|until| record.time_ms < until)
            && texts.into_iter().all(|(pattern, text)| {
                pattern.as_ref().is_none_or(|pattern| fits(pattern, text.as_str()))
            })
    }
}

/// Whether `text` fits `pattern`. Takes time in the product of their lengths at most.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at, seen));
            at += 1;
        } else if pattern.get(at) == Some(&text[seen]) {
            (at, seen) = (at + 1, seen + 1);
        } else if let Some((after, from)) = star {
            star = Some((after, from + 1));
            (at, seen) = (after + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::tests::record;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("alice", "alice", true),
            ("alice", "alic", false),
            ("@main/*", "@main/photos", true),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xaxbx", false),
            ("a**", "a", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn every_part_must_fit() {
        let record = Record { time_ms: 50, ..record(Outcome::Denied, "@main/a") };
        let filter = |change: fn(&mut Filter)| {
            let mut filter = Filter::default();
            change(&mut filter);
            filter.fits(&record)
        };
        assert!(filter(|_| {}));
        assert!(filter(|f| f.resource = Some("@main/*".to_owned())));
        assert!(!filter(|f| f.resource = Some("@lab/*".to_owned())));
        assert!(filter(|f| (f.since_ms, f.until_ms) = (Some(50), Some(51))));
        assert!(!filter(|f| f.until_ms = Some(50)));
        assert!(!filter(|f| f.since_ms = Some(51)));
        assert!(!filter(|f| f.outcome = Some(Outcome::Allowed)));
        assert!(!filter(|f| f.caller = Some("bob".to_owned())));
        assert!(!filter(|f| f.action = Some("maintain".to_owned())));
        assert!(!filter(|f| f.door = Some("dav".to_owned())));
        let long = Filter { caller: Some("x".repeat(513)), ..Filter::default() };
        assert!(long.check().is_err());
    }
}
