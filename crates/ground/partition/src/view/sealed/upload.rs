use std::fmt;

use async_trait::async_trait;
use bytes::BytesMut;
use futures::FutureExt as _;
use futures::future::try_join_all;
use object_store::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::page::Writing;

/// An upload in parts of one size: which page is the last one is known at its end, so something is
/// always held back. Memory is bounded by a part of ours and one of who uploads.
pub(super) struct Upload {
    inner: Box<dyn MultipartUpload>,
    writing: Writing,
    part_bytes: usize,
    buffer: BytesMut,
    ended: bool,
}

impl Upload {
    pub(super) fn new(
        inner: Box<dyn MultipartUpload>,
        writing: Writing,
        part_bytes: usize,
    ) -> Self {
        Self { inner, writing, part_bytes, buffer: BytesMut::new(), ended: false }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upload").field(&self.inner).finish()
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let mut parts = Vec::new();
        for chunk in data {
            self.buffer.extend_from_slice(&chunk);
        }
        while self.buffer.len() > self.part_bytes {
            let part = self.buffer.split_to(self.part_bytes).freeze();
            parts.push(self.inner.put_part(self.writing.seal(&part, false)));
        }
        try_join_all(parts).map(|done| done.map(drop)).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if !self.ended {
            self.ended = true;
            let rest = self.buffer.split().freeze();
            self.inner.put_part(self.writing.seal(&rest, true)).await?;
        }
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.buffer.clear();
        self.inner.abort().await
    }
}
