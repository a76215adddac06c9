//! Push: from a tree of files to a published version.
//!
//! One task goes through the tree in order. Around it, workers list directories, read, cut and hash
//! files ahead, and compress frames behind; everything in between is bounded, so memory does not grow
//! with the tree. The order of chunks in frames is the order of paths, whatever the workers do.

mod archive;
mod feed;
mod file;
mod read;
mod scan;
mod sink;
mod tree;
mod unpack;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_base::ErrorKind;
use cairn_chunk::ChunkId;
use cairn_env::Env;
use serde::Serialize;

use crate::error::Error;
use crate::meter::Meter;
use crate::model::{Publication, Target, Version};
use crate::store::{Store, UPLOAD_KEEP_EVERY, Upload};

pub use feed::{ArchiveFeed, ArchiveStream, FeedClosed, archive_feed};
pub(crate) use file::TREE_BYTES_MIN;
pub(crate) use file::{Cut, End, Part, whole};
pub(crate) use scan::Stamp;
pub(crate) use sink::{Sink, To};
pub(crate) use tree::{ContentBuilder, emit};

/// How often a push starts again because a collection or an expiry came between.
const PUSH_ATTEMPTS_MAX: u32 = 4;

/// What is pushed.
#[derive(Clone, Debug)]
pub enum Source {
    /// A directory, or one file as the only one of a tree.
    Path(PathBuf),
    /// Standard input, as one file of this name.
    Stdin(String),
    /// The members of a tar (plain, gzip or zstd) or zip as files. `-` is standard input, for a tar.
    Unpack(PathBuf),
    /// The members of a tar (plain, gzip or zstd) that comes in while it is pushed.
    Stream(ArchiveStream),
}

impl Source {
    /// Whether it can be read only once, so that a push cannot start again.
    fn is_read_once(&self) -> bool {
        match self {
            Self::Path(_) => false,
            Self::Unpack(path) => path == Path::new("-"),
            Self::Stdin(_) | Self::Stream(_) => true,
        }
    }
}

/// How a push goes about it.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// Who publishes, as it will stand in the history.
    pub by: String,
    /// Why.
    pub message: Option<String>,
    /// When the tags are to be removed, in nanoseconds since 1970 UTC.
    pub expires_ns: Option<i64>,
    /// The zstd level, 1 to 19.
    pub level: i32,
    /// Whether archives are opened for deduplication.
    pub open_archives: bool,
    /// Where stat caches are; none means that every file is read.
    pub cache_dir: Option<PathBuf>,
    /// Counts what is done.
    pub meter: Arc<Meter>,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            by: "anonymous".to_owned(),
            message: None,
            expires_ns: None,
            level: 3,
            open_archives: true,
            cache_dir: None,
            meter: Arc::default(),
        }
    }
}

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// The version that every target now has.
    pub version: Version,
    /// Files that were read; the others were known from their attributes.
    pub files_read: u64,
    /// Bytes before compression that were not stored yet.
    pub new_bytes: u64,
    /// Bytes that were added to the bucket.
    pub stored_bytes: u64,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
    /// Files that kept changing while they were read; what was stored of them may be a mixture.
    pub unstable: Vec<String>,
}

/// Something that a push left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Its path below the source.
    pub path: String,
    /// Why.
    pub why: String,
}

/// Pushes `source` to every target. It is published when this returns; before, nobody sees any of it.
/// A push that was cut off goes on where it was when it is started again.
///
/// # Errors
/// [`Error::Local`] for a source that cannot be read; [`Error::Invalid`] for targets of several
/// projects; [`Error::Blocks`], [`Error::Remote`].
pub async fn push(
    store: &Arc<dyn Store>,
    source: &Source,
    targets: &[Target],
    options: &PushOptions,
) -> Result<Pushed, Error> {
    for attempt in 1.. {
        match push_once(store, source, targets, options).await {
            Err(error) if is_lost_race(&error) && attempt < PUSH_ATTEMPTS_MAX => {
                if source.is_read_once() {
                    return Err(error);
                }
                tracing::info!(%error, "pushing again");
            }
            other => return other,
        }
    }
    unreachable!("the loop ends by returning")
}

/// The session expired or a collection came between: what was stored is there, so the next attempt
/// is short.
fn is_lost_race(error: &Error) -> bool {
    use cairn_blocks::Error as Blocks;
    match error {
        Error::Blocks(Blocks::SessionExpired | Blocks::Swept { .. }) => true,
        // Perhaps it took effect: then the next attempt finds it so.
        Error::Blocks(Blocks::Bucket(cairn_bucket::Error::InDoubt { .. }))
        | Error::Bucket(cairn_bucket::Error::InDoubt { .. }) => true,
        Error::NoUpload { .. } => true,
        Error::Remote { kind: ErrorKind::Retry, .. } => true,
        _ => false,
    }
}

async fn push_once(
    store: &Arc<dyn Store>,
    source: &Source,
    targets: &[Target],
    options: &PushOptions,
) -> Result<Pushed, Error> {
    let first = targets.first().ok_or_else(|| Error::invalid("a push needs at least one NAME"))?;
    let project = store.project(&first.dataset.project).await?;
    let upload = store.upload(targets).await?;
    let build = tree::build(store, upload.as_ref(), source, targets, &project, options);
    let built = match kept(upload.as_ref(), store.env(), Box::pin(build)).await {
        Ok(built) => built,
        Err(error) => {
            // The first error is what matters; the lease would run out anyway.
            if let Err(second) = upload.abandon().await {
                tracing::debug!(%second, "an upload could not be ended");
            }
            return Err(error);
        }
    };
    let publication = Publication {
        root: built.root,
        totals: built.totals,
        by: options.by.clone(),
        message: options.message.clone(),
        expires_ns: options.expires_ns,
    };
    let published = upload.publish(&publication).await?;
    tree::save_cache(built.cache, built.root, store.env()).await;
    Ok(Pushed {
        version: published.version,
        files_read: built.files_read,
        new_bytes: published.stored.content_bytes,
        stored_bytes: published.stored.stored_bytes,
        skipped: built.skipped,
        unstable: built.unstable,
    })
}

/// Does the work of an upload and says meanwhile that the upload goes on: a large or slow source may
/// hold nothing new for longer than a silent upload is kept.
pub(crate) async fn kept<T>(upload: &dyn Upload, env: &Env, work: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        done = work => done,
        never = keep(upload, env) => match never {},
    }
}

async fn keep(upload: &dyn Upload, env: &Env) -> Infallible {
    loop {
        env.clock.sleep(UPLOAD_KEEP_EVERY).await;
        // An upload that is lost shows at its next use; one message that is lost does no harm.
        if let Err(error) = upload.keep().await {
            tracing::debug!(%error, "an upload could not be kept");
        }
    }
}

/// A chunk with its bytes, on its way to the store.
pub(crate) type Loaded = (ChunkId, bytes::Bytes);
