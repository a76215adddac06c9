//! What a grant is about: `@project/name`, where either part may hold `*` for any run of
//! characters.
//!
//! The matcher is linear in pattern and name: the literals between the stars are looked for from
//! left to right, each once, with a search that is linear itself, and nothing is ever tried twice.
//! So a hostile pattern costs no more than its length.

use std::fmt;
use std::str::FromStr;

use cairn_base::name::NAME_BYTES_MAX;
use cairn_base::{DatasetName, ProjectName};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The longest pattern, in bytes: two names of the greatest length, `@` and `/`.
pub const PATTERN_BYTES_MAX: usize = 2 * NAME_BYTES_MAX + 2;

/// What an action is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Everything: the bucket, its nodes and the access state.
    Cluster,
    /// One project as a whole.
    Project(ProjectName),
    /// One dataset, whether it exists or not.
    Dataset(ProjectName, DatasetName),
    /// All that a pattern covers, which is none of the above.
    Pattern(Pattern),
}

impl From<Pattern> for Resource {
    /// What the pattern covers.
    fn from(pattern: Pattern) -> Self {
        if pattern == Pattern::everything() {
            return Self::Cluster;
        }
        match (pattern.project.parse(), pattern.name.parse()) {
            (Ok(project), Ok(name)) => Self::Dataset(project, name),
            (Ok(project), Err(_)) if pattern.name == ANY => Self::Project(project),
            _ => Self::Pattern(pattern),
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("@*/*"),
            Self::Project(project) => write!(f, "@{project}/*"),
            Self::Dataset(project, name) => write!(f, "@{project}/{name}"),
            Self::Pattern(pattern) => pattern.fmt(f),
        }
    }
}

/// A pattern of resources: `@project/name` with `*` in either part, kept with runs of stars made
/// one. Without `@project/` it is in the project `main`, as in every reference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    project: String,
    name: String,
}

const ANY: &str = "*";

impl Pattern {
    /// `@*/*`: all there is.
    #[must_use]
    pub fn everything() -> Self {
        Self { project: ANY.to_owned(), name: ANY.to_owned() }
    }

    /// Whether every name that `other` covers is covered by this pattern too. It may say no where
    /// only the bounds of names make it so, never yes where it is not.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        // A star is in no literal, so what a star of `other` stands for is within a star of `self`.
        glob(&self.project, &other.project) && glob(&self.name, &other.name)
    }

    /// Whether all of `resource` is within the pattern: for a project, every name in it; for the
    /// cluster, everything.
    #[must_use]
    pub fn covers(&self, resource: &Resource) -> bool {
        match resource {
            Resource::Cluster => self.project == ANY && self.name == ANY,
            Resource::Project(project) => self.name == ANY && glob(&self.project, project.as_str()),
            Resource::Dataset(project, name) => {
                glob(&self.project, project.as_str()) && glob(&self.name, name.as_str())
            }
            Resource::Pattern(pattern) => self.includes(pattern),
        }
    }

    /// Whether anything within `resource` can be within the pattern.
    #[must_use]
    pub fn touches(&self, resource: &Resource) -> bool {
        match resource {
            Resource::Cluster => true,
            Resource::Project(project) => glob(&self.project, project.as_str()),
            Resource::Dataset(..) => self.covers(resource),
            Resource::Pattern(pattern) => {
                overlap(&self.project, &pattern.project) && overlap(&self.name, &pattern.name)
            }
        }
    }
}

/// Whether some text is both `a` and `b`, where a star stands for any run of characters, or none.
/// Takes time in proportion to the product of their lengths.
fn overlap(a: &str, b: &str) -> bool {
    let b = b.as_bytes();
    // Which starts of `b` meet the start of `a` that was looked at.
    let mut meets: Vec<bool> =
        (0..=b.len()).map(|len| b[..len].iter().all(|byte| *byte == b'*')).collect();
    for one in a.bytes() {
        let before = meets;
        meets = vec![one == b'*' && before[0]];
        for (at, other) in b.iter().enumerate() {
            meets.push(match (one, *other) {
                (b'*', _) | (_, b'*') => meets[at] || before[at + 1],
                (one, other) => one == other && before[at],
            });
        }
    }
    meets[b.len()]
}

/// Whether `text` is `pattern` with each star standing for some run of characters, or none.
fn glob(pattern: &str, text: &str) -> bool {
    let mut literals = pattern.split('*');
    let first = literals.next().unwrap_or_default();
    let Some(last) = literals.next_back() else {
        return pattern == text;
    };
    let Some(rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(mut rest) = rest.strip_suffix(last) else {
        return false;
    };
    // The leftmost place of a literal leaves the most for those after it, so it is never wrong.
    for literal in literals {
        let Some(at) = rest.find(literal) else {
            return false;
        };
        rest = &rest[at + literal.len()..];
    }
    true
}

fn part(pattern: &str, part: &str) -> Result<String, Error> {
    let refuse = |reason| Err(Error::Pattern { pattern: pattern.to_owned(), reason });
    if part.is_empty() {
        return refuse("the project or the name is empty");
    }
    if part.len() > NAME_BYTES_MAX {
        return refuse("the project or the name is longer than any name");
    }
    let first = part.as_bytes()[0];
    if !first.is_ascii_alphanumeric() && first != b'*' {
        return refuse("the project and the name begin with a letter, a digit or *");
    }
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'*');
    if !part.bytes().all(known) {
        return refuse("the project and the name hold A-Z a-z 0-9 . _ - and *");
    }
    let mut kept = String::with_capacity(part.len());
    for character in part.chars() {
        if character != '*' || !kept.ends_with('*') {
            kept.push(character);
        }
    }
    Ok(kept)
}

impl FromStr for Pattern {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(Error::LongPattern { len: text.len() });
        }
        let (project, name) = match text.strip_prefix('@') {
            Some(scoped) => scoped.split_once('/').ok_or_else(|| Error::Pattern {
                pattern: text.to_owned(),
                reason: "a project is followed by / and a name",
            })?,
            None => ("main", text),
        };
        Ok(Self { project: part(text, project)?, name: part(text, name)? })
    }
}

impl TryFrom<String> for Pattern {
    type Error = Error;
    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.to_string()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}/{}", self.project, self.name)
    }
}

#[cfg(test)]
mod tests;
