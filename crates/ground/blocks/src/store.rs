use std::sync::{Arc, PoisonError, RwLock};

use cairn_base::{ErrorKind, ProjectName};
use cairn_bucket::Bucket;
use cairn_chunk::{ChunkId, ChunkKey};
use cairn_env::Env;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::Mutex;

use crate::catalog::CatalogStore;
use crate::config::{self, Secret};
use crate::disk::{DiskCache, DiskCacheOptions, DiskCacheStats};
use crate::envelope::Sealer;
use crate::error::Error;
use crate::index::{Found, View, Want};
use crate::pack::{FramePlace, PACK_BYTES_TARGET_MAX};
use crate::run::IndexEntry;
use crate::seal::Master;

/// How often a read starts again because a collection moved what it wanted.
const MOVED_RETRIES_MAX: u32 = 4;

/// Sizes and levels. The defaults suit a node; a command uses the same.
#[derive(Clone, Debug)]
pub struct Options {
    /// Memory for decoded frames, in bytes.
    pub frame_cache_bytes: u64,
    /// Memory for decoded pages of the index, in pages of about 4 KiB.
    pub page_cache_pages: usize,
    /// The zstd level of new frames.
    pub level: i32,
    /// A pack is closed once it has so many bytes of frames, at most [`PACK_BYTES_TARGET_MAX`].
    pub pack_bytes: usize,
    /// So many bytes of packs wait at most for their registration, and one pack more that is being
    /// uploaded: what a crash of the writer throws away.
    pub register_bytes: u64,
    /// Where frames that were read are kept on this machine, and how many; none by default.
    pub disk_cache: Option<DiskCacheOptions>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            frame_cache_bytes: 16 * 1024 * 1024,
            page_cache_pages: 4096,
            level: 3,
            pack_bytes: 16 * 1024 * 1024,
            register_bytes: 128 * 1024 * 1024,
            disk_cache: None,
        }
    }
}

/// The content of a frame in memory.
#[derive(Clone)]
pub(crate) struct HeldFrame {
    pub(crate) content: bytes::Bytes,
    /// The bytes of the buffer that it is a part of, and keeps from being freed.
    pub(crate) buffer: usize,
}

#[derive(Clone)]
pub(crate) struct FrameWeight;

impl Weighter<FramePlace, HeldFrame> for FrameWeight {
    fn weight(&self, _: &FramePlace, frame: &HeldFrame) -> u64 {
        frame.buffer as u64 + 64
    }
}

pub(crate) struct Inner {
    pub(crate) bucket: Bucket,
    pub(crate) env: Env,
    pub(crate) options: Options,
    pub(crate) master: Option<Master>,
    pub(crate) id: String,
    pub(crate) sealer: Sealer,
    pub(crate) catalog: CatalogStore,
    chunk_root: Master,
    view: RwLock<Arc<View>>,
    refreshing: Mutex<()>,
    pub(crate) pages: Cache<(String, u32), Arc<Vec<IndexEntry>>>,
    pub(crate) frames: Cache<FramePlace, HeldFrame, FrameWeight>,
    pub(crate) disk: Option<DiskCache>,
}

/// The block store of one bucket. Cheap to clone.
#[derive(Clone)]
pub struct Blocks {
    pub(crate) inner: Arc<Inner>,
}

/// How much is stored, from the index alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Packs that the index knows.
    pub packs: u64,
    /// Chunks that the index knows; one stored twice counts twice.
    pub chunks: u64,
    /// Index runs.
    pub runs: u64,
    /// Bytes of the index runs.
    pub index_bytes: u64,
    /// Sessions that are writing.
    pub sessions: u64,
    /// Packs that wait for their deletion.
    pub condemned: u64,
}

impl Blocks {
    /// Makes an empty bucket a Cairn bucket, encrypted when there is a secret, and opens it.
    ///
    /// # Errors
    /// [`Error::AlreadyInitialised`]; [`Error::Unfinished`]; [`Error::Bucket`], also when the bucket has
    /// no conditional puts.
    pub async fn init(
        bucket: Bucket,
        secret: Option<&Secret>,
        options: Options,
        env: &Env,
    ) -> Result<Self, Error> {
        match bucket.head(config::UNFINISHED_KEY).await {
            Ok(_) => return Err(Error::Unfinished { url: bucket.url().to_owned() }),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let config = config::create(&bucket, secret, env).await?;
        Self::with_config(bucket, config, secret, options, env).await
    }

    /// Opens a bucket.
    ///
    /// # Errors
    /// [`Error::NotInitialised`], [`Error::Locked`], [`Error::WrongSecret`], [`Error::LaterVersion`];
    /// [`Error::Corrupt`] also for a part of the index that is gone.
    pub async fn open(
        bucket: Bucket,
        secret: Option<&Secret>,
        options: Options,
        env: &Env,
    ) -> Result<Self, Error> {
        let config = config::load(&bucket).await?;
        Self::with_config(bucket, config, secret, options, env).await
    }

    async fn with_config(
        bucket: Bucket,
        config: config::Config,
        secret: Option<&Secret>,
        options: Options,
        env: &Env,
    ) -> Result<Self, Error> {
        let encrypted = config.encrypted();
        let id = config.id.clone();
        let (url, secret) = (bucket.url().to_owned(), secret.cloned());
        let root = env.spawn.run(move || config.unlock(secret.as_ref(), &url)).await??;
        let master = encrypted.then(|| root.clone());
        let sealer = Sealer::new(master.clone());
        let catalog =
            CatalogStore { bucket: bucket.clone(), sealer: sealer.clone(), env: env.clone() };
        let frames = Cache::with_weighter(256, options.frame_cache_bytes, FrameWeight);
        let pack_bytes = options.pack_bytes.min(PACK_BYTES_TARGET_MAX);
        let options = Options { pack_bytes, ..options };
        let disk = open_disk(options.disk_cache.as_ref(), &id, env).await;
        let inner = Inner {
            pages: Cache::new(options.page_cache_pages),
            frames,
            disk,
            bucket,
            env: env.clone(),
            options,
            master,
            id,
            sealer,
            catalog,
            chunk_root: root,
            view: RwLock::new(Arc::new(View::empty())),
            refreshing: Mutex::new(()),
        };
        let blocks = Self { inner: Arc::new(inner) };
        blocks.refresh().await.map_err(Error::lost)?;
        Ok(blocks)
    }

    /// The bucket below.
    #[must_use]
    pub fn bucket(&self) -> &Bucket {
        &self.inner.bucket
    }

    /// The bucket's random id, 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// A secret of who can open this bucket, for `context`: what is sealed with it on this machine was made by such a
    /// one.
    #[must_use]
    pub fn secret_for(&self, context: &'static str) -> [u8; 32] {
        *self.inner.chunk_root.derive(context, b"")
    }

    /// Whether objects are encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.inner.master.is_some()
    }

    /// What wraps the bucket's small objects.
    #[must_use]
    pub fn sealer(&self) -> &Sealer {
        &self.inner.sealer
    }

    /// The seams.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.inner.env
    }

    /// The zstd level of new frames.
    #[must_use]
    pub fn level(&self) -> i32 {
        self.inner.options.level
    }

    /// The key that a project's chunks are named with.
    #[must_use]
    pub fn chunk_key(&self, project: &ProjectName) -> ChunkKey {
        let key = self.inner.chunk_root.derive("cairn chunk ids 1", project.as_str().as_bytes());
        ChunkKey::new(*key)
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.inner.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the catalog again. What other writers registered before is found afterwards.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::Corrupt`].
    pub async fn refresh(&self) -> Result<(), Error> {
        self.refreshed().await.map(drop)
    }

    pub(crate) async fn refreshed(&self) -> Result<Arc<View>, Error> {
        let _one_at_a_time = self.inner.refreshing.lock().await;
        let mut tries = 0;
        loop {
            let (catalog, version) = self.inner.catalog.load().await?;
            let old = self.view();
            if old.version == version && version.is_some() {
                return Ok(old);
            }
            match View::load(&self.inner, catalog, version, &old).await {
                Ok(view) => {
                    let view = Arc::new(view);
                    *self.inner.view.write().unwrap_or_else(PoisonError::into_inner) =
                        Arc::clone(&view);
                    return Ok(view);
                }
                // A run was merged away between the two reads: the next catalog names its heir.
                Err(error) if error.kind() == ErrorKind::NotFound && tries < MOVED_RETRIES_MAX => {
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Finds chunks in the index as this process knows it, and looks at the catalog again when a run
    /// has moved.
    pub(crate) async fn find(
        &self,
        ids: &[ChunkId],
        want: Want,
    ) -> Result<Vec<Option<Found>>, Error> {
        let mut view = self.view();
        for tries in 0.. {
            match view.find(&self.inner, ids, want).await {
                Ok(found) => return Ok(found),
                Err(error) if error.kind() == ErrorKind::NotFound && tries < MOVED_RETRIES_MAX => {
                    view = self.refreshed().await?;
                }
                Err(error) => return Err(error),
            }
        }
        unreachable!("the loop ends by returning")
    }

    /// Which of the chunks are in the bucket, in packs that `want` counts.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::Corrupt`].
    pub async fn has(&self, ids: &[ChunkId], want: Want) -> Result<Vec<bool>, Error> {
        Ok(self.find(ids, want).await?.iter().map(Option::is_some).collect())
    }

    /// Where the chunks are. `None` only for a chunk that the bucket does not have: another process
    /// may have stored it just now, so the catalog is read again before that is said.
    ///
    /// # Errors
    /// [`Error::Bucket`], [`Error::Corrupt`].
    pub async fn locate(&self, ids: &[ChunkId]) -> Result<Vec<Option<IndexEntry>>, Error> {
        let mut found = self.find(ids, Want::Any).await?;
        if found.iter().any(Option::is_none) {
            self.refresh().await?;
            found = self.find(ids, Want::Any).await?;
        }
        Ok(found.into_iter().map(|found| found.map(|found| found.entry)).collect())
    }

    /// What the index says about the whole bucket.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let view = self.view();
        let mut packs: Vec<_> = view.runs.iter().flat_map(|run| run.packs.clone()).collect();
        packs.sort_unstable();
        packs.dedup();
        Usage {
            packs: packs.len() as u64,
            chunks: view.runs.iter().map(|run| run.entries).sum(),
            runs: view.runs.len() as u64,
            index_bytes: view.catalog.runs.iter().map(|run| run.bytes).sum(),
            sessions: view.catalog.sessions.len() as u64,
            condemned: (view.catalog.condemned.len() + view.catalog.dying.len()) as u64,
        }
    }

    /// Numbers about the cache on disk, when there is one.
    #[must_use]
    pub fn disk_cache(&self) -> Option<DiskCacheStats> {
        self.inner.disk.as_ref().map(DiskCache::stats)
    }

    /// Memory of the loaded index heads, in bytes.
    #[must_use]
    pub fn index_memory(&self) -> usize {
        self.view().runs.iter().map(|run| run.bytes()).sum()
    }
}

/// The cache on disk, when it is wanted and can be had: a store works without.
async fn open_disk(options: Option<&DiskCacheOptions>, id: &str, env: &Env) -> Option<DiskCache> {
    let options = options.filter(|options| options.bytes_max > 0)?;
    match DiskCache::open(options, id, env).await {
        Ok(cache) => Some(cache),
        Err(error) => {
            let dir = options.dir.display();
            if error.kind() == std::io::ErrorKind::WouldBlock {
                tracing::warn!(%dir, "another process uses this cache; going on without one");
            } else {
                tracing::warn!(%error, %dir, "no cache on disk; going on without one");
            }
            None
        }
    }
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blocks({})", self.inner.bucket.url())
    }
}
