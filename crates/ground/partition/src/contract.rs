//! What every partition promises, whoever keeps it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::limits::HISTORY_MAX;
use crate::log::LogStats;
use crate::{Commit, Cursor, Error, KeyRange, Name, Seq};

/// When a commit is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durable {
    /// The node's log has synced it: it survives `kill -9` and power loss, and the loss of the node's
    /// disk once the log was shipped, which takes about a second.
    #[default]
    Log,
    /// The bucket has confirmed it: it also survives the loss of the node's disk.
    Bucket,
}

/// What is chosen per partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// When commits are acknowledged, at the least.
    pub durable: Durable,
    /// For how long what was overwritten, deleted or told stays readable, in milliseconds.
    pub history_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { durable: Durable::Log, history_ms: 3_600_000 }
    }
}

impl Settings {
    /// Fails when they make no sense.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check(&self) -> Result<(), Error> {
        if u128::from(self.history_ms) > HISTORY_MAX.as_millis() {
            let why =
                format!("the history is kept for at most {} days", HISTORY_MAX.as_secs() / 86_400);
            return Err(Error::Invalid { why });
        }
        Ok(())
    }
}

/// Which state is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum At {
    /// What is acknowledged: every commit before it is durable at the partition's level.
    #[default]
    Durable,
    /// The newest, which may not be durable yet and may never be: it must not leave the process.
    Newest,
    /// After this commit. After the newest one it is the present, in which nothing is that is over.
    Seq(Seq),
    /// After the last commit at or before this time, in milliseconds since 1970.
    TimeMs(u64),
}

/// A key that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Bytes,
    /// Its value; empty when only keys were asked for, and for a reference.
    pub value: Bytes,
    /// What stands in place of a value that is kept elsewhere ([`crate::Op::Refer`]). It is there also when
    /// only keys were asked for.
    pub reference: Option<Bytes>,
    /// The commit that wrote it.
    pub seq: Seq,
    /// When it is over, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

/// What to scan.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The keys.
    pub range: KeyRange,
    /// From the last key to the first.
    pub reverse: bool,
    /// Entries at most, from 1 to [`crate::limits::SCAN_ENTRIES_MAX`]: what is outside counts as the
    /// nearer end.
    pub limit: usize,
    /// Leave values out.
    pub keys_only: bool,
    /// Which state. A cursor brings its own.
    pub at: At,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
}

impl Scan {
    /// All of `range`, forward, as far as one page goes.
    #[must_use]
    pub fn of(range: KeyRange) -> Self {
        let limit = crate::limits::SCAN_ENTRIES_MAX;
        Self { range, reverse: false, limit, keys_only: false, at: At::Durable, cursor: None }
    }
}

/// A part of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries, in the order of the scan.
    pub entries: Vec<Entry>,
    /// The state that all pages of this scan show.
    pub at: Seq,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// What an acknowledged commit has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// Its position. A commit without changes, or of empty ranges alone, takes none, and has that of the
    /// last one before it. One whose changes found nothing to remove takes one.
    pub seq: Seq,
}

/// What a commit did to one key or range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The commit.
    pub seq: Seq,
    /// When it was made, in milliseconds since 1970. Never less than that of the commit before.
    pub time_ms: u64,
    /// What happened.
    pub what: What,
}

/// What happened to one key or range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The key has this value.
    Put(Entry),
    /// The key is gone.
    Deleted {
        /// It.
        key: Bytes,
        /// Its time was over: nobody deleted it.
        expired: bool,
    },
    /// All keys of the range that were there are gone.
    RangeDeleted(KeyRange),
}

/// A part of a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// All changes after the position that was asked for, to `upto`, in the order of commits, and of
    /// one commit in an order that leads from the state before it to the one after it. A commit is here
    /// whole or not at all. What a commit removed that was not there may be here too.
    pub changes: Vec<Change>,
    /// Where the next part begins after.
    pub upto: Seq,
}

/// Where a partition stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The last commit.
    pub newest: Seq,
    /// The last commit that is acknowledged.
    pub durable: Seq,
    /// No state before this one can be read, and no watch begins before it. The states from here on can,
    /// as long as they were the present at some time within the window.
    pub oldest: Seq,
    /// What was chosen.
    pub settings: Settings,
}

/// A log that was not there when its partition was taken over: what it alone had is lost, if it had
/// anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The log.
    pub log: String,
    /// The node that had it.
    pub node: String,
    /// When the last of what was shipped of it was written, in milliseconds since 1970 by that node's
    /// clock; none when nothing was shipped.
    pub after_ms: Option<u64>,
    /// When the partition was taken over, in milliseconds since 1970.
    pub noticed_ms: u64,
}

/// An ordered map from keys to values, with one writer (LOG-1): a unit of consistency, placement,
/// movement and recovery. Keys are ordered by their bytes.
///
/// # Consistency
/// Commits are atomic, ordered by [`Seq`], and linearisable: a commit that begins after another was
/// acknowledged comes after it, and a read with [`At::Durable`] that begins after an acknowledgement
/// sees it. Transactions ([`crate::Transaction`]) are serialisable.
///
/// # Durability
/// [`Partition::commit`] returns when the commit is durable at the partition's level. What was not
/// acknowledged may be there or not, but whole.
///
/// # Time to live
/// An entry is over at its time by this partition's clock, which never goes back: from then on no read
/// of the present shows it, to conditions it is absent, and within a few seconds a commit of the
/// partition's own removes it, which a watch tells. Reads of the past, states before that commit, show
/// what was there then.
///
/// # History
/// States that were the present within the last [`Settings::history_ms`] can be read, and watches can
/// begin after them. What is older may be gone at once, and is some time later ([`Status::oldest`]).
///
/// # Cancellation
/// Dropping the future of a commit neither makes nor undoes it. Everything else is cancel safe.
#[async_trait]
pub trait Partition: Send + Sync + 'static {
    /// What it is called.
    fn name(&self) -> &Name;

    /// Where it stands.
    fn status(&self) -> Status;

    /// The last log of an owner that was lost while the level was [`Durable::Log`]: what was
    /// acknowledged between its times may not be there.
    fn loss(&self) -> Option<Loss> {
        None
    }

    /// The entry of `key`.
    ///
    /// # Errors
    /// [`Error::EmptyKey`], [`Error::TooLarge`]; [`Error::Gone`], [`Error::Future`] for positions;
    /// [`Error::Fenced`], [`Error::Busy`] when it is not known that this is still the owner.
    async fn get(&self, key: &[u8], at: At) -> Result<Option<Entry>, Error>;

    /// One page. A scan that goes on with [`Page::next`] shows one state, however long it takes, until
    /// that state is older than the history that is kept ([`Error::Gone`]).
    ///
    /// # Errors
    /// As [`Partition::get`]; [`Error::Cursor`] for a cursor of another partition, range or direction.
    async fn scan(&self, scan: &Scan) -> Result<Page, Error>;

    /// Makes all changes of `commit`, or none.
    ///
    /// # Errors
    /// [`Error::Condition`], [`Error::Conflict`], [`Error::Gone`] and [`Error::Future`] for the state
    /// that was read, [`Error::Busy`], [`Error::Full`] and limits: nothing was changed. That something
    /// was removed which was not there may count as a conflict. [`Error::InDoubt`], [`Error::Fenced`], [`Error::Closed`]: it may have been.
    async fn commit(&self, commit: Commit) -> Result<Committed, Error>;

    /// The acknowledged changes after `after`, in order and without gaps; when there are none yet,
    /// waits at most `wait` for one ([`crate::limits::WATCH_WAIT_MAX`] at most) and then returns none.
    ///
    /// # Errors
    /// [`Error::Gone`]: changes after `after` are not kept any more. [`Error::Future`].
    async fn changes(&self, after: Seq, wait: Duration) -> Result<Changes, Error>;

    /// The last commit at or before `time_ms` (milliseconds since 1970).
    ///
    /// # Errors
    /// [`Error::Gone`] when it is older than the history that is kept.
    async fn seq_at(&self, time_ms: u64) -> Result<Seq, Error>;
}

/// A partition that may be of any kind.
pub type AnyPartition = Arc<dyn Partition>;

/// How a node stands, as far as its partitions go.
#[derive(Clone, Debug)]
pub struct Usage {
    /// Partitions that are open here.
    pub open: usize,
    /// Whether the node's lease holds: without it nothing is acknowledged.
    pub leased: bool,
    /// The log of them all.
    pub log: LogStats,
}

/// Something to be done, of which nothing comes but whether it could be.
pub type Step<'a> = BoxFuture<'a, Result<(), Error>>;

/// Where a partition is.
pub enum Here {
    /// Here: this node has it, or nobody had it and this node has taken it.
    Open(AnyPartition),
    /// Another node has it, or had it when it died.
    Elsewhere,
    /// It was removed, and none of its name was made since.
    Removed,
    /// Nothing says that there ever was one.
    Unknown,
}

/// The partitions of a node: those that it owns, and how it comes to own one.
#[async_trait]
pub trait Partitions: Send + Sync + 'static {
    /// Makes a partition.
    ///
    /// # Errors
    /// [`Error::Exists`].
    async fn create(&self, name: &Name, settings: Settings) -> Result<AnyPartition, Error>;

    /// Makes a partition `to` that begins as `name` is: with every commit that was acknowledged before,
    /// and perhaps with some that came after, with its history and settings. From then on each goes its
    /// own way. `before` is done when what the clone
    /// will have is decided, and before anybody sees it; when it fails there is no clone.
    ///
    /// # Errors
    /// As [`Partitions::open`] for `name`; [`Error::Exists`] for `to`; of `before`; [`Error::Busy`] when `name`
    /// was removed or taken over meanwhile.
    async fn clone_to(
        &self,
        name: &Name,
        to: &Name,
        before: Step<'_>,
    ) -> Result<AnyPartition, Error>;

    /// Opens a partition, or gives the handle of one that is open. Takes it over when its owner is
    /// gone, which may take as long as that owner's lease.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Elsewhere`].
    async fn open(&self, name: &Name) -> Result<AnyPartition, Error>;

    /// Looks for a partition without taking it over from anybody: for chores, which every node does for
    /// what is its own.
    ///
    /// # Errors
    /// As [`Partitions::open`].
    async fn here(&self, name: &Name) -> Result<Here, Error>;

    /// Changes the settings of a partition. When they say [`Durable::Bucket`], all that was acknowledged
    /// before is in the bucket too once this returns.
    ///
    /// # Errors
    /// As [`Partitions::open`].
    async fn change(&self, name: &Name, settings: Settings) -> Result<(), Error>;

    /// The names that are `prefix`, or begin with it and a slash; all for the empty prefix. In order.
    ///
    /// # Errors
    /// When the bucket cannot be read.
    async fn list(&self, prefix: &str) -> Result<Vec<Name>, Error>;

    /// Removes a partition with all it holds. It cannot be brought back. Handles of it, and what waits
    /// in them, fail from then on with [`Error::Missing`] or [`Error::Closed`], also when another one of
    /// its name is made.
    ///
    /// # Errors
    /// As [`Partitions::open`].
    async fn remove(&self, name: &Name) -> Result<(), Error>;

    /// How the node stands; `None` while it has no log.
    fn usage(&self) -> Option<Usage>;
}

/// The partitions of some node.
pub type AnyPartitions = Arc<dyn Partitions>;
