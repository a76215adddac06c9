//! What a record says.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The longest text of a record, in bytes; a longer one is cut.
pub const TEXT_BYTES_MAX: usize = 512;

const CUT: char = '…';

/// A text of a record: at most [`TEXT_BYTES_MAX`] bytes, without a character that acts on a terminal
/// or hides what stands there (AUDIT-5). Such characters are written as `\u{…}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Text(String);

impl Text {
    /// The text, made safe and cut to its bound.
    #[must_use]
    pub fn new(text: &str) -> Self {
        if is_clean(text) {
            return Self(text.to_owned());
        }
        let mut safe = String::new();
        for character in text.chars() {
            let before = safe.len();
            if acts(character) {
                safe.extend(character.escape_unicode());
            } else {
                safe.push(character);
            }
            if safe.len() > TEXT_BYTES_MAX {
                safe.truncate(before);
                while safe.len() + CUT.len_utf8() > TEXT_BYTES_MAX {
                    safe.pop();
                }
                safe.push(CUT);
                break;
            }
        }
        Self(safe)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_clean(text: &str) -> bool {
    text.len() <= TEXT_BYTES_MAX && !text.chars().any(acts)
}

/// Control characters, and those that reorder or hide text.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was allowed; the detail names the grant.
    Allowed,
    /// The caller may not; the detail says why.
    Denied,
    /// The credential did not hold; the detail says why.
    Refused,
    /// Something was changed; the detail says what.
    Changed,
    /// A change was allowed and ended with an error, which the detail tells. It may have been made.
    Failed,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 5] =
        [Self::Allowed, Self::Denied, Self::Refused, Self::Changed, Self::Failed];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Changed => "changed",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for Outcome {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
            .ok_or_else(|| Error::Outcome { word: text.chars().take(32).collect() })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One decision or change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// When, in milliseconds since 1970 UTC by the hub's clock. [`crate::Audit::record`] sets it.
    pub time_ms: i64,
    /// The request's id, as in the hub's log; empty without one.
    pub request: Text,
    /// The door: `rest`, `fs`, `dav`, `grpc`; `node` for what a hub does by itself.
    pub door: Text,
    /// The other side's address; empty without one.
    pub peer: Text,
    /// Who asked; `anonymous`, or empty when nobody knows.
    pub caller: Text,
    /// The kind and the public id of the credential, never the credential; empty without one.
    pub credential: Text,
    /// What was asked for.
    pub action: Text,
    /// On what.
    pub resource: Text,
    /// What came of it.
    pub outcome: Outcome,
    /// The grant, the reason, or what was changed.
    pub detail: Text,
    /// How many of its kind this one stands for. [`crate::Audit::record`] sets it.
    pub count: u64,
}

impl Record {
    /// A record of which only the outcome is known yet.
    #[must_use]
    pub fn new(outcome: Outcome) -> Self {
        Self {
            time_ms: 0,
            request: Text::default(),
            door: Text::default(),
            peer: Text::default(),
            caller: Text::default(),
            credential: Text::default(),
            action: Text::default(),
            resource: Text::default(),
            outcome,
            detail: Text::default(),
            count: 1,
        }
    }

    fn texts(&self) -> [&Text; 8] {
        [
            &self.request,
            &self.door,
            &self.peer,
            &self.caller,
            &self.credential,
            &self.action,
            &self.resource,
            &self.detail,
        ]
    }

    /// The most bytes that it takes in a segment before compression.
    pub(crate) fn bytes_max(&self) -> usize {
        // Names of fields and numbers; a text doubles when every character is escaped.
        const AROUND: usize = 288;
        AROUND + self.texts().iter().map(|text| 2 * text.0.len()).sum::<usize>()
    }

    /// What identical decisions have in common: all but time and request. None for what is told each
    /// by itself.
    pub(crate) fn fold_key(&self) -> Option<[u8; 32]> {
        if matches!(self.outcome, Outcome::Changed | Outcome::Failed) {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[self.outcome as u8]);
        for text in &self.texts()[1..] {
            hasher.update(&(text.0.len() as u64).to_le_bytes());
            hasher.update(text.0.as_bytes());
        }
        Some(*hasher.finalize().as_bytes())
    }
}

/// Reading what was written: a text that [`Text::new`] does not make is damage.
impl TryFrom<String> for Text {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if is_clean(&text) { Ok(Self(text)) } else { Err("a text that no record has") }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// AUDIT-5: nothing that acts on a terminal is kept, and nothing is longer than its bound.
    #[test]
    fn audit_5_texts_are_bounded_and_harmless() {
        for (text, kept) in [
            ("@main/data", "@main/data"),
            ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("x\u{202e}y\n", "x\\u{202e}y\\u{a}"),
        ] {
            assert_eq!(Text::new(text).as_str(), kept);
        }
        assert_eq!(Text::new(&"x".repeat(512)).as_str().len(), 512);
        let cut = Text::new(&"é".repeat(4000));
        assert!(cut.as_str().len() <= TEXT_BYTES_MAX && cut.as_str().ends_with(CUT));
    }

    proptest! {
        #[test]
        fn every_text_is_made_safe_once(text in ".{0,700}") {
            let safe = Text::new(&text);
            prop_assert!(is_clean(safe.as_str()));
            prop_assert_eq!(&Text::new(safe.as_str()), &safe);
            if is_clean(&text) {
                prop_assert_eq!(safe.as_str(), text);
            }
        }
    }

    #[test]
    fn outcomes_have_words() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse::<Outcome>().unwrap(), outcome);
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
        assert!("granted".parse::<Outcome>().is_err());
    }
}
