//! The objects of the log.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_bucket::{Bucket, Seal};
use cairn_env::Env;

use crate::error::Error;
use crate::segment::{Hash, Malformed, SEQ_MAX, Segment};

/// What the keys of all segments begin with.
pub const PREFIX: &str = "audit";

/// The objects of one level, as bits of a number: a directory of a local bucket stays small.
const LEVEL_BITS: u32 = 12;
const LEVEL_MASK: u64 = (1 << LEVEL_BITS) - 1;

/// The audit log of a bucket, to read. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    pub(crate) bucket: Bucket,
    pub(crate) env: Env,
    pub(crate) seal: Arc<dyn Seal>,
}

/// What stands at a number.
pub(crate) enum Found {
    /// Nothing.
    Missing,
    /// A segment of this number, and its hash.
    Segment(Box<Segment>, Hash),
    /// Something else.
    Damaged {
        /// The hash of the object as it lies in the bucket.
        stored: Hash,
        /// What is wrong with it.
        detail: String,
    },
}

/// The key of a segment: of fixed width, so that names are in the order of numbers.
pub(crate) fn key(seq: u64) -> String {
    format!("{PREFIX}/{:013x}/{:03x}", seq >> LEVEL_BITS, seq & LEVEL_MASK)
}

/// The number that a key is of.
pub(crate) fn seq_of(found: &str) -> Option<u64> {
    let (high, low) = found.strip_prefix(PREFIX)?.strip_prefix('/')?.split_once('/')?;
    let high = u64::from_str_radix(high, 16).ok().filter(|high| *high <= SEQ_MAX >> LEVEL_BITS)?;
    let low = u64::from_str_radix(low, 16).ok().filter(|low| *low <= LEVEL_MASK)?;
    let seq = high << LEVEL_BITS | low;
    (seq > 0 && key(seq) == found).then_some(seq)
}

impl Log {
    /// The log of a bucket. Nothing is read yet. `seal` must be the one that it was written with.
    #[must_use]
    pub fn new(bucket: Bucket, env: Env, seal: Arc<dyn Seal>) -> Self {
        Self { bucket, env, seal }
    }

    /// The number of the last segment; 0 when there is none. Asks for at most about 120 objects,
    /// however long the log is. In a log with a hole it may be the number before the hole.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub async fn last(&self) -> Result<u64, Error> {
        let mut below = 0;
        let mut above = 1;
        while above <= SEQ_MAX && self.is_there(above).await? {
            (below, above) = (above, above * 2);
        }
        while above - below > 1 {
            let middle = below + (above - below) / 2;
            if self.is_there(middle).await? { below = middle } else { above = middle }
        }
        Ok(below)
    }

    /// The number of the last segment, and when it was written by the store's clock, in milliseconds
    /// since 1970; none when there is none.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub async fn end(&self) -> Result<Option<(u64, i64)>, Error> {
        let last = self.last().await?;
        Ok(self.written_ms(last).await?.map(|written_ms| (last, written_ms)))
    }

    async fn is_there(&self, seq: u64) -> Result<bool, Error> {
        match self.bucket.head(&key(seq)).await {
            Ok(_) => Ok(true),
            Err(cairn_bucket::Error::Missing { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// When the segment was written, by the store's clock in milliseconds since 1970.
    pub(crate) async fn written_ms(&self, seq: u64) -> Result<Option<i64>, Error> {
        match self.bucket.head(&key(seq)).await {
            Ok(head) => Ok(Some(head.modified_ns.div_euclid(1_000_000))),
            Err(cairn_bucket::Error::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What stands at a number. Damage is no error; a bucket that fails is, and so is a segment that
    /// only another program or another key can read.
    pub(crate) async fn find(&self, seq: u64) -> Result<Found, Error> {
        let key = key(seq);
        let bytes = match self.bucket.get(&key).await {
            Ok(object) => object.bytes,
            Err(cairn_bucket::Error::Missing { .. }) => return Ok(Found::Missing),
            Err(error) => return Err(error.into()),
        };
        let seal = Arc::clone(&self.seal);
        self.env.spawn.run(move || opened(&*seal, seq, &key, &bytes)).await?
    }
}

fn opened(seal: &dyn Seal, seq: u64, key: &str, bytes: &Bytes) -> Result<Found, Error> {
    let damaged = |detail| Ok(Found::Damaged { stored: Hash::of(bytes), detail });
    let plain = match seal.open(key, bytes) {
        Ok(plain) => plain,
        Err(source) if source.kind == ErrorKind::Corrupt => return damaged(source.detail),
        Err(source) => return Err(Error::Seal { seq, source }),
    };
    match Segment::decode(&plain) {
        Ok((segment, hash)) if segment.seq == seq => Ok(Found::Segment(Box::new(segment), hash)),
        Ok((segment, _)) => damaged(format!("it is segment {}, at the wrong place", segment.seq)),
        Err(Malformed::Later { found }) => Err(Error::LaterVersion { seq, found }),
        Err(malformed) => damaged(malformed.to_string()),
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Log").field(&self.bucket).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_numbers_and_lead_back() {
        let numbers = [1, 2, 0xfff, 0x1000, 0x1001, 0xdead_beef, SEQ_MAX];
        let keys: Vec<String> = numbers.iter().map(|seq| key(*seq)).collect();
        assert_eq!(keys[0], "audit/0000000000000/001");
        assert!(keys.is_sorted());
        for (seq, key) in numbers.into_iter().zip(&keys) {
            assert_eq!(seq_of(key), Some(seq));
        }
        for strange in [
            "audit/0000000000000/000",
            "audit/1/001",
            "audit/000000000000A/001",
            "audit/+000000000000/001",
            "audit/0000000000000/001/x",
            "audit",
            "audit/ffffffffffffff/fff",
        ] {
            assert_eq!(seq_of(strange), None, "{strange}");
        }
    }
}
