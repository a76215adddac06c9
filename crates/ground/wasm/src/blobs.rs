//! Containers of objects that guests may read and change: `wasi:blobstore`.

mod host;
mod values;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::files::File;

pub(crate) use host::add_to_linker;
pub(crate) use values::Staged;

/// The containers of a guest, whoever it is. Names are the guest's; each call asks anew whether it may.
#[async_trait]
pub trait Blobs: Send + Sync + 'static {
    /// Opens a container that is there.
    ///
    /// # Errors
    /// [`BlobError`], as of all that follow.
    async fn open(&self, name: &str) -> Result<Arc<dyn Container>, BlobError>;

    /// Makes an empty container, which is not there yet; durable when this returns.
    async fn create(&self, name: &str) -> Result<Arc<dyn Container>, BlobError>;

    /// Removes a container with all that is in it; durable when this returns.
    async fn remove(&self, name: &str) -> Result<(), BlobError>;

    /// Puts the bytes of an object in the place of another, which need not be there, and with `moves` takes the first
    /// one away: at once within a container, else one after the other. Durable when this returns.
    async fn copy(&self, from: &Blob, to: &Blob, moves: bool) -> Result<(), BlobError>;
}

/// A container that is open.
#[async_trait]
pub trait Container: Send + Sync + 'static {
    /// When it was made, since 1970.
    ///
    /// # Errors
    /// [`BlobError`], as of all that follow.
    async fn made(&self) -> Result<Duration, BlobError>;

    /// An object as it is now: what is put in its place later changes nothing of it.
    async fn object(&self, name: &str) -> Result<Arc<dyn File>, BlobError>;

    /// Names of objects, of which the first is after `after`, in an order of their own; none at the end.
    async fn list(&self, after: Option<&str>) -> Result<Vec<String>, BlobError>;

    /// Puts an object, in the place of what had its name; durable when this returns.
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), BlobError>;

    /// Takes objects away, all or none, where they are; durable when this returns.
    async fn delete(&self, names: &[String]) -> Result<(), BlobError>;

    /// Takes all objects away; durable when this returns.
    async fn clear(&self) -> Result<(), BlobError>;
}

/// The name of an object with that of its container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blob {
    /// The container's.
    pub container: String,
    /// The object's.
    pub name: String,
}

/// Why a container does not do what a guest asks for.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
pub enum BlobError {
    /// There is no such container.
    #[error("there is no such container")]
    NoContainer,
    /// There is no such object.
    #[error("there is no such object")]
    NoObject,
    /// The guest may not; with what would let it.
    #[error("the function may not {0}")]
    Denied(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
