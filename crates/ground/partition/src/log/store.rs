//! The objects of one log in a bucket.

use std::sync::Arc;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_bucket::{Bucket, Error as BucketError, Seal};
use futures::TryStreamExt as _;

use super::LifeId;
use super::object::{self, Object, key};
use crate::Error;

/// The objects of one life in a bucket.
#[derive(Clone)]
pub(super) struct Store {
    pub(super) bucket: Bucket,
    pub(super) seal: Arc<dyn Seal>,
    pub(super) life: LifeId,
}

impl Store {
    /// The numbers of all objects.
    pub(super) async fn list(&self) -> Result<Vec<u64>, Error> {
        let found = self.bucket.list(&object::prefix(self.life));
        let heads: Vec<_> = found.try_collect().await.map_err(|error| bucket_failed(&error))?;
        let number = |head: &cairn_bucket::Head| object::number_of(self.life, &head.key);
        let mut numbers: Vec<u64> = heads.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The object `number`, verified; `None` when there is none.
    pub(super) async fn get(&self, number: u64) -> Result<Option<Object>, Error> {
        let key = key(self.life, number);
        match self.bucket.get(&key).await {
            Ok(found) => self.decode(number, &found.bytes).map(Some),
            Err(BucketError::Missing { .. }) => Ok(None),
            Err(error) => Err(bucket_failed(&error)),
        }
    }

    pub(super) fn decode(&self, number: u64, sealed: &[u8]) -> Result<Object, Error> {
        let key = key(self.life, number);
        let corrupt = |why: String| Error::Corrupt { what: key.clone(), offset: 0, why };
        let opened = self.seal.open(&key, sealed).map_err(|error| match error.kind {
            ErrorKind::Corrupt => corrupt(error.detail),
            kind => Error::Storage { what: "open the seal of a log", why: error.detail, kind },
        })?;
        let decoded = Object::decode(&Bytes::from(opened));
        let object = decoded.map_err(|bad| corrupt(bad.0.to_owned()))?;
        if (object.head.life, object.head.number) != (self.life, number) {
            return Err(corrupt("it is another object than its name says".to_owned()));
        }
        Ok(object)
    }
}

pub(super) fn bucket_failed(error: &BucketError) -> Error {
    let why = error.to_string();
    Error::Storage { what: "use the log in the bucket", why, kind: error.kind() }
}
