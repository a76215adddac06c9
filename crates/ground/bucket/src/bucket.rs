use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_env::Env;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, GetOptions, GetResult, ObjectMeta, ObjectStore, ObjectStoreExt as _,
    PutMode, PutOptions, PutPayload, PutResult, UpdateVersion,
};

use crate::address;
use crate::key::{key_path, prefix_path};
use crate::retry::{Attempts, Budget, retry};
use crate::{Error, Memory, OBJECT_BYTES_MAX, Options};

/// The metadata under which a conditional write carries its id.
const PUT_ID: &str = "cairnput";

/// Ranges that lie nearer than this are one request: what a request costs in bytes.
const MERGE_GAP_BYTES: u64 = 512 << 10;
/// The largest request that merging makes.
const MERGED_BYTES_MAX: u64 = 16 << 20;
/// Requests of one [`Bucket::get_ranges`] that run at once.
const RANGES_AT_ONCE_MAX: usize = 8;

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
    /// Opens the bucket at `url`. A directory is made when it is missing; a remote bucket must exist,
    /// and nothing is written to it.
    ///
    /// # Errors
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
        found.map_err(|error| Error::from_store("read", key, error))
    }

    /// Reads exactly the bytes of `range`.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Range`] when the object ends before `range.end`.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, Error> {
        let path = key_path(key)?;
        check_range(key, &range)?;
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let call = || self.get_range_once(&path, key, range.clone());
        self.run("read", key, call).await.map(|object| object.bytes)
    }

    async fn get_range_once(
        &self,
        path: &Path,
        key: &str,
        range: Range<u64>,
    ) -> Result<Object, Error> {
        let len = range.end - range.start;
        let options = GetOptions::new().with_range(Some(range.clone()));
        let found = match self.open_object(path, key, options).await {
            // Stores say it in their own ways that a range begins behind the end.
            Err(Error::Refused { .. } | Error::Internal { .. } | Error::Unavailable { .. })
                if self.ends_before(path, range.end).await =>
            {
                return Err(Error::Range {
                    key: key.to_owned(),
                    start: range.start,
                    end: range.end,
                });
            }
            found => found?,
        };
        if found.meta.size < range.end {
            return Err(Error::Range { key: key.to_owned(), start: range.start, end: range.end });
        }
        let version = Version::of(&found.meta);
        let bytes = body(found, key).await?;
        if bytes.len() as u64 != len {
            return Err(short(key, bytes.len() as u64, len));
        }
        Ok(Object { bytes, version })
    }

    async fn ends_before(&self, path: &Path, end: u64) -> bool {
        self.shared.once.head(path).await.is_ok_and(|meta| meta.size < end)
    }

    /// Reads several ranges of one state of the object, near ones in one request.
    ///
    /// # Errors
    /// As [`Bucket::get_range`]; [`Error::TooLarge`] when they make more than [`OBJECT_BYTES_MAX`].
    pub async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let path = key_path(key)?;
        let mut sum: u64 = 0;
        for range in ranges {
            check_range(key, range)?;
            sum = sum.saturating_add(range.end - range.start);
        }
        check_range(key, &(0..sum))?;
        let asked: Vec<_> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
        if asked.is_empty() {
            return Ok(vec![Bytes::new(); ranges.len()]);
        }
        let found =
            self.run("read", key, || self.get_ranges_once(&path, key, asked.clone())).await?;
        let mut found = found.into_iter();
        let fill = |range: &Range<u64>| {
            if range.is_empty() { Bytes::new() } else { found.next().unwrap_or_default() }
        };
        Ok(ranges.iter().map(fill).collect())
    }

    async fn get_ranges_once(
        &self,
        path: &Path,
        key: &str,
        ranges: Vec<Range<u64>>,
    ) -> Result<Vec<Bytes>, Error> {
        if self.shared.remote {
            return self.get_ranges_remote(path, key, &ranges).await;
        }
        let last = ranges.iter().max_by_key(|range| range.end).cloned().unwrap_or(0..0);
        let (start, end) = (last.start, last.end);
        match self.shared.once.get_ranges(path, &ranges).await {
            Ok(found) if lengths_fit(&found, &ranges) => Ok(found),
            Ok(_) => Err(Error::Range { key: key.to_owned(), start, end }),
            Err(error) => Err(match Error::from_store("read", key, error) {
                Error::Refused { .. } if self.ends_before(path, end).await => {
                    Error::Range { key: key.to_owned(), start, end }
                }
                error => error,
            }),
        }
    }

    /// `object_store`'s own coalescing panics when the object ends within a coalesced range.
    async fn get_ranges_remote(
        &self,
        path: &Path,
        key: &str,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, Error> {
        let merged = merge(ranges);
        let reads = merged.iter().map(|range| self.get_range_once(path, key, range.clone()));
        let pieces: Vec<_> = stream::iter(reads).buffered(RANGES_AT_ONCE_MAX).try_collect().await?;
        if pieces.windows(2).any(|pair| matches!(pair, [a, b] if a.version != b.version)) {
            return Err(Error::Unavailable {
                operation: "read",
                key: key.to_owned(),
                source: None,
            });
        }
        let find = |range: &Range<u64>| {
            let index = merged.partition_point(|piece| piece.end < range.end);
            let (place, piece) = (merged.get(index)?, pieces.get(index)?);
            let start = usize::try_from(range.start.checked_sub(place.start)?).ok()?;
            let end = usize::try_from(range.end - place.start).ok()?;
            Some(piece.bytes.slice(start..end))
        };
        let found: Option<Vec<Bytes>> = ranges.iter().map(find).collect();
        Ok(found.expect("every range lies in the piece that it was merged into"))
    }

    /// Looks at an object without reading it.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub async fn head(&self, key: &str) -> Result<Head, Error> {
        let path = key_path(key)?;
        let call = || async {
            let meta = self.shared.once.head(&path).await;
            meta.map(Head::of).map_err(|error| Error::from_store("look at", key, error))
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
            put.map_err(|error| Error::from_store("write", key, error))
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
            match self.shared.once.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(Error::from_store("delete", key, error)),
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
        let prefix = prefix.to_owned();
        let found = self.shared.store.list(path.as_ref());
        found
            .map_ok(Head::of)
            .map_err(move |error| Error::from_store("list", &prefix, error))
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

/// A write with a condition, on a store whose answers can be lost.
struct Conditional<'a> {
    bucket: &'a Bucket,
    path: Path,
    key: &'a str,
    bytes: Bytes,
    mode: PutMode,
    id: String,
}

/// What stands where a conditional write wanted to be.
enum Found {
    Ours(Version),
    Other,
    Nothing,
}

impl Conditional<'_> {
    async fn send(&self, attributes: Attributes) -> Result<PutResult, Error> {
        let options = PutOptions { mode: self.mode.clone(), attributes, ..PutOptions::default() };
        let payload = PutPayload::from_bytes(self.bytes.clone());
        let done = self.bucket.shared.once.put_opts(&self.path, payload, options).await;
        done.map_err(|error| Error::from_store(self.operation(), self.key, error))
    }

    fn operation(&self) -> &'static str {
        if self.mode == PutMode::Create { "create" } else { "replace" }
    }

    /// Sends with the id attached, as long as the store takes attributes.
    async fn send_with_id(&self) -> Result<PutResult, Error> {
        let known = &self.bucket.shared.attributes;
        if !known.load(Ordering::Relaxed) {
            return self.send(Attributes::new()).await;
        }
        let name = Attribute::Metadata(PUT_ID.into());
        let attributes = Attributes::from_iter([(name, self.id.clone())]);
        match self.send(attributes).await {
            Err(Error::Unsupported { .. }) => {
                let done = self.send(Attributes::new()).await?;
                known.store(false, Ordering::Relaxed);
                Ok(done)
            }
            done => done,
        }
    }

    /// BUCKET-6: sends until it is known whether the write took effect.
    async fn resolve(&self) -> Result<Version, Error> {
        let shared = &self.bucket.shared;
        let budget = Budget::new(&shared.options, self.bytes.len());
        let mut attempts = Attempts::new(&shared.env, budget);
        // An attempt without an answer may have taken effect, now or later.
        let mut doubt = false;
        let mut last = None;
        loop {
            match attempts.run(self.send_with_id()).await {
                Some(Ok(done)) => return self.bucket.version_of(self.key, done).await,
                Some(Err(refused @ (Error::Exists { .. } | Error::Changed { .. }))) => {
                    // Also without doubt of our own: a proxy may have sent the request twice.
                    match self.find().await {
                        Ok(Found::Ours(version)) => return Ok(version),
                        Ok(Found::Other) if !doubt => return Err(refused),
                        Ok(Found::Nothing) if !doubt && self.mode != PutMode::Create => {
                            return Err(refused);
                        }
                        // A create that ran into another one which then failed or was deleted.
                        Ok(Found::Nothing) if !doubt => last = Some(refused),
                        Ok(_) => return Err(self.in_doubt(last)),
                        Err(error) if error.kind() == ErrorKind::Retry => last = Some(error),
                        Err(error) => return Err(error),
                    }
                }
                Some(Err(error)) if error.kind() == ErrorKind::Retry => {
                    doubt = true;
                    last = Some(error);
                }
                Some(Err(error)) if doubt => return Err(self.in_doubt(Some(error))),
                Some(Err(error)) => return Err(error),
                None => {
                    doubt = true;
                    last = None;
                }
            }
            if !attempts.again().await {
                return self.give_up(doubt, last).await;
            }
        }
    }

    /// The budget is spent: one last look may still tell.
    async fn give_up(&self, doubt: bool, last: Option<Error>) -> Result<Version, Error> {
        match last {
            Some(error) if !doubt => Err(error),
            last => match self.find().await {
                Ok(Found::Ours(version)) => Ok(version),
                _ => Err(self.in_doubt(last)),
            },
        }
    }

    fn in_doubt(&self, last: Option<Error>) -> Error {
        let source = last.and_then(Error::into_store_error);
        Error::InDoubt { key: self.key.to_owned(), source }
    }

    /// Whether the object is the one this write made: by its id, else by its bytes.
    async fn find(&self) -> Result<Found, Error> {
        let by_id = self.bucket.shared.attributes.load(Ordering::Relaxed);
        let call = || async {
            let options = GetOptions::new().with_head(by_id);
            let found = match self.bucket.open_object(&self.path, self.key, options).await {
                Err(Error::Missing { .. }) => return Ok(Found::Nothing),
                found => found?,
            };
            let version = Version::of(&found.meta);
            let ours = if by_id {
                let id = found.attributes.get(&Attribute::Metadata(PUT_ID.into()));
                id.is_some_and(|id| id.as_ref() == self.id)
            } else {
                found.meta.size == self.bytes.len() as u64
                    && body(found, self.key).await? == self.bytes
            };
            Ok(if ours { Found::Ours(version) } else { Found::Other })
        };
        self.bucket.run("read", self.key, call).await
    }
}

fn lengths_fit(found: &[Bytes], ranges: &[Range<u64>]) -> bool {
    let fits =
        |(bytes, range): (&Bytes, &Range<u64>)| bytes.len() as u64 == range.end - range.start;
    found.len() == ranges.len() && found.iter().zip(ranges).all(fits)
}

/// The pieces to request: sorted, apart from each other, each range within one of them.
fn merge(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted = ranges.to_vec();
    sorted.sort_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last)
                if range.start <= last.end.saturating_add(MERGE_GAP_BYTES)
                    && range.end.saturating_sub(last.start) <= MERGED_BYTES_MAX =>
            {
                last.end = last.end.max(range.end);
            }
            // Within the last one, which is full already.
            Some(last) if range.end <= last.end => {}
            _ => merged.push(range),
        }
    }
    merged
}

async fn body(found: GetResult, key: &str) -> Result<Bytes, Error> {
    found.bytes().await.map_err(|error| Error::from_store("read", key, error))
}

fn check_len(key: &str, bytes: &Bytes) -> Result<(), Error> {
    let (size, limit) = (bytes.len() as u64, OBJECT_BYTES_MAX);
    if size <= limit {
        return Ok(());
    }
    Err(Error::TooLarge { operation: "write", key: key.to_owned(), size, limit })
}

fn check_range(key: &str, range: &Range<u64>) -> Result<(), Error> {
    let (start, end) = (range.start, range.end);
    if start > end {
        return Err(Error::Range { key: key.to_owned(), start, end });
    }
    let (size, limit) = (end - start, OBJECT_BYTES_MAX);
    if size > limit {
        return Err(Error::TooLarge { operation: "read", key: key.to_owned(), size, limit });
    }
    Ok(())
}

/// A body that ended early: the connection broke, so the next attempt may read it whole.
fn short(key: &str, found: u64, expected: u64) -> Error {
    let source = object_store::Error::Generic {
        store: "bucket",
        source: format!("{found} of {expected} bytes arrived").into(),
    };
    Error::Unavailable { operation: "read", key: key.to_owned(), source: Some(Box::new(source)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::single_range_in_vec_init)]
    fn near_ranges_are_merged_and_stay_findable() {
        const GAP: u64 = MERGE_GAP_BYTES;
        const MAX: u64 = MERGED_BYTES_MAX;
        assert_eq!(merge(&[5..9, 0..2]), [0..9]);
        assert_eq!(merge(&[0..2, 2 + GAP..5 + GAP]), [0..5 + GAP]);
        assert_eq!(merge(&[0..2, 3 + GAP..5 + GAP]), [0..2, 3 + GAP..5 + GAP]);
        assert_eq!(merge(&[0..10, 2..3, 0..1]), [0..10]);
        assert_eq!(merge(&[0..2 * MAX, 5..6, MAX..2 * MAX + 1]), [0..2 * MAX, MAX..2 * MAX + 1]);
        let hostile =
            [0..MAX, 1..MAX, 1..MAX + 1, 0..u64::MAX, 7..u64::MAX, u64::MAX - 1..u64::MAX];
        let merged = merge(&hostile);
        for range in &hostile {
            let index = merged.partition_point(|piece| piece.end < range.end);
            let piece = &merged[index];
            assert!(
                piece.start <= range.start && range.end <= piece.end,
                "{range:?} in {merged:?}"
            );
        }
    }
}
