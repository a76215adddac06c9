//! The binary bodies of chunk exchange. Numbers are little endian.
//!
//! | body | bytes |
//! |---|---|
//! | ids | 32 for each chunk id |
//! | bitmap | bit `i % 8` of byte `i / 8` says that chunk `i` is to be sent |
//! | frames | for each: `u32` chunk count, then (32 id, `u32` length) for each, `u32` length of the frame, the frame in the plain form of `cairn-blocks` |
//!
//! All of it comes from outside: every count is checked before anything is allocated for it.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use cairn_blocks::frame::{FRAME_BYTES_MAX, FRAME_CHUNKS_MAX, FRAME_HEADER_BYTES};
use cairn_blocks::{ChunkLen, Frame};
use cairn_chunk::{CHUNK_BYTES_MAX, ChunkId, ID_BYTES};
use futures::{Stream, StreamExt as _};

/// The media type of all these bodies.
pub const BINARY: &str = "application/octet-stream";

const ROW_BYTES: usize = ID_BYTES + 4;
/// A stored frame is at most its content and a header; zstd may add a little to what it cannot pack.
const FRAME_WIRE_BYTES_MAX: usize = FRAME_BYTES_MAX + FRAME_HEADER_BYTES + FRAME_BYTES_MAX / 128;

/// The body of a request for chunks, or of a claim.
#[must_use]
pub fn encode_ids(ids: &[ChunkId]) -> Bytes {
    let mut body = BytesMut::with_capacity(ids.len() * ID_BYTES);
    ids.iter().for_each(|id| body.put_slice(&id.0));
    body.freeze()
}

/// The ids of a body.
///
/// # Errors
/// What is wrong with it.
pub fn decode_ids(body: &[u8]) -> Result<Vec<ChunkId>, String> {
    if !body.len().is_multiple_of(ID_BYTES) {
        return Err(format!("{} bytes are not a list of chunk ids of 32 bytes", body.len()));
    }
    let ids = body.chunks_exact(ID_BYTES).map(|id| {
        let mut bytes = [0; ID_BYTES];
        bytes.copy_from_slice(id);
        ChunkId(bytes)
    });
    Ok(ids.collect())
}

/// The answer to a claim.
#[must_use]
pub fn encode_bitmap(wanted: &[bool]) -> Bytes {
    let mut bytes = vec![0_u8; wanted.len().div_ceil(8)];
    for (index, _) in wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
        bytes[index / 8] |= 1 << (index % 8);
    }
    bytes.into()
}

/// The answer to a claim of `count` chunks.
///
/// # Errors
/// What is wrong with it.
pub fn decode_bitmap(body: &[u8], count: usize) -> Result<Vec<bool>, String> {
    if body.len() != count.div_ceil(8) {
        return Err(format!("{} bytes are no bitmap of {count} chunks", body.len()));
    }
    Ok((0..count).map(|index| body[index / 8] & (1 << (index % 8)) != 0).collect())
}

/// One frame as it stands in a body.
#[must_use]
pub fn encode_frame(frame: &Frame) -> Bytes {
    let rows = frame.chunks.len() * ROW_BYTES;
    let mut body = BytesMut::with_capacity(8 + rows + frame.bytes.len());
    body.put_u32_le(u32::try_from(frame.chunks.len()).expect("a frame has 4096 chunks at most"));
    for chunk in &frame.chunks {
        body.put_slice(&chunk.id.0);
        body.put_u32_le(chunk.len);
    }
    body.put_u32_le(u32::try_from(frame.bytes.len()).expect("a frame is below 4 GiB"));
    body.put_slice(&frame.bytes);
    body.freeze()
}

/// Why a body of frames could not be read.
#[derive(Debug)]
pub enum FrameError<E> {
    /// The source of its bytes failed.
    Source(E),
    /// The bytes are not what they should be.
    Malformed(String),
}

/// Takes frames one by one from the pieces of a body. Holds at most one frame and one piece.
pub struct FrameReader<S> {
    pieces: S,
    held: BytesMut,
    ended: bool,
}

impl<S, E> FrameReader<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    /// Reads from the start of a body.
    pub fn new(pieces: S) -> Self {
        Self { pieces, held: BytesMut::new(), ended: false }
    }

    /// The next frame, not verified; `None` at the end of the body.
    ///
    /// # Errors
    /// [`FrameError`]; nothing more can be read then.
    pub async fn next(&mut self) -> Result<Option<Frame>, FrameError<E>> {
        if !self.fill(1).await? {
            return Ok(None);
        }
        self.need(4, "a chunk count").await?;
        let count = self.held.get_u32_le() as usize;
        if count == 0 || count > FRAME_CHUNKS_MAX {
            let detail = format!("a frame with {count} chunks; 1 to {FRAME_CHUNKS_MAX} may be");
            return Err(FrameError::Malformed(detail));
        }
        self.need(count * ROW_BYTES + 4, "a chunk table").await?;
        let mut chunks = Vec::with_capacity(count);
        for _ in 0..count {
            let mut id = [0; ID_BYTES];
            self.held.copy_to_slice(&mut id);
            let len = self.held.get_u32_le();
            if len == 0 || len as usize > CHUNK_BYTES_MAX {
                let detail = format!("a chunk of {len} bytes; 1 to {CHUNK_BYTES_MAX} may be");
                return Err(FrameError::Malformed(detail));
            }
            chunks.push(ChunkLen { id: ChunkId(id), len });
        }
        let len = self.held.get_u32_le() as usize;
        if len > FRAME_WIRE_BYTES_MAX {
            let detail = format!("a frame of {len} bytes, more than {FRAME_WIRE_BYTES_MAX}");
            return Err(FrameError::Malformed(detail));
        }
        self.need(len, "a frame").await?;
        Ok(Some(Frame { chunks, bytes: self.held.split_to(len).freeze() }))
    }

    async fn need(&mut self, len: usize, what: &str) -> Result<(), FrameError<E>> {
        if self.fill(len).await? {
            return Ok(());
        }
        let has = self.held.len();
        Err(FrameError::Malformed(format!("the body ends within {what}: {has} of {len} bytes")))
    }

    /// Reads until `len` bytes are held. Whether there are so many.
    async fn fill(&mut self, len: usize) -> Result<bool, FrameError<E>> {
        while self.held.len() < len && !self.ended {
            match self.pieces.next().await {
                None => self.ended = true,
                Some(Err(error)) => return Err(FrameError::Source(error)),
                Some(Ok(piece)) => self.held.extend_from_slice(&piece),
            }
        }
        Ok(self.held.len() >= len)
    }
}

#[cfg(test)]
mod tests;
