//! Index runs: sorted immutable tables that say where chunks are.
//!
//! Key: `index/<session><random>`, 32 hexadecimal digits.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `CRNRUN01` |
//! | 8 | n | pages of 64 entries (the last may have fewer), each with 16 bytes of checksum or tag behind it |
//! | 8 + n | m | head, with 16 bytes of tag behind it when sealed |
//! | end - 72 | 8 | number of entries |
//! | end - 64 | 8 | offset of the head |
//! | end - 56 | 8 | bytes of the head as stored |
//! | end - 48 | 4 | number of packs |
//! | end - 44 | 4 | 0 plain, 1 sealed |
//! | end - 40 | 32 | BLAKE3 of the name, the five fields above and the head as stored |
//! | end - 8 | 8 | `CRNREND1` |
//!
//! Entry, 52 bytes: chunk id (32), u32 number of the pack in the head's table, u32 offset of the
//! frame in the pack, u32 stored bytes of the frame, u32 offset of the chunk in the frame's content,
//! u32 bytes of the chunk. Head: the pack ids (16 each); per page the first eight bytes of its first
//! id, big endian in value and little endian as stored (the fence); the filter's words. Sealed pages
//! have their number as position, the head 2⁶⁴ - 1; the key's salt is the run's name.
//!
//! The filter is a blocked Bloom filter (F. Putze et al., "Cache-, Hash- and Space-Efficient Bloom
//! Filters", 2007): blocks of 512 bits, ten bits an entry, eight probes taken from the id itself.

use std::ops::Range;

use bytes::Bytes;
use cairn_chunk::{CHUNK_BYTES_MAX, ChunkId, ID_BYTES};

use crate::error::Error;
use crate::frame::{ChunkLen, FRAME_BYTES_MAX};
use crate::pack::{FramePlace, PackId};
use crate::seal::{Cipher, Master, TAG_BYTES};
use crate::wire::Reader;

pub(crate) const PAGE_ENTRIES: usize = 64;
const ENTRY_BYTES: usize = ID_BYTES + 20;
const PAGE_STORED_BYTES: u64 = (PAGE_ENTRIES * ENTRY_BYTES + TAG_BYTES) as u64;
pub(crate) const MAGIC: &[u8; 8] = b"CRNRUN01";
const MAGIC_END: &[u8; 8] = b"CRNREND1";
pub(crate) const TRAILER_BYTES: u64 = 72;
const HEAD_POSITION: u64 = u64::MAX;
const CONTEXT: &str = "cairn run 1";
const FILTER_BITS_PER_ENTRY: usize = 10;
const FILTER_BLOCK_WORDS: usize = 8;
/// The most entries of one run: 26 MiB.
pub const RUN_ENTRIES_MAX: usize = 512 * 1024;

/// Where a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexEntry {
    /// The chunk.
    pub id: ChunkId,
    /// The frame that has it.
    pub frame: FramePlace,
    /// Its first byte in the frame's content.
    pub at: u32,
    /// Its length in bytes.
    pub len: u32,
}

impl IndexEntry {
    /// Where the chunks of a frame are.
    pub(crate) fn of_frame(
        frame: FramePlace,
        chunks: &[ChunkLen],
    ) -> impl Iterator<Item = Self> + use<'_> {
        let mut end = 0;
        chunks.iter().map(move |chunk| {
            let at = end;
            end += chunk.len;
            Self { id: chunk.id, frame, at, len: chunk.len }
        })
    }
}

/// What is needed to read pages of a run; the pages themselves stay in the bucket.
#[derive(Debug)]
pub(crate) struct RunHead {
    pub(crate) name: String,
    pub(crate) entries: u64,
    pub(crate) packs: Vec<PackId>,
    fence: Vec<u64>,
    filter: Vec<u64>,
    sealed: bool,
}

/// The run's object key.
pub(crate) fn run_key(name: &str) -> String {
    format!("index/{name}")
}

/// Writes a run of `entries`, which are sorted by id without doubles.
pub(crate) fn encode(name: &str, entries: &[IndexEntry], master: Option<&Master>) -> Bytes {
    assert!(entries.is_sorted_by(|a, b| a.id < b.id) && entries.len() <= RUN_ENTRIES_MAX);
    let cipher = master.map(|master| master.cipher(CONTEXT, name.as_bytes()));
    let mut packs: Vec<PackId> = entries.iter().map(|entry| entry.frame.pack).collect();
    packs.sort_unstable();
    packs.dedup();
    let mut bytes = MAGIC.to_vec();
    let mut fence = Vec::new();
    for (number, page) in entries.chunks(PAGE_ENTRIES).enumerate() {
        fence.push(page[0].id.prefix());
        bytes.extend_from_slice(&encode_page(number as u64, page, &packs, cipher.as_ref()));
    }
    let head_offset = bytes.len() as u64;
    let mut head = Vec::new();
    packs.iter().for_each(|pack| head.extend_from_slice(&pack.0));
    for word in fence.iter().chain(&filter_build(entries)) {
        head.extend_from_slice(&word.to_le_bytes());
    }
    if let Some(cipher) = &cipher {
        cipher.seal(HEAD_POSITION, &[], &mut head);
    }
    let mut fields = Vec::new();
    for number in [entries.len() as u64, head_offset, head.len() as u64] {
        fields.extend_from_slice(&number.to_le_bytes());
    }
    let pack_count = u32::try_from(packs.len()).expect("a run has fewer packs than entries");
    fields.extend_from_slice(&pack_count.to_le_bytes());
    fields.extend_from_slice(&u32::from(cipher.is_some()).to_le_bytes());
    let hash = head_hash(name, &fields, &head);
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(&fields);
    bytes.extend_from_slice(&hash);
    bytes.extend_from_slice(MAGIC_END);
    Bytes::from(bytes)
}

fn encode_page(
    number: u64,
    page: &[IndexEntry],
    packs: &[PackId],
    cipher: Option<&Cipher>,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(page.len() * ENTRY_BYTES + TAG_BYTES);
    for entry in page {
        let pack = packs.binary_search(&entry.frame.pack).expect("the table has every pack");
        let pack = u32::try_from(pack).expect("a run has fewer packs than entries");
        bytes.extend_from_slice(&entry.id.0);
        for field in [pack, entry.frame.offset, entry.frame.len, entry.at, entry.len] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
    }
    match cipher {
        Some(cipher) => cipher.seal(number, &[], &mut bytes),
        None => {
            let sum = page_sum(number, &bytes);
            bytes.extend_from_slice(&sum);
        }
    }
    bytes
}

fn page_sum(number: u64, page: &[u8]) -> [u8; TAG_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_le_bytes()).update(page);
    let mut sum = [0; TAG_BYTES];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..TAG_BYTES]);
    sum
}

fn head_hash(name: &str, fields: &[u8], head: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(name.as_bytes()).update(fields).update(head);
    *hasher.finalize().as_bytes()
}

fn filter_words(entries: usize) -> usize {
    (entries * FILTER_BITS_PER_ENTRY).div_ceil(FILTER_BLOCK_WORDS * 64).max(1) * FILTER_BLOCK_WORDS
}

/// The first word of the id's block, and its eight bits there. Ids are uniform, so they are their
/// own hash; the block comes from other bytes than the fence so that pages do not share blocks.
fn filter_probe(words: usize, id: &ChunkId) -> (usize, [(usize, u64); 8]) {
    let mut word = [0; 8];
    word.copy_from_slice(&id.0[8..16]);
    let blocks = (words / FILTER_BLOCK_WORDS) as u128;
    let block = (u128::from(u64::from_le_bytes(word)) * blocks) >> 64;
    let block = usize::try_from(block).expect("it is below the number of blocks");
    let mut probes = [(0, 0); 8];
    for (probe, pair) in probes.iter_mut().zip(id.0[16..32].chunks_exact(2)) {
        let bit = u16::from_le_bytes([pair[0], pair[1]]) & 511;
        *probe = (usize::from(bit >> 6), 1 << (bit & 63));
    }
    (block * FILTER_BLOCK_WORDS, probes)
}

fn filter_build(entries: &[IndexEntry]) -> Vec<u64> {
    let mut words = vec![0; filter_words(entries.len())];
    for entry in entries {
        let (block, probes) = filter_probe(words.len(), &entry.id);
        for (word, bit) in probes {
            words[block + word] |= bit;
        }
    }
    words
}

/// The bytes of trailer and head as they stand at the end of a run, and where the head begins.
pub(crate) fn head_range(name: &str, trailer: &[u8], size: u64) -> Result<Range<u64>, Error> {
    let mut reader = Reader::new(trailer);
    let (_, offset, len) = (reader.u64(), reader.u64(), reader.u64());
    let (offset, len) = (offset.unwrap_or_default(), len.unwrap_or_default());
    let end = offset.checked_add(len).and_then(|end| end.checked_add(TRAILER_BYTES));
    if end != Some(size) {
        return Err(Error::corrupt(&run_key(name), size - TRAILER_BYTES, "trailer mismatch"));
    }
    Ok(offset..offset + len)
}

impl RunHead {
    /// Checks and parses trailer and head.
    pub(crate) fn decode(
        name: &str,
        trailer: &[u8],
        stored: &[u8],
        master: Option<&Master>,
    ) -> Result<Self, Error> {
        let corrupt = |detail: &str| Error::corrupt(&run_key(name), 0, detail);
        let (fields, rest) = trailer.split_at_checked(32).ok_or_else(|| corrupt("no trailer"))?;
        let (hash, end) = rest.split_at_checked(32).ok_or_else(|| corrupt("no trailer"))?;
        if end != MAGIC_END || head_hash(name, fields, stored) != hash {
            return Err(corrupt("head checksum mismatch"));
        }
        let sealed = fields[28] == 1;
        let head = match (master, sealed) {
            (None, false) => stored.to_vec(),
            (Some(master), true) => master
                .cipher(CONTEXT, name.as_bytes())
                .open(HEAD_POSITION, &[], stored)
                .map_err(|_| corrupt("head authentication failed"))?,
            _ => return Err(corrupt("sealed where the bucket is plain, or the reverse")),
        };
        Self::parse(name, fields, &head, sealed).ok_or_else(|| corrupt("head tables mismatch"))
    }

    /// Parses a head whose checksum is taken for right, and a page under it.
    pub(crate) fn fuzz(fields: &[u8], head: &[u8]) {
        if let Some(run) = Self::parse("name", fields, head, false)
            && run.pages() > 0
        {
            drop(run.page_decode(0, head, None));
            drop(head.chunks_exact(ENTRY_BYTES).map(|bytes| run.entry(bytes)).collect::<Vec<_>>());
        }
    }

    fn parse(name: &str, fields: &[u8], head: &[u8], sealed: bool) -> Option<Self> {
        let mut reader = Reader::new(fields);
        let (entries, head_offset, _) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let pack_count = reader.u32()? as usize;
        let count = usize::try_from(entries).ok().filter(|count| *count <= RUN_ENTRIES_MAX)?;
        let pages = count.div_ceil(PAGE_ENTRIES);
        let pages_bytes = count * ENTRY_BYTES + pages * TAG_BYTES;
        if head_offset != (MAGIC.len() + pages_bytes) as u64 || pack_count > count {
            return None;
        }
        let mut reader = Reader::new(head);
        let packs = (0..pack_count).map(|_| reader.array().map(PackId)).collect::<Option<_>>()?;
        let fence = (0..pages).map(|_| reader.u64()).collect::<Option<_>>()?;
        let filter = (0..filter_words(count)).map(|_| reader.u64()).collect::<Option<_>>()?;
        let whole = reader.rest().is_empty();
        whole.then(|| Self { name: name.to_owned(), entries, packs, fence, filter, sealed })
    }

    pub(crate) fn pages(&self) -> u32 {
        u32::try_from(self.fence.len()).expect("a run has at most 8192 pages")
    }

    /// Bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.packs.len() * 16 + (self.fence.len() + self.filter.len()) * 8
    }

    /// Whether the run can have the id: false is certain.
    pub(crate) fn may_have(&self, id: &ChunkId) -> bool {
        let (block, probes) = filter_probe(self.filter.len(), id);
        probes.iter().all(|(word, bit)| self.filter[block + word] & bit != 0)
    }

    /// The pages that can hold the id: almost always one, more only when prefixes repeat.
    pub(crate) fn pages_for(&self, id: &ChunkId) -> Range<u32> {
        let prefix = id.prefix();
        let from = self.fence.partition_point(|first| *first < prefix).saturating_sub(1);
        let to = self.fence.partition_point(|first| *first <= prefix);
        let number = |at: usize| u32::try_from(at).expect("a run has at most 8192 pages");
        number(from)..number(to)
    }

    /// Where pages stand in the object.
    pub(crate) fn page_bytes(&self, pages: &Range<u32>) -> Range<u64> {
        let start = MAGIC.len() as u64 + u64::from(pages.start) * PAGE_STORED_BYTES;
        let end = if pages.end == self.pages() {
            let entries_bytes = self.entries * ENTRY_BYTES as u64;
            MAGIC.len() as u64 + entries_bytes + u64::from(self.pages()) * TAG_BYTES as u64
        } else {
            MAGIC.len() as u64 + u64::from(pages.end) * PAGE_STORED_BYTES
        };
        start..end
    }

    /// The entries of page `number` from its stored bytes.
    pub(crate) fn page_decode(
        &self,
        number: u32,
        stored: &[u8],
        master: Option<&Master>,
    ) -> Result<Vec<IndexEntry>, Error> {
        let offset = self.page_bytes(&(number..number + 1)).start;
        let corrupt = |detail: &str| Error::corrupt(&run_key(&self.name), offset, detail);
        let page = match master.filter(|_| self.sealed) {
            Some(master) => master
                .cipher(CONTEXT, self.name.as_bytes())
                .open(u64::from(number), &[], stored)
                .map_err(|_| corrupt("page authentication failed"))?,
            None => {
                let (page, sum) = stored
                    .split_at_checked(stored.len().saturating_sub(TAG_BYTES))
                    .ok_or_else(|| corrupt("short page"))?;
                if page_sum(u64::from(number), page) != sum {
                    return Err(corrupt("page checksum mismatch"));
                }
                page.to_vec()
            }
        };
        page.chunks_exact(ENTRY_BYTES)
            .map(|bytes| self.entry(bytes))
            .collect::<Option<_>>()
            .ok_or_else(|| corrupt("an entry that cannot be"))
    }

    fn entry(&self, bytes: &[u8]) -> Option<IndexEntry> {
        let mut reader = Reader::new(bytes);
        let id = ChunkId(reader.array()?);
        let pack = *self.packs.get(reader.u32()? as usize)?;
        let frame = FramePlace { pack, offset: reader.u32()?, len: reader.u32()? };
        let (at, len) = (reader.u32()?, reader.u32()?);
        let sane = len as usize <= CHUNK_BYTES_MAX && at as usize <= FRAME_BYTES_MAX;
        sane.then_some(IndexEntry { id, frame, at, len })
    }
}

#[cfg(test)]
mod tests;
