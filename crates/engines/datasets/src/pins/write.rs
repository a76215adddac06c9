//! Storing a content that a pin is to keep.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cairn_chunk::ChunkId;
use cairn_tree::{Content, DirectoryBuilder, Entry, Kind, Meta, Root, Time};

use super::{FILE, Pinned};
use crate::edits::Writing;
use crate::error::Error;
use crate::local::{Datasets, LocalUpload};
use crate::meter::Meter;
use crate::model::Dataset;
use crate::pages::default_directory_meta;
use crate::push::{Sink, To, emit};
use crate::store::Upload as _;

/// Bytes that are cut at a time.
const PIECE_BYTES: usize = 1024 * 1024;

/// A content on its way in. Of one that is dropped nothing is kept; [`PinWriter::abandon`] also gives its
/// lease back.
pub struct PinWriter {
    datasets: Datasets,
    of: Dataset,
    upload: Arc<LocalUpload>,
    sink: Sink<'static>,
    writing: Box<Writing>,
    waiting: BytesMut,
    len: u64,
}

impl Datasets {
    /// Begins a content of about `size` bytes, which decides how it is cut.
    ///
    /// # Errors
    /// [`Error::Blocks`].
    pub async fn pin_begin(&self, of: &Dataset, size: u64) -> Result<PinWriter, Error> {
        let upload = Arc::new(self.upload_for(&of.project).await?);
        let key = self.key(&of.project);
        let to = To::Shared(Arc::clone(&upload) as Arc<dyn crate::store::Upload>);
        let (env, level, meter) = (self.blocks.env(), self.blocks.level(), Arc::<Meter>::default());
        Ok(PinWriter {
            sink: Sink::new(to, env, key.clone(), level, meter),
            writing: Box::new(Writing::new(&key, size)),
            datasets: self.clone(),
            of: of.clone(),
            upload,
            waiting: BytesMut::new(),
            len: 0,
        })
    }
}

impl PinWriter {
    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes the next bytes. To be called again only after it has returned well.
    ///
    /// # Errors
    /// [`Error::Blocks`]: the content is given up.
    pub async fn write(mut self, bytes: &Bytes) -> Result<Self, Error> {
        self.len += bytes.len() as u64;
        self.waiting.extend_from_slice(bytes);
        while self.waiting.len() >= PIECE_BYTES {
            let piece = self.waiting.split_to(PIECE_BYTES).freeze();
            self.upload.keep().await?;
            self = self.cut(piece).await?;
        }
        Ok(self)
    }

    async fn cut(mut self, piece: Bytes) -> Result<Self, Error> {
        let (env, writing) = (self.datasets.blocks.env(), self.writing);
        let (writing, part, _) = env.spawn.run(move || writing.feed(&piece, false)).await?;
        self.writing = writing;
        self.writing.content.part(part, &mut self.sink).await?;
        Ok(self)
    }

    /// Ends the content: all of it is durable and kept by a pin of `owner` when this returns.
    ///
    /// # Errors
    /// [`Error::Blocks`]: nothing is kept. `Swept` says that a collection came between, and that the
    /// content may be sent again.
    pub async fn pin(self, owner: &str) -> Result<Pinned, Error> {
        let Self { datasets, of, upload, sink, writing, waiting, len } = self;
        let stored = Box::pin(stored(&datasets, &upload, sink, writing, waiting.freeze())).await;
        let pinned = match stored {
            Ok(root) => Box::pin(datasets.pin_proven(&of, &upload, root, len, owner)).await,
            Err(error) => Err(error),
        };
        upload.end().await;
        pinned
    }

    /// Gives the content up.
    ///
    /// # Errors
    /// [`Error::Blocks`]; then its lease runs out by itself.
    pub async fn abandon(self) -> Result<(), Error> {
        self.upload.abandon().await
    }
}

impl Datasets {
    /// Pins what is stored, and looks whether all of it stays (DATASETS-1, BLOCKS-4).
    async fn pin_proven(
        &self,
        of: &Dataset,
        upload: &LocalUpload,
        root: ChunkId,
        len: u64,
        owner: &str,
    ) -> Result<Pinned, Error> {
        let pinned = self.pin_new(of, root, len, owner).await?;
        if let Err(error) = self.prove(upload.session(), &of.project, root, None).await {
            if let Err(failed) = self.unpin(of, pinned.id).await {
                tracing::debug!(%failed, "a pin is left to its owner");
            }
            return Err(error);
        }
        Ok(pinned)
    }
}

/// Stores the end of a content and the tree around it, and returns its root.
async fn stored(
    datasets: &Datasets,
    upload: &LocalUpload,
    mut sink: Sink<'static>,
    writing: Box<Writing>,
    last: Bytes,
) -> Result<ChunkId, Error> {
    let env = datasets.blocks.env();
    let (mut writing, part, end) = env.spawn.run(move || writing.feed(&last, true)).await?;
    writing.content.part(part, &mut sink).await?;
    let end = end.expect("the piece was said to be the last");
    let content = writing.content.end(end, &mut sink).await?;
    let root = tree(content, &mut sink).await?;
    sink.flush().await?;
    upload.session().flush().await?;
    Ok(root)
}

/// The root of a tree with this file alone: a function of the content.
async fn tree(content: Content, sink: &mut Sink<'static>) -> Result<ChunkId, Error> {
    let (key, mut pages) = (sink.key().clone(), Vec::new());
    let mut builder = DirectoryBuilder::new();
    let meta = Meta { mode: 0o644, ..Meta::default() };
    let entry = Entry { name: FILE.to_vec(), meta, kind: Kind::File { content } };
    builder.push(&entry, &mut emit(&key, &mut pages))?;
    sink.pages(&mut pages).await?;
    let (page, totals) = sink.directory(builder).await?;
    let root = Root { meta: default_directory_meta(Time::default()), page, totals }.encode()?;
    let id = key.id(&root);
    sink.pages(&mut vec![(id, Bytes::from(root))]).await?;
    Ok(id)
}
