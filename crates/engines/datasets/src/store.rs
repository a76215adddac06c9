use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_base::ProjectName;
use cairn_blocks::{Frame, SessionStats};
use cairn_chunk::ChunkId;
use cairn_env::Env;

use crate::error::Error;
use crate::follow::Follow;
use crate::model::{Dataset, Project, Publication, Rules, Summary, Tag, Target, Version};

/// How often a client says that its upload goes on: a few times within
/// [`UPLOAD_IDLE_MAX`](crate::UPLOAD_IDLE_MAX) and within a session's lease.
pub const UPLOAD_KEEP_EVERY: Duration = Duration::from_secs(4 * 60);

/// Where datasets are: a bucket in this process ([`Datasets`](crate::Datasets)), or a node. Push,
/// pull and browsing are written against this face and do not know which.
#[async_trait]
pub trait Store: Send + Sync {
    /// The seams of this process.
    fn env(&self) -> &Env;

    /// What a client must know to work with a project's chunks.
    async fn project(&self, project: &ProjectName) -> Result<Project, Error>;

    /// The datasets of a project.
    async fn list(&self, project: &ProjectName) -> Result<Vec<Summary>, Error>;

    /// The tags of a dataset. [`Error::NoDataset`] when there are none.
    async fn tags(&self, dataset: &Dataset) -> Result<Vec<Tag>, Error>;

    /// One tag. [`Error::NoTag`].
    async fn tag(&self, target: &Target) -> Result<Tag, Error>;

    /// Follows a tag: from the state named `last` on ([`Version::id`] or
    /// [`REMOVED`](crate::REMOVED)), or from what it is now. To be called within the runtime.
    fn follow_from(&self, target: &Target, last: Option<String>) -> Follow;

    /// Chunks, each checked against its id. Ask for a few megabytes at a time.
    async fn read(&self, dataset: &Dataset, ids: &[ChunkId]) -> Result<Vec<Bytes>, Error>;

    /// Opens an upload of chunks that all `targets` will refer to; they are of one project.
    async fn upload(&self, targets: &[Target]) -> Result<Box<dyn Upload>, Error>;

    /// Makes `to` point where `from` does.
    async fn copy_tag(&self, from: &Target, to: &Target, by: &str) -> Result<Version, Error>;

    /// Removes a tag with its history.
    async fn remove(&self, target: &Target) -> Result<(), Error>;

    /// How long versions of a dataset are kept.
    async fn rules(&self, dataset: &Dataset) -> Result<Rules, Error>;

    /// Changes that.
    async fn set_rules(&self, dataset: &Dataset, rules: &Rules) -> Result<(), Error>;
}

/// Chunks on their way into a store. Nothing is seen by others before [`Upload::publish`].
#[async_trait]
pub trait Upload: Send + Sync {
    /// Says for each chunk whether it must be added: `false` when it is stored or claimed already.
    async fn claim(&self, ids: &[ChunkId]) -> Result<Vec<bool>, Error>;

    /// Says that the upload goes on although nothing is sent, so that it is not taken for given up.
    /// To be called every [`UPLOAD_KEEP_EVERY`]; costs little.
    async fn keep(&self) -> Result<(), Error>;

    /// Adds a frame of claimed chunks.
    async fn add(&self, frame: Frame) -> Result<(), Error>;

    /// Makes all that was added durable, then moves the targets to the root. When it returns, the
    /// version is durable in the bucket (BUCKET-1).
    async fn publish(&self, publication: &Publication) -> Result<Published, Error>;

    /// Ends the upload without publishing. What was stored is reused by the next push or collected.
    async fn abandon(&self) -> Result<(), Error>;
}

/// What a publication made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The version that every target now has.
    pub version: Version,
    /// What the upload stored.
    pub stored: SessionStats,
}
