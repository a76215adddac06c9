//! Stores of keys and values that guests may open: `wasi:keyvalue`.

mod host;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(crate) use host::add_to_linker;

/// What a guest may open, whoever it is.
#[async_trait]
pub trait Stores: Send + Sync + 'static {
    /// Opens a store by the name that the guest knows it by.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn open(&self, name: &str) -> Result<Arc<dyn Store>, StoreError>;
}

/// A store that is open. Each call asks anew whether the guest may.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The values of keys, all of one state.
    ///
    /// # Errors
    /// [`StoreError`], as of all that follow.
    async fn get(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError>;

    /// Whether a key is there.
    async fn exists(&self, key: &str) -> Result<bool, StoreError>;

    /// Puts them, all or none; durable when this returns.
    async fn set(&self, pairs: Vec<(String, Bytes)>) -> Result<(), StoreError>;

    /// Deletes them, all or none, where they are; durable when this returns.
    async fn delete(&self, keys: &[String]) -> Result<(), StoreError>;

    /// Keys in order, of which the first is after `after`, and whether there are more.
    async fn keys(&self, after: Option<&str>) -> Result<(Vec<String>, bool), StoreError>;

    /// Adds to a number, which is decimal text, and 0 where there is none; the sum.
    async fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError>;

    /// The value of a key with its version: 0 where there is none.
    async fn versioned(&self, key: &str) -> Result<(Option<Bytes>, u64), StoreError>;

    /// Puts a value if the key still has this version. Whether it did.
    async fn swap(&self, key: &str, version: u64, value: Bytes) -> Result<bool, StoreError>;
}

/// Why a store does not do what a guest asks for.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum StoreError {
    /// There is no such store.
    #[error("there is no such store")]
    NoSuchStore,
    /// The guest may not.
    #[error("the function may not")]
    Denied,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
