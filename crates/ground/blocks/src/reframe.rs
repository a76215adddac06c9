//! Chunks as frames, for whoever sends them on: what is stored compressed is not compressed again.

use std::collections::BTreeMap;

use bytes::Bytes;
use cairn_chunk::{ChunkId, ChunkKey};
use futures::TryStreamExt as _;
use futures::stream::{self, StreamExt as _};

use crate::error::Error;
use crate::frame::{ChunkLen, Frame, OpenFrame};
use crate::pack::FramePlace;
use crate::read::{REQUESTS_AT_ONCE, chunk_of, decode_plain, open_plain, requests};
use crate::run::IndexEntry;
use crate::store::Blocks;

/// What is asked of each frame, in the order of its content.
type Asked = BTreeMap<FramePlace, Vec<IndexEntry>>;

/// A frame as read: to be sent as it is, or chunks to be framed anew.
enum Part {
    Whole(Frame),
    Chunks(Vec<(ChunkId, Bytes)>),
}

impl Blocks {
    /// Frames with exactly these chunks, each once, in the order they are stored. A frame all of whose
    /// chunks are asked for is given as it is stored; what is asked of others is framed anew at `level`.
    /// Ask for a few megabytes at a time: all of the answer is in memory.
    ///
    /// # Errors
    /// As [`Blocks::read`]; every chunk was checked against its id (BUCKET-3).
    pub async fn read_frames(
        &self,
        key: &ChunkKey,
        ids: &[ChunkId],
        level: i32,
    ) -> Result<Vec<Frame>, Error> {
        self.with_entries(ids, |entries| self.reframe(key, entries, level)).await
    }

    async fn reframe(
        &self,
        key: &ChunkKey,
        entries: Vec<IndexEntry>,
        level: i32,
    ) -> Result<Vec<Frame>, Error> {
        let (whole, some): (Asked, Asked) =
            by_frame(entries).into_iter().partition(|(_, asked)| may_be_whole(asked));
        let mut parts = self.read_whole(key, &whole).await?;
        let contents = self.frames(some.keys().copied()).await?.contents;
        let (key, spawn) = (key.clone(), self.inner.env.spawn.clone());
        let made = spawn.run(move || {
            for (place, asked) in &some {
                parts.push(Part::Chunks(cut(&key, asked, &contents[place])?));
            }
            Ok(assemble(parts, level))
        });
        made.await?
    }

    async fn read_whole(&self, key: &ChunkKey, whole: &Asked) -> Result<Vec<Part>, Error> {
        let places: Vec<FramePlace> = whole.keys().copied().collect();
        let loads = requests(&places).into_iter().map(|request| async {
            let (stored, key) = (self.stored(request).await?, key.clone());
            let kept = stored.clone();
            let asked: Vec<_> = stored
                .into_iter()
                .map(|(place, bytes)| (place, bytes, whole[&place].clone()))
                .collect();
            let master = self.inner.master.clone();
            let open = move || {
                asked
                    .iter()
                    .map(|(place, stored, asked)| {
                        let plain = open_plain(master.as_ref(), *place, stored)?;
                        let content = decode_plain(*place, &plain)?;
                        let chunks = cut(&key, asked, &content)?;
                        let last = asked.last().expect("a frame is read for what is asked of it");
                        Ok(if (last.at + last.len) as usize == content.len() {
                            Part::Whole(frame_of(asked, plain))
                        } else {
                            Part::Chunks(chunks)
                        })
                    })
                    .collect::<Result<Vec<Part>, Error>>()
            };
            let parts = self.inner.env.spawn.run(open).await??;
            self.keep(kept);
            Ok::<_, Error>(parts)
        });
        let loads: Vec<_> = loads.collect();
        let parts: Vec<Vec<Part>> =
            stream::iter(loads).buffered(REQUESTS_AT_ONCE).try_collect().await?;
        Ok(parts.into_iter().flatten().collect())
    }
}

fn by_frame(mut entries: Vec<IndexEntry>) -> Asked {
    entries.sort_unstable_by_key(|entry| (entry.frame, entry.at));
    entries.dedup_by_key(|entry| entry.id);
    let mut frames = Asked::new();
    for entry in entries {
        frames.entry(entry.frame).or_default().push(entry);
    }
    frames
}

/// Whether what is asked of a frame has no gap; how long its content is, only the frame says.
fn may_be_whole(asked: &[IndexEntry]) -> bool {
    let mut at = 0;
    asked.iter().all(|entry| {
        let fits = entry.at == at;
        at = entry.at.saturating_add(entry.len);
        fits
    })
}

fn cut(
    key: &ChunkKey,
    asked: &[IndexEntry],
    content: &Bytes,
) -> Result<Vec<(ChunkId, Bytes)>, Error> {
    asked.iter().map(|entry| Ok((entry.id, chunk_of(key, entry, content)?))).collect()
}

fn frame_of(asked: &[IndexEntry], plain: Bytes) -> Frame {
    let chunks = asked.iter().map(|entry| ChunkLen { id: entry.id, len: entry.len }).collect();
    Frame { chunks, bytes: plain }
}

fn assemble(parts: Vec<Part>, level: i32) -> Vec<Frame> {
    let (mut frames, mut open) = (Vec::new(), OpenFrame::default());
    for part in parts {
        match part {
            Part::Whole(frame) => frames.push(frame),
            Part::Chunks(chunks) => {
                for (id, chunk) in chunks {
                    open.push(id, &chunk);
                    if open.is_full() {
                        frames.push(std::mem::take(&mut open).encode(level));
                    }
                }
            }
        }
    }
    if !open.is_empty() {
        frames.push(open.encode(level));
    }
    frames
}
