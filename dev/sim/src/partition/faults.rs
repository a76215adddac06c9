//! A partition that is slow and whose answers get lost, around one that is not; and lies, which the
//! checkers must see through.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cairn_env::{Env, Rng as _, SeededRng};
use cairn_partition::{
    AnyPartition, At, Changes, Commit, Committed, Entry, Error, Name, Page, Partition, Scan, Seq,
    Status,
};

use crate::trees::{below, one_in};

/// How a partition breaks its promises. For tests of the checkers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// A read of what is acknowledged shows an older state.
    StaleRead,
    /// A scan of what is acknowledged shows an older state.
    StaleScan,
    /// A commit is acknowledged and not made.
    LostCommit,
    /// The last change of a commit is not made.
    TornCommit,
    /// A commit is made twice.
    DoubleCommit,
    /// Conditions are not looked at.
    NoConditions,
    /// What a transaction has read is not looked at.
    NoConflicts,
    /// A commit that was refused is made all the same.
    RefusedIsMade,
    /// A watch leaves out a change.
    SkippedChange,
    /// A watch tells a change twice.
    DoubleChange,
}

/// Answers that take up to this long, twice.
const DELAY_MS_MAX: usize = 40;
/// A commit that is made after its caller has gone on is made within this time.
const LATE_MS_MAX: usize = 3000;
/// One in so many operations has a fault, or a lie.
const RARE: u64 = 30;

/// A slow partition whose answers get lost.
pub struct Unsure {
    inner: AnyPartition,
    env: Env,
    rng: SeededRng,
    lie: Option<Lie>,
}

impl Unsure {
    /// Around another one.
    #[must_use]
    pub fn new(inner: AnyPartition, env: &Env, seed: u64, lie: Option<Lie>) -> Self {
        Self { inner, env: env.clone(), rng: SeededRng::new(seed), lie }
    }

    async fn delay(&self) {
        let ms = below(&self.rng, DELAY_MS_MAX) as u64;
        self.env.clock.sleep(Duration::from_millis(ms)).await;
    }

    fn lies(&self, lie: Lie) -> bool {
        self.lie == Some(lie) && one_in(&self.rng, 10)
    }

    fn busy(&self) -> Result<(), Error> {
        let busy = || Error::Busy { why: "it was told to be busy".to_owned() };
        if one_in(&self.rng, RARE) { Err(busy()) } else { Ok(()) }
    }

    /// The state that is read instead of what is acknowledged.
    fn older(&self, at: At, lie: Lie) -> At {
        if at == At::Durable && self.lies(lie) {
            let back = 1 + below(&self.rng, 3) as u64;
            return At::Seq(Seq(self.inner.status().durable.0.saturating_sub(back)));
        }
        at
    }

    async fn make(&self, mut commit: Commit) -> Result<Committed, Error> {
        if self.lies(Lie::LostCommit) {
            return Ok(Committed { seq: self.inner.status().newest });
        }
        if self.lies(Lie::TornCommit) && commit.ops.len() > 1 {
            commit.ops.pop();
        }
        if self.lies(Lie::NoConditions) {
            commit.conditions.clear();
        }
        if self.lies(Lie::NoConflicts) {
            commit.reads = None;
        }
        if self.lies(Lie::DoubleCommit) {
            self.inner.commit(commit.clone()).await?;
            commit.conditions.clear();
            commit.reads = None;
        }
        let again = self.lies(Lie::RefusedIsMade).then(|| commit.clone());
        let made = self.inner.commit(commit).await;
        if let (Err(Error::Condition { .. } | Error::Conflict { .. }), Some(again)) = (&made, again)
        {
            let blind = Commit { ops: again.ops, ..Commit::default() };
            self.inner.commit(blind).await?;
        }
        made
    }

    fn make_later(&self, commit: Commit) {
        let (inner, clock) = (Arc::clone(&self.inner), Arc::clone(&self.env.clock));
        let late = Duration::from_millis(below(&self.rng, LATE_MS_MAX) as u64);
        self.env.spawn.task(Box::pin(async move {
            clock.sleep(late).await;
            // Nobody waits for it any more.
            drop(inner.commit(commit).await);
        }));
    }
}

fn lost() -> Error {
    Error::InDoubt { why: "the answer was lost".to_owned() }
}

#[async_trait]
impl Partition for Unsure {
    fn name(&self) -> &Name {
        self.inner.name()
    }

    fn status(&self) -> Status {
        self.inner.status()
    }

    async fn get(&self, key: &[u8], at: At) -> Result<Option<Entry>, Error> {
        self.delay().await;
        self.busy()?;
        let found = self.inner.get(key, self.older(at, Lie::StaleRead)).await;
        self.delay().await;
        found
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, Error> {
        self.delay().await;
        self.busy()?;
        let scan = Scan { at: self.older(scan.at, Lie::StaleScan), ..scan.clone() };
        let page = self.inner.scan(&scan).await;
        self.delay().await;
        page
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, Error> {
        self.delay().await;
        self.busy()?;
        match self.rng.next_u64() % RARE {
            0 => Err(lost()),
            1 => {
                self.make_later(commit);
                Err(lost())
            }
            2 => self.make(commit).await.and(Err(lost())),
            _ => {
                let made = self.make(commit).await;
                self.delay().await;
                made
            }
        }
    }

    async fn changes(&self, after: Seq, wait: Duration) -> Result<Changes, Error> {
        self.busy()?;
        let mut found = self.inner.changes(after, wait).await?;
        self.delay().await;
        if self.lies(Lie::SkippedChange) {
            found.changes.pop();
        }
        if self.lies(Lie::DoubleChange) {
            found.changes.extend(found.changes.last().cloned());
        }
        Ok(found)
    }

    async fn seq_at(&self, time_ms: u64) -> Result<Seq, Error> {
        self.inner.seq_at(time_ms).await
    }
}
