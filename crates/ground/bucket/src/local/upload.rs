//! Objects that arrive in parts: one staged file, named when it is complete.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use object_store::{
    Attributes, MultipartUpload, PutMode, PutPayload, PutResult, Result, UploadPart,
};

use super::put::{self, Staged};
use super::{Failure, Shared};

pub(super) struct Upload {
    shared: Arc<Shared>,
    path: String,
    staged: Option<Staged>,
    /// Where the next part begins.
    end: u64,
    parts: Arc<Parts>,
}

#[derive(Default)]
struct Parts {
    /// Parts that were announced and not written.
    pending: AtomicUsize,
    failed: AtomicBool,
}

impl Upload {
    pub(super) async fn begin(
        shared: &Arc<Shared>,
        path: String,
        attributes: &Attributes,
    ) -> std::result::Result<Self, Failure> {
        shared.check_writable()?;
        let (id, encoded) = put::version(shared, attributes)?;
        let own = Arc::clone(shared);
        let staged = shared.call(move || put::stage(&own, id, &encoded)).await?;
        let (shared, parts) = (Arc::clone(shared), Arc::default());
        Ok(Self { shared, path, staged: Some(staged), end: 0, parts })
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("path", &self.path).field("end", &self.end).finish()
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let begin = self.end;
        self.end += data.content_length() as u64;
        let pieces: Vec<Bytes> = data.into_iter().filter(|piece| !piece.is_empty()).collect();
        let parts = Arc::clone(&self.parts);
        parts.pending.fetch_add(1, Ordering::AcqRel);
        let Some(file) = self.staged.as_ref().map(|staged| Arc::clone(staged.file())) else {
            return async { Err(Failure::Part.into()) }.boxed();
        };
        let (shared, path) = (Arc::clone(&self.shared), self.path.clone());
        async move {
            let _permit = shared.permit().await?;
            let written = shared.io.write(file, begin, pieces, false).await;
            written.map_err(|error| {
                parts.failed.store(true, Ordering::Release);
                Failure::io("write a part of", &shared.root.join(path), error)
            })?;
            parts.pending.fetch_sub(1, Ordering::AcqRel);
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let staged = self.staged.take().ok_or(Failure::Part)?;
        let unfinished = self.parts.pending.load(Ordering::Acquire) > 0;
        if unfinished || self.parts.failed.load(Ordering::Acquire) {
            return Err(Failure::Part.into());
        }
        let _permit = self.shared.permit().await?;
        let synced = self.shared.io.sync(Arc::clone(staged.file())).await;
        let path = self.path.clone();
        synced.map_err(|error| Failure::io("sync", &self.shared.root.join(&path), error))?;
        Ok(put::publish(&self.shared, staged, path, PutMode::Overwrite).await?)
    }

    async fn abort(&mut self) -> Result<()> {
        self.staged = None;
        Ok(())
    }
}
