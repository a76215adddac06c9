//! Packs: the unit of the bucket, immutable objects of 16 to 17 MiB (a last one may be smaller).
//!
//! Key: `packs/<first byte>/<id>`, ids in hexadecimal. An id is the number of the session that wrote
//! the pack (8 bytes) and 8 random bytes, so a name is never used twice and tells whose it is.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `CRNPACK1` |
//! | 8 | 16 | pack id |
//! | 24 | n | frames, one behind the other (sealed: position = the frame's offset) |
//! | 24 + n | m | footer (sealed: position 2⁶⁴ - 1) |
//! | end - 56 | 8 | offset of the footer |
//! | end - 48 | 4 | bytes of the footer as stored |
//! | end - 44 | 4 | 0 plain, 1 sealed |
//! | end - 40 | 32 | BLAKE3 of the id, the three fields above and the footer as stored: the pack's root |
//! | end - 8 | 8 | `CRNPEND1` |
//!
//! Footer: u32 number of frames, u32 number of chunks; per frame u32 offset, u32 stored bytes, u32
//! chunks and the first 16 bytes of the BLAKE3 of the stored bytes; per chunk, in the order of the
//! frames, its id (32) and u32 length. All numbers little endian. A chunk's place inside its frame is
//! the sum of the lengths before it.

use std::fmt;

use bytes::Bytes;
use cairn_bucket::Bucket;
use cairn_chunk::{CHUNK_BYTES_MAX, ChunkId, ID_BYTES};
use cairn_env::Rng;

use crate::error::Error;
use crate::frame::{ChunkLen, FRAME_BYTES_MAX, FRAME_CHUNKS_MAX, FRAME_HEADER_BYTES, Frame};
use crate::seal::{Cipher, Master, TAG_BYTES};
use crate::session::SessionId;
use crate::wire::Reader;

/// The most bytes of frames after which a pack may be closed: what comes on top still fits.
pub const PACK_BYTES_TARGET_MAX: usize = 48 * 1024 * 1024;
/// No pack is larger.
pub const PACK_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most chunks in one pack, so that its footer stays small.
pub const PACK_CHUNKS_MAX: usize = 64 * 1024;

pub(crate) const MAGIC: &[u8; 8] = b"CRNPACK1";
const MAGIC_END: &[u8; 8] = b"CRNPEND1";
const HEADER_BYTES: usize = 24;
const TRAILER_BYTES: usize = 56;
const FRAME_ROW_BYTES: usize = 28;
const CHUNK_ROW_BYTES: usize = ID_BYTES + 4;
const FOOTER_POSITION: u64 = u64::MAX;
const CONTEXT: &str = "cairn pack 1";

/// The name of a pack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId(pub [u8; 16]);

impl PackId {
    pub(crate) fn fresh(session: SessionId, rng: &dyn Rng) -> Self {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&session.0);
        rng.fill(&mut id[8..]);
        Self(id)
    }

    pub(crate) fn session(&self) -> SessionId {
        let mut id = [0; 8];
        id.copy_from_slice(&self.0[..8]);
        SessionId(id)
    }

    /// Its key in the bucket.
    #[must_use]
    pub fn key(&self) -> String {
        format!("packs/{:02x}/{self}", self.0[0])
    }

    pub(crate) fn from_key(key: &str) -> Option<Self> {
        Self::from_hex(key.rsplit('/').next()?)
    }

    /// Parses 32 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).ok()?;
        Some(Self(id))
    }
}

impl fmt::Display for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pack {self}")
    }
}

/// Where a frame stands in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FramePlace {
    /// The pack.
    pub pack: PackId,
    /// Its first byte.
    pub offset: u32,
    /// Its bytes as stored.
    pub len: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameRow {
    pub(crate) offset: u32,
    pub(crate) len: u32,
    pub(crate) chunks: u32,
    pub(crate) hash: [u8; 16],
}

fn short_hash(bytes: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
    short
}

/// A pack being filled in memory.
pub(crate) struct PackBuilder {
    pub(crate) id: PackId,
    cipher: Option<Cipher>,
    target: usize,
    bytes: Vec<u8>,
    frames: Vec<FrameRow>,
    chunks: Vec<ChunkLen>,
}

impl PackBuilder {
    /// A pack that is full once it has `target` bytes.
    pub(crate) fn new(id: PackId, target: usize, master: Option<&Master>) -> Self {
        let mut bytes = Vec::with_capacity(target + FRAME_BYTES_MAX);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&id.0);
        let cipher = master.map(|master| master.cipher(CONTEXT, &id.0));
        Self { id, cipher, target, bytes, frames: Vec::new(), chunks: Vec::new() }
    }

    /// Appends a frame and says where it went.
    pub(crate) fn append(&mut self, frame: &Frame) -> FramePlace {
        let offset = self.bytes.len();
        match &self.cipher {
            None => self.bytes.extend_from_slice(&frame.bytes),
            Some(cipher) => {
                let mut sealed = frame.bytes.to_vec();
                cipher.seal(offset as u64, &[], &mut sealed);
                self.bytes.extend_from_slice(&sealed);
            }
        }
        let small = |n: usize| u32::try_from(n).expect("a pack is below 64 MiB");
        let row = FrameRow {
            offset: small(offset),
            len: small(self.bytes.len() - offset),
            chunks: small(frame.chunks.len()),
            hash: short_hash(&self.bytes[offset..]),
        };
        self.frames.push(row);
        self.chunks.extend_from_slice(&frame.chunks);
        FramePlace { pack: self.id, offset: row.offset, len: row.len }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= self.target || self.chunks.len() + FRAME_CHUNKS_MAX > PACK_CHUNKS_MAX
    }

    pub(crate) fn finish(mut self) -> Bytes {
        let mut footer = Vec::new();
        let count = |n: usize| u32::try_from(n).expect("a pack has few frames and chunks");
        footer.extend_from_slice(&count(self.frames.len()).to_le_bytes());
        footer.extend_from_slice(&count(self.chunks.len()).to_le_bytes());
        for row in &self.frames {
            for number in [row.offset, row.len, row.chunks] {
                footer.extend_from_slice(&number.to_le_bytes());
            }
            footer.extend_from_slice(&row.hash);
        }
        for chunk in &self.chunks {
            footer.extend_from_slice(&chunk.id.0);
            footer.extend_from_slice(&chunk.len.to_le_bytes());
        }
        if let Some(cipher) = &self.cipher {
            cipher.seal(FOOTER_POSITION, &[], &mut footer);
        }
        let mut fields = Vec::with_capacity(16);
        fields.extend_from_slice(&(self.bytes.len() as u64).to_le_bytes());
        fields.extend_from_slice(&count(footer.len()).to_le_bytes());
        fields.extend_from_slice(&u32::from(self.cipher.is_some()).to_le_bytes());
        let root = root_hash(&self.id, &fields, &footer);
        self.bytes.extend_from_slice(&footer);
        self.bytes.extend_from_slice(&fields);
        self.bytes.extend_from_slice(&root);
        self.bytes.extend_from_slice(MAGIC_END);
        Bytes::from(self.bytes)
    }
}

fn root_hash(id: &PackId, fields: &[u8], footer: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&id.0).update(fields).update(footer);
    *hasher.finalize().as_bytes()
}

/// What a pack holds, from its footer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    pub(crate) frames: Vec<(FrameRow, Vec<ChunkLen>)>,
}

impl Footer {
    /// Reads and checks the footer of the pack `id`, of `size` bytes.
    pub(crate) async fn read(
        bucket: &Bucket,
        id: PackId,
        size: u64,
        master: Option<&Master>,
    ) -> Result<Self, Error> {
        let key = id.key();
        let least = (HEADER_BYTES + TRAILER_BYTES) as u64;
        if size < least || size > PACK_BYTES_MAX {
            return Err(Error::corrupt(&key, 0, format!("{size} bytes are no pack")));
        }
        let trailer = bucket.get_range(&key, size - TRAILER_BYTES as u64..size).await?;
        let mut fields = Reader::new(&trailer);
        let offset = fields.u64().unwrap_or_default();
        let len = u64::from(fields.u32().unwrap_or_default());
        if offset < HEADER_BYTES as u64 || offset + len + TRAILER_BYTES as u64 != size {
            return Err(Error::corrupt(&key, size - TRAILER_BYTES as u64, "trailer mismatch"));
        }
        let stored = bucket.get_range(&key, offset..offset + len).await?;
        Self::decode(&key, id, offset, &stored, &trailer, master)
    }

    fn decode(
        key: &str,
        id: PackId,
        offset: u64,
        stored: &[u8],
        trailer: &[u8],
        master: Option<&Master>,
    ) -> Result<Self, Error> {
        let short = || Error::corrupt(key, offset, "no trailer");
        let (fields, rest) = trailer.split_at_checked(16).ok_or_else(short)?;
        let (root, end) = rest.split_at_checked(32).ok_or_else(short)?;
        if end != MAGIC_END || root_hash(&id, fields, stored) != root {
            return Err(Error::corrupt(key, offset, "footer checksum mismatch"));
        }
        let footer = open(master, id, FOOTER_POSITION, stored, fields[12] == 1)
            .ok_or_else(|| Error::corrupt(key, offset, "footer authentication failed"))?;
        Self::parse(&footer, offset)
            .ok_or_else(|| Error::corrupt(key, offset, "footer tables mismatch"))
    }

    /// Parses a footer whose checksum is taken for right.
    pub(crate) fn fuzz(id: PackId, footer: &[u8]) {
        for end in [HEADER_BYTES as u64, 1000] {
            drop(Self::parse(footer, end));
        }
        drop(Self::decode("key", id, 0, footer, &footer[..footer.len().min(TRAILER_BYTES)], None));
    }

    fn parse(footer: &[u8], frames_end: u64) -> Option<Self> {
        let mut reader = Reader::new(footer);
        let frame_count = reader.u32()? as usize;
        let chunk_count = reader.u32()? as usize;
        let tables = frame_count
            .checked_mul(FRAME_ROW_BYTES)?
            .checked_add(chunk_count.checked_mul(CHUNK_ROW_BYTES)?)?;
        if reader.rest().len() != tables {
            return None;
        }
        let mut rows = Vec::with_capacity(frame_count);
        let mut at = HEADER_BYTES as u64;
        for _ in 0..frame_count {
            let (offset, len, chunks) = (reader.u32()?, reader.u32()?, reader.u32()?);
            let hash = reader.array()?;
            let fits = len as usize <= FRAME_BYTES_MAX + FRAME_HEADER_BYTES + TAG_BYTES;
            if u64::from(offset) != at || !fits || chunks as usize > FRAME_CHUNKS_MAX {
                return None;
            }
            at += u64::from(len);
            rows.push(FrameRow { offset, len, chunks, hash });
        }
        let mut frames = Vec::with_capacity(frame_count);
        for row in rows {
            let mut chunks = Vec::with_capacity(row.chunks as usize);
            for _ in 0..row.chunks {
                let chunk = ChunkLen { id: ChunkId(reader.array()?), len: reader.u32()? };
                if chunk.len == 0 || chunk.len as usize > CHUNK_BYTES_MAX {
                    return None;
                }
                chunks.push(chunk);
            }
            frames.push((row, chunks));
        }
        (reader.rest().is_empty() && at == frames_end).then_some(Self { frames })
    }
}

/// Checks a frame's stored bytes against the footer.
pub(crate) fn frame_is_whole(row: &FrameRow, stored: &[u8]) -> bool {
    short_hash(stored) == row.hash
}

/// Opens the sealed bytes at `position` of a pack, or passes plain ones through.
pub(crate) fn open(
    master: Option<&Master>,
    id: PackId,
    position: u64,
    stored: &[u8],
    sealed: bool,
) -> Option<Vec<u8>> {
    match (master, sealed) {
        (None, false) => Some(stored.to_vec()),
        (Some(master), true) => master.cipher(CONTEXT, &id.0).open(position, &[], stored).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
