use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;

use crate::error::at_most;
use crate::limits::{
    COMMIT_BYTES_MAX, COMMIT_OPS_MAX, COMMIT_RANGES_MAX, CONDITIONS_MAX, KEY_BYTES_MAX, READS_MAX,
    REFERENCE_BYTES_MAX, VALUE_BYTES_MAX,
};
use crate::{Durable, Error, Seq};

/// Keys from one to another, by the order of bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRange {
    /// The first key.
    pub from: Bytes,
    /// The first key after the range; `None` for all that follow.
    pub to: Option<Bytes>,
}

impl KeyRange {
    /// Every key.
    #[must_use]
    pub fn all() -> Self {
        Self { from: Bytes::new(), to: None }
    }

    /// From `from` to before `to`.
    #[must_use]
    pub fn between(from: impl Into<Bytes>, to: impl Into<Bytes>) -> Self {
        Self { from: from.into(), to: Some(to.into()) }
    }

    /// Every key that begins with `prefix`.
    #[must_use]
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let from = prefix.into();
        let to = after_prefix(&from);
        Self { from, to }
    }

    /// One key.
    #[must_use]
    pub fn one(key: &[u8]) -> Self {
        let mut after = key.to_vec();
        after.push(0);
        Self { from: Bytes::copy_from_slice(key), to: Some(after.into()) }
    }

    /// Whether `key` is in it.
    #[must_use]
    pub fn contains(&self, key: &[u8]) -> bool {
        *key >= *self.from && self.to.as_ref().is_none_or(|to| *key < **to)
    }

    /// Whether no key can be in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.to.as_ref().is_some_and(|to| *to <= self.from)
    }

    /// For maps whose keys are bytes. The range must not be empty.
    #[must_use]
    pub fn bounds(&self) -> (Bound<Bytes>, Bound<Bytes>) {
        let to = self.to.clone().map_or(Bound::Unbounded, Bound::Excluded);
        (Bound::Included(self.from.clone()), to)
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        // An end may be the longest key and a byte.
        at_most("the start of the range", self.from.len(), KEY_BYTES_MAX + 1, "bytes")?;
        let to = self.to.as_ref().map_or(0, Bytes::len);
        at_most("the end of the range", to, KEY_BYTES_MAX + 1, "bytes")
    }
}

/// The first key after all that begin with `prefix`.
fn after_prefix(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut after = prefix.get(..=last)?.to_vec();
    *after.last_mut()? += 1;
    Some(after.into())
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Gives a key a value.
    Put {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
        /// When it is over, in milliseconds since 1970.
        expires_ms: Option<u64>,
    },
    /// Gives a key a reference to a value that is kept elsewhere. What it says is its writer's matter:
    /// here it is read back as it was given, in [`crate::Entry::reference`].
    Refer {
        /// The key.
        key: Bytes,
        /// The reference, at most [`REFERENCE_BYTES_MAX`] bytes.
        reference: Bytes,
        /// When it is over, in milliseconds since 1970.
        expires_ms: Option<u64>,
    },
    /// Removes a key, if it is there.
    Delete {
        /// The key.
        key: Bytes,
    },
    /// Removes every key of a range, at a cost that does not depend on how many there are.
    DeleteRange(KeyRange),
}

/// What must hold when the commit is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The key.
    pub key: Bytes,
    /// Which commit must have written it; `None`: it must be absent.
    pub expected: Option<Seq>,
}

/// What a transaction has seen: nothing of it may have been changed since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// The state it was read from.
    pub at: Seq,
    /// Keys.
    pub keys: Vec<Bytes>,
    /// Ranges, including keys that were not there.
    pub ranges: Vec<KeyRange>,
}

/// Changes that are made together. Later changes of a key win over earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The changes.
    pub ops: Vec<Op>,
    /// What must hold, before the changes.
    pub conditions: Vec<Condition>,
    /// What must not have been changed.
    pub reads: Option<Reads>,
    /// A level above the partition's.
    pub durable: Option<Durable>,
}

impl Commit {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives a key a value.
    #[must_use]
    pub fn put(self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.op(Op::Put { key: key.into(), value: value.into(), expires_ms: None })
    }

    /// Gives a key a value until a time, in milliseconds since 1970.
    #[must_use]
    pub fn put_until(self, key: impl Into<Bytes>, value: impl Into<Bytes>, ms: u64) -> Self {
        self.op(Op::Put { key: key.into(), value: value.into(), expires_ms: Some(ms) })
    }

    /// Removes a key.
    #[must_use]
    pub fn delete(self, key: impl Into<Bytes>) -> Self {
        self.op(Op::Delete { key: key.into() })
    }

    /// Removes a range.
    #[must_use]
    pub fn delete_range(self, range: KeyRange) -> Self {
        self.op(Op::DeleteRange(range))
    }

    /// Adds a change.
    #[must_use]
    pub fn op(mut self, op: Op) -> Self {
        self.ops.push(op);
        self
    }

    /// Only if the key was written by this commit last; `None`: only if it is absent.
    #[must_use]
    pub fn expect(mut self, key: impl Into<Bytes>, expected: Option<Seq>) -> Self {
        self.conditions.push(Condition { key: key.into(), expected });
        self
    }

    /// Bytes of its keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.ops.iter().map(Op::bytes).fold(0, usize::saturating_add)
    }

    /// Leaves out changes that later ones of the same commit undo, and those of empty ranges.
    #[must_use]
    pub(crate) fn effective(mut self) -> Self {
        let mut keys = BTreeSet::new();
        let mut ranges: Vec<KeyRange> = Vec::new();
        let mut counts = |op: &Op| match op {
            Op::DeleteRange(range) => {
                let counts = !range.is_empty();
                if counts {
                    ranges.push(range.clone());
                }
                counts
            }
            Op::Put { key, .. } | Op::Refer { key, .. } | Op::Delete { key } => {
                !ranges.iter().any(|range| range.contains(key)) && keys.insert(key.clone())
            }
        };
        if self.ops.len() > 1 || self.ops.iter().any(|op| matches!(op, Op::DeleteRange(_))) {
            let counted: Vec<bool> = self.ops.iter().rev().map(&mut counts).collect();
            let mut counted = counted.into_iter().rev();
            self.ops.retain(|_| counted.next().unwrap_or(true));
        }
        self
    }

    /// Fails when it is beyond the limits.
    ///
    /// # Errors
    /// [`Error::EmptyKey`], [`Error::TooLarge`].
    pub fn check(&self) -> Result<(), Error> {
        at_most("the commit", self.ops.len(), COMMIT_OPS_MAX, "changes")?;
        let ranges = self.ops.iter().filter(|op| matches!(op, Op::DeleteRange(_))).count();
        at_most("the commit", ranges, COMMIT_RANGES_MAX, "deleted ranges")?;
        at_most("the commit", self.conditions.len(), CONDITIONS_MAX, "conditions")?;
        self.ops.iter().try_for_each(Op::check)?;
        self.conditions.iter().try_for_each(|condition| check_key(&condition.key))?;
        at_most("the commit", self.bytes(), COMMIT_BYTES_MAX, "bytes")?;
        let Some(reads) = &self.reads else { return Ok(()) };
        let count = reads.keys.len().saturating_add(reads.ranges.len());
        at_most("the transaction", count, READS_MAX, "reads")?;
        reads.keys.iter().try_for_each(|key| check_key(key))?;
        reads.ranges.iter().try_for_each(KeyRange::check)
    }
}

impl Op {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Put { key, value, .. } | Self::Refer { key, reference: value, .. } => {
                key.len().saturating_add(value.len())
            }
            Self::Delete { key } => key.len(),
            Self::DeleteRange(range) => {
                range.from.len().saturating_add(range.to.as_ref().map_or(0, Bytes::len))
            }
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Put { key, value, .. } => {
                check_key(key)?;
                at_most("the value", value.len(), VALUE_BYTES_MAX, "bytes")
            }
            Self::Refer { key, reference, .. } => {
                check_key(key)?;
                at_most("the reference", reference.len(), REFERENCE_BYTES_MAX, "bytes")
            }
            Self::Delete { key } => check_key(key),
            Self::DeleteRange(range) => range.check(),
        }
    }
}

/// Fails for what cannot be a key.
///
/// # Errors
/// [`Error::EmptyKey`], [`Error::TooLarge`].
pub fn check_key(key: &[u8]) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::EmptyKey);
    }
    at_most("the key", key.len(), KEY_BYTES_MAX, "bytes")
}
