//! Transactions: snapshot reads, changes that are kept back, one commit at the end that fails when
//! anything that was read has changed. Serialisable: neither write skew nor phantoms.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::commit::check_key;
use crate::error::at_most;
use crate::limits::{COMMIT_OPS_MAX, READS_MAX};
use crate::{AnyPartition, At, Commit, Committed, Entry, Error, KeyRange, Op, Reads, Scan, Seq};

/// A transaction under way. Dropping it leaves everything as it was.
pub struct Transaction {
    partition: AnyPartition,
    reads: Reads,
    ops: Vec<Op>,
    /// The change that counts for a key, after deleted ranges.
    own: BTreeMap<Bytes, Option<(Bytes, Option<u64>)>>,
    deleted: Vec<KeyRange>,
}

impl Transaction {
    /// Begins at what is acknowledged now.
    #[must_use]
    pub fn begin(partition: AnyPartition) -> Self {
        let reads = Reads { at: partition.status().durable, ..Reads::default() };
        Self { partition, reads, ops: Vec::new(), own: BTreeMap::new(), deleted: Vec::new() }
    }

    /// The state that is read.
    #[must_use]
    pub fn at(&self) -> Seq {
        self.reads.at
    }

    /// The value of `key`, as this transaction has it.
    ///
    /// # Errors
    /// As [`crate::Partition::get`]; [`Error::TooLarge`] after too many reads.
    pub async fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        check_key(key)?;
        if let Some(own) = self.own.get(key) {
            return Ok(own.as_ref().map(|(value, _)| value.clone()));
        }
        if self.deleted.iter().any(|range| range.contains(key)) {
            return Ok(None);
        }
        self.may_read()?;
        self.reads.keys.push(Bytes::copy_from_slice(key));
        let found = self.partition.get(key, At::Seq(self.reads.at)).await?;
        Ok(found.map(|entry| entry.value))
    }

    /// At most `limit` entries of `range` in order, as this transaction has them. Own ones have the
    /// transaction's state as their position.
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub async fn scan(&mut self, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, Error> {
        range.check()?;
        self.may_read()?;
        let mut scan = Scan::of(range.clone());
        scan.at = At::Seq(self.reads.at);
        let mut found = BTreeMap::new();
        loop {
            let page = self.partition.scan(&scan).await?;
            let hidden = |entry: &Entry| self.deleted.iter().any(|one| one.contains(&entry.key));
            let seen = page.entries.into_iter().filter(|entry| !hidden(entry));
            found.extend(seen.map(|entry| (entry.key.clone(), entry)));
            // What is deleted here takes places of what was found.
            if page.next.is_none() || found.len() >= limit.saturating_add(self.own.len()) {
                break;
            }
            scan.cursor = page.next;
        }
        self.reads.ranges.push(range.clone());
        self.overlay(range, &mut found);
        Ok(found.into_values().take(limit).collect())
    }

    fn overlay(&self, range: &KeyRange, found: &mut BTreeMap<Bytes, Entry>) {
        if range.is_empty() {
            return;
        }
        for (key, own) in self.own.range(range.bounds()) {
            match own.clone() {
                None => drop(found.remove(key)),
                Some((value, expires_ms)) => {
                    let (key, seq, reference) = (key.clone(), self.reads.at, None);
                    let entry = Entry { key: key.clone(), value, reference, seq, expires_ms };
                    found.insert(key, entry);
                }
            }
        }
    }

    /// Gives a key a value, when the transaction commits.
    ///
    /// # Errors
    /// [`Error::TooLarge`] after too many changes.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<(), Error> {
        let (key, value) = (key.into(), value.into());
        self.change(Op::Put { key: key.clone(), value: value.clone(), expires_ms: None })?;
        self.own.insert(key, Some((value, None)));
        Ok(())
    }

    /// Removes a key, when the transaction commits.
    ///
    /// # Errors
    /// [`Error::TooLarge`] after too many changes.
    pub fn delete(&mut self, key: impl Into<Bytes>) -> Result<(), Error> {
        let key = key.into();
        self.change(Op::Delete { key: key.clone() })?;
        self.own.insert(key, None);
        Ok(())
    }

    /// Removes a range, when the transaction commits.
    ///
    /// # Errors
    /// [`Error::TooLarge`] after too many changes.
    pub fn delete_range(&mut self, range: KeyRange) -> Result<(), Error> {
        self.change(Op::DeleteRange(range.clone()))?;
        self.own.retain(|key, _| !range.contains(key));
        self.deleted.push(range);
        Ok(())
    }

    /// Makes the changes, if nothing that was read has changed.
    ///
    /// # Errors
    /// [`Error::Conflict`]: nothing was changed, and the transaction may be tried again from its
    /// beginning. Others as [`crate::Partition::commit`].
    pub async fn commit(self) -> Result<Committed, Error> {
        if self.ops.is_empty() {
            // Its reads are of one state.
            return Ok(Committed { seq: self.reads.at });
        }
        let commit = Commit { ops: self.ops, reads: Some(self.reads), ..Commit::default() };
        self.partition.commit(commit).await
    }

    fn change(&mut self, op: Op) -> Result<(), Error> {
        at_most("the transaction", self.ops.len() + 1, COMMIT_OPS_MAX, "changes")?;
        self.ops.push(op);
        Ok(())
    }

    fn may_read(&self) -> Result<(), Error> {
        let reads = self.reads.keys.len() + self.reads.ranges.len() + 1;
        at_most("the transaction", reads, READS_MAX, "reads")
    }
}
