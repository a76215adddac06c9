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
use crate::pack::{self, FramePlace, PackId};
use crate::run::IndexEntry;
use crate::seal::Master;
use crate::store::{Blocks, HeldFrame};

/// Frames of a pack this near to each other are read with one request.
const GAP_BYTES_MAX: u32 = 64 * 1024;
/// The most bytes of one request.
const REQUEST_BYTES_MAX: u32 = 4 * 1024 * 1024;
pub(crate) const REQUESTS_AT_ONCE: usize = 4;
const DECODES_AT_ONCE: usize = 4;
/// Chunks of so many bytes together are checked where they are asked for: a quarter of a millisecond,
/// on the thread that has just copied them.
const CHECK_HERE_BYTES_MAX: u64 = 1024 * 1024;
/// And so many are worth the way to another thread.
const CHECK_BYTES: u64 = 512 * 1024;
const MOVED_RETRIES_MAX: u32 = 3;

impl Blocks {
    /// The contents of chunks, in the order asked for. Ask for a few megabytes at a time: all of the
    /// answer is in memory.
    ///
    /// # Errors
    /// [`Error::MissingChunk`] for an id that no pack has; [`Error::Corrupt`] when stored bytes are
    /// not what the id says (BUCKET-3).
    pub async fn read(&self, key: &ChunkKey, ids: &[ChunkId]) -> Result<Vec<Bytes>, Error> {
        self.with_entries(ids, |entries| self.read_entries(key, entries)).await
    }

    /// Does something with the places of chunks, and does it again with their new places when it found
    /// them moved or damaged.
    pub(crate) async fn with_entries<T, W: Future<Output = Result<T, Error>>>(
        &self,
        ids: &[ChunkId],
        work: impl Fn(Vec<IndexEntry>) -> W,
    ) -> Result<T, Error> {
        for tries in 0.. {
            let entries = self.locate_all(ids, tries > 0).await?;
            let places: Vec<FramePlace> = entries.iter().map(|entry| entry.frame).collect();
            match work(entries).await {
                // It may have been damaged on its way or in a cache: the bucket is asked once more.
                Err(error) if error.kind() == ErrorKind::Corrupt && tries == 0 => {
                    self.forget(&places).await?;
                }
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
        let found = self.locate(ids).await?;
        let place = |(found, id): (Option<IndexEntry>, &ChunkId)| {
            found.ok_or(Error::MissingChunk { id: *id })
        };
        found.into_iter().zip(ids).map(place).collect()
    }

    async fn read_entries(
        &self,
        key: &ChunkKey,
        entries: Vec<IndexEntry>,
    ) -> Result<Vec<Bytes>, Error> {
        let frames = self.frames(entries.iter().map(|entry| entry.frame)).await?;
        let chunks = self.checked(key, &entries, &frames.contents).await?;
        let chunks = chunks.into_iter().collect::<Result<Vec<Bytes>, Error>>()?;
        self.keep(frames.fetched);
        Ok(chunks)
    }

    /// Drops frames from the caches.
    async fn forget(&self, places: &[FramePlace]) -> Result<(), Error> {
        for place in places {
            self.inner.frames.remove(place);
        }
        if let Some(disk) = self.inner.disk.clone() {
            let places = places.to_vec();
            let forget = move || places.iter().for_each(|place| disk.remove(place));
            self.inner.env.spawn.run(forget).await?;
        }
        Ok(())
    }

    /// Keeps frames on this machine's disk whose chunks were checked.
    pub(crate) fn keep(&self, frames: Vec<(FramePlace, Bytes)>) {
        if let Some(disk) = &self.inner.disk {
            disk.keep(frames, &self.inner.env);
        }
    }

    /// Cuts chunks out of their frames and checks them: a few at once, many beside the async threads.
    async fn checked(
        &self,
        key: &ChunkKey,
        entries: &[IndexEntry],
        frames: &BTreeMap<FramePlace, Bytes>,
    ) -> Result<Vec<Result<Bytes, Error>>, Error> {
        let sum: u64 = entries.iter().map(|entry| u64::from(entry.len)).sum();
        if sum <= CHECK_HERE_BYTES_MAX {
            return Ok(entries.iter().map(|e| chunk_of(key, e, &frames[&e.frame])).collect());
        }
        let parts = sum.div_ceil(CHECK_BYTES).min(DECODES_AT_ONCE as u64);
        let part = entries.len().div_ceil(usize::try_from(parts).unwrap_or(DECODES_AT_ONCE));
        let checks: Vec<_> = entries
            .chunks(part)
            .map(|part| {
                let key = key.clone();
                let part: Vec<(IndexEntry, Bytes)> =
                    part.iter().map(|entry| (*entry, frames[&entry.frame].clone())).collect();
                self.inner.env.spawn.run(move || {
                    part.iter().map(|(e, frame)| chunk_of(&key, e, frame)).collect::<Vec<_>>()
                })
            })
            .collect();
        let checked: Vec<Vec<_>> =
            stream::iter(checks).buffered(DECODES_AT_ONCE).try_collect().await?;
        Ok(checked.into_iter().flatten().collect())
    }

    /// The decoded contents of frames, from a cache or the bucket.
    pub(crate) async fn frames(
        &self,
        places: impl Iterator<Item = FramePlace>,
    ) -> Result<Frames, Error> {
        let mut frames = Frames::default();
        let mut wanted: Vec<FramePlace> = Vec::new();
        for place in places {
            if frames.contents.contains_key(&place) {
                continue;
            }
            match self.inner.frames.get(&place) {
                Some(held) => {
                    frames.contents.insert(place, held.content);
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
        let loaded: Vec<Vec<Loaded>> =
            stream::iter(loads).buffered(REQUESTS_AT_ONCE).try_collect().await?;
        for Loaded { place, stored, frame } in loaded.into_iter().flatten() {
            frames.contents.insert(place, frame.content.clone());
            self.inner.frames.insert(place, frame);
            if self.inner.disk.is_some() {
                frames.fetched.push((place, stored));
            }
        }
        Ok(frames)
    }

    async fn load(&self, request: Request) -> Result<Vec<Loaded>, Error> {
        let buffer = (request.bytes.end - request.bytes.start) as usize;
        let stored = self.stored(request).await?;
        let decodes = stored.into_iter().map(|(place, stored)| self.decode(place, stored, buffer));
        let decodes: Vec<_> = decodes.collect();
        stream::iter(decodes).buffered(DECODES_AT_ONCE).try_collect().await
    }

    /// The frames of a request as they are stored, in its order, from this machine's disk where it
    /// has them.
    pub(crate) async fn stored(&self, request: Request) -> Result<Vec<(FramePlace, Bytes)>, Error> {
        let Some(disk) = &self.inner.disk else { return self.fetched(request).await };
        let (near, far): (Vec<FramePlace>, Vec<FramePlace>) =
            request.frames.iter().partition(|place| disk.may_have(place));
        let reader = disk.clone();
        let read = move || {
            let (mut found, mut gone) = (Vec::new(), Vec::new());
            for place in near {
                match reader.get(&place) {
                    Some(stored) => found.push((place, stored)),
                    None => gone.push(place),
                }
            }
            (found, gone)
        };
        let (mut frames, mut far) = match far.len() == request.frames.len() {
            true => (Vec::new(), far),
            false => {
                let (found, gone) = self.inner.env.spawn.run(read).await?;
                (found, [far, gone].concat())
            }
        };
        far.sort_unstable();
        for request in requests(&far) {
            frames.extend(self.fetched(request).await?);
        }
        frames.sort_unstable_by_key(|(place, _)| *place);
        Ok(frames)
    }

    /// The frames of a request from the bucket.
    async fn fetched(&self, request: Request) -> Result<Vec<(FramePlace, Bytes)>, Error> {
        let range = u64::from(request.bytes.start)..u64::from(request.bytes.end);
        let stored = self.inner.bucket.get_range(&request.pack.key(), range).await?;
        let part = |place: FramePlace| {
            let from = (place.offset - request.bytes.start) as usize;
            (place, stored.slice(from..from + place.len as usize))
        };
        Ok(request.frames.into_iter().map(part).collect())
    }

    /// `buffer` is how much was read in one piece with it.
    async fn decode(
        &self,
        place: FramePlace,
        stored: Bytes,
        buffer: usize,
    ) -> Result<Loaded, Error> {
        if self.inner.master.is_none()
            && let Some(content) = frame::content_of_stored(&stored)
        {
            return Ok(Loaded { place, stored, frame: HeldFrame { content, buffer } });
        }
        let master = self.inner.master.clone();
        let work = self.inner.env.spawn.run(move || {
            let content = frame_decode(master.as_ref(), place, &stored)?;
            let frame = HeldFrame { buffer: content.len(), content };
            Ok(Loaded { place, stored, frame })
        });
        work.await?
    }
}

/// Frames that were asked for.
#[derive(Default)]
pub(crate) struct Frames {
    pub(crate) contents: BTreeMap<FramePlace, Bytes>,
    /// Those that came from the bucket, as they are stored there, when a cache on disk wants them.
    fetched: Vec<(FramePlace, Bytes)>,
}

/// A frame from the bucket.
struct Loaded {
    place: FramePlace,
    stored: Bytes,
    frame: HeldFrame,
}

/// Opens and decodes one stored frame.
pub(crate) fn frame_decode(
    master: Option<&Master>,
    place: FramePlace,
    stored: &Bytes,
) -> Result<Bytes, Error> {
    decode_plain(place, &open_plain(master, place, stored)?)
}

/// The plain form of a stored frame.
pub(crate) fn open_plain(
    master: Option<&Master>,
    place: FramePlace,
    stored: &Bytes,
) -> Result<Bytes, Error> {
    if master.is_none() {
        return Ok(stored.clone());
    }
    pack::open(master, place.pack, u64::from(place.offset), stored, true)
        .map(Bytes::from)
        .ok_or_else(|| corrupt(place, "frame authentication failed".to_owned()))
}

/// The content of a frame's plain form.
pub(crate) fn decode_plain(place: FramePlace, plain: &[u8]) -> Result<Bytes, Error> {
    let content = frame::decode(plain);
    content.map(Bytes::from).map_err(|detail| corrupt(place, format!("the frame {detail}")))
}

fn corrupt(place: FramePlace, detail: String) -> Error {
    Error::corrupt(&place.pack.key(), u64::from(place.offset), detail)
}

/// Cuts a chunk out of its frame and checks it.
pub(crate) fn chunk_of(
    key: &ChunkKey,
    entry: &IndexEntry,
    content: &Bytes,
) -> Result<Bytes, Error> {
    let (from, to) = (entry.at as usize, entry.at as usize + entry.len as usize);
    let corrupt = || corrupt(entry.frame, format!("chunk {} is not what its id says", entry.id));
    if to > content.len() {
        return Err(corrupt());
    }
    let chunk = content.slice(from..to);
    if key.id(&chunk) == entry.id { Ok(chunk) } else { Err(corrupt()) }
}

/// Frames of one pack that are read at once.
pub(crate) struct Request {
    pack: PackId,
    bytes: Range<u32>,
    frames: Vec<FramePlace>,
}

/// Joins sorted frames of the same pack that lie near each other.
pub(crate) fn requests(frames: &[FramePlace]) -> Vec<Request> {
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
