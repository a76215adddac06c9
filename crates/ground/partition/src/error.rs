use std::time::Duration;

use cairn_base::ErrorKind;
use thiserror::Error;

use crate::{Epoch, Seq};

/// Why something could not be done with a partition.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// No name of a partition.
    #[error(
        "{name:?} is no name of a partition: use lower-case letters, digits, '-', '_' and '.', with \
         slashes between the parts"
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// No partition has this name.
    #[error("there is no partition {name}")]
    Missing {
        /// Its name.
        name: String,
    },
    /// A partition of this name is there already.
    #[error("there is a partition {name} already")]
    Exists {
        /// Its name.
        name: String,
    },
    /// A key of no bytes.
    #[error("the key is empty: a key has at least one byte")]
    EmptyKey,
    /// More than a limit allows.
    #[error("{what} has {size} {unit}, and {limit} are allowed")]
    TooLarge {
        /// What it is, such as `the value`.
        what: &'static str,
        /// How large it is.
        size: usize,
        /// The limit.
        limit: usize,
        /// Of what.
        unit: &'static str,
    },
    /// A setting that makes no sense.
    #[error("{why}")]
    Invalid {
        /// What is wrong with it.
        why: String,
    },
    /// The cursor was not made by this partition for this scan.
    #[error("the cursor does not belong to this scan ({why}): begin the scan again without it")]
    Cursor {
        /// In what it differs.
        why: &'static str,
    },
    /// A condition of the commit does not hold. Nothing was changed.
    #[error("{}", condition(.key, *.expected, *.found))]
    Condition {
        /// The key.
        key: Vec<u8>,
        /// The commit that should have been the last to change it; `None`: it should be absent.
        expected: Option<Seq>,
        /// The commit that was; `None`: it is absent.
        found: Option<Seq>,
    },
    /// Another commit changed what the transaction had read. Nothing was changed.
    #[error("the transaction's reads were changed by commit {by} after it began: try it again")]
    Conflict {
        /// That commit, or one after it.
        by: Seq,
    },
    /// The position is older than the history that is kept.
    #[error("commit {asked} is not kept any more: the oldest that can be asked for is {oldest}")]
    Gone {
        /// The position.
        asked: Seq,
        /// The oldest that is kept.
        oldest: Seq,
    },
    /// The position was not reached yet.
    #[error("commit {asked} was not reached yet: the last is {last}")]
    Future {
        /// The position.
        asked: Seq,
        /// The last commit.
        last: Seq,
    },
    /// Another node owns the partition.
    #[error(
        "{name} is owned by node {node}{}: ask it there; if that node is gone, ask here again in {} s, and \
         this one takes over",
        at(.address.as_deref()),
        .left.as_secs() + 1
    )]
    Elsewhere {
        /// The partition.
        name: String,
        /// The node.
        node: String,
        /// Where it is reached.
        address: Option<String>,
        /// When its lease is over, if it gives no sign of life until then.
        left: Duration,
    },
    /// A newer owner has taken the partition over. What was not acknowledged may not be there.
    #[error("{name} was taken over by another owner (epoch {epoch:?} is over)")]
    Fenced {
        /// The partition.
        name: String,
        /// The epoch that is over.
        epoch: Epoch,
    },
    /// Whether the change was made is not known: it may also be made later.
    #[error("it is not known whether the change was made ({why}): look before you try it again")]
    InDoubt {
        /// What happened.
        why: String,
    },
    /// Nothing was changed; it may work later.
    #[error("{why}")]
    Busy {
        /// What it waits for.
        why: String,
    },
    /// Another process has it.
    #[error(
        "{what} is in use by another process: stop that one, or give this one a place of its own"
    )]
    InUse {
        /// What it is.
        what: String,
    },
    /// The log of this node is older than what it once sent to the bucket: its disk was set back, or the
    /// same log runs twice.
    #[error(
        "the log {life} on this disk is not the one that wrote {found} to the bucket ({why}): its disk was \
         set back, or another node runs with a copy of it; give it an empty directory"
    )]
    StaleLog {
        /// The log's life.
        life: String,
        /// The object in the bucket.
        found: String,
        /// In what they differ.
        why: String,
    },
    /// The disk or the bucket is full. Nothing was changed.
    #[error("no space is left for {what}")]
    Full {
        /// What should have been written.
        what: String,
    },
    /// What was read is not what was written.
    #[error("{what} is damaged at byte {offset}: {why}")]
    Corrupt {
        /// The file or object.
        what: String,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// The bucket or the disk failed.
    #[error("could not {what}: {why}")]
    Storage {
        /// What was to be done.
        what: &'static str,
        /// What it said.
        why: String,
        /// Whether trying again may help.
        kind: ErrorKind,
    },
    /// The partition or the node's log was closed.
    #[error("{what} is closed: {why}")]
    Closed {
        /// What was closed.
        what: String,
        /// Why.
        why: String,
    },
}

impl Error {
    /// The same of a change that may be in the log already.
    pub(crate) fn in_doubt(&self) -> Self {
        match self {
            Self::InDoubt { .. } | Self::Fenced { .. } | Self::Closed { .. } => self.clone(),
            other => Self::InDoubt { why: other.to_string() },
        }
    }

    /// What kind of error it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Name { .. }
            | Self::EmptyKey
            | Self::TooLarge { .. }
            | Self::Invalid { .. }
            | Self::Cursor { .. }
            | Self::Future { .. } => ErrorKind::Invalid,
            Self::Missing { .. } | Self::Gone { .. } => ErrorKind::NotFound,
            Self::Exists { .. }
            | Self::Condition { .. }
            | Self::Conflict { .. }
            | Self::InUse { .. }
            | Self::StaleLog { .. } => ErrorKind::Conflict,
            Self::Elsewhere { .. }
            | Self::Fenced { .. }
            | Self::InDoubt { .. }
            | Self::Busy { .. } => ErrorKind::Retry,
            Self::Full { .. } => ErrorKind::Exhausted,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Storage { kind, .. } => *kind,
            Self::Closed { .. } => ErrorKind::Closed,
        }
    }
}

fn condition(key: &[u8], expected: Option<Seq>, found: Option<Seq>) -> String {
    let key = key.escape_ascii();
    match (expected, found) {
        (None, Some(found)) => format!("\"{key}\" is there (since commit {found})"),
        (Some(expected), None) => {
            format!("\"{key}\" is not there, and was expected as of commit {expected}")
        }
        (Some(expected), Some(found)) => {
            format!(
                "\"{key}\" was changed by commit {found}, and was expected as of commit {expected}"
            )
        }
        (None, None) => format!("the condition on \"{key}\" does not hold"),
    }
}

fn at(address: Option<&str>) -> String {
    address.map(|address| format!(" at {address}")).unwrap_or_default()
}

/// Fails when `size` is over `limit`.
pub(crate) fn at_most(
    what: &'static str,
    size: usize,
    limit: usize,
    unit: &'static str,
) -> Result<(), Error> {
    if size > limit { Err(Error::TooLarge { what, size, limit, unit }) } else { Ok(()) }
}
