//! What a suite sees: files that it reads, and nobody to ask.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use cairn_wasm::{
    Blob, BlobError, Blobs, Body, Container, FileError, Files, Found, Listed, Logs, Outside,
    OutsideError, Store, StoreError, Stores, Stream, World, held,
};

/// Lines of its end that are told of a program that did not come to it.
const LAST_LINES: usize = 20;

/// A folder of this machine, to be read.
pub(crate) struct Tree(pub(crate) PathBuf);

#[async_trait]
impl Files for Tree {
    async fn find(&self, path: &str) -> Result<Found, FileError> {
        let path = self.0.join(path);
        if path.is_dir() {
            return Ok(Found::Folder);
        }
        let bytes = std::fs::read(path).map_err(|_| FileError::NotFound)?;
        Ok(Found::File(held(bytes.into())))
    }

    async fn list(&self, path: &str, after: Option<&str>) -> Result<Vec<Listed>, FileError> {
        if after.is_some() {
            return Ok(Vec::new());
        }
        let entries = std::fs::read_dir(self.0.join(path)).map_err(|_| FileError::NotFound)?;
        let listed = entries.flatten().map(|entry| Listed {
            name: entry.file_name().to_string_lossy().into_owned(),
            folder: entry.path().is_dir(),
        });
        Ok(listed.collect())
    }
}

/// What it writes beside its output.
#[derive(Default)]
pub(crate) struct Lines(Mutex<Vec<String>>);

impl Lines {
    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn text(&self) -> String {
        self.lines().join("\n")
    }

    pub(crate) fn last(&self) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

impl Logs for Lines {
    fn line(&self, _: Stream, line: &str) {
        self.lines().push(line.to_owned());
    }

    fn left_out(&self, bytes: u64) {
        self.lines().push(format!("{bytes} bytes are left out"));
    }
}

/// Nothing else.
struct Nothing;

pub(crate) fn world(logs: Arc<Lines>) -> World {
    World {
        environment: Vec::new(),
        logs,
        stores: Arc::new(Nothing),
        files: Arc::new(Nothing),
        blobs: Arc::new(Nothing),
        outside: Arc::new(Nothing),
    }
}

#[async_trait]
impl Files for Nothing {
    async fn find(&self, _: &str) -> Result<Found, FileError> {
        Err(FileError::NotFound)
    }

    async fn list(&self, _: &str, _: Option<&str>) -> Result<Vec<Listed>, FileError> {
        Err(FileError::NotFound)
    }
}

#[async_trait]
impl Stores for Nothing {
    async fn open(&self, _: &str) -> Result<Arc<dyn Store>, StoreError> {
        Err(StoreError::NoSuchStore)
    }
}

#[async_trait]
impl Blobs for Nothing {
    async fn open(&self, _: &str) -> Result<Arc<dyn Container>, BlobError> {
        Err(BlobError::NoContainer)
    }

    async fn create(&self, _: &str) -> Result<Arc<dyn Container>, BlobError> {
        Err(BlobError::NoContainer)
    }

    async fn remove(&self, _: &str) -> Result<(), BlobError> {
        Err(BlobError::NoContainer)
    }

    async fn copy(&self, _: &Blob, _: &Blob, _: bool) -> Result<(), BlobError> {
        Err(BlobError::NoContainer)
    }
}

#[async_trait]
impl Outside for Nothing {
    async fn send(&self, _: http::Request<Body>) -> Result<http::Response<Body>, OutsideError> {
        Err(OutsideError::Denied("nobody may be asked".to_owned()))
    }
}
