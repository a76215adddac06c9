//! From chunks to frames in the store: asks in batches which chunks are new, fills frames with them in
//! order, has them compressed by workers, and hands them on in order.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use cairn_blocks::{Frame, OpenFrame};
use cairn_chunk::{ChunkId, ChunkKey};
use cairn_env::{Env, Lost};
use cairn_tree::{DirectoryBuilder, Totals};
use futures::stream::{FuturesOrdered, StreamExt as _};

use super::Loaded;
use super::tree::emit;
use crate::error::Error;
use crate::meter::Meter;
use crate::store::Upload;

const CLAIM_CHUNKS: usize = 1024;
const CLAIM_BYTES: usize = 2 * 1024 * 1024;
const ENCODES_AT_ONCE: usize = 4;

/// What a chunk is: pages are framed apart from data, so that looking into a manifest reads little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Data,
    Page,
}

type Encoding = Pin<Box<dyn Future<Output = Result<Frame, Lost>> + Send>>;

/// Whose upload it is that a sink fills.
pub(crate) enum To<'a> {
    /// Lent for as long as the sink lives.
    Lent(&'a dyn Upload),
    /// Shared with others.
    Shared(Arc<dyn Upload>),
}

impl To<'_> {
    fn upload(&self) -> &dyn Upload {
        match self {
            Self::Lent(upload) => *upload,
            Self::Shared(upload) => upload.as_ref(),
        }
    }
}

pub(crate) struct Sink<'a> {
    to: To<'a>,
    env: Env,
    key: ChunkKey,
    level: i32,
    meter: Arc<Meter>,
    batch: Vec<(ChunkId, Bytes, Class)>,
    batch_bytes: usize,
    data: OpenFrame,
    pages: OpenFrame,
    encoding: FuturesOrdered<Encoding>,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(to: To<'a>, env: &Env, key: ChunkKey, level: i32, meter: Arc<Meter>) -> Self {
        Self {
            to,
            env: env.clone(),
            key,
            level,
            meter,
            batch: Vec::new(),
            batch_bytes: 0,
            data: OpenFrame::default(),
            pages: OpenFrame::default(),
            encoding: FuturesOrdered::new(),
        }
    }

    pub(crate) fn key(&self) -> &ChunkKey {
        &self.key
    }

    pub(crate) async fn data(&mut self, chunks: Vec<Loaded>) -> Result<(), Error> {
        for (id, bytes) in chunks {
            self.push(id, bytes, Class::Data).await?;
        }
        Ok(())
    }

    /// Takes the pages that a builder emitted.
    pub(crate) async fn pages(&mut self, pages: &mut Vec<Loaded>) -> Result<(), Error> {
        for (id, bytes) in pages.drain(..) {
            self.push(id, bytes, Class::Page).await?;
        }
        Ok(())
    }

    /// Ends a directory: its page, unless it is empty, and what is below it.
    pub(crate) async fn directory(
        &mut self,
        builder: DirectoryBuilder,
    ) -> Result<(Option<ChunkId>, Totals), Error> {
        let mut pages = Vec::new();
        let closed = builder.finish(&mut emit(&self.key, &mut pages))?;
        self.pages(&mut pages).await?;
        Ok(closed)
    }

    async fn push(&mut self, id: ChunkId, bytes: Bytes, class: Class) -> Result<(), Error> {
        self.batch_bytes += bytes.len();
        self.batch.push((id, bytes, class));
        if self.batch.len() >= CLAIM_CHUNKS || self.batch_bytes >= CLAIM_BYTES {
            self.claim().await?;
        }
        Ok(())
    }

    async fn claim(&mut self) -> Result<(), Error> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        let ids: Vec<ChunkId> = batch.iter().map(|(id, ..)| *id).collect();
        let wanted = self.to.upload().claim(&ids).await?;
        for ((id, bytes, class), wanted) in batch.into_iter().zip(wanted) {
            if !wanted {
                continue;
            }
            self.meter.moved.add(bytes.len() as u64);
            let open = match class {
                Class::Data => &mut self.data,
                Class::Page => &mut self.pages,
            };
            open.push(id, &bytes);
            if open.is_full() {
                let full = std::mem::take(open);
                self.encode(full).await?;
            }
        }
        Ok(())
    }

    async fn encode(&mut self, open: OpenFrame) -> Result<(), Error> {
        if self.encoding.len() >= ENCODES_AT_ONCE {
            self.hand_on().await?;
        }
        let level = self.level;
        self.encoding.push_back(Box::pin(self.env.spawn.run(move || open.encode(level))));
        Ok(())
    }

    async fn hand_on(&mut self) -> Result<(), Error> {
        if let Some(frame) = self.encoding.next().await {
            self.to.upload().add(frame?).await?;
        }
        Ok(())
    }

    /// Hands everything on.
    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        self.claim().await?;
        for open in [std::mem::take(&mut self.data), std::mem::take(&mut self.pages)] {
            if !open.is_empty() {
                self.encode(open).await?;
            }
        }
        while !self.encoding.is_empty() {
            self.hand_on().await?;
        }
        Ok(())
    }
}
