//! BlockAPI: chunks on their way in. They are added frame by frame, each to its end: a client that
//! goes away leaves whole frames.

use cairn_blocks::frame::{FRAME_CHUNKS_MAX, OpenFrame};
use cairn_blocks::{ChunkLen, Frame};
use cairn_chunk::{CHUNK_BYTES_MAX, ChunkKey};
use cairn_datasets::UploadId;
use tonic::Streaming;

use crate::blocks::owned;
use crate::door::Api;
use crate::error::Error;
use crate::gate::Call;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::names;
use crate::proto::block::v1::upload_request::Part;
use crate::proto::block::v1::{Chunk, Frame as SentFrame, UploadRequest, UploadResponse};
use crate::stream::next_message;

/// How frames of single chunks are compressed.
const LEVEL: i32 = 3;

/// An upload that is added to.
struct Adding<'a> {
    api: &'a Api,
    call: Call,
    id: UploadId,
    owner: String,
    key: ChunkKey,
    open: OpenFrame,
    added: UploadResponse,
}

impl Api {
    pub(crate) async fn upload_stream(
        &self,
        mut call: Call,
        mut stream: Streaming<UploadRequest>,
    ) -> Result<UploadResponse, Error> {
        let empty = || Error::invalid("an upload has at least one message, which names it");
        let first = next_message(&mut stream, MESSAGE_BYTES_MAX).await?.ok_or_else(empty)?;
        call.decide(&first)?;
        let (id, owner) = owned(&call, &first.upload)?;
        let named = first.upload.clone();
        let targets = self.uploads.targets(id, &owner)?;
        let project = &targets.first().ok_or_else(empty)?.dataset.project;
        let key = self.datasets.blocks().chunk_key(project);
        let (open, added) = (OpenFrame::default(), UploadResponse::default());
        let mut adding = Adding { api: self, call, id, owner, key, open, added };
        let mut next = Some(first);
        while let Some(message) = next {
            if !message.upload.is_empty() && message.upload != named {
                return Err(Error::invalid("one call adds to one upload"));
            }
            adding.call.again().await?;
            match message.part {
                Some(Part::Chunk(chunk)) => adding.chunk(&chunk).await?,
                Some(Part::Frame(frame)) => adding.frame(frame).await?,
                None => return Err(Error::invalid("each message has a chunk or a frame")),
            }
            next = next_message(&mut stream, MESSAGE_BYTES_MAX).await?;
        }
        adding.close().await?;
        Ok(adding.added)
    }
}

impl Adding<'_> {
    async fn chunk(&mut self, chunk: &Chunk) -> Result<(), Error> {
        let (id, len) = (names::chunk(&chunk.id)?, chunk.data.len());
        if len == 0 || len > CHUNK_BYTES_MAX {
            let detail = format!("a chunk has 1 to {CHUNK_BYTES_MAX} bytes, not {len}");
            return Err(Error::invalid(detail));
        }
        if self.key.id(&chunk.data) != id {
            let detail = format!(
                "the data is not chunk {id}; an id is the BLAKE3 hash of the bytes under the key of \
                 the project"
            );
            return Err(Error::invalid(detail));
        }
        self.open.push(id, &chunk.data);
        if self.open.is_full() {
            self.close().await?;
        }
        Ok(())
    }

    async fn frame(&mut self, sent: SentFrame) -> Result<(), Error> {
        self.close().await?;
        if sent.chunks.is_empty() || sent.chunks.len() > FRAME_CHUNKS_MAX {
            return Err(Error::invalid(format!("a frame has 1 to {FRAME_CHUNKS_MAX} chunks")));
        }
        let chunk = |chunk: &crate::proto::block::v1::FrameChunk| {
            Ok(ChunkLen { id: names::chunk(&chunk.id)?, len: chunk.length })
        };
        let chunks = sent.chunks.iter().map(chunk).collect::<Result<_, Error>>()?;
        self.add(Frame { chunks, bytes: sent.data }).await
    }

    /// Adds the chunks that wait for a frame.
    async fn close(&mut self) -> Result<(), Error> {
        if self.open.is_empty() {
            return Ok(());
        }
        let open = std::mem::take(&mut self.open);
        let frame = self.api.env().spawn.run(move || open.encode(LEVEL)).await?;
        self.add(frame).await
    }

    async fn add(&mut self, frame: Frame) -> Result<(), Error> {
        let (chunks, bytes) = (frame.chunks.len() as u64, frame.content_len());
        let (uploads, id, owner) = (self.api.uploads.clone(), self.id, self.owner.clone());
        self.call.to_its_end(async move { uploads.add(id, &owner, frame).await }).await??;
        self.added.chunks += chunks;
        self.added.bytes += bytes;
        Ok(())
    }
}
