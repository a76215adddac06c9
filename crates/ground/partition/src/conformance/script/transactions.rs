use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::oracle::{Shown, Span};
use super::player::{OPEN_MAX, Player, text};
use super::{Act, KEYS, Make, key};
use crate::{Entry, Error, KeyRange, Op, Seq, Transaction};

/// A transaction under way, and what it should be.
pub(super) struct OpenTransaction {
    transaction: Transaction,
    at: Seq,
    /// What it made of each key.
    own: BTreeMap<Bytes, Option<Bytes>>,
    ops: Vec<Op>,
    reads: Vec<KeyRange>,
}

impl Player<'_> {
    pub(super) fn begin(&mut self) -> Result<(), String> {
        let transaction = Transaction::begin(self.partition.clone());
        let at = transaction.at();
        if at != self.oracle.newest() && at != self.partition.status().durable {
            return Err(format!("it begins at {at}"));
        }
        if self.transactions.len() == OPEN_MAX {
            self.transactions.remove(0);
        }
        let (own, ops, reads) = (BTreeMap::new(), Vec::new(), Vec::new());
        self.transactions.push(OpenTransaction { transaction, at, own, ops, reads });
        Ok(())
    }

    pub(super) async fn act(&mut self, which: u8, act: &Act) -> Result<(), String> {
        if self.transactions.is_empty() {
            return Ok(());
        }
        let mut open = self.transactions.swap_remove(usize::from(which) % self.transactions.len());
        let stays = match act {
            Act::Get(number) => self.read(&mut open, key(*number)).await?,
            Act::Scan(from, to, limit) => {
                self.read_range(&mut open, super::range(*from, *to), (*limit).into()).await?
            }
            Act::Make(make) => open.make(make)?,
            Act::Commit => return self.end(open).await,
        };
        if stays {
            self.transactions.push(open);
        }
        Ok(())
    }

    /// `Ok(false)`: its state is forgotten.
    fn lives(&self, open: &OpenTransaction, error: Option<&Error>) -> Result<bool, String> {
        match error {
            None => Ok(true),
            Some(Error::Gone { .. }) if self.may_be_gone(open.at) => Ok(false),
            Some(error) => Err(error.to_string()),
        }
    }

    async fn read(&self, open: &mut OpenTransaction, key: Bytes) -> Result<bool, String> {
        let before_ms = self.now_ms();
        let found = open.transaction.get(&key).await;
        let span = Span { before_ms, after_ms: self.now_ms() };
        if !self.lives(open, found.as_ref().err())? {
            return Ok(false);
        }
        let found = found.map_err(text)?;
        if let Some(own) = open.own.get(&key) {
            let same = *own == found;
            return if same {
                Ok(true)
            } else {
                Err(format!("{found:?} instead of its own {own:?}"))
            };
        }
        let range = KeyRange::one(&key);
        let view = self.oracle.view(open.at, self.is_newest(open.at), &range, span);
        let good = match view.first() {
            None | Some((_, Shown::No)) => found.is_none(),
            Some((entry, Shown::Yes)) => found.as_ref() == Some(&entry.value),
            Some((entry, Shown::Either)) => found.is_none_or(|found| found == entry.value),
        };
        open.reads.push(range);
        if good { Ok(true) } else { Err(format!("it reads something else than {view:?}")) }
    }

    fn is_newest(&self, at: Seq) -> bool {
        at == self.oracle.newest() && at == self.partition.status().newest
    }

    async fn read_range(
        &self,
        open: &mut OpenTransaction,
        range: KeyRange,
        limit: usize,
    ) -> Result<bool, String> {
        let before_ms = self.now_ms();
        let found = open.transaction.scan(&range, limit).await;
        let span = Span { before_ms, after_ms: self.now_ms() };
        if !self.lives(open, found.as_ref().err())? {
            return Ok(false);
        }
        let found: Vec<(Bytes, Bytes)> =
            found.map_err(text)?.into_iter().map(|entry| (entry.key, entry.value)).collect();
        let view = self.oracle.view(open.at, self.is_newest(open.at), &range, span);
        let mut expected: BTreeMap<Bytes, (Bytes, Shown)> = view
            .into_iter()
            .map(|(Entry { key, value, .. }, shown)| (key, (value, shown)))
            .collect();
        for (key, own) in open.own.iter().filter(|(key, _)| range.contains(key)) {
            match own {
                Some(value) => drop(expected.insert(key.clone(), (value.clone(), Shown::Yes))),
                None => drop(expected.remove(key)),
            }
        }
        let unsure = expected.values().any(|(_, shown)| *shown == Shown::Either);
        expected.retain(|_, (_, shown)| *shown != Shown::No);
        let sure: Vec<(Bytes, Bytes)> =
            expected.into_iter().map(|(key, (value, _))| (key, value)).take(limit).collect();
        open.reads.push(range);
        if unsure || sure == found {
            Ok(true)
        } else {
            Err(format!("it reads {found:?} instead of {sure:?}"))
        }
    }

    async fn end(&mut self, open: OpenTransaction) -> Result<(), String> {
        let OpenTransaction { transaction, at, ops, reads, .. } = open;
        let before_ms = self.now_ms();
        let made = transaction.commit().await;
        let span = Span { before_ms, after_ms: self.now_ms() };
        if ops.is_empty() {
            let seq = made.map_err(text)?.seq;
            return if seq == at { Ok(()) } else { Err(format!("it only read {at}, not {seq}")) };
        }
        let (must, may) = self.oracle.conflict(at, &reads, span.after_ms);
        let gone = self.may_be_gone(at);
        match made {
            Err(Error::Conflict { .. }) if may => Ok(()),
            Err(Error::Gone { .. }) if gone => Ok(()),
            Ok(_) if must => Err("it was made although what it read has changed".to_owned()),
            made => self.made(made, &ops, span).await,
        }
    }
}

impl OpenTransaction {
    fn make(&mut self, make: &Make) -> Result<bool, String> {
        let op = match make.op(0) {
            Op::Put { key, value, .. } | Op::Refer { key, reference: value, .. } => {
                self.transaction.put(key.clone(), value.clone()).map_err(text)?;
                self.own.insert(key.clone(), Some(value.clone()));
                Op::Put { key, value, expires_ms: None }
            }
            Op::Delete { key } => {
                self.transaction.delete(key.clone()).map_err(text)?;
                self.own.insert(key.clone(), None);
                Op::Delete { key }
            }
            Op::DeleteRange(range) => {
                self.transaction.delete_range(range.clone()).map_err(text)?;
                let keys = KEYS.iter().map(|key| Bytes::from_static(key));
                self.own.extend(keys.filter(|key| range.contains(key)).map(|key| (key, None)));
                Op::DeleteRange(range)
            }
        };
        self.ops.push(op);
        Ok(true)
    }
}
