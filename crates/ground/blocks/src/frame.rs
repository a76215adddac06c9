//! Frames: the unit of compression and of random reads.
//!
//! A frame holds consecutive new chunks, 256 KiB of them, compressed together. Plain form:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 1 | codec: 0 stored, 1 zstd |
//! | 1 | 3 | length of the content, little endian |
//! | 4 | n | the content, as the codec says |
//!
//! In an encrypted bucket the whole is sealed; which chunks it holds stands in the pack's footer and
//! in the index, not here.

use std::cell::RefCell;

use bytes::Bytes;
use cairn_chunk::{CHUNK_BYTES_MAX, ChunkId, ChunkKey};

use crate::error::Error;

/// A frame is closed once it has this much content.
pub const FRAME_BYTES_TARGET: usize = 256 * 1024;
/// The most content a frame can have: a last chunk may go over the target.
pub const FRAME_BYTES_MAX: usize = FRAME_BYTES_TARGET + CHUNK_BYTES_MAX;
/// The most chunks in a frame.
pub const FRAME_CHUNKS_MAX: usize = 4096;
/// The bytes before the content.
pub const FRAME_HEADER_BYTES: usize = 4;

const CODEC_STORED: u8 = 0;
const CODEC_ZSTD: u8 = 1;
/// Bytes sampled to tell content that will not compress.
const PROBE_BYTES: usize = 4096;
const PROBE_PARTS: usize = 16;
/// Random bytes show 7.95 bits a byte in a sample of 4096; text shows 4 to 6, machine code 6 to 7.
const PROBE_BITS_STORED: f32 = 7.9;

/// A chunk's place in a frame's chunk list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLen {
    /// Its id.
    pub id: ChunkId,
    /// Its length in bytes.
    pub len: u32,
}

/// A frame that is being filled.
#[derive(Debug, Default)]
pub struct OpenFrame {
    chunks: Vec<ChunkLen>,
    content: Vec<u8>,
}

impl OpenFrame {
    /// Appends a chunk.
    ///
    /// # Panics
    /// When the chunk is empty, over [`CHUNK_BYTES_MAX`], or the frame is full already.
    pub fn push(&mut self, id: ChunkId, chunk: &[u8]) {
        assert!(!chunk.is_empty() && chunk.len() <= CHUNK_BYTES_MAX && !self.is_full());
        let len = u32::try_from(chunk.len()).expect("a chunk is below 4 GiB");
        if self.content.is_empty() {
            self.content.reserve_exact(FRAME_BYTES_TARGET + 64 * 1024);
        }
        self.content.extend_from_slice(chunk);
        self.chunks.push(ChunkLen { id, len });
    }

    /// Whether it is to be closed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.content.len() >= FRAME_BYTES_TARGET || self.chunks.len() >= FRAME_CHUNKS_MAX
    }

    /// Whether it has nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Compresses it: a few milliseconds of CPU.
    #[must_use]
    pub fn encode(self, level: i32) -> Frame {
        let mut bytes = Vec::with_capacity(FRAME_HEADER_BYTES + self.content.len());
        bytes.extend_from_slice(&[CODEC_STORED]);
        let len = u32::try_from(self.content.len()).expect("a frame is below 4 GiB");
        bytes.extend_from_slice(&len.to_le_bytes()[..3]);
        if compressible(&self.content) {
            let packed = compress(&self.content, level);
            if packed.len() + packed.len() / 64 < self.content.len() {
                bytes[0] = CODEC_ZSTD;
                bytes.extend_from_slice(&packed);
                return Frame { chunks: self.chunks, bytes: Bytes::from(bytes) };
            }
        }
        bytes.extend_from_slice(&self.content);
        Frame { chunks: self.chunks, bytes: Bytes::from(bytes) }
    }
}

/// A closed frame: its chunks and its plain form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The chunks, in the order of the content.
    pub chunks: Vec<ChunkLen>,
    /// Header and content.
    pub bytes: Bytes,
}

impl Frame {
    /// The length of its content, from the chunk list.
    #[must_use]
    pub fn content_len(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.len)).sum()
    }

    /// Checks a frame that came from outside: every chunk is what its id says.
    ///
    /// # Errors
    /// [`Error::BadFrame`].
    pub fn verify(&self, key: &ChunkKey) -> Result<(), Error> {
        let bad = |detail: String| Error::BadFrame { detail };
        if self.chunks.is_empty() || self.chunks.len() > FRAME_CHUNKS_MAX {
            return Err(bad(format!(
                "{} chunks; 1 to {FRAME_CHUNKS_MAX} may be",
                self.chunks.len()
            )));
        }
        let content = decode(&self.bytes).map_err(bad)?;
        let mut at = 0;
        for chunk in &self.chunks {
            let end = at + chunk.len as usize;
            if chunk.len == 0 || chunk.len as usize > CHUNK_BYTES_MAX || end > content.len() {
                return Err(bad(format!("chunk {} has a length that cannot be", chunk.id)));
            }
            if key.id(&content[at..end]) != chunk.id {
                return Err(bad(format!("the content at {at} is not chunk {}", chunk.id)));
            }
            at = end;
        }
        if at != content.len() {
            return Err(bad(format!("{} bytes belong to no chunk", content.len() - at)));
        }
        Ok(())
    }
}

/// The content of a frame's plain form.
///
/// # Errors
/// What is wrong with it. Never allocates more than [`FRAME_BYTES_MAX`].
pub fn decode(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let (header, body) = bytes
        .split_at_checked(FRAME_HEADER_BYTES)
        .ok_or_else(|| "shorter than a frame header".to_owned())?;
    let len = u32::from_le_bytes([header[1], header[2], header[3], 0]) as usize;
    if len > FRAME_BYTES_MAX {
        return Err(format!("says it has {len} bytes, more than {FRAME_BYTES_MAX}"));
    }
    let content = match header[0] {
        CODEC_STORED => body.to_vec(),
        CODEC_ZSTD => decompress(body, len)?,
        codec => return Err(format!("has the unknown codec {codec}")),
    };
    if content.len() != len {
        return Err(format!("says it has {len} bytes and has {}", content.len()));
    }
    Ok(content)
}

/// The content of a plain form that is not compressed, as a part of it: nothing is copied. `None` when
/// it takes work to get at it.
pub(crate) fn content_of_stored(bytes: &Bytes) -> Option<Bytes> {
    let header = bytes.get(..FRAME_HEADER_BYTES)?;
    let len = u32::from_le_bytes([header[1], header[2], header[3], 0]) as usize;
    let whole = header[0] == CODEC_STORED && FRAME_HEADER_BYTES + len == bytes.len();
    (whole && len <= FRAME_BYTES_MAX).then(|| bytes.slice(FRAME_HEADER_BYTES..))
}

fn compress(content: &[u8], level: i32) -> Vec<u8> {
    thread_local! {
        static COMPRESSOR: RefCell<Option<(i32, zstd::bulk::Compressor<'static>)>> =
            const { RefCell::new(None) };
    }
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.as_ref().is_none_or(|(at, _)| *at != level) {
            let fresh = zstd::bulk::Compressor::new(level).expect("zstd takes every level");
            *slot = Some((level, fresh));
        }
        let (_, compressor) = slot.as_mut().expect("it was filled above");
        compressor.compress(content).expect("the output buffer has zstd's own bound")
    })
}

fn decompress(body: &[u8], len: usize) -> Result<Vec<u8>, String> {
    thread_local! {
        static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> =
            const { RefCell::new(None) };
    }
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Some(zstd::bulk::Decompressor::new().map_err(|error| error.to_string())?);
        }
        let decompressor = slot.as_mut().expect("it was filled above");
        decompressor.decompress(body, len).map_err(|error| format!("zstd: {error}"))
    })
}

/// Whether a sample of the content leaves hope that zstd makes it smaller.
fn compressible(content: &[u8]) -> bool {
    if content.len() < PROBE_BYTES {
        return true;
    }
    let mut counts = [0_u16; 256];
    let part = PROBE_BYTES / PROBE_PARTS;
    let step = (content.len() - part) / (PROBE_PARTS - 1);
    for index in 0..PROBE_PARTS {
        for byte in &content[index * step..index * step + part] {
            counts[*byte as usize] += 1;
        }
    }
    let bits: f32 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f32::from(*count) / 4096.0;
            -share * share.log2()
        })
        .sum();
    bits < PROBE_BITS_STORED
}

#[cfg(test)]
mod tests;
