//! A bucket with its datasets, and a walker that trusts nothing but system calls.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::future::Future;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use cairn_base::{DatasetName, ProjectName, TagName};
use cairn_blocks::{Options, Secret};
use cairn_bucket::faulty::{Faults, Kind};
use cairn_bucket::{Bucket, Faulty, Memory};
use cairn_datasets::{
    Browser, Dataset, Datasets, Error, PullOptions, Pulled, PushOptions, Pushed, Source, Store,
    Target, pull, push,
};
use cairn_env::Env;
use cairn_testkit::Shifted;
use tempfile::TempDir;

/// A bucket, its datasets and a place for files.
pub(crate) struct World {
    pub(crate) env: Env,
    pub(crate) clock: Arc<Shifted>,
    pub(crate) bucket: Bucket,
    /// Counts what happens; it makes no faults unless it is told to.
    pub(crate) faulty: Faulty,
    pub(crate) datasets: Datasets,
    pub(crate) store: Arc<dyn Store>,
    tmp: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_secret(None).await
    }

    pub(crate) async fn with_secret(secret: Option<&Secret>) -> Self {
        let (clock, env) = Shifted::env();
        let faulty = Faulty::new(Arc::new(Memory::new(&env)), Faults::default(), &env);
        let bucket = Bucket::from_store(Arc::new(faulty.clone()), "memory://", &env);
        Self::on(bucket, faulty, env, clock, secret).await
    }

    /// On a directory, as a user has it.
    pub(crate) async fn on_disk() -> Self {
        let (clock, env) = Shifted::env();
        let tmp = TempDir::new().unwrap();
        let url = format!("file://{}", tmp.path().join("bucket").display());
        let bucket = Bucket::open(&url, cairn_bucket::Options::default(), &env).await.unwrap();
        let faulty = Faulty::new(Arc::new(Memory::new(&env)), Faults::default(), &env);
        let mut world = Self::on(bucket, faulty, env, clock, None).await;
        world.tmp = tmp;
        world
    }

    async fn on(
        bucket: Bucket,
        faulty: Faulty,
        env: Env,
        clock: Arc<Shifted>,
        secret: Option<&Secret>,
    ) -> Self {
        let opened = Datasets::open_or_init(bucket.clone(), secret, Options::default(), &env).await;
        let datasets = opened.unwrap();
        let store: Arc<dyn Store> = Arc::new(datasets.clone());
        let tmp = TempDir::new().unwrap();
        Self { env, clock, bucket, faulty, datasets, store, tmp }
    }

    /// Another handle on the bucket, with nothing in memory.
    pub(crate) async fn fresh(&self) -> Datasets {
        let (bucket, options) = (self.bucket.clone(), Options::default());
        Datasets::open_or_init(bucket, None, options, &self.env).await.unwrap()
    }

    /// Sets the clock forward, past the window in which stamps prove nothing.
    pub(crate) fn later(&self, seconds: u64) {
        self.clock.forward(Duration::from_secs(seconds));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.tmp.path().join(name)
    }

    /// A new directory.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    pub(crate) fn push_options(&self) -> PushOptions {
        let cache_dir = Some(self.path(".cache"));
        PushOptions { by: "ada".to_owned(), cache_dir, ..PushOptions::default() }
    }

    pub(crate) fn pull_options(&self) -> PullOptions {
        PullOptions { state_dir: Some(self.path(".state")), ..PullOptions::default() }
    }

    pub(crate) async fn push(&self, source: &Path, to: &str) -> Pushed {
        self.try_push(source, to).await.unwrap()
    }

    pub(crate) async fn try_push(&self, source: &Path, to: &str) -> Result<Pushed, Error> {
        let source = Source::Path(source.to_path_buf());
        push(&self.store, &source, &[target(to)], &self.push_options()).await
    }

    pub(crate) async fn pull(&self, from: &str, to: &Path) -> Pulled {
        self.try_pull(from, to, &self.pull_options()).await.unwrap()
    }

    pub(crate) async fn try_pull(
        &self,
        from: &str,
        to: &Path,
        options: &PullOptions,
    ) -> Result<Pulled, Error> {
        pull(&self.store, &target(from), to, options).await
    }

    pub(crate) fn browser(&self, name: &str) -> Browser {
        Browser::new(Arc::clone(&self.store), target(name).dataset)
    }

    /// How many requests of some kinds the bucket got on keys that begin with `prefix`.
    pub(crate) fn requests(&self, kinds: &[Kind], prefix: &str) -> usize {
        let of = |entry: &&cairn_bucket::faulty::Entry| {
            kinds.contains(&entry.kind) && entry.key.starts_with(prefix)
        };
        self.faulty.log().iter().filter(of).count()
    }

    pub(crate) fn writes(&self) -> usize {
        self.requests(&[Kind::Put, Kind::Create, Kind::Update, Kind::Delete], "")
    }

    /// Pushes a directory, pulls it elsewhere and compares everything.
    pub(crate) async fn comes_back(&self, source: &Path) -> Pushed {
        let before = walk(source);
        let pushed = self.push(source, "data").await;
        let place = TempDir::new_in(self.tmp.path()).unwrap();
        let to = place.path().join("pulled");
        let pulled = self.pull("data", &to).await;
        assert_eq!(pulled.warnings, Vec::<String>::new());
        same(&before, &walk(&to));
        pushed
    }
}

/// `[@PROJECT/]NAME[:TAG]`.
pub(crate) fn target(text: &str) -> Target {
    let (project, rest) = match text.strip_prefix('@') {
        Some(rest) => rest.split_once('/').unwrap(),
        None => ("main", text),
    };
    let (name, tag) = rest.split_once(':').unwrap_or((rest, "latest"));
    let project = ProjectName::from_str(project).unwrap();
    let name = DatasetName::from_str(name).unwrap();
    Target { dataset: Dataset { project, name }, tag: TagName::from_str(tag).unwrap() }
}

/// Bytes that do not compress, decided by a seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    cairn_env::Rng::fill(&cairn_env::SeededRng::new(seed), &mut bytes);
    bytes
}

pub(crate) fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
    std::fs::write(path, bytes).unwrap();
}

/// Everything that can be seen of a file from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) what: What,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: (i64, i64),
    pub(crate) xattrs: BTreeMap<OsString, Vec<u8>>,
    /// The first path with the same inode, when it is another one.
    pub(crate) same_as: Option<String>,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum What {
    Directory,
    File { bytes: u64, hash: [u8; 32], data: Vec<(u64, u64)> },
    Symlink(OsString),
    Other,
}

impl std::fmt::Debug for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory => f.write_str("directory"),
            Self::File { bytes, hash, data } => {
                write!(f, "file of {bytes} bytes, {:02x?}, data at {data:?}", &hash[..4])
            }
            Self::Symlink(to) => write!(f, "link to {to:?}"),
            Self::Other => f.write_str("something else"),
        }
    }
}

pub(crate) type Tree = BTreeMap<String, Seen>;

/// A name as text; other bytes than printable ASCII are escaped.
pub(crate) fn text(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}

pub(crate) fn walk(top: &Path) -> Tree {
    walk_some(top, |_| true)
}

/// Of a tree that is written to: leaves out what `keep` says, and does not look at it, for it may be gone.
pub(crate) fn walk_some(top: &Path, mut keep: impl FnMut(&str) -> bool) -> Tree {
    let mut tree = Tree::new();
    let mut first: BTreeMap<(u64, u64), String> = BTreeMap::new();
    let mut open = vec![(String::new(), top.to_path_buf())];
    // In the order of paths, so that the first name of an inode does not depend on the file system.
    while let Some((name, path)) = open.pop() {
        let stat = std::fs::symlink_metadata(&path).unwrap();
        let mut same_as = None;
        if stat.is_file() && stat.nlink() > 1 {
            let there = first.entry((stat.dev(), stat.ino())).or_insert_with(|| name.clone());
            same_as = (*there != name).then(|| there.clone());
        }
        let seen = Seen {
            what: look(&path, &stat),
            mode: if stat.is_symlink() { 0o777 } else { stat.mode() & 0o7777 },
            owner: (stat.uid(), stat.gid()),
            mtime: (stat.mtime(), stat.mtime_nsec()),
            xattrs: attributes(&path),
            same_as,
        };
        if stat.is_dir() {
            let mut names: Vec<OsString> =
                std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            for inner in names.into_iter().rev() {
                let below = format!("{name}/{}", text(inner.as_bytes()));
                if keep(&below) {
                    open.push((below, path.join(inner)));
                }
            }
        }
        tree.insert(name, seen);
    }
    tree
}

fn attributes(path: &Path) -> BTreeMap<OsString, Vec<u8>> {
    xattr::list(path)
        .unwrap()
        .map(|name| {
            let value = xattr::get(path, &name).unwrap().unwrap();
            (name, value)
        })
        .collect()
}

fn look(path: &Path, stat: &std::fs::Metadata) -> What {
    let kind = stat.file_type();
    if kind.is_dir() {
        return What::Directory;
    }
    if kind.is_symlink() {
        return What::Symlink(std::fs::read_link(path).unwrap().into_os_string());
    }
    if !kind.is_file() {
        return What::Other;
    }
    let file = File::open(path).unwrap();
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut buffer, at).unwrap();
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        at += read as u64;
    }
    assert_eq!(at, stat.len(), "{}", path.display());
    What::File { bytes: at, hash: *hasher.finalize().as_bytes(), data: data(&file, at) }
}

/// Where the file has data, by SEEK_DATA and SEEK_HOLE.
fn data(file: &File, len: u64) -> Vec<(u64, u64)> {
    use rustix::fs::SeekFrom;
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < len {
        let Ok(start) = rustix::fs::seek(file, SeekFrom::Data(at)) else { break };
        let end = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap();
        ranges.push((start, end));
        at = end;
    }
    ranges
}

/// Compares two walks and names the first paths that differ.
#[track_caller]
pub(crate) fn same(before: &Tree, after: &Tree) {
    let mut wrong = Vec::new();
    for (path, seen) in before {
        match after.get(path) {
            Some(found) if found == seen => {}
            found => wrong.push(format!("{path:?}:\n  was {seen:?}\n  is  {found:?}")),
        }
    }
    for path in after.keys().filter(|path| !before.contains_key(*path)) {
        wrong.push(format!("{path:?} was not there"));
    }
    wrong.truncate(8);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Sets seconds and nanoseconds of the modification time, of a link itself too.
pub(crate) fn touch(path: &Path, seconds: i64, nanoseconds: i64) {
    let at = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = rustix::fs::Timestamps { last_access: at, last_modification: at };
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, flags).unwrap();
}

/// What tells that a file was not written: its inode and change time.
pub(crate) fn identity(path: &Path) -> (u64, i64, i64) {
    let stat = std::fs::symlink_metadata(path).unwrap();
    (stat.ino(), stat.ctime(), stat.ctime_nsec())
}

pub(crate) fn raw(name: &[u8]) -> OsString {
    OsString::from_vec(name.to_vec())
}

/// Polls a future at most `polls` times, then drops it. What it returned, if it came so far.
pub(crate) async fn polled<T>(future: impl Future<Output = T>, polls: u32) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}
