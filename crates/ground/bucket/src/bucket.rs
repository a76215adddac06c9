mod conditional;
mod ranges;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use cairn_env::Env;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    Attributes, GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode,
    PutPayload, PutResult, UpdateVersion,
};

use conditional::Conditional;

use crate::address;
use crate::cause::Cause;
use crate::key::{key_path, prefix_path};
use crate::retry::{Budget, retry};
use crate::{Error, Memory, OBJECT_BYTES_MAX, Options};

/// One bucket, open. Cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    shared: Arc<Shared>,
}

struct Shared {
    url: String,
    env: Env,
    options: Options,
    /// For whole operations, and for others through [`Bucket::store`].
    store: Arc<dyn ObjectStore>,
    /// The same place, for requests that must not be repeated behind our back.
    once: Arc<dyn ObjectStore>,
    /// Answers can be lost: retry, bound the time and resolve doubt.
    remote: bool,
    /// The store keeps attributes, as far as we know.
    attributes: AtomicBool,
}

/// What [`address::open`] found behind a URL.
pub(crate) struct Opened {
    pub(crate) url: String,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) once: Arc<dyn ObjectStore>,
    pub(crate) remote: bool,
}

impl Shared {
    fn failed(&self, operation: &'static str, key: &str, error: &object_store::Error) -> Error {
        Error::from_store(&self.url, operation, key, error)
    }
}

/// One state of one object. Other bytes are always another version. Writing the same bytes again makes
/// a new version on `file://` and `memory://`, and may make the same one on stores whose versions are
/// hashes of the content (S3): who must tell such writes apart puts a counter into the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    e_tag: Option<String>,
    version: Option<String>,
}

impl Version {
    fn of(meta: &ObjectMeta) -> Self {
        Self { e_tag: meta.e_tag.clone(), version: meta.version.clone() }
    }

    /// Text for logs. It does not lead back to a version.
    #[must_use]
    pub fn as_text(&self) -> &str {
        self.e_tag.as_deref().or(self.version.as_deref()).unwrap_or_default()
    }
}

/// An object that was read whole.
#[derive(Clone, Debug)]
pub struct Object {
    /// Its bytes.
    pub bytes: Bytes,
    /// Which state they are, for [`Bucket::replace`].
    pub version: Version,
}

/// An object that was only looked at.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its key.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was written by the store's clock, in nanoseconds since 1970. Some stores round to
    /// seconds.
    pub modified_ns: i64,
    /// Its state, for [`Bucket::replace`].
    pub version: Version,
}

impl Head {
    fn of(meta: ObjectMeta) -> Self {
        let modified_ns = meta.last_modified.timestamp_nanos_opt().unwrap_or(0);
        let version = Version::of(&meta);
        Self { key: meta.location.to_string(), size: meta.size, modified_ns, version }
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Bucket").field(&self.shared.url).finish()
    }
}

impl Bucket {
    /// Opens the bucket at `url`. A directory is made when it is missing and [`Options::make`] says
    /// so; a remote bucket must exist, and nothing is written to it.
    ///
    /// # Errors
    /// [`Error::NoDirectory`]: the directory is missing and is not to be made.
    /// [`Error::Url`]: not a URL, a scheme this build lacks, secrets in the URL, or a directory that
    /// cannot hold a bucket.
    pub async fn open(url: &str, options: Options, env: &Env) -> Result<Self, Error> {
        let opened = address::open(url, &options, env).await?;
        Ok(Self::new(opened, options, env))
    }

    /// A bucket that lasts as long as its handles.
    #[must_use]
    pub fn memory(env: &Env) -> Self {
        let store: Arc<dyn ObjectStore> = Arc::new(Memory::new(env));
        let once = Arc::clone(&store);
        let opened = Opened { url: String::from("memory://"), store, once, remote: false };
        Self::new(opened, Options::default(), env)
    }

    /// A bucket at the root of `store`, which is taken for a remote one: its errors may come after
    /// the effect, and it may never answer.
    pub fn from_store(store: Arc<dyn ObjectStore>, url: &str, env: &Env) -> Self {
        let once = Arc::clone(&store);
        let opened = Opened { url: url.to_owned(), store, once, remote: true };
        Self::new(opened, Options::default(), env)
    }

    /// [`Bucket::from_store`] with other times and counts.
    pub fn from_store_with(
        store: Arc<dyn ObjectStore>,
        url: &str,
        options: Options,
        env: &Env,
    ) -> Self {
        let once = Arc::clone(&store);
        Self::new(Opened { url: url.to_owned(), store, once, remote: true }, options, env)
    }

    fn new(opened: Opened, options: Options, env: &Env) -> Self {
        let Opened { url, store, once, remote } = opened;
        let attributes = AtomicBool::new(true);
        let env = env.clone();
        let shared = Shared { url, env, options, store, once, remote, attributes };
        Self { shared: Arc::new(shared) }
    }

    /// The URL, without secrets.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Whether it is a service on a network, and no directory or memory of this machine.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.shared.remote
    }

    /// The store, whose root is the bucket's root.
    #[must_use]
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.shared.store)
    }

    /// Reads a whole object of at most [`OBJECT_BYTES_MAX`].
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::TooLarge`].
    pub async fn get(&self, key: &str) -> Result<Object, Error> {
        let path = key_path(key)?;
        self.run("read", key, || self.get_once(&path, key)).await
    }

    async fn get_once(&self, path: &Path, key: &str) -> Result<Object, Error> {
        let found = self.open_object(path, key, GetOptions::default()).await?;
        let size = found.meta.size;
        if size > OBJECT_BYTES_MAX {
            let (key, limit) = (key.to_owned(), OBJECT_BYTES_MAX);
            return Err(Error::TooLarge { operation: "read", key, size, limit });
        }
        let version = Version::of(&found.meta);
        let bytes = body(found, key).await?;
        if bytes.len() as u64 != size {
            return Err(short(key, bytes.len() as u64, size));
        }
        Ok(Object { bytes, version })
    }

    async fn open_object(
        &self,
        path: &Path,
        key: &str,
        options: GetOptions,
    ) -> Result<GetResult, Error> {
        let found = self.shared.once.get_opts(path, options).await;
        found.map_err(|error| self.shared.failed("read", key, &error))
    }

    /// Looks at an object without reading it.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub async fn head(&self, key: &str) -> Result<Head, Error> {
        let path = key_path(key)?;
        let call = || async {
            let meta = self.shared.once.head(&path).await;
            meta.map(Head::of).map_err(|error| self.shared.failed("look at", key, &error))
        };
        self.run("look at", key, call).await
    }

    /// Writes an object, new or over an old one. Durable when it returns. Not cancel safe: a dropped
    /// future may or may not have written, but never a part.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Full`], [`Error::Denied`]; after [`Error::Unavailable`] the
    /// object may have been written.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<Version, Error> {
        let path = key_path(key)?;
        check_len(key, &bytes)?;
        let budget = Budget::new(&self.shared.options, bytes.len());
        let call = || async {
            let put = self.shared.once.put(&path, PutPayload::from_bytes(bytes.clone())).await;
            put.map_err(|error| self.shared.failed("write", key, &error))
        };
        let done = if self.shared.remote {
            retry(&self.shared.env, budget, "write", key, call).await?
        } else {
            call().await?
        };
        self.version_of(key, done).await
    }

    /// Writes an object that must not exist. Durable when it returns. Cancellation as in
    /// [`Bucket::put`].
    ///
    /// # Errors
    /// [`Error::Exists`]: nothing was written. [`Error::InDoubt`]: see there.
    pub async fn create(&self, key: &str, bytes: Bytes) -> Result<Version, Error> {
        self.put_if(key, bytes, PutMode::Create).await
    }

    /// Writes over the state `expected` of an object and no other. Durable when it returns.
    /// Cancellation as in [`Bucket::put`].
    ///
    /// # Errors
    /// [`Error::Changed`]: there is another state or no object, and nothing was written.
    /// [`Error::InDoubt`]: see there.
    pub async fn replace(
        &self,
        key: &str,
        bytes: Bytes,
        expected: &Version,
    ) -> Result<Version, Error> {
        let Version { e_tag, version } = expected.clone();
        self.put_if(key, bytes, PutMode::Update(UpdateVersion { e_tag, version })).await
    }

    async fn put_if(&self, key: &str, bytes: Bytes, mode: PutMode) -> Result<Version, Error> {
        let path = key_path(key)?;
        check_len(key, &bytes)?;
        let put = Conditional { bucket: self, path, key, bytes, mode, id: self.put_id() };
        if self.shared.remote {
            return put.resolve().await;
        }
        let done = put.send(Attributes::new()).await?;
        self.version_of(key, done).await
    }

    fn put_id(&self) -> String {
        let mut id = [0; 16];
        self.shared.env.rng.fill(&mut id);
        format!("{:032x}", u128::from_be_bytes(id))
    }

    async fn version_of(&self, key: &str, done: PutResult) -> Result<Version, Error> {
        if done.e_tag.is_none() && done.version.is_none() {
            return self.head(key).await.map(|head| head.version);
        }
        Ok(Version { e_tag: done.e_tag, version: done.version })
    }

    /// Deletes an object. Durable when it returns. A missing one is no error.
    ///
    /// # Errors
    /// After [`Error::Unavailable`] it may have been deleted.
    pub async fn delete(&self, key: &str) -> Result<(), Error> {
        let path = key_path(key)?;
        let call = || async {
            let deleted = self.shared.once.delete(&path).await;
            match deleted.map_err(|error| self.shared.failed("delete", key, &error)) {
                Err(Error::Missing { .. }) => Ok(()),
                answer => answer,
            }
        };
        self.run("delete", key, call).await
    }

    /// Every object below `prefix` and a slash, in no promised order; all of them for the empty
    /// prefix. What is written or deleted meanwhile may or may not appear. Each object appears once.
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<Head, Error>> {
        let path = match prefix_path(prefix) {
            Ok(path) => path,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        let (shared, prefix) = (Arc::clone(&self.shared), prefix.to_owned());
        let found = self.shared.store.list(path.as_ref());
        let bare_tags = shared.url.starts_with("az://");
        found
            .map_ok(move |meta| Head::of(if bare_tags { quoted(meta) } else { meta }))
            .map_err(move |error| shared.failed("list", &prefix, &error))
            .boxed()
    }

    /// Proves with throw-away objects that conditional writes are conditional and that reads see the
    /// last write. Costs about a dozen requests and leaves nothing behind.
    ///
    /// # Errors
    /// [`Error::Unconditional`] names what the store lacks.
    pub async fn probe(&self) -> Result<(), Error> {
        let name = format!("cairn-probe/{}", self.put_id());
        crate::probe::probe(self, &name).await
    }

    /// Retries where answers can be lost, else calls once.
    async fn run<T, Call, Answer>(
        &self,
        operation: &'static str,
        key: &str,
        mut call: Call,
    ) -> Result<T, Error>
    where
        Call: FnMut() -> Answer,
        Answer: Future<Output = Result<T, Error>>,
    {
        if !self.shared.remote {
            return call().await;
        }
        let budget = Budget::new(&self.shared.options, 0);
        retry(&self.shared.env, budget, operation, key, call).await
    }
}

/// Azure's listings give entity tags without the quotes that they have everywhere else.
fn quoted(mut meta: ObjectMeta) -> ObjectMeta {
    meta.e_tag = meta.e_tag.map(|tag| if tag.contains('"') { tag } else { format!("\"{tag}\"") });
    meta
}

pub(super) async fn body(found: GetResult, key: &str) -> Result<Bytes, Error> {
    found.bytes().await.map_err(|error| Error::from_store("", "read", key, &error))
}

fn check_len(key: &str, bytes: &Bytes) -> Result<(), Error> {
    let (size, limit) = (bytes.len() as u64, OBJECT_BYTES_MAX);
    if size <= limit {
        return Ok(());
    }
    Err(Error::TooLarge { operation: "write", key: key.to_owned(), size, limit })
}

/// A body that ended early: the connection broke, so the next attempt may read it whole.
fn short(key: &str, found: u64, expected: u64) -> Error {
    let source = Cause::new(&format!("{found} of {expected} bytes arrived"));
    Error::Unavailable { operation: "read", key: key.to_owned(), source: Some(source) }
}
