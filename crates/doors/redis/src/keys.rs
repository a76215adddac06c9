//! What commands work on: the keys of a namespace, in one transaction.

use bytes::Bytes;
use cairn_kv::{Entry, KeyRange, Kv, Namespace, Op, Scan, Seq, Transaction, large_size};

use crate::error::Error;
use crate::limits::ANSWER_BYTES_MAX;

/// The keys as a transaction sees them, at one moment.
pub(crate) struct Keys {
    kv: Kv,
    namespace: Namespace,
    transaction: Transaction,
    now_ms: u64,
    /// Bytes that were read.
    read: usize,
}

impl Keys {
    pub(crate) async fn begin(kv: &Kv, namespace: &Namespace, now_ms: u64) -> Result<Self, Error> {
        let transaction = kv.begin(namespace).await?;
        Ok(Self { kv: kv.clone(), namespace: namespace.clone(), transaction, now_ms, read: 0 })
    }

    /// When this is, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The entry of a key, when it is there and not over.
    pub(crate) async fn entry(&mut self, key: &[u8]) -> Result<Option<Entry>, Error> {
        let found = self.transaction.entry(key).await?;
        let lives = |entry: &Entry| entry.expires_ms.is_none_or(|end| end > self.now_ms);
        Ok(found.filter(lives))
    }

    /// The value of a key; a large one is an error.
    pub(crate) async fn value(&mut self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.small(key).await?.map(|entry| entry.value))
    }

    /// The entry of a key with its value; a large one is an error.
    pub(crate) async fn small(&mut self, key: &[u8]) -> Result<Option<Entry>, Error> {
        let Some(entry) = self.entry(key).await? else { return Ok(None) };
        if let Some(size) = large_size(&entry) {
            let (namespace, key) = (self.namespace.clone(), key.to_vec());
            return Err(cairn_kv::Error::Large { namespace, key, size }.into());
        }
        self.read += entry.value.len();
        if self.read > ANSWER_BYTES_MAX {
            let why = format!("the values have more than {} MiB", ANSWER_BYTES_MAX >> 20);
            return Err(Error::said(format_args!("{why}: ask for fewer keys at a time")));
        }
        Ok(Some(entry))
    }

    /// The commit that wrote a key last, when it is there.
    pub(crate) async fn seq(&mut self, key: &[u8]) -> Result<Option<Seq>, Error> {
        Ok(self.entry(key).await?.map(|entry| entry.seq))
    }

    pub(crate) fn put(
        &mut self,
        key: &Bytes,
        value: Bytes,
        expires_ms: Option<u64>,
    ) -> Result<(), Error> {
        let (key, value) = (key.clone(), value);
        Ok(self.transaction.change(Op::Put { key, value, expires_ms })?)
    }

    /// Gives an entry another end.
    pub(crate) fn set_end(&mut self, entry: Entry, expires_ms: Option<u64>) -> Result<(), Error> {
        let Entry { key, value, reference, .. } = entry;
        Ok(self.transaction.change(match reference {
            None => Op::Put { key, value, expires_ms },
            Some(reference) => Op::Refer { key, reference, expires_ms },
        })?)
    }

    pub(crate) fn delete(&mut self, key: &Bytes) -> Result<(), Error> {
        Ok(self.transaction.delete(key.clone())?)
    }

    pub(crate) fn delete_all(&mut self) -> Result<(), Error> {
        Ok(self.transaction.delete_range(KeyRange::all())?)
    }

    /// Keys of the present, some of `range` from its beginning; `true` when there are no more. Outside of the
    /// transaction: nothing depends on them.
    pub(crate) async fn some_of(
        &self,
        range: KeyRange,
        limit: usize,
    ) -> Result<(Vec<Bytes>, bool), Error> {
        let scan = Scan { limit, keys_only: true, ..Scan::of(range) };
        let page = self.kv.scan(&self.namespace, &scan).await?;
        let keys = page.entries.into_iter().map(|entry| entry.key).collect();
        Ok((keys, page.next.is_none()))
    }

    /// The namespace that they are of.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Makes the changes, if there are any: the commit that has them.
    pub(crate) async fn commit(self) -> Result<Option<Seq>, Error> {
        if !self.transaction.changes() {
            return Ok(None);
        }
        Ok(Some(self.transaction.commit().await?.seq))
    }
}
