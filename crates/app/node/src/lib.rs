//! A node: a process in front of a bucket, with doors. It holds nothing that must last; any number of
//! nodes may work on one bucket, and each can be killed at any time.

#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "the application wires the real runtime")]

mod beside;
mod examine;
mod functions;
mod listeners;
mod partitions;
mod seal;
mod tls;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn_access::{Access, Action, NewToken, PlainToken};
use cairn_audit::{Log, Outcome};
use cairn_base::ErrorKind;
use cairn_blocks::DiskCacheOptions;
use cairn_bucket::Bucket;
use cairn_datasets::{CollectOptions, Collected, Datasets, HookRunner, Secret, Uploads};
use cairn_env::Env;
use cairn_functions::Functions;
use cairn_http::api::Check;
use cairn_http::{Door, DoorBuilder, LastCollection, SelfChecks, Transport, disk_space};
use cairn_kv::Kv;
use cairn_mesh::Authority;
use cairn_oidc::Oidc;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::beside::Beside;
pub use crate::examine::{Examined, backups, examine, keys_in_bucket};
use crate::listeners::Listeners;
use crate::partitions::Lazy;
pub use crate::partitions::LogPlace;
use crate::seal::BucketSeal;
pub use crate::tls::Tls;

/// How often a node collects. Several nodes on a bucket do not disturb each other.
pub const COLLECT_EVERY: Duration = Duration::from_secs(6 * 3600);
/// A certificate that ends earlier is worth a word: of the cluster's authority, which a node renews two days
/// before, and of files, which somebody has to bring.
const TLS_DAYS_MIN: [i64; 2] = [2, 14];

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// The bucket's URL.
    pub bucket: String,
    /// What opens it when it is encrypted.
    pub secret: Option<Secret>,
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Where to listen for clients of Redis; nowhere by default.
    pub redis: Vec<SocketAddr>,
    /// Where functions answer requests; nowhere by default.
    pub web: Vec<SocketAddr>,
    /// Where compiled functions are kept on this machine; without it they are compiled again after each start.
    pub code: Option<PathBuf>,
    /// Functions may send requests to addresses of this machine and its networks.
    pub functions_to_private: bool,
    /// How listeners speak.
    pub tls: Tls,
    /// What the door is set to.
    pub door: cairn_http::Options,
    /// Whether the node collects in the background.
    pub collect: bool,
    /// Where frames of a bucket that is far away are kept on this machine.
    pub disk_cache: Option<DiskCacheOptions>,
    /// Where the log of the partitions is; without it the node keeps none, and has no routes to keys.
    pub log: Option<LogPlace>,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] cairn_bucket::Error),
    /// The datasets on it.
    #[error(transparent)]
    Datasets(#[from] cairn_datasets::Error),
    /// Who may do what.
    #[error(transparent)]
    Access(#[from] cairn_access::Error),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] cairn_audit::Error),
    /// Partitions.
    #[error(transparent)]
    Partition(#[from] cairn_partition::Error),
    /// Keys and values.
    #[error(transparent)]
    Keys(#[from] cairn_kv::Error),
    /// The engine of functions.
    #[error(transparent)]
    Wasm(#[from] cairn_wasm::Error),
    /// What sends the requests of functions.
    #[error(transparent)]
    Egress(#[from] cairn_egress::NoTls),
    /// Certificates.
    #[error(transparent)]
    Mesh(#[from] cairn_mesh::Error),
    /// The client of identity providers.
    #[error("the client of identity providers cannot set up TLS: {detail}")]
    Oidc {
        /// Why not.
        detail: String,
    },
    /// The door.
    #[error(transparent)]
    Door(#[from] cairn_http::Error),
    /// The gRPC door.
    #[error(transparent)]
    Grpc(#[from] cairn_grpc::Error),
    /// There is nothing to serve to clients of Redis, and no functions.
    #[error(
        "this node keeps no keys and runs no functions: say where their log goes with --data-dir"
    )]
    NoKeys,
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}; choose another with --listen, --redis or --web")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

impl Error {
    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Bucket(error) => error.kind(),
            Self::Datasets(error) => error.kind(),
            Self::Access(error) => error.kind(),
            Self::Audit(error) => error.kind(),
            Self::Partition(error) => error.kind(),
            Self::Keys(error) => error.kind(),
            Self::Wasm(error) => error.kind(),
            Self::Mesh(error) => error.kind(),
            Self::Oidc { .. } | Self::Egress(_) => ErrorKind::Internal,
            Self::NoKeys => ErrorKind::Invalid,
            Self::Door(error) => error.kind(),
            Self::Grpc(error) => error.kind(),
            Self::Listen { source, .. } => match source.kind() {
                std::io::ErrorKind::AddrInUse => ErrorKind::Conflict,
                std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                _ => ErrorKind::Invalid,
            },
        }
    }
}

/// A node that answers.
pub struct Node {
    /// Where it listens, with the ports that were chosen.
    pub addresses: Vec<SocketAddr>,
    /// The addresses as URLs.
    pub urls: Vec<String>,
    /// Where it listens for clients of Redis, as URLs.
    pub redis_urls: Vec<String>,
    /// Where its functions answer requests, as URLs.
    pub web_urls: Vec<String>,
    /// Addresses that others can reach and that speak no TLS.
    pub exposed: Vec<SocketAddr>,
    /// Who signs the cluster's certificates.
    pub authority: Authority,
    /// The first token of a fresh bucket: to be shown once.
    pub first_token: Option<PlainToken>,
    /// The engine, for whoever shares the process.
    pub datasets: Datasets,
    access: Access,
    partitions: Option<Arc<Lazy>>,
    stop: watch::Sender<bool>,
    served: Vec<tokio::task::JoinHandle<()>>,
}

impl Node {
    /// Opens the bucket, preparing an empty one, and starts the doors.
    ///
    /// # Errors
    /// [`Error`]; nothing runs then.
    pub async fn start(options: NodeOptions, env: &Env) -> Result<Self, Error> {
        if options.log.is_none() && !(options.redis.is_empty() && options.web.is_empty()) {
            return Err(Error::NoKeys);
        }
        let mut beside = Beside::bind(&options).await?;
        let own = functions::Own::of(&options);
        let bucket = Bucket::open(&options.bucket, cairn_bucket::Options::default(), env).await?;
        let cache_dir = options.disk_cache.as_ref().map(|cache| cache.dir.clone());
        let datasets = Datasets::open_or_init(
            bucket.clone(),
            options.secret.as_ref(),
            cairn_blocks::Options { disk_cache: options.disk_cache, ..Default::default() },
            env,
        )
        .await?;
        let seal = BucketSeal::of(&datasets);
        let mut http = Listeners::bind("http", &options.listen, &options.tls).await?;
        let authority =
            Authority::open_or_make(bucket.clone(), env.clone(), Arc::clone(&seal) as _).await?;
        let (access, token) =
            Access::bootstrap(bucket.clone(), env.clone(), Arc::clone(&seal) as _).await?;
        let oidc = Oidc::new(env).map_err(|error| Error::Oidc { detail: error.to_string() })?;
        let access = access.with_bearers(Arc::new(oidc.clone()));
        // A token is shown once it is in the audit log that it was made.
        if token.is_some() {
            access.audit().commit().await.map_err(cairn_access::Error::Unrecorded)?;
        }
        let all = [http.addresses.clone(), beside.addresses()].concat();
        let server = options.tls.server(&all, &authority, &access, env)?;
        let partitions = options.log.map(|place| {
            let address = options.door.public_url.clone().or_else(|| http.urls.first().cloned());
            Lazy::start(bucket, seal, place, address.unwrap_or_default(), env)
        });
        let (stop, stopped) = watch::channel(false);
        let kv = partitions.as_ref().map(|partitions| keys(partitions, &datasets, &stopped));
        let started = |kv| functions::start(kv, &datasets, &access, own, &stopped, env);
        let functions = kv.as_ref().map(started).transpose()?;
        beside.open(kv.as_ref(), (functions.as_ref(), &datasets), &access, env);
        let more = beside.more_metrics(functions.as_ref());
        let door = doors(&datasets, (kv, functions), &access, &stopped, &options.door)?;
        let checks = self_checks(server.clone(), cache_dir, env.clone());
        let door = door.more_metrics(more).self_checks(checks).web_urls(beside.web.urls.clone());
        let door = door.oidc(oidc).authority(authority.clone()).options(options.door).build()?;
        let mut served = http.serve(&options.tls, server.as_ref(), |listener, transport| {
            serve(door.clone(), listener, transport, stopped.clone())
        });
        served.extend(beside.serve(&options.tls, server.as_ref(), &door, &stopped));
        let hooks = HookRunner::new(&datasets, door.courier());
        served.push(tokio::spawn(hooks.run(stopped.clone())));
        if let Some(server) = server {
            tokio::spawn(keep_fresh(server, stopped.clone()));
        }
        if options.collect {
            let last = door.last_collection();
            tokio::spawn(collect(datasets.clone(), access.clone(), last, stopped));
        }
        Ok(Self {
            addresses: http.addresses,
            urls: http.urls,
            redis_urls: beside.redis.urls,
            web_urls: beside.web.urls,
            exposed: options.tls.exposed(&all),
            authority,
            first_token: token.map(|token| token.token),
            datasets,
            access,
            partitions,
            stop,
            served,
        })
    }

    /// Stops taking requests, waits for those under way, and writes what is left of the audit log, with what
    /// was counted for it.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for served in self.served {
            if let Err(error) = served.await {
                tracing::warn!(%error, "a door did not end well");
            }
        }
        if let Some(partitions) = &self.partitions {
            partitions.close().await;
        }
        if let Err(error) = self.access.settle().await {
            tracing::error!(%error, "the end of the audit log was not written");
        }
    }
}

/// What the node knows of itself and its doors do not. A certificate that was not renewed long before its
/// end will not be.
fn self_checks(
    server: Option<cairn_mesh::tls::ServerTls>,
    cache_dir: Option<PathBuf>,
    env: Env,
) -> SelfChecks {
    Arc::new(move || {
        let mut all = Vec::new();
        if let Some(server) = &server {
            let now_ms = env.clock.wall_ns().div_euclid(1_000_000);
            let days = server.expires_ms().saturating_sub(now_ms).div_euclid(24 * 3_600_000);
            let detail = format!("its certificate is valid for {days} days");
            let (min, next) = if server.renews_itself() {
                (TLS_DAYS_MIN[0], "the node's log says why it was not renewed")
            } else {
                (TLS_DAYS_MIN[1], "put a new one into the files of --tls-cert and --tls-key")
            };
            all.push(match days {
                ..0 => Check::error("TLS", "its certificate is not valid any more", next),
                days if days < min => Check::warning("TLS", detail, next),
                _ => Check::ok("TLS", detail),
            });
        }
        if let Some(dir) = &cache_dir {
            all.push(disk_space("cache disk", dir));
        }
        all
    })
}

/// The doors of a node, on one port.
fn doors(
    datasets: &Datasets,
    (kv, functions): (Option<Kv>, Option<Functions>),
    access: &Access,
    stopped: &watch::Receiver<bool>,
    set: &cairn_http::Options,
) -> Result<DoorBuilder, Error> {
    let uploads = Uploads::new(datasets.clone());
    let options = cairn_grpc::Options { body_wait: set.waits.body, stopped: Some(stopped.clone()) };
    let grpc = cairn_grpc::Door::new(
        datasets.clone(),
        uploads.clone(),
        (kv.clone(), functions.clone()),
        access.clone(),
        options,
    )?;
    let http = DoorBuilder::new(datasets.clone(), uploads, access.clone());
    let http = match kv {
        Some(kv) => http.kv(kv),
        None => http,
    };
    let http = match functions {
        Some(functions) => http.functions(functions),
        None => http,
    };
    let mounted = |door: DoorBuilder, pattern| door.mount("grpc", pattern, grpc.router());
    Ok(cairn_grpc::PATTERNS.into_iter().fold(http, mounted))
}

/// Makes one more token for `root` in an open bucket that a node has served, and makes `root` an admin
/// again. Asks for no credential: who can write to the bucket owns it.
///
/// # Errors
/// [`Error::Access`]: no node was ever started on the bucket, or the access state cannot be changed.
pub async fn recover(datasets: &Datasets, env: &Env) -> Result<NewToken, Error> {
    let seal = BucketSeal::of(datasets);
    let bucket = datasets.blocks().bucket().clone();
    Ok(Access::open(bucket, env.clone(), seal).await?.recover().await?)
}

/// The audit log of an open bucket, to read. Asks for no credential, as [`recover`].
#[must_use]
pub fn audit_log(datasets: &Datasets, env: &Env) -> Log {
    let seal = BucketSeal::of(datasets);
    Log::new(datasets.blocks().bucket().clone(), env.clone(), seal)
}

async fn keep_fresh(server: cairn_mesh::tls::ServerTls, mut stopped: watch::Receiver<bool>) {
    tokio::select! {
        _ = stopped.changed() => {}
        () = server.keep_fresh() => {}
    }
}

/// The namespaces of a node, whose large values are swept as long as it runs.
fn keys(partitions: &Arc<Lazy>, datasets: &Datasets, stopped: &watch::Receiver<bool>) -> Kv {
    let kv = Kv::new(Arc::clone(partitions) as _, datasets);
    let (swept, mut stopped) = (kv.clone(), stopped.clone());
    tokio::spawn(async move {
        tokio::select! {
            _ = stopped.changed() => {}
            () = swept.keep_swept() => {}
        }
    });
    kv
}

/// Ready when the node stops.
async fn until(mut stopped: watch::Receiver<bool>) {
    // Without its sender there is no node any more.
    drop(stopped.wait_for(|stopped| *stopped).await);
}

async fn serve(
    door: Door,
    listener: TcpListener,
    transport: Transport,
    stopped: watch::Receiver<bool>,
) {
    if let Err(error) = door.serve(listener, transport, until(stopped)).await {
        tracing::error!(%error, "a door stopped");
    }
}

/// Collects now and then. What fails is said and tried again the next time.
async fn collect(
    datasets: Datasets,
    access: Access,
    last: LastCollection,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            () = tokio::time::sleep(COLLECT_EVERY) => {}
        }
        let ended = collect_recorded(&datasets, &access).await;
        let now_ns = datasets.blocks().env().clock.wall_ns();
        last.note(now_ns, ended.as_ref().map_err(ToString::to_string));
        match ended {
            Ok(collected) => tracing::info!(?collected, "collected"),
            Err(error) => tracing::error!(%error, "the collection failed"),
        }
    }
}

/// Collects as a node does by itself: in the audit log before and after.
async fn collect_recorded(datasets: &Datasets, access: &Access) -> Result<Collected, Error> {
    let record = |outcome, what: &str| access.record("node", Action::Maintain, outcome, what);
    record(Outcome::Allowed, "to collect, as every few hours")?;
    access.audit().commit().await.map_err(cairn_access::Error::Audit)?;
    let collected = datasets.collect(CollectOptions::default()).await;
    match &collected {
        Ok(done) => record(Outcome::Changed, &cairn_http::collected_what(done))?,
        Err(error) => record(Outcome::Failed, &error.to_string())?,
    }
    Ok(collected?)
}
