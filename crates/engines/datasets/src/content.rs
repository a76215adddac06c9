//! The bytes of a file, in pieces of at most a few megabytes.

mod ahead;

use std::io::{self, Read, Write};
use std::ops::Range;

use bytes::{Buf as _, Bytes};
use cairn_archive::Recipe;
use cairn_chunk::ChunkId;
use cairn_tree::{Content, Slice, Source, Stream};
use tokio::sync::mpsc;

use self::ahead::{AHEAD_BYTES, Ahead};
use crate::error::Error;
use crate::pages::{Browser, Slices};

/// Bytes of chunks that are asked for at a time.
const BATCH_BYTES: u64 = 4 * 1024 * 1024;
const BATCH_SLICES: usize = 2048;
const ZEROS_BYTES: usize = 256 * 1024;
static ZEROS: [u8; ZEROS_BYTES] = [0; ZEROS_BYTES];
/// An encoded recipe is bounded by what `cairn-archive` accepts; this is far above it.
const RECIPE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Pieces on their way between the rebuilding thread and the reader.
const REBUILD_PIECES: usize = 4;
const REBUILD_PIECE_BYTES: usize = 256 * 1024;

/// Reads one file or a range of it. Every piece was checked against its chunk ids; a rebuilt archive
/// is compared with its hash when it is read to the end from the start.
pub struct ContentStream {
    inner: Inner,
    left: u64,
    /// Zeros of a hole that are still to be given.
    zeros: u64,
}

enum Inner {
    Plain(Box<Plain>),
    Ahead(Box<Ahead>),
    Rebuilt { pieces: mpsc::Receiver<Result<Bytes, Error>>, skip: u64 },
}

impl Browser {
    /// The bytes `range` of a file.
    ///
    /// # Errors
    /// [`Error::Tree`], [`Error::Blocks`], [`Error::Archive`]. The range must lie inside the file.
    pub async fn content(
        &self,
        content: &Content,
        range: Range<u64>,
    ) -> Result<ContentStream, Error> {
        assert!(range.start <= range.end && range.end <= content.len);
        let left = range.end - range.start;
        let inner = match &content.recipe {
            None => {
                let plain = Plain::new(self, &content.stream, range.start);
                // What lies behind the range is not asked for, and who serves many waits for little.
                let most = if self.is_warm() { AHEAD_BYTES } else { BATCH_BYTES };
                let batch_bytes = left.clamp(1, most);
                Inner::Plain(Box::new(Plain { batch_bytes, ..plain }))
            }
            Some(recipe) => {
                let recipe = self.whole(recipe, RECIPE_BYTES_MAX).await?;
                let recipe = Recipe::decode(&recipe)?;
                let whole = range.start == 0 && range.end == content.len;
                let root = content.root.filter(|_| whole);
                let plain = Plain::new(self, &content.stream, 0);
                Inner::Rebuilt { pieces: self.rebuild(recipe, plain, root)?, skip: range.start }
            }
        };
        Ok(ContentStream { inner, left, zeros: 0 })
    }

    /// A whole stream in memory.
    pub(crate) async fn whole(&self, stream: &Stream, max: u64) -> Result<Vec<u8>, Error> {
        if stream.len() > max {
            return Err(Error::TooMany { what: "length of a stream to be held in memory", max });
        }
        let mut bytes = Vec::new();
        let mut plain = Plain::new(self, stream, 0);
        while let Some(piece) = plain.next_bytes().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Starts a thread that makes an archive from its inner stream, and a task that feeds it. The
    /// thread waits for the task, and for whoever reads.
    fn rebuild(
        &self,
        recipe: Recipe,
        mut plain: Plain,
        root: Option<[u8; 32]>,
    ) -> Result<mpsc::Receiver<Result<Bytes, Error>>, Error> {
        let (feed, inner) = mpsc::channel::<Result<Bytes, Error>>(REBUILD_PIECES);
        let (out, pieces) = mpsc::channel(REBUILD_PIECES);
        let env = self.store().env().clone();
        env.spawn.task(Box::pin(async move {
            loop {
                let piece = match plain.next_bytes().await {
                    Ok(None) => break,
                    Ok(Some(piece)) => Ok(piece),
                    Err(error) => Err(error),
                };
                let failed = piece.is_err();
                if feed.send(piece).await.is_err() || failed {
                    break;
                }
            }
        }));
        env.spawn.thread(Box::new(move || {
            let reader = Feed { pieces: inner, piece: Bytes::new() };
            let mut writer = Outlet { pieces: out.clone(), hasher: blake3::Hasher::new() };
            let rebuilt = cairn_archive::rebuild(&recipe, reader, &mut writer);
            let matches = root.is_none_or(|root| *writer.hasher.finalize().as_bytes() == root);
            let error = match rebuilt {
                Ok(()) if matches => return,
                Ok(()) => cairn_tree::Error::Child { what: "hash of a rebuilt archive" }.into(),
                Err(error) => Error::from(error),
            };
            // Nobody listens when the reader went away.
            drop(out.blocking_send(Err(error)));
        }))?;
        Ok(pieces)
    }
}

impl ContentStream {
    /// The next bytes, `None` at the end.
    ///
    /// # Errors
    /// [`Error::Blocks`] with a corrupt kind when stored bytes are damaged; nothing of them is given.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if let Some(zeros) = self.zeros.checked_sub(1).map(|_| self.zeros.min(ZEROS_BYTES as u64)) {
            self.zeros -= zeros;
            let zeros = usize::try_from(zeros).expect("it is at most 256 KiB");
            return Ok(Some(Bytes::from_static(&ZEROS[..zeros])));
        }
        match self.next_piece().await? {
            None => Ok(None),
            Some(Piece::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Piece::Zeros(len)) => {
                self.zeros = len;
                Box::pin(self.next()).await
            }
        }
    }

    /// The next bytes or hole.
    pub(crate) async fn next_piece(&mut self) -> Result<Option<Piece>, Error> {
        while self.left > 0 {
            let piece = match &mut self.inner {
                Inner::Plain(plain) => plain.next().await?,
                Inner::Ahead(ahead) => ahead.next().await?,
                Inner::Rebuilt { pieces, skip } => match pieces.recv().await.transpose()? {
                    Some(mut piece) => {
                        let drop =
                            usize::try_from(*skip).map_or(piece.len(), |s| s.min(piece.len()));
                        piece.advance(drop);
                        *skip -= drop as u64;
                        Some(Piece::Bytes(piece))
                    }
                    None => None,
                },
            };
            let Some(mut piece) = piece else {
                return Err(cairn_tree::Error::Child { what: "length" }.into());
            };
            piece.truncate(self.left);
            if piece.len() == 0 {
                continue;
            }
            self.left -= piece.len();
            if self.left == 0 {
                self.end().await?;
            }
            return Ok(Some(piece));
        }
        Ok(None)
    }

    /// Bytes that are still to be given.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left + self.zeros
    }

    /// All pieces that can be had without waiting again, about 4 MiB at most; empty at the end.
    pub(crate) async fn next_batch(&mut self) -> Result<Vec<Piece>, Error> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(piece) = self.next_piece().await? {
            if let Piece::Bytes(piece) = &piece {
                bytes += piece.len() as u64;
            }
            batch.push(piece);
            if bytes >= BATCH_BYTES || !self.has_ready() {
                break;
            }
        }
        Ok(batch)
    }

    fn has_ready(&self) -> bool {
        match &self.inner {
            Inner::Plain(plain) => !plain.ready.is_empty(),
            Inner::Ahead(ahead) => ahead.has_ready(),
            Inner::Rebuilt { pieces, .. } => !pieces.is_empty(),
        }
    }

    /// A rebuilt archive may still have its hash to compare.
    async fn end(&mut self) -> Result<(), Error> {
        if let Inner::Rebuilt { pieces, .. } = &mut self.inner
            && let Some(Err(error)) = pieces.recv().await
        {
            return Err(error);
        }
        Ok(())
    }
}

/// The bytes of a stream without a recipe.
struct Plain {
    browser: Browser,
    slices: Slices,
    /// Read and not yet given, the next one last.
    ready: Vec<Piece>,
    ended: bool,
    /// Bytes of chunks that are asked for at a time.
    batch_bytes: u64,
}

/// Bytes, or so many zeros that stand nowhere.
pub(crate) enum Piece {
    Bytes(Bytes),
    Zeros(u64),
}

impl Plain {
    fn new(browser: &Browser, stream: &Stream, offset: u64) -> Self {
        let slices = browser.slices(stream, offset);
        let (ready, batch_bytes) = (Vec::new(), BATCH_BYTES);
        Self { browser: browser.clone(), slices, ready, ended: false, batch_bytes }
    }

    async fn next(&mut self) -> Result<Option<Piece>, Error> {
        loop {
            match self.ready.pop() {
                Some(piece) => return Ok(Some(piece)),
                None if self.ended => return Ok(None),
                None => self.fill().await?,
            }
        }
    }

    /// The next bytes, holes as zeros.
    async fn next_bytes(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(piece) = self.next().await? else { return Ok(None) };
        Ok(Some(match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::Zeros(len) => {
                let now = len.min(ZEROS_BYTES as u64);
                if len > now {
                    self.ready.push(Piece::Zeros(len - now));
                }
                Bytes::from_static(&ZEROS[..usize::try_from(now).expect("it is at most 256 KiB")])
            }
        }))
    }

    async fn fill(&mut self) -> Result<(), Error> {
        let (batch, _) = self.batch(self.batch_bytes).await?;
        self.ready = read_slices(&self.browser, &batch).await?;
        self.ready.reverse();
        Ok(())
    }

    /// The next slices, until they have so many bytes of chunks, and how long they are together.
    async fn batch(&mut self, bytes_max: u64) -> Result<(Vec<Slice>, u64), Error> {
        let mut batch: Vec<Slice> = Vec::new();
        let (mut bytes, mut len) = (0, 0_u64);
        while bytes < bytes_max && batch.len() < BATCH_SLICES {
            let Some(slice) = self.slices.next().await? else {
                self.ended = true;
                break;
            };
            if matches!(slice.source, Source::Chunk { .. }) {
                bytes += slice.len;
            }
            len = len.saturating_add(slice.len);
            batch.push(slice);
        }
        Ok((batch, len))
    }
}

impl Piece {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Zeros(len) => *len,
        }
    }

    fn truncate(&mut self, max: u64) {
        match self {
            Self::Bytes(bytes) => bytes.truncate(usize::try_from(max).unwrap_or(usize::MAX)),
            Self::Zeros(len) => *len = (*len).min(max),
        }
    }
}

/// The bytes of a batch of slices.
pub(crate) async fn read_slices(browser: &Browser, batch: &[Slice]) -> Result<Vec<Piece>, Error> {
    let mut ids: Vec<ChunkId> = batch
        .iter()
        .filter_map(|slice| match slice.source {
            Source::Chunk { id, .. } => Some(id),
            Source::Hole => None,
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    let chunks = browser.chunks(&ids).await?;
    batch
        .iter()
        .map(|slice| match slice.source {
            Source::Hole => Ok(Piece::Zeros(slice.len)),
            Source::Chunk { id, skip } => {
                let at = ids.binary_search(&id).expect("every id was asked for");
                let from = skip as usize;
                let to = from + usize::try_from(slice.len).unwrap_or(usize::MAX - from);
                if to > chunks[at].len() {
                    return Err(cairn_tree::Error::Child { what: "length of a chunk" }.into());
                }
                Ok(Piece::Bytes(chunks[at].slice(from..to)))
            }
        })
        .collect()
}

/// The inner stream of an archive, as the rebuilding thread reads it.
struct Feed {
    pieces: mpsc::Receiver<Result<Bytes, Error>>,
    piece: Bytes,
}

impl Read for Feed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => return Err(io::Error::other(error)),
            }
        }
        let len = out.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut out[..len]);
        Ok(len)
    }
}

/// Where the rebuilding thread writes to.
struct Outlet {
    pieces: mpsc::Sender<Result<Bytes, Error>>,
    hasher: blake3::Hasher,
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(REBUILD_PIECE_BYTES);
        self.hasher.update(&bytes[..len]);
        self.pieces
            .blocking_send(Ok(Bytes::copy_from_slice(&bytes[..len])))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
