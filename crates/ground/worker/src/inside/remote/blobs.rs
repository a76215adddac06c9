//! Containers of objects.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_wasm::{Blob, BlobError, Blobs, Body, Container, File, whole};
use serde::de::DeserializeOwned;

use super::{Opened, Remote};
use crate::messages::{BlobsOp, Handle, OpenFile, What};
use crate::wire::Broken;

fn no_container(error: Broken) -> BlobError {
    BlobError::Other(error.to_string())
}

impl Remote {
    async fn container(&self, name: &str, create: bool) -> Result<Arc<dyn Container>, BlobError> {
        let asked = self.alone(What::Container { name: name.to_owned(), create }).await;
        let opened: Result<Handle, BlobError> = asked.map_err(no_container)?;
        Ok(Arc::new(RemoteContainer(self.opened(opened?))))
    }
}

#[async_trait]
impl Blobs for Remote {
    async fn open(&self, name: &str) -> Result<Arc<dyn Container>, BlobError> {
        self.container(name, false).await
    }

    async fn create(&self, name: &str) -> Result<Arc<dyn Container>, BlobError> {
        self.container(name, true).await
    }

    async fn remove(&self, name: &str) -> Result<(), BlobError> {
        let asked = self.alone(What::RemoveContainer { name: name.to_owned() }).await;
        asked.map_err(no_container)?
    }

    async fn copy(&self, from: &Blob, to: &Blob, moves: bool) -> Result<(), BlobError> {
        let asked = self.alone(What::Copy { from: from.clone(), to: to.clone(), moves }).await;
        asked.map_err(no_container)?
    }
}

/// A container that is open.
struct RemoteContainer(Opened);

impl RemoteContainer {
    async fn ask<A: DeserializeOwned>(&self, op: BlobsOp, body: Body) -> Result<A, BlobError> {
        let Opened { remote, handle } = &self.0;
        let asked = remote.ask(What::Blobs { handle: *handle, op }, body).await;
        let (done, _): (Result<A, BlobError>, _) = asked.map_err(no_container)?;
        done
    }

    async fn alone<A: DeserializeOwned>(&self, op: BlobsOp) -> Result<A, BlobError> {
        self.ask(op, whole(Bytes::new())).await
    }
}

#[async_trait]
impl Container for RemoteContainer {
    async fn made(&self) -> Result<Duration, BlobError> {
        self.alone(BlobsOp::Made).await
    }

    async fn object(&self, name: &str) -> Result<Arc<dyn File>, BlobError> {
        let open: OpenFile = self.alone(BlobsOp::Object { name: name.to_owned() }).await?;
        Ok(self.0.remote.file(open))
    }

    async fn list(&self, after: Option<&str>) -> Result<Vec<String>, BlobError> {
        self.alone(BlobsOp::List { after: after.map(str::to_owned) }).await
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), BlobError> {
        let op = BlobsOp::Put { name: name.to_owned(), length: bytes.len() };
        self.ask(op, whole(bytes)).await
    }

    async fn delete(&self, names: &[String]) -> Result<(), BlobError> {
        self.alone(BlobsOp::Delete { names: names.to_vec() }).await
    }

    async fn clear(&self) -> Result<(), BlobError> {
        self.alone(BlobsOp::Clear).await
    }
}
