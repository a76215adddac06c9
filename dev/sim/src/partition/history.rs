//! What clients of a partition did and were told, in the order of one clock.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use cairn_partition::{Change, Changes, Durable, Entry, KeyRange, Seq};
use serde::{Deserialize, Serialize};

/// A number that grows with every beginning and every end of an operation.
pub type Moment = u64;

/// What an operation is called: its place in the history. Every value that is written begins with the
/// number of the operation that wrote it, so that no two are alike.
pub type Number = u64;

/// Who answers for the partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Which ownership.
    pub epoch: u64,
    /// The node.
    pub node: u32,
}

/// An entry as a client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who wrote it.
    pub writer: Number,
    /// The commit that did.
    pub seq: Seq,
    /// The balance, of an account.
    pub balance: i64,
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// The first commit: it opens all accounts.
    Open(Vec<Bytes>),
    /// A read of what is acknowledged.
    Get(Bytes),
    /// A put without conditions.
    Put(Bytes),
    /// A delete without conditions.
    Delete(Bytes),
    /// A put if the key is as it was seen.
    Swap(Bytes, Option<Seen>),
    /// A delete of a range.
    DeleteRange(KeyRange),
    /// A transaction that reads two accounts and moves an amount from the first to the second.
    Transfer {
        /// The accounts.
        keys: [Bytes; 2],
        /// What was read.
        seen: [Seen; 2],
        /// The amount.
        amount: i64,
    },
    /// A scan of all accounts.
    Audit,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The entry that was read.
    Found(Option<Seen>),
    /// The accounts, and the state that was read.
    Accounts(Seq, Vec<(Bytes, Seen)>),
    /// It is made.
    Committed(Seq),
    /// A condition does not hold, or what was read has changed. Nothing was changed.
    Refused,
    /// Nothing was changed, or nothing was read.
    Failed,
    /// It may have been made, or may be later, or never.
    Doubt,
}

/// One operation of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The client. It has one operation under way at a time.
    pub client: u32,
    /// Who was asked.
    pub owner: Owner,
    /// At which level a commit is acknowledged.
    pub level: Durable,
    /// When it began.
    pub begun: Moment,
    /// When its answer came.
    pub ended: Moment,
    /// What was asked.
    pub call: Call,
    /// What was answered.
    pub answer: Answer,
}

/// What one watcher was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Where it began.
    pub after: Seq,
    /// Its answers, in order.
    pub parts: Vec<Changes>,
}

/// All of it, and what was there in the end.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The operations by their numbers.
    pub operations: Vec<Operation>,
    /// The watchers.
    pub watched: Vec<Watched>,
    /// Every change from the first on, as it was told when all had ended.
    pub truth: Vec<Change>,
    /// Every entry, when all had ended.
    pub entries: Vec<Entry>,
    /// When a disk was lost, with what was acknowledged at the level of the log shortly before.
    pub losses: Vec<Moment>,
}

impl History {
    /// Whether an acknowledged operation may be lost: it ended at the log's level before a disk was.
    #[must_use]
    pub fn may_be_lost(&self, operation: &Operation) -> bool {
        operation.level == Durable::Log && self.losses.iter().any(|loss| operation.ended <= *loss)
    }

    /// The operations with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (Number, &Operation)> {
        (0..).zip(&self.operations)
    }

    /// The operation of a number.
    #[must_use]
    pub fn operation(&self, number: Number) -> Option<&Operation> {
        self.operations.get(usize::try_from(number).ok()?)
    }
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// The checker that found it.
    pub checker: Cow<'static, str>,
    /// What is wrong.
    pub detail: String,
}

impl Broken {
    pub(crate) fn err<T>(checker: &'static str, detail: impl fmt::Display) -> Result<T, Self> {
        Err(Self { checker: checker.into(), detail: detail.to_string() })
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.checker, self.detail)
    }
}

/// The value that an operation writes.
#[must_use]
pub fn value(writer: Number, balance: i64) -> Bytes {
    format!("{writer}:{balance}").into()
}

/// Who wrote a value, and the balance in it.
#[must_use]
pub fn parse(value: &[u8]) -> Option<(Number, i64)> {
    let (writer, balance) = std::str::from_utf8(value).ok()?.split_once(':')?;
    Some((writer.parse().ok()?, balance.parse().ok()?))
}

/// An entry as a client sees it; `None` when its value is none that a client writes.
#[must_use]
pub fn seen(entry: &Entry) -> Option<Seen> {
    let (writer, balance) = parse(&entry.value)?;
    Some(Seen { writer, seq: entry.seq, balance })
}
