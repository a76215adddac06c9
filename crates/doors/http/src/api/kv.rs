//! Namespaces of keys. Bytes are text in a field where they are UTF-8, else base64 in the field with
//! `_base64`.

use cairn_kv::{
    Change, Commit, Committed, Condition, Durable, Entry, Error, KeyRange, Op, Page, Seq, What,
    joined, large_reference, large_size, split,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::FollowEnd;

/// A namespace by its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamespaceName {
    /// Its project.
    pub project: String,
    /// Its name.
    pub name: String,
}

/// A page of namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NamespacePage {
    /// Those of this page, by name.
    pub namespaces: Vec<NamespaceName>,
    /// `?after=` of the next page; none on the last.
    pub next: Option<String>,
}

/// What is chosen of a namespace. What is not given is the default of a new one, and stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NamespaceSettings {
    /// A namespace of the same project that the new one begins as: with its keys, history and settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone_of: Option<String>,
    /// When changes are acknowledged: `log`, when the node's log is synced, or `bucket`, when the bucket
    /// has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^(log|bucket)$")]
    pub durable: Option<Durable>,
    /// For how long what was overwritten or deleted stays readable, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 2_592_000_000u64)]
    pub history_ms: Option<u64>,
}

/// A commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeysCommitted {
    /// Its position; of one that changed nothing, that of the last one before it.
    pub seq: u64,
}

impl From<Committed> for KeysCommitted {
    fn from(committed: Committed) -> Self {
        Self { seq: committed.seq.0 }
    }
}

/// A key with its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The key, when it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<String>,
    /// The value, unless only keys were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value, when it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
    /// Whether the value is too large to stand here: a GET of the key has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub large: bool,
    /// The length of a large value, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The commit that wrote it.
    pub seq: u64,
    /// When it is over, in milliseconds since 1970; never when not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

impl KeyEntry {
    /// An entry as the wire has it.
    #[must_use]
    pub fn new(entry: &Entry, keys_only: bool) -> Self {
        let (key, key_base64) = split(&entry.key);
        let size = large_size(entry);
        let large = size.is_some();
        let left_out = keys_only || large;
        let (value, value_base64) = if left_out { (None, None) } else { split(&entry.value) };
        let (seq, expires_ms) = (entry.seq.0, entry.expires_ms);
        Self { key, key_base64, value, value_base64, large, size, seq, expires_ms }
    }

    pub(crate) fn entry(self) -> Result<Entry, Error> {
        let key = joined("key", self.key, self.key_base64)?;
        let value = match (self.value, self.value_base64) {
            (None, None) => bytes::Bytes::new(),
            (value, base64) => joined("value", value, base64)?,
        };
        let reference = self.size.map(large_reference);
        Ok(Entry { key, value, reference, seq: Seq(self.seq), expires_ms: self.expires_ms })
    }
}

/// A page of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyPage {
    /// The entries, in the order of the scan.
    pub entries: Vec<KeyEntry>,
    /// The commit whose state all pages of this scan show.
    pub at: u64,
    /// `?cursor=` of the next page; none on the last.
    pub next: Option<String>,
}

impl KeyPage {
    pub(crate) fn new(page: &Page, keys_only: bool) -> Self {
        let entries = page.entries.iter().map(|entry| KeyEntry::new(entry, keys_only)).collect();
        let next = page.next.as_ref().map(|next| next.as_str().to_owned());
        Self { entries, at: page.at.0, next }
    }
}

/// One change of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum KeyOp {
    /// Gives a key a value.
    Put {
        /// The key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The key, when it is not UTF-8.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_base64: Option<String>,
        /// The value.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<String>,
        /// The value, when it is not UTF-8.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value_base64: Option<String>,
        /// How long it lives, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl_ms: Option<u64>,
        /// Instead: when it is over, in milliseconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_ms: Option<u64>,
    },
    /// Removes a key, if it is there.
    Delete {
        /// The key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The key, when it is not UTF-8.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key_base64: Option<String>,
    },
    /// Removes every key of a range.
    DeleteRange {
        /// The first key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// The first key, when it is not UTF-8.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_base64: Option<String>,
        /// The first key after the range; none for all that follow.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
        /// The first key after the range, when it is not UTF-8.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to_base64: Option<String>,
    },
}

/// What must hold when a commit is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyCondition {
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The key, when it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<String>,
    /// The commit that must have been the last to write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Instead: it must be absent.
    #[serde(default)]
    pub absent: bool,
}

/// Changes that are made together, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyCommit {
    /// The changes; later ones of a key win.
    #[schema(max_items = 10_000)]
    pub ops: Vec<KeyOp>,
    /// What must hold before.
    #[serde(default)]
    #[schema(max_items = 10_000)]
    pub conditions: Vec<KeyCondition>,
    /// A level above the namespace's: `bucket`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^(log|bucket)$")]
    pub durable: Option<Durable>,
}

impl KeyCommit {
    /// A commit as the wire has it. What a transaction has read stays here.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a reference to a large value: those are made by a put alone.
    pub fn new(commit: &Commit) -> Result<Self, Error> {
        let condition = |condition: &Condition| {
            let (key, key_base64) = split(&condition.key);
            let seq = condition.expected.map(|seq| seq.0);
            KeyCondition { key, key_base64, seq, absent: seq.is_none() }
        };
        Ok(Self {
            ops: commit.ops.iter().map(KeyOp::new).collect::<Result<_, _>>()?,
            conditions: commit.conditions.iter().map(condition).collect(),
            durable: commit.durable,
        })
    }

    pub(crate) fn commit(self, ends: impl Fn(u64) -> Result<u64, Error>) -> Result<Commit, Error> {
        let ops = self.ops.into_iter().map(|op| op.op(&ends)).collect::<Result<_, _>>()?;
        let conditions = self.conditions.into_iter().map(KeyCondition::condition);
        let conditions = conditions.collect::<Result<_, _>>()?;
        Ok(Commit { ops, conditions, durable: self.durable, ..Commit::default() })
    }
}

impl KeyOp {
    fn new(op: &Op) -> Result<Self, Error> {
        Ok(match op {
            Op::Put { key, value, expires_ms } => {
                let ((key, key_base64), (value, value_base64)) = (split(key), split(value));
                let (ttl_ms, expires_ms) = (None, *expires_ms);
                Self::Put { key, key_base64, value, value_base64, ttl_ms, expires_ms }
            }
            Op::Delete { key } => {
                let (key, key_base64) = split(key);
                Self::Delete { key, key_base64 }
            }
            // Nobody but the engine makes one.
            Op::Refer { key, .. } => {
                let why = format!("a commit cannot refer to a value (of {})", key.escape_ascii());
                return Err(Error::Invalid { why });
            }
            Op::DeleteRange(range) => {
                let (from, from_base64) = split(&range.from);
                let (to, to_base64) = range.to.as_ref().map_or((None, None), |to| split(to));
                Self::DeleteRange { from, from_base64, to, to_base64 }
            }
        })
    }

    fn op(self, ends: impl Fn(u64) -> Result<u64, Error>) -> Result<Op, Error> {
        Ok(match self {
            Self::Put { key, key_base64, value, value_base64, ttl_ms, expires_ms } => {
                let expires_ms = match (ttl_ms, expires_ms) {
                    (None, expires_ms) => expires_ms,
                    (Some(ttl_ms), None) => Some(ends(ttl_ms)?),
                    (Some(_), Some(_)) => {
                        let why = "a put has both ttl_ms and expires_ms; give one".to_owned();
                        return Err(Error::Invalid { why });
                    }
                };
                let key = joined("key", key, key_base64)?;
                Op::Put { key, value: joined("value", value, value_base64)?, expires_ms }
            }
            Self::Delete { key, key_base64 } => Op::Delete { key: joined("key", key, key_base64)? },
            Self::DeleteRange { from, from_base64, to, to_base64 } => {
                let from = joined("from", from, from_base64)?;
                let to = match (to, to_base64) {
                    (None, None) => None,
                    (to, base64) => Some(joined("to", to, base64)?),
                };
                Op::DeleteRange(KeyRange { from, to })
            }
        })
    }
}

impl KeyCondition {
    fn condition(self) -> Result<Condition, Error> {
        let key = joined("key", self.key, self.key_base64)?;
        match (self.seq, self.absent) {
            (Some(seq), false) => Ok(Condition { key, expected: Some(Seq(seq)) }),
            (None, true) => Ok(Condition { key, expected: None }),
            _ => {
                let why = "a condition has either \"seq\", or \"absent\": true".to_owned();
                Err(Error::Invalid { why })
            }
        }
    }
}

/// What a line of a watch tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyChangeKind {
    /// How far the watch is: all changes up to `seq` were told. The first line is one, and a watch that
    /// has nothing to tell says it now and then.
    #[default]
    Position,
    /// A key was given a value.
    Put,
    /// A key was removed.
    Delete,
    /// All keys of a range were removed.
    DeleteRange,
    /// The watch ends; the last line.
    End,
}

/// A line of a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyChange {
    /// What it tells.
    #[serde(rename = "type")]
    pub kind: KeyChangeKind,
    /// The commit.
    pub seq: u64,
    /// Whether it is the last of its commit: `?after=` its `seq` goes on after it. After another one the
    /// whole commit is asked for again, with the `seq` before.
    pub last: bool,
    /// When the commit was made, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<u64>,
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The key, when it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<String>,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Its value, when it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_base64: Option<String>,
    /// Whether its value is too large to stand here: a GET of the key has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub large: bool,
    /// The length of a large value, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// When it is over, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// Of a removed key: its time was over, nobody removed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expired: Option<bool>,
    /// Of a range: the first key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Likewise, when it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_base64: Option<String>,
    /// Of a range: the first key after it; none when all that follow are in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Likewise, when it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_base64: Option<String>,
    /// Why it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<FollowEnd>,
}

impl KeyChange {
    /// How far a watch is.
    #[must_use]
    pub fn at(seq: Seq) -> Self {
        Self { seq: seq.0, last: true, ..Self::default() }
    }

    /// A change as the wire has it.
    #[must_use]
    pub fn new(change: &Change, last: bool) -> Self {
        let line = Self { seq: change.seq.0, last, ..Self::default() };
        let line = Self { time_ms: Some(change.time_ms), ..line };
        match &change.what {
            What::Put(entry) => {
                let KeyEntry {
                    key, key_base64, value, value_base64, large, size, expires_ms, ..
                } = KeyEntry::new(entry, false);
                let line = Self { key, key_base64, value, value_base64, expires_ms, ..line };
                Self { kind: KeyChangeKind::Put, large, size, ..line }
            }
            What::Deleted { key, expired } => {
                let ((key, key_base64), expired) = (split(key), Some(*expired));
                Self { kind: KeyChangeKind::Delete, key, key_base64, expired, ..line }
            }
            What::RangeDeleted(range) => {
                let (from, from_base64) = split(&range.from);
                let (to, to_base64) = range.to.as_ref().map_or((None, None), |to| split(to));
                let kind = KeyChangeKind::DeleteRange;
                Self { kind, from, from_base64, to, to_base64, ..line }
            }
        }
    }

    /// The change; none for what is no change.
    pub(crate) fn change(self) -> Result<Option<Change>, Error> {
        let (seq, time_ms) = (Seq(self.seq), self.time_ms.unwrap_or(0));
        let what = match self.kind {
            KeyChangeKind::Position | KeyChangeKind::End => return Ok(None),
            KeyChangeKind::Put => What::Put(Entry {
                key: joined("key", self.key, self.key_base64)?,
                value: match self.size {
                    Some(_) => bytes::Bytes::new(),
                    None => joined("value", self.value, self.value_base64)?,
                },
                reference: self.size.map(large_reference),
                seq,
                expires_ms: self.expires_ms,
            }),
            KeyChangeKind::Delete => What::Deleted {
                key: joined("key", self.key, self.key_base64)?,
                expired: self.expired.unwrap_or(false),
            },
            KeyChangeKind::DeleteRange => {
                let to = match (self.to, self.to_base64) {
                    (None, None) => None,
                    (to, base64) => Some(joined("to", to, base64)?),
                };
                let from = joined("from", self.from, self.from_base64)?;
                What::RangeDeleted(KeyRange { from, to })
            }
        };
        Ok(Some(Change { seq, time_ms, what }))
    }
}
