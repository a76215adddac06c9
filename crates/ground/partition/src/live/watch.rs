//! What has changed: out of memory when it is new, else out of the view.

use std::time::Duration;

use super::Shared;
use super::read::{first, parse_group};
use super::tail::Part;
use crate::limits::WATCH_WAIT_MAX;
use crate::view::damaged;
use crate::view::rows::{self, Did, GROUP, Version};
use crate::{Change, Changes, Entry, Error, Seq, What};

impl Shared {
    pub(super) async fn changes(&self, after: Seq, wait: Duration) -> Result<Changes, Error> {
        let deadline = self.env.clock.sleep(wait.min(WATCH_WAIT_MAX));
        let mut deadline = std::pin::pin!(deadline);
        let mut waited = wait.is_zero();
        loop {
            let mut moved = std::pin::pin!(self.moved.notified());
            moved.as_mut().enable();
            self.check()?;
            let durable = self.durable();
            if after < durable {
                return self.told(after, durable).await;
            }
            if after > self.newest() {
                return Err(Error::Future { asked: after, last: durable });
            }
            if waited {
                return Ok(Changes { changes: Vec::new(), upto: after });
            }
            tokio::select! {
                biased;
                () = moved => {}
                () = &mut deadline => waited = true,
            }
        }
    }

    async fn told(&self, after: Seq, durable: Seq) -> Result<Changes, Error> {
        self.state(crate::At::Seq(after)).await?;
        {
            let tail = self.tail();
            if after >= tail.floor() {
                return Ok(tail.part(after, durable));
            }
        }
        let told = self.told_by_view(after, durable).await;
        if told.is_err() {
            // What has left the history meanwhile is no damage.
            self.state(crate::At::Seq(after)).await?;
        }
        told
    }

    async fn told_by_view(&self, after: Seq, durable: Seq) -> Result<Changes, Error> {
        let mut part = Part::new(durable);
        let mut groups =
            self.view.rows(rows::group_key(after.next()), first(GROUP + 1), false).await?;
        while let Some(row) = groups.next().await? {
            let (_, group) = parse_group(&row)?;
            for (seq, did) in group.did {
                if seq <= after || seq > durable {
                    continue;
                }
                if !part.takes(seq) {
                    return Ok(part.done());
                }
                let what = self.what(seq, did).await?;
                part.add(Change { seq, time_ms: group.time_ms, what });
            }
        }
        Ok(part.done())
    }

    async fn what(&self, seq: Seq, did: Did) -> Result<What, Error> {
        Ok(match did {
            Did::Deleted(key) => What::Deleted { key, expired: false },
            Did::Expired(key) => What::Deleted { key, expired: true },
            Did::RangeDeleted(range) => What::RangeDeleted(range),
            Did::Put(key) => {
                let row = rows::version_key(&key, seq);
                let value = self.view.row(&row).await?;
                let version = value.and_then(rows::decode_version);
                let parts = version.and_then(Version::parts);
                let (value, reference, expires_ms) = parts.ok_or_else(|| damaged(&row))?;
                What::Put(Entry { key, value, reference, seq, expires_ms })
            }
        })
    }

    /// A commit after `after` that changed something of which `touches` says so.
    pub(super) async fn changed_since(
        &self,
        after: Seq,
        touches: impl Fn(&What) -> bool,
    ) -> Result<Option<Seq>, Error> {
        let (floor, newest) = {
            let tail = self.tail();
            let found = tail.since(after.max(tail.floor())).find(|change| touches(&change.what));
            if let Some(found) = found {
                return Ok(Some(found.seq));
            }
            (tail.floor(), self.newest())
        };
        let mut at = after;
        while at < floor {
            let part = self.told_by_view(at, floor.min(newest)).await?;
            if let Some(found) = part.changes.iter().find(|change| touches(&change.what)) {
                return Ok(Some(found.seq));
            }
            at = part.upto;
        }
        Ok(None)
    }
}
