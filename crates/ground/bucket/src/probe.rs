//! Proves that a store does what everything above rests on, instead of believing it.

use bytes::Bytes;
use futures::TryStreamExt as _;

use crate::{Bucket, Error};

const FIRST: &[u8] = b"cairn probe: the first writer";
const SECOND: &[u8] = b"cairn probe: the second";

pub(crate) async fn probe(bucket: &Bucket, key: &str) -> Result<(), Error> {
    // A store that is away, or that refuses us, says so to a read: nothing is in doubt then.
    match bucket.get(key).await {
        Ok(_) | Err(Error::Missing { .. }) => {}
        Err(error) => return Err(error),
    }
    let proof = prove(bucket, key).await;
    let swept = bucket.delete(key).await;
    proof.and(swept)
}

async fn prove(bucket: &Bucket, key: &str) -> Result<(), Error> {
    let lacks = |lacks| Error::Unconditional { url: bucket.url().to_owned(), lacks };
    let unsupported = |error: Error, what| match error {
        Error::Unsupported { .. } => lacks(what),
        error => error,
    };
    const CREATE: &str = "it writes over objects that a conditional create must leave alone";
    const REPLACE: &str = "it writes over states that a conditional replace must leave alone";
    const NO_CREATE: &str = "it offers no conditional create";
    const NO_REPLACE: &str = "it offers no conditional replace";
    const FRESH: &str = "a read after a write does not see the write";

    let first = bucket.create(key, Bytes::from_static(FIRST)).await;
    let first = first.map_err(|error| unsupported(error, NO_CREATE))?;
    expect(bucket, key, FIRST).await?.ok_or_else(|| lacks(FRESH))?;
    refused(bucket.create(key, Bytes::from_static(SECOND)).await)?.ok_or_else(|| lacks(CREATE))?;
    expect(bucket, key, FIRST).await?.ok_or_else(|| lacks(CREATE))?;

    let second = bucket.replace(key, Bytes::from_static(SECOND), &first).await;
    let second = second.map_err(|error| unsupported(error, NO_REPLACE))?;
    expect(bucket, key, SECOND).await?.ok_or_else(|| lacks(FRESH))?;
    let stale = bucket.replace(key, Bytes::from_static(FIRST), &first).await;
    refused(stale)?.ok_or_else(|| lacks(REPLACE))?;
    expect(bucket, key, SECOND).await?.ok_or_else(|| lacks(REPLACE))?;

    let below: Vec<_> = bucket.list("cairn-probe").try_collect().await?;
    if !below.iter().any(|head| head.key == key) {
        return Err(lacks("a listing after a write does not show the write"));
    }
    bucket.delete(key).await?;
    match bucket.get(key).await {
        Err(Error::Missing { .. }) => {}
        Ok(_) => return Err(lacks("a read after a delete still sees the object")),
        Err(error) => return Err(error),
    }
    let gone = bucket.replace(key, Bytes::from_static(FIRST), &second).await;
    refused(gone)?.ok_or_else(|| lacks("a conditional replace makes an object that was deleted"))
}

/// `None`: the write that had to be refused was taken.
fn refused<T>(answer: Result<T, Error>) -> Result<Option<()>, Error> {
    match answer {
        Err(Error::Exists { .. } | Error::Changed { .. }) => Ok(Some(())),
        Ok(_) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `None`: something else is stored.
async fn expect(bucket: &Bucket, key: &str, bytes: &[u8]) -> Result<Option<()>, Error> {
    match bucket.get(key).await {
        Ok(object) => Ok((object.bytes == bytes).then_some(())),
        Err(Error::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
