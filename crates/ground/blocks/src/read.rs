//! Reading chunks back: group by frame, join near frames into one request, decode beside the async
//! threads, check every chunk against its id.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_chunk::{ChunkId, ChunkKey};
use futures::TryStreamExt as _;
use futures::stream::{self, StreamExt as _};

use crate::error::Error;
use crate::frame;
use crate::index::Want;
use crate::pack::{self, FramePlace, PackId};
use crate::run::IndexEntry;
use crate::store::Blocks;

/// Frames of a pack this near to each other are read with one request.
const GAP_BYTES_MAX: u32 = 64 * 1024;
/// The most bytes of one request.
const REQUEST_BYTES_MAX: u32 = 4 * 1024 * 1024;
const REQUESTS_AT_ONCE: usize = 4;
const DECODES_AT_ONCE: usize = 4;
const MOVED_RETRIES_MAX: u32 = 3;

impl Blocks {
    /// The contents of chunks, in the order asked for. Ask for a few megabytes at a time: all of the
    /// answer is in memory.
    ///
    /// # Errors
    /// [`Error::MissingChunk`] for an id that no pack has; [`Error::Corrupt`] when stored bytes are
    /// not what the id says (BUCKET-3).
    pub async fn read(&self, key: &ChunkKey, ids: &[ChunkId]) -> Result<Vec<Bytes>, Error> {
        for tries in 0.. {
            let entries = self.locate_all(ids, tries > 0).await?;
            match self.read_entries(key, &entries).await {
                // It may have been damaged on its way or in the cache: the bucket is asked once more.
                Err(error) if error.kind() == ErrorKind::Corrupt && tries == 0 => {}
                // A collection moved a pack: the index knows where to.
                Err(error) if error.kind() == ErrorKind::NotFound && tries < MOVED_RETRIES_MAX => {}
                answer => return answer.map_err(Error::lost),
            }
        }
        unreachable!("the loop ends by returning")
    }

    async fn locate_all(&self, ids: &[ChunkId], fresh: bool) -> Result<Vec<IndexEntry>, Error> {
        if fresh {
            self.refresh().await?;
        }
        let mut found = self.find(ids, Want::Any).await?;
        if found.iter().any(Option::is_none) {
            self.refresh().await?;
            found = self.find(ids, Want::Any).await?;
        }
        found
            .into_iter()
            .zip(ids)
            .map(|(found, id)| Ok(found.ok_or(Error::MissingChunk { id: *id })?.entry))
            .collect()
    }

    async fn read_entries(
        &self,
        key: &ChunkKey,
        entries: &[IndexEntry],
    ) -> Result<Vec<Bytes>, Error> {
        let frames = self.frames(entries.iter().map(|entry| entry.frame)).await?;
        let chunk = |entry: &IndexEntry| {
            let chunk = chunk_of(key, entry, &frames[&entry.frame]);
            if chunk.is_err() {
                self.inner.frames.remove(&entry.frame);
            }
            chunk
        };
        entries.iter().map(chunk).collect()
    }

    /// The decoded contents of frames, from the cache or the bucket.
    pub(crate) async fn frames(
        &self,
        places: impl Iterator<Item = FramePlace>,
    ) -> Result<BTreeMap<FramePlace, Bytes>, Error> {
        let mut contents = BTreeMap::new();
        let mut wanted: Vec<FramePlace> = Vec::new();
        for place in places {
            if contents.contains_key(&place) {
                continue;
            }
            match self.inner.frames.get(&place) {
                Some(content) => {
                    contents.insert(place, content);
                }
                None => wanted.push(place),
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        let loads: Vec<_> = requests(&wanted)
            .into_iter()
            .map(|request| async { self.load(request).await })
            .collect();
        let loaded: Vec<Vec<(FramePlace, Bytes)>> =
            stream::iter(loads).buffered(REQUESTS_AT_ONCE).try_collect().await?;
        for (place, content) in loaded.into_iter().flatten() {
            self.inner.frames.insert(place, content.clone());
            contents.insert(place, content);
        }
        Ok(contents)
    }

    async fn load(&self, request: Request) -> Result<Vec<(FramePlace, Bytes)>, Error> {
        let range = u64::from(request.bytes.start)..u64::from(request.bytes.end);
        let stored = self.inner.bucket.get_range(&request.pack.key(), range).await?;
        let decodes: Vec<_> = request
            .frames
            .into_iter()
            .map(|place| {
                let from = (place.offset - request.bytes.start) as usize;
                let part = stored.slice(from..from + place.len as usize);
                self.decode(place, part)
            })
            .collect();
        stream::iter(decodes).buffered(DECODES_AT_ONCE).try_collect().await
    }

    async fn decode(&self, place: FramePlace, stored: Bytes) -> Result<(FramePlace, Bytes), Error> {
        let master = self.inner.master.clone();
        let content = self
            .inner
            .env
            .spawn
            .run(move || frame_decode(master.as_ref(), place, &stored))
            .await??;
        Ok((place, content))
    }
}

/// Opens and decodes one stored frame.
pub(crate) fn frame_decode(
    master: Option<&crate::seal::Master>,
    place: FramePlace,
    stored: &[u8],
) -> Result<Bytes, Error> {
    let corrupt =
        |detail: String| Error::corrupt(&place.pack.key(), u64::from(place.offset), detail);
    let content = match master {
        None => frame::decode(stored),
        Some(_) => {
            let plain = pack::open(master, place.pack, u64::from(place.offset), stored, true)
                .ok_or_else(|| corrupt("frame authentication failed".to_owned()))?;
            frame::decode(&plain)
        }
    };
    content.map(Bytes::from).map_err(|detail| corrupt(format!("the frame {detail}")))
}

/// Cuts a chunk out of its frame and checks it.
fn chunk_of(key: &ChunkKey, entry: &IndexEntry, content: &Bytes) -> Result<Bytes, Error> {
    let (from, to) = (entry.at as usize, entry.at as usize + entry.len as usize);
    let corrupt = || {
        let detail = format!("chunk {} is not what its id says", entry.id);
        Error::corrupt(&entry.frame.pack.key(), u64::from(entry.frame.offset), detail)
    };
    if to > content.len() {
        return Err(corrupt());
    }
    let chunk = content.slice(from..to);
    if key.id(&chunk) == entry.id { Ok(chunk) } else { Err(corrupt()) }
}

struct Request {
    pack: PackId,
    bytes: Range<u32>,
    frames: Vec<FramePlace>,
}

/// Joins sorted frames of the same pack that lie near each other.
fn requests(frames: &[FramePlace]) -> Vec<Request> {
    let mut requests: Vec<Request> = Vec::new();
    for place in frames {
        let end = place.offset.saturating_add(place.len);
        match requests.last_mut() {
            Some(last)
                if last.pack == place.pack
                    && place.offset >= last.bytes.end
                    && place.offset - last.bytes.end <= GAP_BYTES_MAX
                    && end - last.bytes.start <= REQUEST_BYTES_MAX =>
            {
                last.bytes.end = end;
                last.frames.push(*place);
            }
            _ => requests.push(Request {
                pack: place.pack,
                bytes: place.offset..end,
                frames: vec![*place],
            }),
        }
    }
    requests
}
