use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cairn_bucket::{Bucket, Memory};
use cairn_env::Env;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// A store that takes time, as a remote one does, and fails when told to.
#[derive(Debug)]
pub(crate) struct Rough {
    inner: Memory,
    env: Env,
    latency: Duration,
    /// Answers nothing but errors.
    pub(crate) down: AtomicBool,
    /// Does what the next put says, then answers with an error.
    pub(crate) lose_answer: AtomicBool,
    pub(crate) read_count: AtomicU64,
    pub(crate) write_count: AtomicU64,
}

impl Rough {
    pub(crate) fn new(env: &Env, latency: Duration) -> (Arc<Self>, Bucket) {
        let rough = Arc::new(Self {
            inner: Memory::new(env),
            env: env.clone(),
            latency,
            down: AtomicBool::default(),
            lose_answer: AtomicBool::default(),
            read_count: AtomicU64::default(),
            write_count: AtomicU64::default(),
        });
        let bucket = Bucket::from_store(Arc::clone(&rough) as _, "rough://", env);
        (rough, bucket)
    }

    async fn travel(&self) -> Result<()> {
        self.env.clock.sleep(self.latency).await;
        if self.down.load(Ordering::Relaxed) { Err(lost()) } else { Ok(()) }
    }
}

fn lost() -> Error {
    Error::Generic { store: "rough", source: "the connection was reset".into() }
}

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rough")
    }
}

#[async_trait]
impl ObjectStore for Rough {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.travel().await?;
        self.write_count.fetch_add(1, Ordering::Relaxed);
        let done = self.inner.put_opts(location, payload, opts).await;
        self.travel().await?;
        if self.lose_answer.swap(false, Ordering::Relaxed) { Err(lost()) } else { done }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.travel().await?;
        self.read_count.fetch_add(1, Ordering::Relaxed);
        let found = self.inner.get_opts(location, options).await;
        self.travel().await?;
        found
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
