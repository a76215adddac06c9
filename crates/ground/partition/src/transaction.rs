//! Transactions: snapshot reads, changes that are kept back, one commit at the end that fails when
//! anything that was read has changed. Serialisable: neither write skew nor phantoms.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::commit::check_key;
use crate::error::at_most;
use crate::limits::{COMMIT_BYTES_MAX, COMMIT_OPS_MAX, READS_MAX};
use crate::{
    AnyPartition, At, Commit, Committed, Durable, Entry, Error, KeyRange, Op, Reads, Scan, Seq,
};

/// A transaction under way. Dropping it leaves everything as it was.
pub struct Transaction {
    partition: AnyPartition,
    reads: Reads,
    ops: Vec<Op>,
    /// Of the changes.
    bytes: usize,
    /// What a key is by the changes so far, after deleted ranges.
    own: BTreeMap<Bytes, Option<Entry>>,
    deleted: Vec<KeyRange>,
}

impl Transaction {
    /// Begins at what is acknowledged now.
    #[must_use]
    pub fn begin(partition: AnyPartition) -> Self {
        let reads = Reads { at: partition.status().durable, ..Reads::default() };
        let (ops, own, deleted) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { partition, reads, ops, bytes: 0, own, deleted }
    }

    /// The state that is read.
    #[must_use]
    pub fn at(&self) -> Seq {
        self.reads.at
    }

    /// The value of `key`, as this transaction has it.
    ///
    /// # Errors
    /// As [`Transaction::entry`].
    pub async fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.entry(key).await?.map(|entry| entry.value))
    }

    /// The entry of `key`, as this transaction has it. An own one has the transaction's state as its position.
    /// One whose time is over may still be here, as in every state of the past.
    ///
    /// # Errors
    /// As [`crate::Partition::get`]; [`Error::TooLarge`] after too many reads.
    pub async fn entry(&mut self, key: &[u8]) -> Result<Option<Entry>, Error> {
        check_key(key)?;
        if let Some(own) = self.own.get(key) {
            return Ok(own.clone());
        }
        if self.deleted.iter().any(|range| range.contains(key)) {
            return Ok(None);
        }
        self.may_read()?;
        self.reads.keys.push(Bytes::copy_from_slice(key));
        // As long as it is the present that is read, what is at hand of the present will do.
        let present = || self.partition.status().durable == self.reads.at;
        if present() {
            let found = self.partition.get(key, At::Durable).await?;
            if present() {
                return Ok(found);
            }
        }
        self.partition.get(key, At::Seq(self.reads.at)).await
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
                Some(entry) => drop(found.insert(key.clone(), entry)),
            }
        }
    }

    /// Gives a key a value, when the transaction commits.
    ///
    /// # Errors
    /// [`Error::TooLarge`] after too many changes.
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Result<(), Error> {
        self.change(Op::Put { key: key.into(), value: value.into(), expires_ms: None })
    }

    /// Removes a key, when the transaction commits.
    ///
    /// # Errors
    /// [`Error::TooLarge`] after too many changes.
    pub fn delete(&mut self, key: impl Into<Bytes>) -> Result<(), Error> {
        self.change(Op::Delete { key: key.into() })
    }

    /// Removes a range, when the transaction commits.
    ///
    /// # Errors
    /// [`Error::TooLarge`] after too many changes.
    pub fn delete_range(&mut self, range: KeyRange) -> Result<(), Error> {
        self.change(Op::DeleteRange(range))
    }

    /// Makes this change, when the transaction commits.
    ///
    /// # Errors
    /// [`Error::EmptyKey`], and [`Error::TooLarge`] also after too many changes: the transaction is as it was
    /// before.
    pub fn change(&mut self, op: Op) -> Result<(), Error> {
        op.check()?;
        at_most("the transaction", self.ops.len() + 1, COMMIT_OPS_MAX, "changes")?;
        let bytes = self.bytes.saturating_add(op.bytes());
        at_most("the transaction", bytes, COMMIT_BYTES_MAX, "bytes")?;
        self.bytes = bytes;
        self.ops.push(op.clone());
        let seq = self.reads.at;
        let entry = |key, value, reference, expires_ms| {
            Some(Entry { key, value, reference, seq, expires_ms })
        };
        let (key, own) = match op {
            Op::Put { key, value, expires_ms } => {
                (key.clone(), entry(key, value, None, expires_ms))
            }
            Op::Refer { key, reference, expires_ms } => {
                (key.clone(), entry(key, Bytes::new(), Some(reference), expires_ms))
            }
            Op::Delete { key } => (key, None),
            Op::DeleteRange(range) => {
                self.own.retain(|key, _| !range.contains(key));
                self.deleted.push(range);
                return Ok(());
            }
        };
        self.own.insert(key, own);
        Ok(())
    }

    /// How many changes it has.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.ops.len()
    }

    /// Makes the changes, if nothing that was read has changed.
    ///
    /// # Errors
    /// [`Error::Conflict`]: nothing was changed, and the transaction may be tried again from its
    /// beginning. Others as [`crate::Partition::commit`].
    pub async fn commit(self) -> Result<Committed, Error> {
        self.commit_at(None).await
    }

    /// As [`Transaction::commit`], durable at least at this level.
    ///
    /// # Errors
    /// As [`Transaction::commit`].
    pub async fn commit_at(self, durable: Option<Durable>) -> Result<Committed, Error> {
        if self.ops.is_empty() {
            // Its reads are of one state.
            return Ok(Committed { seq: self.reads.at });
        }
        // What read nothing depends on no state.
        let reads = self.may_conflict().then_some(self.reads);
        let commit = Commit { ops: self.ops, reads, durable, ..Commit::default() };
        self.partition.commit(commit).await
    }

    fn may_conflict(&self) -> bool {
        !self.reads.keys.is_empty() || !self.reads.ranges.is_empty()
    }

    fn may_read(&self) -> Result<(), Error> {
        let reads = self.reads.keys.len() + self.reads.ranges.len() + 1;
        at_most("the transaction", reads, READS_MAX, "reads")
    }
}
