//! The partitions of this node: their log is opened, and the node's lease taken, when the first of
//! them is asked for, or at once where a log was left. A node that keeps none costs nothing.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use cairn_access::Seal;
use cairn_bucket::Bucket;
use cairn_env::Env;
use cairn_partition::log::RealDisk;
use cairn_partition::{
    AnyPartition, Error, Here, Name, Node, NodeOptions, Partitions, Settings, Step, Usage,
};
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};

/// Nodes of one machine on one bucket that may have their logs below one directory.
const LOGS_MAX: usize = 16;
/// How long a request waits for the node's log and lease.
const READY_WAIT: Duration = Duration::from_secs(5);

/// What partitions are kept with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlace {
    /// Logs are below this directory: the first that no other process has open, or a new one.
    pub dir: PathBuf,
}

/// How soon an opening that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Partitions that come to life when they are needed.
pub(crate) struct Lazy {
    place: Arc<Placed>,
    opening: Mutex<Option<Begun>>,
}

/// An opening, and when it began, by the monotonic clock.
struct Begun {
    opening: Opening,
    at: Duration,
}

/// What a node is opened with.
struct Placed {
    bucket: Bucket,
    seal: Arc<dyn Seal>,
    place: LogPlace,
    address: String,
    env: Env,
}

/// A node that is being opened, or was: it goes on whoever waits for it.
type Opening = Shared<BoxFuture<'static, Result<Node, Error>>>;

impl Lazy {
    /// Where a process before this one has left a log, it is replayed before anybody asks.
    pub(crate) fn start(
        bucket: Bucket,
        seal: Arc<dyn Seal>,
        place: LogPlace,
        address: String,
        env: &Env,
    ) -> Arc<Self> {
        let left = log_dir(&place.dir, 0).is_dir();
        let place = Arc::new(Placed { bucket, seal, place, address, env: env.clone() });
        let lazy = Arc::new(Self { place, opening: Mutex::new(None) });
        if left {
            drop(lazy.opening());
        }
        lazy
    }

    /// The node. One that could not be opened is tried again a moment later. One whose lease another node broke owns
    /// nothing any more, and another one goes on from its log.
    fn opening(&self) -> Opening {
        let mut slot = self.slot();
        let now = self.place.env.clock.monotonic();
        let may_retry = |begun: &Begun| now.saturating_sub(begun.at) >= RETRY_AFTER;
        let before = match slot.as_ref().map(|begun| (begun, begun.opening.peek())) {
            None => None,
            Some((begun, Some(Err(_)))) if may_retry(begun) => None,
            Some((_, Some(Ok(node)))) if node.is_deposed() => Some(node.clone()),
            Some((begun, _)) => return begun.opening.clone(),
        };
        let place = Arc::clone(&self.place);
        let opening = async move {
            if let Some(deposed) = before {
                deposed.end().await;
            }
            let opened = place.open().await;
            if let Err(error) = &opened {
                tracing::error!(%error, "the log of the partitions was not opened");
            }
            opened
        };
        let opening = opening.boxed().shared();
        self.place.env.spawn.task(Box::pin(opening.clone().map(drop)));
        *slot = Some(Begun { opening: opening.clone(), at: now });
        opening
    }

    fn slot(&self) -> MutexGuard<'_, Option<Begun>> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node, unless it takes long: after a restart of the machine the lease of before is waited for.
    async fn ready(&self) -> Result<Node, Error> {
        let waited = tokio::time::timeout(READY_WAIT, self.opening()).await;
        let why = "this node waits until its lease of before the restart is over";
        waited.unwrap_or_else(|_| Err(Error::Busy { why: format!("{why}: try again in a moment") }))
    }

    /// Gives everything back, if there is anything.
    pub(crate) async fn close(&self) {
        let opened = self.slot().as_ref().and_then(|begun| begun.opening.peek().cloned());
        let Some(Ok(node)) = opened else { return };
        if let Err(error) = node.close().await {
            tracing::error!(%error, "the partitions were not all written to the bucket");
        }
    }
}

impl Placed {
    async fn open(&self) -> Result<Node, Error> {
        let place = self.place.clone();
        let opened = self.env.spawn.run(move || free_log(&place.dir)).await;
        let (disk, boot) = opened.map_err(|lost| failed(&lost.to_string()))??;
        let options = NodeOptions {
            name: host_name(),
            address: Some(self.address.clone()),
            boot,
            ..NodeOptions::default()
        };
        let (bucket, seal) = (self.bucket.clone(), Arc::clone(&self.seal));
        Node::open(bucket, seal, Arc::new(disk), options, &self.env).await
    }
}

fn log_dir(below: &Path, number: usize) -> PathBuf {
    below.join(number.to_string())
}

/// The first log that nobody has open, and what tells this boot and this directory from others.
fn free_log(below: &Path) -> Result<(RealDisk, String), Error> {
    for number in 0..LOGS_MAX {
        let dir = log_dir(below, number);
        match RealDisk::open(&dir) {
            Err(Error::InUse { .. }) => {}
            Err(error) => return Err(error),
            Ok(disk) => return Ok((disk, boot(&dir)?)),
        }
    }
    Err(failed(&format!("{LOGS_MAX} nodes have their logs below {}", below.display())))
}

/// A copy of a log's directory is another one, also within the same boot.
fn boot(dir: &Path) -> Result<String, Error> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let found = std::fs::metadata(dir).map_err(|error| failed(&error.to_string()))?;
    Ok(format!("{}:{}:{}", boot.trim(), found.dev(), found.ino()))
}

fn failed(why: &str) -> Error {
    let (what, why) = ("open a log", why.to_owned());
    Error::Storage { what, why, kind: cairn_base::ErrorKind::Internal }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { String::from("node") } else { name.to_owned() }
}

#[async_trait]
impl Partitions for Lazy {
    fn usage(&self) -> Option<Usage> {
        let opened = self.slot().as_ref()?.opening.peek().cloned()?;
        opened.ok()?.usage()
    }

    async fn create(&self, name: &Name, settings: Settings) -> Result<AnyPartition, Error> {
        self.ready().await?.create(name, settings).await
    }

    async fn clone_to(
        &self,
        name: &Name,
        to: &Name,
        before: Step<'_>,
    ) -> Result<AnyPartition, Error> {
        self.ready().await?.clone_to(name, to, before).await
    }

    async fn open(&self, name: &Name) -> Result<AnyPartition, Error> {
        self.ready().await?.open(name).await
    }

    async fn here(&self, name: &Name) -> Result<Here, Error> {
        self.ready().await?.here(name).await
    }

    async fn change(&self, name: &Name, settings: Settings) -> Result<(), Error> {
        self.ready().await?.change(name, settings).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Name>, Error> {
        self.ready().await?.list(prefix).await
    }

    async fn remove(&self, name: &Name) -> Result<(), Error> {
        self.ready().await?.remove(name).await
    }
}
