//! A runtime, guests, and requests to them.

use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use cairn_env::Env;
use cairn_wasm::{
    Blob, BlobError, Blobs, Body, Code, Container, Error, Failure, FileError, Files, Found,
    HttpFunction, Limits, Listed, Logs, Options, Outside, OutsideError, Runtime, Store, StoreError,
    Stores, Stream, World, prepare, whole,
};
use http_body_util::BodyExt as _;

/// The sample that answers requests, as a component.
pub(crate) fn hello() -> Bytes {
    static BUILT: OnceLock<Bytes> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let module = std::fs::read(cairn_testkit::guests::rust("hello").unwrap()).unwrap();
        prepare(&module).unwrap().component
    });
    built.clone()
}

pub(crate) fn runtime() -> Runtime {
    Runtime::start(Options::default(), &Env::real()).unwrap()
}

/// What was written.
#[derive(Default)]
pub(crate) struct Kept(Mutex<Vec<String>>);

impl Kept {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Logs for Kept {
    fn line(&self, stream: Stream, line: &str) {
        self.0.lock().unwrap().push(format!("{}: {line}", stream.as_str()));
    }

    fn left_out(&self, bytes: u64) {
        self.0.lock().unwrap().push(format!("left out {bytes}"));
    }
}

/// Nothing to be opened.
struct NoStores;

#[async_trait::async_trait]
impl Stores for NoStores {
    async fn open(&self, _: &str) -> Result<Arc<dyn Store>, StoreError> {
        Err(StoreError::NoSuchStore)
    }
}

/// Nothing to be read.
struct NoFiles;

#[async_trait::async_trait]
impl Files for NoFiles {
    async fn find(&self, _: &str) -> Result<Found, FileError> {
        Err(FileError::NotFound)
    }

    async fn list(&self, _: &str, _: Option<&str>) -> Result<Vec<Listed>, FileError> {
        Err(FileError::NotFound)
    }
}

/// Nothing to be kept.
struct NoBlobs;

#[async_trait::async_trait]
impl Blobs for NoBlobs {
    async fn open(&self, _: &str) -> Result<Arc<dyn Container>, BlobError> {
        Err(BlobError::NoContainer)
    }

    async fn create(&self, _: &str) -> Result<Arc<dyn Container>, BlobError> {
        Err(BlobError::Denied("make one".to_owned()))
    }

    async fn remove(&self, _: &str) -> Result<(), BlobError> {
        Err(BlobError::NoContainer)
    }

    async fn copy(&self, _: &Blob, _: &Blob, _: bool) -> Result<(), BlobError> {
        Err(BlobError::NoContainer)
    }
}

/// Nobody to be asked.
struct NoOutside;

#[async_trait::async_trait]
impl Outside for NoOutside {
    async fn send(&self, _: http::Request<Body>) -> Result<http::Response<Body>, OutsideError> {
        Err(OutsideError::Denied("nobody may be asked".to_owned()))
    }
}

pub(crate) fn world() -> (World, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    (
        World {
            environment: Vec::new(),
            logs: Arc::clone(&kept) as _,
            stores: Arc::new(NoStores),
            files: Arc::new(NoFiles),
            blobs: Arc::new(NoBlobs),
            outside: Arc::new(NoOutside),
        },
        kept,
    )
}

/// A component's code, compiled in `runtime`, or as it was compiled before.
pub(crate) async fn compiled(runtime: &Runtime, component: Bytes) -> Result<Code, Error> {
    let digest = *blake3::hash(&component).as_bytes();
    match runtime.known(digest).await? {
        Some(code) => Ok(code),
        None => runtime.code(digest, component).await,
    }
}

pub(crate) async fn code(component: Bytes) -> Code {
    compiled(&runtime(), component).await.unwrap()
}

/// The sample with these limits.
pub(crate) async fn function(limits: Limits) -> (HttpFunction, Arc<Kept>) {
    let (world, kept) = world();
    (HttpFunction::new(&code(hello()).await, limits, world).unwrap(), kept)
}

/// A request, and all of its answer.
pub(crate) async fn get(function: &HttpFunction, path: &str) -> Result<(u16, String), Failure> {
    post(function, path, "").await
}

pub(crate) async fn post(
    function: &HttpFunction,
    path: &str,
    body: &str,
) -> Result<(u16, String), Failure> {
    ask(function, "POST", path, body).await
}

pub(crate) async fn ask(
    function: &HttpFunction,
    method: &str,
    path: &str,
    body: &str,
) -> Result<(u16, String), Failure> {
    let body: Body = whole(Bytes::copy_from_slice(body.as_bytes()));
    let uri = format!("http://localhost{path}");
    let request = http::Request::builder().method(method).uri(uri).body(body).unwrap();
    let response = function.handle(request).await?;
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    Ok((status, String::from_utf8(bytes.to_vec()).unwrap()))
}
