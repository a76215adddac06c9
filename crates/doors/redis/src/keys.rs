//! What commands work on: the keys of a namespace, in one transaction.

use std::sync::Arc;

use bytes::Bytes;
use cairn_kv::{Entry, KeyRange, Namespace, Op, Scan, Seq, Transaction, large_size};
use tokio::sync::OwnedSemaphorePermit;

use crate::error::Error;
use crate::limits::{ANSWER_BYTES_MAX, FREE_BYTES, LOOKED_BYTES_MAX};
use crate::work::Place;

/// A place among the connections that hold much.
pub(crate) type Heavy = OwnedSemaphorePermit;

/// The keys as a transaction sees them, at one moment.
pub(crate) struct Keys {
    place: Arc<Place>,
    namespace: Arc<Namespace>,
    transaction: Transaction,
    now_ms: u64,
    /// Bytes of values that were looked at.
    looked: usize,
    /// Bytes of values that are to be answered.
    read: usize,
    heavy: Option<Heavy>,
}

impl Keys {
    pub(crate) async fn begin(
        place: &Arc<Place>,
        namespace: &Arc<Namespace>,
        heavy: Option<Heavy>,
    ) -> Result<Self, Error> {
        let transaction = place.kv.begin(namespace).await?;
        let now_ms = u64::try_from(place.env.clock.wall_ns() / 1_000_000).unwrap_or(0);
        let (place, namespace) = (Arc::clone(place), Arc::clone(namespace));
        Ok(Self { place, namespace, transaction, now_ms, looked: 0, read: 0, heavy })
    }

    /// When this is, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The entry of a key, when it is there and not over.
    pub(crate) async fn entry(&mut self, key: &[u8]) -> Result<Option<Entry>, Error> {
        let found = self.transaction.entry(key).await?;
        self.looked += found.as_ref().map_or(0, |entry| entry.value.len());
        if self.looked > LOOKED_BYTES_MAX {
            return Err(too_many(LOOKED_BYTES_MAX));
        }
        let lives = |entry: &Entry| entry.expires_ms.is_none_or(|end| end > self.now_ms);
        Ok(found.filter(lives))
    }

    /// The value of a key; a large one is an error.
    pub(crate) async fn value(&mut self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        Ok(self.small(key).await?.map(|entry| entry.value))
    }

    /// The entry of a key with its value, to be kept; a large one is an error.
    pub(crate) async fn small(&mut self, key: &[u8]) -> Result<Option<Entry>, Error> {
        let Some(entry) = self.entry(key).await? else { return Ok(None) };
        if let Some(size) = large_size(&entry) {
            let (namespace, key) = (Namespace::clone(&self.namespace), key.to_vec());
            return Err(cairn_kv::Error::Large { namespace, key, size }.into());
        }
        self.read += entry.value.len();
        if self.read > ANSWER_BYTES_MAX {
            return Err(too_many(ANSWER_BYTES_MAX));
        }
        if self.read > FREE_BYTES && self.heavy.is_none() {
            let place = Arc::clone(&self.place.heavy).acquire_owned().await;
            self.heavy = Some(place.map_err(|_| Error::said("the node stops"))?);
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
        Ok(self.transaction.change(Op::Put { key: key.clone(), value, expires_ms })?)
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
        let page = self.place.kv.scan(&self.namespace, &scan).await?;
        let keys = page.entries.into_iter().map(|entry| entry.key).collect();
        Ok((keys, page.next.is_none()))
    }

    /// The namespace that they are of.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// How many changes there are so far.
    pub(crate) fn changes(&self) -> usize {
        self.transaction.changes()
    }

    /// Makes the changes: the commit that has them, if there are any, and the place that is kept as long as what
    /// was read is.
    pub(crate) async fn commit(self) -> Result<(Option<Seq>, Option<Heavy>), Error> {
        let seq = match self.transaction.changes() {
            0 => None,
            _ => Some(self.transaction.commit().await?.seq),
        };
        Ok((seq, self.heavy))
    }
}

fn too_many(bytes: usize) -> Error {
    let max = bytes >> 20;
    Error::said(format_args!("the values have more than {max} MiB: ask for fewer keys at a time"))
}
