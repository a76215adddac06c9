//! A batch in the making: commits that are checked one after the other against all before them, and
//! written together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use slatedb::WriteBatch;

use super::Shared;
use super::acknowledge::{Waiting, Written};
use super::ranges::RANGES_MAX;
use super::read::State;
use super::sequencer::{Request, Waiter};
use crate::view::rows::{self, Did, Group, Version};
use crate::{
    Change, Commit, Committed, Condition, Durable, Entry, Error, KeyRange, Op, Reads, Seq, What,
};

pub(super) struct Batch {
    pub(super) shared: Arc<Shared>,
    pub(super) now_ms: u64,
    rows: WriteBatch,
    last: Seq,
    group: Group,
    changes: Vec<Change>,
    /// What the commits of this batch made of keys, when one of them has conditions.
    overlay: Option<BTreeMap<Bytes, Option<Seq>>>,
    next_end_ms: u64,
    /// Who waits for the batch, what he is told, and at which level.
    waiters: Vec<Waiting>,
}

impl Batch {
    pub(super) fn begin(shared: &Arc<Shared>) -> Self {
        let now_ms = shared.now_ms();
        Self {
            shared: Arc::clone(shared),
            now_ms,
            rows: WriteBatch::new(),
            last: shared.newest(),
            group: Group { time_ms: now_ms, ..Group::default() },
            changes: Vec::new(),
            overlay: None,
            next_end_ms: shared.next_end_ms.load(Ordering::Acquire),
            waiters: Vec::new(),
        }
    }

    /// Prepares for these commits.
    pub(super) fn expect(&mut self, requests: &[Request]) {
        let checks = |request: &Request| {
            let commit = &request.commit;
            let ranged = commit.ops.iter().any(|op| matches!(op, Op::DeleteRange(_)));
            !commit.conditions.is_empty() || commit.reads.is_some() || ranged
        };
        if self.overlay.is_none() && requests.iter().any(checks) {
            let changed = self.changes.iter().filter_map(|change| match &change.what {
                What::Deleted { key, .. } => Some((key.clone(), None)),
                _ => None,
            });
            self.overlay = Some(changed.collect());
        }
    }

    /// Adds a commit, or tells its caller why not.
    ///
    /// # Errors
    /// Only when the partition cannot go on.
    pub(super) async fn add(&mut self, request: Request) -> Result<(), Error> {
        if let Err(why) = self.check(&request.commit).await {
            // What it was checked against is acknowledged first: who is refused must find it.
            let refused = matches!(
                why,
                Error::Condition { .. }
                    | Error::Conflict { .. }
                    | Error::Gone { .. }
                    | Error::Future { .. }
                    | Error::Busy { .. }
            );
            self.waiters.push((request.waiter, Err(why.clone()), Durable::Log));
            return if refused { Ok(()) } else { Err(why) };
        }
        let Commit { ops, durable, .. } = request.commit;
        if !ops.is_empty() {
            let seq = self.next_seq();
            ops.into_iter().for_each(|op| self.apply(seq, op));
        }
        let durable = durable.unwrap_or_default();
        self.waiters.push((request.waiter, Ok(Committed { seq: self.last }), durable));
        Ok(())
    }

    pub(super) fn next_seq(&mut self) -> Seq {
        self.last = self.last.next();
        self.group.commits += 1;
        self.last
    }

    async fn check(&self, commit: &Commit) -> Result<(), Error> {
        let ranges = commit.ops.iter().filter(|op| matches!(op, Op::DeleteRange(_))).count();
        if ranges > 0 && ranges + self.shared.ranges.len() > RANGES_MAX {
            let why = format!("{RANGES_MAX} deleted ranges wait for being swept: try again later");
            return Err(Error::Busy { why });
        }
        for Condition { key, expected } in &commit.conditions {
            let found = self.current(key).await?;
            if found != *expected {
                let (key, expected) = (key.to_vec(), *expected);
                return Err(Error::Condition { key, expected, found });
            }
        }
        match &commit.reads {
            Some(reads) => self.check_reads(reads).await,
            None => Ok(()),
        }
    }

    /// Which commit wrote what `key` is now.
    pub(super) async fn current(&self, key: &[u8]) -> Result<Option<Seq>, Error> {
        if let Some(found) = self.overlay.as_ref().and_then(|overlay| overlay.get(key)) {
            return Ok(*found);
        }
        let state = State { at: Seq(u64::MAX), over_ms: Some(self.now_ms) };
        Ok(self.shared.entry(key, state).await?.map(|entry| entry.seq))
    }

    /// Which commit wrote the value that `key` has, be it over or not.
    pub(super) async fn written_by(&self, key: &[u8]) -> Result<Option<Seq>, Error> {
        let state = State { at: Seq(u64::MAX), over_ms: None };
        Ok(self.shared.entry(key, state).await?.map(|entry| entry.seq))
    }

    async fn check_reads(&self, reads: &Reads) -> Result<(), Error> {
        if reads.at > self.shared.newest() {
            return Err(Error::Future { asked: reads.at, last: self.shared.durable() });
        }
        if reads.at < self.shared.horizon.get() {
            return Err(Error::Gone { asked: reads.at, oldest: self.shared.horizon.get() });
        }
        let keys: BTreeSet<&Bytes> = reads.keys.iter().collect();
        let touches = |what: &What| match what {
            What::Put(Entry { key, .. }) | What::Deleted { key, .. } => {
                keys.contains(key) || reads.ranges.iter().any(|range| range.contains(key))
            }
            What::RangeDeleted(deleted) => {
                keys.iter().any(|key| deleted.contains(key))
                    || reads.ranges.iter().any(|range| overlap(range, deleted))
            }
        };
        let here = self.changes.iter().find(|change| touches(&change.what)).map(|one| one.seq);
        let by = match here {
            Some(by) => Some(by),
            None => self.shared.changed_since(reads.at, touches).await?,
        };
        by.map_or(Ok(()), |by| Err(Error::Conflict { by }))
    }

    fn apply(&mut self, seq: Seq, op: Op) {
        match op {
            Op::Put { key, value, expires_ms } => {
                self.put(seq, key, Version::Value { value, expires_ms });
            }
            Op::Refer { key, reference, expires_ms } => {
                self.put(seq, key, Version::Reference { reference, expires_ms });
            }
            Op::Delete { key } => self.delete(seq, key, false),
            Op::DeleteRange(range) => self.delete_range(seq, range),
        }
    }

    fn put(&mut self, seq: Seq, key: Bytes, version: Version) {
        self.version(&key, seq, &version, Some(seq));
        let Some((value, reference, expires_ms)) = version.parts() else { return };
        if let Some(ms) = expires_ms {
            self.rows.put_bytes(rows::end_key(ms, seq, &key), Bytes::new());
            self.next_end_ms = self.next_end_ms.min(ms);
        }
        let entry = Entry { key: key.clone(), value, reference, seq, expires_ms };
        self.did(seq, Did::Put(key), What::Put(entry));
    }

    pub(super) fn delete(&mut self, seq: Seq, key: Bytes, expired: bool) {
        self.version(&key, seq, &Version::Gone, None);
        let did = if expired { Did::Expired(key.clone()) } else { Did::Deleted(key.clone()) };
        self.did(seq, did, What::Deleted { key, expired });
    }

    fn delete_range(&mut self, seq: Seq, range: KeyRange) {
        if let Some(overlay) = &mut self.overlay {
            let within = overlay.iter_mut().filter(|(key, _)| range.contains(key));
            within.for_each(|(_, found)| *found = None);
        }
        self.rows.put_bytes(rows::seq_key_of_range(seq, &range), rows::encode_range(&range).into());
        self.shared.ranges.add(seq, range.clone());
        self.did(seq, Did::RangeDeleted(range.clone()), What::RangeDeleted(range));
    }

    fn version(&mut self, key: &Bytes, seq: Seq, version: &Version, now: Option<Seq>) {
        self.rows.put_bytes(rows::version_key(key, seq), rows::encode_version(version));
        if let Some(overlay) = &mut self.overlay {
            overlay.insert(key.clone(), now);
        }
    }

    fn did(&mut self, seq: Seq, did: Did, what: What) {
        self.group.did.push((seq, did));
        self.changes.push(Change { seq, time_ms: self.now_ms, what });
    }

    /// The end of an entry that was dealt with.
    pub(super) fn forget_end(&mut self, row: &Bytes) {
        self.rows.delete(row);
    }

    /// When the next entry is over, after these changes.
    pub(super) fn ends_next(&mut self, ms: u64) {
        self.next_end_ms = ms;
    }

    /// Writes all of it. `None` when there is nothing to wait for.
    pub(super) async fn write(self) -> Result<Option<Written>, Error> {
        let Self { shared, mut rows, last, group, changes, next_end_ms, waiters, .. } = self;
        shared.next_end_ms.store(next_end_ms, Ordering::Release);
        if rows.is_empty() {
            return Ok(Written::nothing(&shared, waiters));
        }
        if group.commits > 0 {
            rows.put_bytes(rows::group_key(last), rows::encode_group(&group, last).into());
        }
        for change in &changes {
            if let What::Put(Entry { key, .. }) | What::Deleted { key, .. } = &change.what {
                shared.warm.touch(key, change.seq);
            }
        }
        let slate_seq = match shared.view.write(rows).await {
            Ok(slate_seq) => slate_seq,
            Err(why) => {
                // The log may have taken it before that.
                let doubt = why.in_doubt();
                waiters.into_iter().for_each(|(waiter, ..)| answer(waiter, Err(doubt.clone())));
                return Err(why);
            }
        };
        shared.tail().push(changes);
        shared.newest.store(last.0, Ordering::Release);
        Ok(Some(Written { slate_seq, last: Some(last), waiters, settled: None }))
    }
}

fn overlap(one: &KeyRange, two: &KeyRange) -> bool {
    let before = |one: &KeyRange, two: &KeyRange| one.to.as_ref().is_some_and(|to| *to <= two.from);
    !one.is_empty() && !two.is_empty() && !before(one, two) && !before(two, one)
}

/// Whoever asked may be gone.
pub(super) fn answer(waiter: Waiter, answer: Result<Committed, Error>) {
    drop(waiter.send(answer));
}
