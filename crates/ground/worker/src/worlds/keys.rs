//! Stores of keys and values.

use bytes::Bytes;
use cairn_wasm::{Store, StoreError};
use tokio::sync::SemaphorePermit;

use super::{Worlds, with};
use crate::messages::KeysOp;
use crate::wire::{Message, Rest};

/// Bytes of values that are put at a time.
const VALUES_BYTES_MAX: usize = 64 << 20;

/// What a worker asks of a store, done.
pub(super) async fn done(worlds: &Worlds, store: &dyn Store, op: KeysOp, rest: Rest) -> Message {
    match op {
        KeysOp::Get { keys } => with(store.get(&keys).await.map(|values| {
            let lengths: Vec<_> = values.iter().map(|v| v.as_ref().map(Bytes::len)).collect();
            let all: Vec<Bytes> = values.into_iter().flatten().collect();
            (lengths, Bytes::from(all.concat()))
        })),
        KeysOp::Exists { key } => Message::alone(&store.exists(&key).await),
        KeysOp::Set { pairs } => Message::alone(&set(worlds, store, pairs, rest).await),
        KeysOp::Delete { keys } => Message::alone(&store.delete(&keys).await),
        KeysOp::List { after } => Message::alone(&store.keys(after.as_deref()).await),
        KeysOp::Increment { key, delta } => Message::alone(&store.increment(&key, delta).await),
        KeysOp::Versioned { key } => with(store.versioned(&key).await.map(|(value, version)| {
            let length = value.as_ref().map(Bytes::len);
            ((length, version), value.unwrap_or_default())
        })),
        KeysOp::Swap { key, version, length } => {
            let swapped = async {
                let (_room, value) = values(worlds, length, rest).await?;
                store.swap(&key, version, value).await
            };
            Message::alone(&swapped.await)
        }
    }
}

async fn set(
    worlds: &Worlds,
    store: &dyn Store,
    pairs: Vec<(String, usize)>,
    rest: Rest,
) -> Result<(), StoreError> {
    let length = pairs.iter().fold(0_usize, |sum, (_, length)| sum.saturating_add(*length));
    let (_room, mut all) = values(worlds, length, rest).await?;
    let split = pairs.into_iter().map(|(key, length)| (key, all.split_to(length)));
    store.set(split.collect()).await
}

/// Values of this length together, and the room that they take.
async fn values(
    worlds: &Worlds,
    length: usize,
    rest: Rest,
) -> Result<(SemaphorePermit<'_>, Bytes), StoreError> {
    if length > VALUES_BYTES_MAX {
        let why = format!("{length} bytes are put at once, and {VALUES_BYTES_MAX} may be");
        return Err(StoreError::Other(why));
    }
    let failed = |why: String| StoreError::Other(why);
    let room = worlds.room(length).await.ok_or_else(|| failed("the node stops".to_owned()))?;
    let all = rest.all(length).await.map_err(|error| failed(error.to_string()))?;
    if all.len() != length {
        return Err(failed("a value is cut".to_owned()));
    }
    Ok((room, all))
}
