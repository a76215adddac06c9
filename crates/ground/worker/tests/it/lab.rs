//! Workers, worlds, and functions in each tier.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_env::Env;
use cairn_wasm::{
    Blob, BlobError, Blobs, Body, Call, Chain, Code, Command, Container, Done, Failure, File,
    FileError, Files, Found, HttpFunction, Limits, Listed, Logs, Options, Outside, OutsideError,
    Runtime, Store, StoreError, Stores, Stream, World, held, prepare, whole,
};
use cairn_worker::{Function, Program, Workers};
use http_body_util::BodyExt as _;

/// A sample of `guests/rust`, as a component.
pub(crate) fn rust(name: &str) -> Bytes {
    component(&cairn_testkit::guests::rust(name).unwrap())
}

/// The sample that answers requests.
pub(crate) fn hello() -> Bytes {
    static BUILT: OnceLock<Bytes> = OnceLock::new();
    BUILT.get_or_init(|| rust("hello")).clone()
}

/// The sample that copies files in capitals.
pub(crate) fn uppercase() -> Bytes {
    component(&cairn_testkit::guests::c("uppercase").unwrap())
}

fn component(module: &std::path::Path) -> Bytes {
    prepare(&std::fs::read(module).unwrap()).unwrap().component
}

pub(crate) fn workers() -> Workers {
    workers_in(&Env::real())
}

pub(crate) fn workers_in(env: &Env) -> Workers {
    let path = env!("CARGO_BIN_EXE_cairn-worker").into();
    Workers::new(Program { path, arguments: vec!["worker".into()] }, env)
}

pub(crate) async fn code(component: Bytes) -> Code {
    let runtime = Runtime::start(Options::default(), &Env::real()).unwrap();
    runtime.code(*blake3::hash(&component).as_bytes(), component).await.unwrap()
}

/// Where a function runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    InProcess,
    Process,
}

pub(crate) const TIERS: [Tier; 2] = [Tier::InProcess, Tier::Process];

/// A function in one of them.
pub(crate) enum Callable {
    Http(HttpFunction),
    Command(Command),
    Worker(Function),
}

impl Callable {
    pub(crate) async fn of(tier: Tier, component: Bytes, limits: Limits, world: World) -> Self {
        let code = code(component).await;
        match (tier, code.kind()) {
            (Tier::Process, _) => Self::Worker(workers().function("main", &code, limits, world)),
            (_, cairn_wasm::Kind::Http) => {
                Self::Http(HttpFunction::new(&code, limits, world).unwrap())
            }
            _ => Self::Command(Command::new(&code, limits, world).unwrap()),
        }
    }

    pub(crate) async fn handle(
        &self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, Failure> {
        match self {
            Self::Http(function) => function.handle(request).await,
            Self::Worker(function) => function.handle(request).await,
            Self::Command(_) => unreachable!("it is a program"),
        }
    }

    pub(crate) async fn run(&self, call: Call) -> Result<Done, Failure> {
        match self {
            Self::Command(command) => command.run(call).await,
            Self::Worker(function) => function.run(call).await,
            Self::Http(_) => unreachable!("it answers requests"),
        }
    }

    /// A request, and all of its answer.
    pub(crate) async fn asked(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<(u16, String), Failure> {
        answer(self.handle(request(method, path, body)).await?).await
    }
}

pub(crate) fn request(method: &str, path: &str, body: &str) -> http::Request<Body> {
    let body: Body = whole(Bytes::copy_from_slice(body.as_bytes()));
    let uri = format!("http://localhost{path}");
    http::Request::builder().method(method).uri(uri).body(body).unwrap()
}

pub(crate) async fn answer(response: http::Response<Body>) -> Result<(u16, String), Failure> {
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    Ok((status, String::from_utf8(bytes.to_vec()).unwrap()))
}

/// A request to a worker's function, and all of its answer.
pub(crate) async fn get(function: &Function, path: &str) -> Result<(u16, String), Failure> {
    answer(function.handle(request("GET", path, "")).await?).await
}

/// All that a function reaches, in memory.
#[derive(Default)]
pub(crate) struct Ground {
    pub(crate) lines: Mutex<Vec<String>>,
    keys: Mutex<BTreeMap<String, (Bytes, u64)>>,
    objects: Mutex<BTreeMap<String, Bytes>>,
    /// Somebody waits for `/wait`, for ever.
    pub(crate) waits: tokio::sync::Notify,
    /// How deep the chains of requests were.
    pub(crate) depths: Mutex<Vec<u32>>,
}

impl Ground {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub(crate) fn world(self: &Arc<Self>, environment: &[(&str, &str)]) -> World {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        World {
            environment: environment.iter().map(pair).collect(),
            logs: Arc::clone(self) as _,
            stores: Arc::new(Shelf(Arc::clone(self))),
            files: Arc::new(Shelf(Arc::clone(self))),
            blobs: Arc::new(Shelf(Arc::clone(self))),
            outside: Arc::new(Shelf(Arc::clone(self))),
        }
    }
}

/// The same, as what it gives.
struct Shelf(Arc<Ground>);

impl Logs for Ground {
    fn line(&self, stream: Stream, line: &str) {
        self.lines.lock().unwrap().push(format!("{}: {line}", stream.as_str()));
    }

    fn left_out(&self, bytes: u64) {
        self.lines.lock().unwrap().push(format!("left out {bytes}"));
    }
}

#[async_trait]
impl Stores for Shelf {
    async fn open(&self, name: &str) -> Result<Arc<dyn Store>, StoreError> {
        match name {
            "default" => Ok(Arc::new(Self(Arc::clone(&self.0)))),
            "secret" => Err(StoreError::Denied),
            _ => Err(StoreError::NoSuchStore),
        }
    }
}

impl Shelf {
    fn value(&self, key: &str) -> Option<(Bytes, u64)> {
        self.0.keys.lock().unwrap().get(key).cloned()
    }

    fn put(&self, key: &str, value: Bytes) {
        let version = self.value(key).map_or(0, |(_, version)| version) + 1;
        self.0.keys.lock().unwrap().insert(key.to_owned(), (value, version));
    }
}

#[async_trait]
impl Store for Shelf {
    async fn get(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, StoreError> {
        Ok(keys.iter().map(|key| self.value(key).map(|(value, _)| value)).collect())
    }

    async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        Ok(self.value(key).is_some())
    }

    async fn set(&self, pairs: Vec<(String, Bytes)>) -> Result<(), StoreError> {
        pairs.into_iter().for_each(|(key, value)| self.put(&key, value));
        Ok(())
    }

    async fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        self.0.keys.lock().unwrap().retain(|key, _| !keys.contains(key));
        Ok(())
    }

    async fn keys(&self, after: Option<&str>) -> Result<(Vec<String>, bool), StoreError> {
        let all = self.0.keys.lock().unwrap();
        let mut later = all.keys().filter(|key| after.is_none_or(|after| key.as_str() > after));
        let page: Vec<String> = later.by_ref().take(100).cloned().collect();
        Ok((page, later.next().is_some()))
    }

    async fn increment(&self, key: &str, delta: i64) -> Result<i64, StoreError> {
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<i64>().ok();
        let before = self.value(key).map_or(Some(0), |(value, _)| number(&value));
        let sum = before.ok_or_else(|| StoreError::Other("no number".to_owned()))? + delta;
        self.put(key, sum.to_string().into());
        Ok(sum)
    }

    async fn versioned(&self, key: &str) -> Result<(Option<Bytes>, u64), StoreError> {
        Ok(self.value(key).map_or((None, 0), |(value, version)| (Some(value), version)))
    }

    async fn swap(&self, key: &str, version: u64, value: Bytes) -> Result<bool, StoreError> {
        let same = self.value(key).map_or(0, |(_, version)| version) == version;
        if same {
            self.put(key, value);
        }
        Ok(same)
    }
}

const FILES: [(&str, &str); 3] =
    [("notes/a.txt", "alpha"), ("notes/b/c.txt", "gamma"), ("notes/d.txt", "delta")];

#[async_trait]
impl Files for Shelf {
    async fn find(&self, path: &str) -> Result<Found, FileError> {
        if path == "secret" {
            return Err(FileError::Denied);
        }
        if let Some((_, text)) = FILES.iter().find(|(name, _)| *name == path) {
            return Ok(Found::File(held(Bytes::from_static(text.as_bytes()))));
        }
        let below = format!("{path}/");
        let folder = path.is_empty() || FILES.iter().any(|(name, _)| name.starts_with(&below));
        if folder { Ok(Found::Folder) } else { Err(FileError::NotFound) }
    }

    async fn list(&self, path: &str, after: Option<&str>) -> Result<Vec<Listed>, FileError> {
        let below = if path.is_empty() { String::new() } else { format!("{path}/") };
        let names = FILES.iter().filter_map(|(name, _)| name.strip_prefix(&below));
        let listed = names.map(|rest| match rest.split_once('/') {
            Some((folder, _)) => Listed { name: folder.to_owned(), folder: true },
            None => Listed { name: rest.to_owned(), folder: false },
        });
        let next = listed.into_iter().find(|one| after.is_none_or(|after| *one.name > *after));
        Ok(next.into_iter().collect())
    }
}

#[async_trait]
impl Blobs for Shelf {
    async fn open(&self, name: &str) -> Result<Arc<dyn Container>, BlobError> {
        match name {
            "shelf" => Ok(Arc::new(Self(Arc::clone(&self.0)))),
            _ => Err(BlobError::NoContainer),
        }
    }

    async fn create(&self, name: &str) -> Result<Arc<dyn Container>, BlobError> {
        Blobs::open(self, name).await
    }

    async fn remove(&self, _: &str) -> Result<(), BlobError> {
        Err(BlobError::Denied("it is for ever".to_owned()))
    }

    async fn copy(&self, from: &Blob, to: &Blob, moves: bool) -> Result<(), BlobError> {
        let mut objects = self.0.objects.lock().unwrap();
        let bytes = objects.get(&from.name).cloned().ok_or(BlobError::NoObject)?;
        objects.insert(to.name.clone(), bytes);
        if moves {
            objects.remove(&from.name);
        }
        Ok(())
    }
}

#[async_trait]
impl Container for Shelf {
    async fn made(&self) -> Result<Duration, BlobError> {
        Ok(Duration::from_secs(1))
    }

    async fn object(&self, name: &str) -> Result<Arc<dyn File>, BlobError> {
        let bytes = self.0.objects.lock().unwrap().get(name).cloned();
        Ok(held(bytes.ok_or(BlobError::NoObject)?))
    }

    async fn list(&self, after: Option<&str>) -> Result<Vec<String>, BlobError> {
        let all = self.0.objects.lock().unwrap();
        let next = all.keys().find(|name| after.is_none_or(|after| name.as_str() > after));
        Ok(next.cloned().into_iter().collect())
    }

    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), BlobError> {
        self.0.objects.lock().unwrap().insert(name.to_owned(), bytes);
        Ok(())
    }

    async fn delete(&self, names: &[String]) -> Result<(), BlobError> {
        self.0.objects.lock().unwrap().retain(|name, _| !names.contains(name));
        Ok(())
    }

    async fn clear(&self) -> Result<(), BlobError> {
        self.0.objects.lock().unwrap().clear();
        Ok(())
    }
}

/// Says what it is asked.
#[async_trait]
impl Outside for Shelf {
    async fn send(&self, asked: http::Request<Body>) -> Result<http::Response<Body>, OutsideError> {
        let depth = asked.extensions().get::<Chain>().map_or(0, |chain| chain.depth);
        self.0.depths.lock().unwrap().push(depth);
        if asked.uri().path() == "/wait" {
            self.0.waits.notify_one();
            return std::future::pending().await;
        }
        if asked.uri().path() == "/elsewhere" {
            return Err(OutsideError::Denied("not there".to_owned()));
        }
        let head = format!("{} {}: ", asked.method(), asked.uri());
        let sent = asked.into_body().collect().await;
        let sent = sent.map_err(|error| OutsideError::Broken(error.to_string()))?.to_bytes();
        let body = whole([head.as_bytes(), &sent].concat().into());
        let response = http::Response::builder().status(203).header("x-seen", "yes");
        Ok(response.body(body).unwrap())
    }
}
