//! Uploads of clients that talk to a node: kept by id between requests.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cairn_blocks::Frame;
use cairn_chunk::ChunkId;

use crate::error::Error;
use crate::local::{Datasets, LocalUpload};
use crate::model::{Publication, Target};
use crate::owned::Owned;
use crate::store::{Published, Upload as _};

/// The most uploads at a time; each holds one unfinished pack of 16 MiB.
pub const UPLOADS_MAX: usize = 64;
/// The most targets of an upload.
pub const UPLOAD_TARGETS_MAX: usize = 64;
/// The most chunks that a client names at a time, to claim or to read them.
pub const CHUNKS_AT_ONCE_MAX: usize = 4096;
/// An upload without a request for so long is forgotten.
pub const UPLOAD_IDLE_MAX: Duration = Duration::from_secs(15 * 60);

/// The name of an upload: 128 random bits, known only to its client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UploadId([u8; 16]);

impl UploadId {
    /// A new one.
    pub(crate) fn fresh(env: &cairn_env::Env) -> Self {
        let mut id = Self([0; 16]);
        env.rng.fill(&mut id.0);
        id
    }

    /// Parses 32 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        cairn_blocks::pack::PackId::from_hex(text).map(|id| Self(id.0))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UploadId(secret)")
    }
}

/// The uploads that a node has open. Cheap to clone. A node that dies takes them along: its clients
/// push again and go on from what was registered.
#[derive(Clone)]
pub struct Uploads {
    datasets: Datasets,
    open: Owned<UploadId, LocalUpload>,
}

impl Uploads {
    /// No uploads yet.
    #[must_use]
    pub fn new(datasets: Datasets) -> Self {
        let open = Owned::new(Arc::clone(&datasets.blocks.env().clock));
        Self { datasets, open }
    }

    /// Opens an upload for `owner`.
    ///
    /// # Errors
    /// [`Error::TooMany`] over [`UPLOADS_MAX`]; as [`crate::Store::upload`].
    pub async fn begin(&self, targets: &[Target], owner: &str) -> Result<UploadId, Error> {
        self.open.room("number of uploads at a time", UPLOADS_MAX)?;
        let upload = Arc::new(self.datasets.upload_to(targets, false).await?);
        let id = UploadId::fresh(self.datasets.blocks.env());
        self.open.keep(id, owner, upload);
        Ok(id)
    }

    /// The targets of an upload, for the question whether its owner may still write them.
    ///
    /// # Errors
    /// [`Error::NoUpload`], also when it is somebody else's.
    pub fn targets(&self, id: UploadId, owner: &str) -> Result<Vec<Target>, Error> {
        Ok(self.get(id, owner)?.targets().to_vec())
    }

    /// As [`crate::Upload::claim`].
    ///
    /// # Errors
    /// [`Error::NoUpload`]; [`Error::Blocks`].
    pub async fn claim(
        &self,
        id: UploadId,
        owner: &str,
        ids: &[ChunkId],
    ) -> Result<Vec<bool>, Error> {
        self.get(id, owner)?.claim(ids).await
    }

    /// As [`crate::Upload::keep`].
    ///
    /// # Errors
    /// [`Error::NoUpload`]; [`Error::Blocks`].
    pub async fn keep(&self, id: UploadId, owner: &str) -> Result<(), Error> {
        self.get(id, owner)?.keep().await
    }

    /// As [`crate::Upload::add`]; the frame is checked.
    ///
    /// # Errors
    /// [`Error::NoUpload`]; [`Error::Blocks`].
    pub async fn add(&self, id: UploadId, owner: &str, frame: Frame) -> Result<(), Error> {
        self.get(id, owner)?.add(frame).await
    }

    /// As [`crate::Upload::publish`]; every chunk that the manifest reaches is looked up (DATASETS-2).
    /// The upload ends.
    ///
    /// # Errors
    /// [`Error::NoUpload`], [`Error::Incomplete`]; [`Error::Blocks`].
    pub async fn publish(
        &self,
        id: UploadId,
        owner: &str,
        publication: &Publication,
    ) -> Result<Published, Error> {
        let upload = self.get(id, owner)?;
        let published = upload.publish(publication).await;
        self.open.forget(&id);
        if published.is_err() {
            upload.abandon().await?;
        }
        published
    }

    /// Ends an upload.
    ///
    /// # Errors
    /// [`Error::NoUpload`]; [`Error::Blocks`].
    pub async fn abandon(&self, id: UploadId, owner: &str) -> Result<(), Error> {
        let upload = self.get(id, owner)?;
        self.open.forget(&id);
        upload.abandon().await
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.open.count()
    }

    fn get(&self, id: UploadId, owner: &str) -> Result<Arc<LocalUpload>, Error> {
        self.open.get(&id, owner).ok_or_else(|| Error::NoUpload { id: id.to_string() })
    }
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uploads({})", self.count())
    }
}
