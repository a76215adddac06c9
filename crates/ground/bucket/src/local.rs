//! The bucket in a directory: durable, atomic, conditional between processes.
//!
//! # Layout
//!
//! The object `a/b` is the file `a/b` below the bucket's directory, byte for byte, so that a person
//! can look at it and a range of the object is the same range of the file. Its version and its
//! attributes are in the file's extended attribute `user.cairn` (see [`meta`]); they are set before
//! the file gets its name, so that they change with its bytes or not at all. The store's own files
//! are in `.cairn-bucket`:
//!
//! | path | what |
//! |---|---|
//! | `format` | `cairn bucket 1` and a line feed |
//! | `open.lock` | held while a session begins or dead ones are swept |
//! | `locks/00` … `locks/ff` | held while a key of that slot (FNV-1a of the key, low byte) gets or loses its name |
//! | `staged/SESSION/lock` | held as long as the session lives |
//! | `staged/SESSION/N` | objects that are being written |
//!
//! A file without `user.cairn` (restored by a program that drops extended attributes, or put there
//! by hand) is an object without attributes whose version is made of its inode, size and times.
//!
//! # What is durable when
//!
//! A put writes a staged file, syncs it, renames it into place and syncs the directory; before that
//! it has synced every directory on the way that this process did not know to be durable. A delete
//! syncs the directory, too. Between the rename and the sync a reader may see an object that a power
//! cut takes back; the writer has not been told of success then.
//!
//! A failed sync of a staged file fails its put. A failed sync of a directory leaves a visible object
//! that may not be durable, so it stops all writing through this handle ([`Failure::Poisoned`]).
//!
//! # Between processes
//!
//! A create renames without replacing, which the filesystem decides. Everything else that changes
//! what a key names (overwrite, update, delete) holds the lock of the key's slot while it looks and
//! renames, never while it syncs. Locks are `flock`s: the kernel lets go of them when a process dies.
//!
//! # Cancellation
//!
//! Work that has reached an engine goes on when its future is dropped, and owns its buffers and files
//! until it ends. A staged file that is no longer wanted is unlinked.

mod buffers;
mod dirs;
mod engine;
mod failure;
mod list;
mod lock;
mod meta;
mod put;
mod read;
mod remove;
mod session;
mod upload;

use std::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use cairn_env::Env;
use futures::StreamExt as _;
use futures::channel::oneshot;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::key::fault;
use crate::{Options, RESERVED};

pub use engine::Engine;
pub(crate) use failure::Failure;

use buffers::Buffers;
use dirs::Dirs;
use engine::Io;
use session::Sessions;

/// Deletes of one stream that run at once.
const DELETES_AT_ONCE_MAX: usize = 16;

/// The store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LocalStore {
    shared: Arc<Shared>,
}

/// What every operation needs.
pub(crate) struct Shared {
    root: PathBuf,
    root_dir: Arc<OwnedFd>,
    env: Env,
    io: Box<dyn Io>,
    buffers: Arc<Buffers>,
    dirs: Dirs,
    sessions: Sessions,
    poisoned: AtomicBool,
    permits: Arc<Semaphore>,
    permits_max: usize,
}

impl LocalStore {
    /// Opens or makes the directory `root`, and sweeps what dead processes left.
    pub(crate) async fn open(
        root: &FsPath,
        options: &Options,
        env: &Env,
    ) -> std::result::Result<Self, Failure> {
        let (root, engine, make) = (root.to_owned(), options.engine, options.make);
        let permits_max = options.local_in_flight_max.max(1) as usize;
        let (env, permits) = (env.clone(), Arc::new(Semaphore::new(permits_max)));
        let (sender, receiver) = oneshot::channel();
        let opening = move || {
            let io = engine::choose(engine)?;
            let root_dir = Arc::new(session::open_root(&root)?);
            let dirs = Dirs::new(Arc::clone(&root_dir));
            let sessions = Sessions::new();
            let (poisoned, buffers) = (AtomicBool::new(false), Arc::default());
            let shared = Shared {
                root,
                root_dir,
                env,
                io,
                buffers,
                dirs,
                sessions,
                poisoned,
                permits,
                permits_max,
            };
            if make || shared.root.join(RESERVED).exists() {
                sessions_begin(&shared)?;
            }
            Ok(Self { shared: Arc::new(shared) })
        };
        engine::threads::once(move || drop(sender.send(opening())));
        receiver.await.unwrap_or(Err(Failure::Worker))
    }
}

/// A directory that cannot be written to is still good for reading.
fn sessions_begin(shared: &Shared) -> std::result::Result<(), Failure> {
    match shared.session() {
        Err(failure) if failure.kind() == cairn_base::ErrorKind::Denied => {
            tracing::warn!(root = %shared.root.display(), %failure, "the bucket is read only");
            Ok(())
        }
        session => session.map(drop),
    }
}

impl Shared {
    /// Runs work that may block on the engine's threads.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> std::result::Result<T, Failure> + Send + 'static,
    ) -> std::result::Result<T, Failure> {
        let (sender, receiver) = oneshot::channel();
        // Nobody wants the answer when the receiver is gone.
        self.io.call(Box::new(move || drop(sender.send(work()))));
        receiver.await.unwrap_or(Err(Failure::Worker))
    }

    async fn permit(&self) -> std::result::Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.permits).acquire_owned().await.map_err(|_| Failure::Worker)
    }

    /// Operations under way.
    fn in_flight(&self) -> usize {
        self.permits_max.saturating_sub(self.permits.available_permits())
    }

    fn check_writable(&self) -> std::result::Result<(), Failure> {
        if self.poisoned.load(Ordering::Acquire) { Err(Failure::Poisoned) } else { Ok(()) }
    }

    /// The outcome of syncing a directory whose change is visible already. An XFS that has shut down
    /// may say that a directory is synced of which it has just dropped what was to be written, but it
    /// answers no question after that.
    fn synced(&self, outcome: std::io::Result<()>) -> std::result::Result<(), Failure> {
        let outcome = outcome.and_then(|()| Ok(rustix::fs::fstat(&self.root_dir).map(drop)?));
        outcome.map_err(|error| {
            self.poisoned.store(true, Ordering::Release);
            tracing::error!(root = %self.root.display(), %error, "a directory could not be synced");
            Failure::io("sync a directory below", &self.root, error)
        })
    }

    fn sync_blocking(&self, dir: &OwnedFd) -> std::result::Result<(), Failure> {
        self.synced(rustix::fs::fsync(dir).map_err(Into::into))
    }

    /// Nothing was found: because there is nothing, or because the whole bucket is gone?
    fn missing(&self, location: &str) -> Failure {
        match rustix::fs::fstat(&self.root_dir) {
            Ok(stat) if stat.st_nlink == 0 => Failure::Gone { root: self.root.clone() },
            _ => Failure::Missing { path: location.to_owned() },
        }
    }
}

/// The file of `location`, relative to the root.
fn relative(location: &Path) -> std::result::Result<&str, Failure> {
    let path = location.as_ref();
    match fault(path) {
        None => Ok(path),
        Some(reason) => Err(Failure::Key { path: path.chars().take(80).collect(), reason }),
    }
}

/// The directory and the name in it.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Nanoseconds since 1970 as a time.
pub(crate) fn time_of_ns(ns: i64) -> SystemTime {
    let distance = Duration::from_nanos(ns.unsigned_abs());
    let time = if ns < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

impl fmt::Display for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.shared.root.display(), self.shared.io.name())
    }
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStore")
            .field("root", &self.shared.root)
            .field("engine", &self.shared.io.name())
            .finish()
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let path = relative(location)?.to_owned();
        let parts: Vec<Bytes> = payload.into_iter().filter(|part| !part.is_empty()).collect();
        Ok(put::put(&self.shared, path, parts, opts.mode, &opts.attributes).await?)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = relative(location)?.to_owned();
        Ok(Box::new(upload::Upload::begin(&self.shared, path, &opts.attributes).await?))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        relative(location)?;
        read::get(&self.shared, location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<Bytes>> {
        relative(location)?;
        Ok(read::get_ranges(&self.shared, location, ranges).await?)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let shared = Arc::clone(&self.shared);
        locations
            .map(move |location| {
                let shared = Arc::clone(&shared);
                async move {
                    let location = location?;
                    remove::remove(&shared, relative(&location)?.to_owned()).await?;
                    Ok(location)
                }
            })
            .buffered(DELETES_AT_ONCE_MAX)
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        list::all(&self.shared, prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        Ok(list::one_level(&self.shared, prefix).await?)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (from, to) = (relative(from)?.to_owned(), relative(to)?.to_owned());
        let mode = match options.mode {
            CopyMode::Overwrite => PutMode::Overwrite,
            CopyMode::Create => PutMode::Create,
        };
        Ok(put::copy(&self.shared, from, to, mode).await?)
    }
}

/// The same open file as a [`File`], for the standard library's copying.
fn as_file(fd: &OwnedFd) -> std::io::Result<File> {
    fd.try_clone().map(File::from)
}

#[cfg(test)]
mod tests {
    use cairn_base::ErrorKind;
    use object_store::ObjectStoreExt as _;

    use super::*;

    #[tokio::test]
    async fn a_failed_directory_sync_stops_all_writing() {
        let dir = tempfile::tempdir().unwrap();
        let store = LocalStore::open(dir.path(), &Options::default(), &Env::real()).await.unwrap();
        let key = Path::from("k");
        store.put(&key, "before".into()).await.unwrap();
        let mut upload = store.put_multipart(&key).await.unwrap();
        upload.put_part("late".into()).await.unwrap();

        let failed = store.shared.synced(Err(std::io::Error::from_raw_os_error(5))).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Internal);
        let errors = [
            store.put(&key, "after".into()).await.map(drop),
            store.delete(&key).await,
            store.copy(&key, &Path::from("l")).await,
            upload.complete().await.map(drop),
            store.put_multipart(&key).await.map(drop),
        ];
        for (index, error) in errors.into_iter().enumerate() {
            let error = crate::Error::from_store("", "write", "k", &error.unwrap_err());
            assert_eq!(error.kind(), ErrorKind::Closed, "{index}: {error:?}");
        }
        let found = store.get(&key).await.unwrap().bytes().await.unwrap();
        assert_eq!(found, "before", "reading goes on");
        let again = LocalStore::open(dir.path(), &Options::default(), &Env::real()).await.unwrap();
        again.put(&key, "again".into()).await.unwrap();
    }

    #[test]
    fn times() {
        let since = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH);
        assert_eq!(since(time_of_ns(5)).unwrap(), Duration::from_nanos(5));
        assert!(since(time_of_ns(-1)).is_err());
        time_of_ns(i64::MIN);
        time_of_ns(i64::MAX);
    }
}
