//! A node to test against.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cairn_access::{Access, Grant, PrincipalName, Seal, SealError, TokenSpec};
use cairn_blocks::{EnvelopeKind, Sealer};
use cairn_bucket::Bucket;
use cairn_datasets::{
    Dataset, Datasets, PullOptions, PushOptions, Pushed, Source, Store, Target, Uploads,
};
use cairn_env::Env;
use cairn_http::client::Node;
use cairn_http::{Door, DoorBuilder, Options};
use cairn_kv::Kv;
use cairn_partition::MemoryStore;
use futures::channel::oneshot;

/// Seals the access state and the audit log as the bucket's other small objects are, as a node does.
struct BucketSeal(Sealer, Env);

impl Seal for BucketSeal {
    fn seal(&self, name: &str, plain: &[u8]) -> Vec<u8> {
        self.0.wrap(kind(name), name, plain, self.1.rng.as_ref())
    }

    fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let opened = self.0.unwrap(kind(name), name, sealed);
        opened.map_err(|error| SealError { kind: error.kind(), detail: error.to_string() })
    }
}

fn kind(name: &str) -> EnvelopeKind {
    if name.starts_with("audit/") { EnvelopeKind::Audit } else { EnvelopeKind::Access }
}

async fn opened(bucket: &Bucket, env: &Env) -> (Datasets, Arc<BucketSeal>) {
    let options = cairn_blocks::Options::default();
    let datasets = Datasets::open_or_init(bucket.clone(), None, options, env).await.unwrap();
    let seal = BucketSeal(datasets.blocks().sealer().clone(), env.clone());
    (datasets, Arc::new(seal))
}

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) door: Door,
    pub(crate) datasets: Datasets,
    pub(crate) access: Access,
    pub(crate) env: Env,
    pub(crate) root: String,
    stop: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<()>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let env = Env::real();
        Self::on(Bucket::memory(&env), Options::default()).await
    }

    pub(crate) async fn on(bucket: Bucket, options: Options) -> Self {
        Self::in_env(Env::real(), bucket, options).await
    }

    pub(crate) async fn in_env(env: Env, bucket: Bucket, options: Options) -> Self {
        let (datasets, seal) = opened(&bucket, &env).await;
        let (access, first) = Access::bootstrap(bucket, env.clone(), seal).await.unwrap();
        let root = first.unwrap().token.expose().to_owned();
        Self::with(env, datasets, access, root, options).await
    }

    async fn with(
        env: Env,
        datasets: Datasets,
        access: Access,
        root: String,
        options: Options,
    ) -> Self {
        let uploads = Uploads::new(datasets.clone());
        let kv = Kv::new(Arc::new(MemoryStore::new(&env)), &datasets);
        let engine = cairn_wasm::Options { instances_max: 8, ..Default::default() };
        let runtime = cairn_wasm::Runtime::start(engine, &env).unwrap();
        let none = cairn_worker::Program { path: "none".into(), arguments: Vec::new() };
        let workers = cairn_worker::Workers::new(none, &env);
        let functions = cairn_functions::Functions::new(
            (&kv, &kv, &datasets),
            &access,
            cairn_functions::Tiers { runtime, workers },
            cairn_functions::egress(false, &env).unwrap(),
            &env,
        );
        let door = DoorBuilder::new(datasets.clone(), uploads, access.clone())
            .kv(kv)
            .functions(functions)
            .options(options)
            .build()
            .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let serving = door.clone();
        env.spawn.task(Box::pin(async move {
            let shutdown = async move { stopped.await.unwrap_or_default() };
            serving.serve(listener, cairn_http::Transport::Plain, shutdown).await.unwrap();
            end.send(()).unwrap_or_default();
        }));
        Self { url, door, datasets, access, env, root, stop: Some(stop), ended }
    }

    /// A new node on a bucket that had one, with a new token of its owner.
    pub(crate) async fn again(bucket: Bucket) -> (Self, String) {
        let env = Env::real();
        let (datasets, seal) = opened(&bucket, &env).await;
        let access = Access::open(bucket, env.clone(), seal).await.unwrap();
        let root = access.recover().await.unwrap().token.expose().to_owned();
        (Self::with(env, datasets, access, root.clone(), Options::default()).await, root)
    }

    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.ended.await.unwrap();
    }

    /// A principal with a token, and grants written as `ROLE PATTERN`.
    pub(crate) async fn user(&self, name: &str, grants: &[&str]) -> String {
        let principal: PrincipalName = name.parse().unwrap();
        self.access.create_principal(&principal).await.unwrap();
        for grant in grants {
            let (role, pattern) = grant.split_once(' ').unwrap();
            let grant = Grant {
                subject: name.parse().unwrap(),
                role: role.parse().unwrap(),
                pattern: pattern.parse().unwrap(),
            };
            self.access.add_grant(&grant).await.unwrap();
        }
        self.token(name, None).await
    }

    pub(crate) async fn token(&self, name: &str, expires_in: Option<Duration>) -> String {
        let principal: PrincipalName = name.parse().unwrap();
        let spec = TokenSpec::api(principal, "test".parse().unwrap());
        let spec = TokenSpec { expires_in, ..spec };
        self.access.create_token(spec).await.unwrap().token.expose().to_owned()
    }

    pub(crate) fn node(&self, token: &str) -> Node {
        Node::new(&self.url, Some(token), &self.env).unwrap()
    }

    /// Pushes into the bucket itself.
    pub(crate) async fn fill(&self, from: &Path, to: &str) -> Pushed {
        let store: Arc<dyn Store> = Arc::new(self.datasets.clone());
        push(&store, from, &[to]).await.unwrap()
    }

    pub(crate) fn http(&self) -> reqwest::Client {
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let mut request = self.http().get(format!("{}{path}", self.url)).bearer_auth(&self.root);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }
}

pub(crate) fn target(text: &str) -> Target {
    let reference: cairn_base::Reference = text.parse().unwrap();
    let tag = reference.tag_or_latest();
    Target { dataset: Dataset { project: reference.project, name: reference.name }, tag }
}

pub(crate) async fn push(
    store: &Arc<dyn Store>,
    from: &Path,
    to: &[&str],
) -> Result<Pushed, cairn_datasets::Error> {
    let targets: Vec<Target> = to.iter().map(|to| target(to)).collect();
    let options = PushOptions { by: "a liar".to_owned(), ..PushOptions::default() };
    cairn_datasets::push(store, &Source::Path(from.to_owned()), &targets, &options).await
}

pub(crate) async fn pull(
    store: &Arc<dyn Store>,
    from: &str,
    to: &Path,
) -> Result<(), cairn_datasets::Error> {
    cairn_datasets::pull(store, &target(from), to, &PullOptions::default()).await.map(drop)
}

/// Bytes that do not repeat and do not compress.
pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}

/// A small tree with some of everything.
pub(crate) fn tree(at: &Path) {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    std::fs::create_dir_all(at.join("sub/deep")).unwrap();
    std::fs::write(at.join("hello.txt"), b"hello, world\n").unwrap();
    std::fs::write(at.join("empty"), b"").unwrap();
    std::fs::write(at.join("sub/noise.bin"), noise(3_000_000, 7)).unwrap();
    std::fs::write(at.join("sub/deep/evil <script>alert('1')&.html"), b"<b>bold</b>").unwrap();
    std::fs::write(at.join(OsStr::from_bytes(b"sub/caf\xe9%2f")), b"latin").unwrap();
    std::fs::write(at.join("sub/run.sh"), b"#!/bin/sh\n").unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(at.join("sub/run.sh"), mode).unwrap();
    std::os::unix::fs::symlink("../hello.txt", at.join("sub/link")).unwrap();
    std::os::unix::fs::symlink("sub", at.join("dirlink")).unwrap();
    std::os::unix::fs::symlink("../../etc/passwd", at.join("sub/out")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at.join("abs")).unwrap();
    std::os::unix::fs::symlink("loop", at.join("loop")).unwrap();
    std::fs::hard_link(at.join("hello.txt"), at.join("sub/hard.txt")).unwrap();
}

/// What stands below a directory: mode and content, or the target of a link.
pub(crate) fn picture(at: &Path) -> BTreeMap<Vec<u8>, (u32, Vec<u8>)> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut all = BTreeMap::new();
    let mut open = vec![at.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(at).unwrap().as_os_str().as_bytes().to_vec();
            let meta = std::fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_dir() {
                open.push(path.clone());
                Vec::new()
            } else if meta.is_symlink() {
                std::fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
            } else {
                std::fs::read(&path).unwrap()
            };
            let mode = if meta.is_symlink() { 0 } else { meta.permissions().mode() };
            all.insert(name, (mode, content));
        }
    }
    all
}

/// Runs a program; none where it is not installed.
pub(crate) async fn program(command: &mut tokio::process::Command) -> Option<std::process::Output> {
    match command.kill_on_drop(true).output().await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: there is no {:?}", command.as_std().get_program());
            None
        }
        output => Some(output.unwrap()),
    }
}
