use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::limits::NAME_BYTES_MAX;

/// What a partition is in frames of the log: 16 random bytes, given once and never again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub [u8; 16]);

impl fmt::Debug for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Which ownership of a partition: each owner has a greater one than all before (LOG-1).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// Where a commit stands in its partition: 1 for the first, one more for each that follows. 0 is before
/// all of them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The commit after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a partition is called, such as `kv/main/carts`: parts of lower-case letters, digits, `-`, `_`
/// and `.` (not first), with slashes between them, at most [`NAME_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Takes a name.
    ///
    /// # Errors
    /// [`Error::Name`].
    pub fn new(text: &str) -> Result<Self, Error> {
        let part = |part: &str| {
            let allowed = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte)
            };
            !part.is_empty() && !part.starts_with('.') && part.bytes().all(allowed)
        };
        if text.len() > NAME_BYTES_MAX || !text.split('/').all(part) {
            return Err(Error::Name { name: text.chars().take(NAME_BYTES_MAX).collect() });
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `prefix`, or begins with it and a slash, or `prefix` is empty.
    #[must_use]
    pub fn is_below(&self, prefix: &str) -> bool {
        let rest = self.0.strip_prefix(prefix);
        rest.is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }

    pub(crate) fn missing(&self) -> Error {
        Error::Missing { name: self.0.clone() }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
