//! Stores of keys and values.

use async_trait::async_trait;
use bytes::Bytes;
use cairn_wasm::{Body, Store, StoreError, whole};
use serde::de::DeserializeOwned;

use super::Opened;
use crate::messages::{KeysOp, What};
use crate::wire::{Broken, Rest};

pub(super) fn no_store(error: Broken) -> StoreError {
    StoreError::Other(error.to_string())
}

/// A store that is open.
pub(super) struct RemoteStore(pub(super) Opened);

impl RemoteStore {
    async fn ask<A: DeserializeOwned>(
        &self,
        op: KeysOp,
        body: Body,
    ) -> Result<(A, Rest), StoreError> {
        let Opened { remote, handle } = &self.0;
        let asked = remote.ask(What::Keys { handle: *handle, op }, body).await;
        let (done, rest): (Result<A, StoreError>, _) = asked.map_err(no_store)?;
        Ok((done?, rest))
    }

    async fn alone<A: DeserializeOwned>(&self, op: KeysOp) -> Result<A, StoreError> {
        self.ask(op, whole(Bytes::new())).await.map(|(answer, _)| answer)
    }
}

/// The first so many bytes.
fn first(all: &mut Bytes, length: usize) -> Result<Bytes, StoreError> {
    if length > all.len() {
        return Err(StoreError::Other("a value is cut".to_owned()));
    }
    Ok(all.split_to(length))
}

#[async_trait]
impl Store for RemoteStore {
    async fn get(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let op = KeysOp::Get { keys: keys.to_vec() };
        let asked = self.ask::<Vec<Option<usize>>>(op, whole(Bytes::new())).await?;
        let mut all = asked.1.all(usize::MAX).await.map_err(no_store)?;
        let lengths = asked.0.into_iter();
        lengths.map(|length| length.map(|length| first(&mut all, length)).transpose()).collect()
    }

    async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        self.alone(KeysOp::Exists { key: key.to_owned() }).await
    }

    async fn set(&self, pairs: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        let (pairs, values): (Vec<_>, Vec<_>) =
            pairs.into_iter().map(|(key, value)| ((key, value.len()), value)).unzip();
        let values = whole(values.concat().into());
        self.ask(KeysOp::Set { pairs }, values).await.map(|((), _)| ())
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        self.alone(KeysOp::Delete { keys: keys.to_vec() }).await
    }

    async fn keys(&self, after: Option<&str>) -> Result<(Vec<String>, bool), StoreError> {
        self.alone(KeysOp::List { after: after.map(str::to_owned) }).await
    }

    async fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        self.alone(KeysOp::Increment { key: key.to_owned(), delta }).await
    }

    async fn versioned(&self, key: &str) -> Result<(Option<Bytes>, u64), StoreError> {
        let op = KeysOp::Versioned { key: key.to_owned() };
        let asked = self.ask::<(Option<usize>, u64)>(op, whole(Bytes::new())).await?;
        let ((length, version), rest) = asked;
        let mut all = rest.all(usize::MAX).await.map_err(no_store)?;
        Ok((length.map(|length| first(&mut all, length)).transpose()?, version))
    }

    async fn swap(&self, key: &str, version: u64, value: Bytes) -> Result<bool, StoreError> {
        let op = KeysOp::Swap { key: key.to_owned(), version, length: value.len() };
        self.ask(op, whole(value)).await.map(|(swapped, _)| swapped)
    }
}
