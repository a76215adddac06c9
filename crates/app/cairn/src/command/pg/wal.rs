//! The archive that a command names.

use std::path::Path;
use std::sync::Arc;

use cairn_bucket::Bucket;
use cairn_databases::{Archive, Error, Store};
use futures::TryStreamExt as _;
use tokio::runtime::Handle;

use crate::cli::PgWal;
use crate::context::{Context, bucket_url};

/// A bucket. Its methods block, so they are called on threads that may.
struct Remote {
    bucket: Bucket,
    runtime: Handle,
}

impl Store for Remote {
    fn place(&self) -> String {
        self.bucket.url().to_owned()
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let list = self.bucket.list("").map_ok(|head| head.key).try_collect();
        self.runtime.block_on(list).map_err(remote)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let found = self.runtime.block_on(self.bucket.get(name)).map_err(remote)?;
        Ok(found.bytes.to_vec())
    }
}

fn remote(error: cairn_bucket::Error) -> Error {
    Error::Remote { kind: error.kind(), source: Box::new(error) }
}

/// Opens an archive, and does blocking work with it.
pub(super) async fn with_archive<T: Send + 'static>(
    context: &Context,
    wal: &PgWal,
    work: impl FnOnce(Archive) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let timeline = wal.timeline;
    // A directory is only read: a bucket in one would keep files of its own beside the log.
    let path = wal.wal.strip_prefix("file://").unwrap_or(&wal.wal).to_owned();
    let store: Option<Arc<dyn Store>> = if path.contains("://") {
        let url = bucket_url(&wal.wal)?;
        let bucket = Bucket::open(&url, cairn_bucket::Options::default(), &context.env).await?;
        Some(Arc::new(Remote { bucket, runtime: Handle::current() }))
    } else {
        None
    };
    let work = move || {
        let archive = match store {
            Some(store) => Archive::of(store, timeline)?,
            None => Archive::directory(Path::new(&path), timeline)?,
        };
        work(archive)
    };
    tokio::task::spawn_blocking(work).await?
}
