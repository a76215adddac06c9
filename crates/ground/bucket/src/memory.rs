//! The bucket that lasts as long as its process.
//!
//! Unlike `object_store`'s own, its times come from the [`Env`]: a simulated run sees the same ages
//! every time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use cairn_env::Env;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _};
use object_store::path::Path;
use object_store::{
    Attributes, CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result, UploadPart,
};

use crate::local::{Failure, time_of_ns};

/// An [`ObjectStore`] in memory, with conditional writes and attributes.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    env: Env,
    objects: Mutex<Objects>,
}

#[derive(Default)]
struct Objects {
    by_key: BTreeMap<Path, Stored>,
    written_count: u64,
}

#[derive(Clone)]
struct Stored {
    bytes: Bytes,
    attributes: Attributes,
    modified_ns: i64,
    generation: u64,
}

impl Stored {
    fn e_tag(&self) -> String {
        format!("\"{}\"", self.generation)
    }

    fn meta(&self, location: &Path) -> ObjectMeta {
        ObjectMeta {
            location: location.clone(),
            last_modified: time_of_ns(self.modified_ns).into(),
            size: self.bytes.len() as u64,
            e_tag: Some(self.e_tag()),
            version: None,
        }
    }
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new(env: &Env) -> Self {
        Self { shared: Arc::new(Shared { env: env.clone(), objects: Mutex::default() }) }
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.shared.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored(&self, location: &Path) -> Result<Stored> {
        self.objects().by_key.get(location).cloned().ok_or_else(|| missing(location))
    }

    fn insert(
        &self,
        location: &Path,
        bytes: Bytes,
        mode: &PutMode,
        attributes: Attributes,
    ) -> Result<PutResult> {
        let modified_ns = self.shared.env.clock.wall_ns();
        let mut objects = self.objects();
        let found = objects.by_key.get(location).map(Stored::e_tag);
        match (mode, found) {
            (PutMode::Overwrite, _) | (PutMode::Create, None) => {}
            (PutMode::Create, Some(_)) => return Err(exists(location)),
            (PutMode::Update(expected), found) => {
                if found.is_none() || found != expected.e_tag {
                    return Err(changed(location));
                }
            }
        }
        objects.written_count += 1;
        let stored = Stored { bytes, attributes, modified_ns, generation: objects.written_count };
        let e_tag = Some(stored.e_tag());
        objects.by_key.insert(location.clone(), stored);
        Ok(PutResult { e_tag, version: None, extensions: object_store::Extensions::default() })
    }

    fn below(&self, prefix: Option<&Path>) -> Vec<ObjectMeta> {
        let root = Path::default();
        let prefix = prefix.unwrap_or(&root);
        let objects = self.objects();
        let from_prefix = objects.by_key.range(prefix.clone()..);
        from_prefix
            .take_while(|(location, _)| location.as_ref().starts_with(prefix.as_ref()))
            .filter(|(location, _)| {
                location.prefix_match(prefix).is_some_and(|mut parts| parts.next().is_some())
            })
            .map(|(location, stored)| stored.meta(location))
            .collect()
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

fn missing(location: &Path) -> Error {
    Error::NotFound { path: location.to_string(), source: "there is no such object".into() }
}

fn exists(location: &Path) -> Error {
    Error::AlreadyExists { path: location.to_string(), source: "the key is taken".into() }
}

fn changed(location: &Path) -> Error {
    Error::Precondition { path: location.to_string(), source: "another version is stored".into() }
}

#[async_trait]
impl ObjectStore for Memory {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.insert(location, payload.into(), &opts.mode, opts.attributes)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(Upload {
            store: self.clone(),
            location: location.clone(),
            attributes: opts.attributes,
            parts: Vec::new(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let stored = self.stored(location)?;
        let meta = stored.meta(location);
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            Some(range) => {
                range.as_range(meta.size).map_err(|error| Failure::range(location, &error))?
            }
            None => 0..meta.size,
        };
        #[allow(clippy::cast_possible_truncation, reason = "it lies in the object")]
        let bytes = stored.bytes.slice(range.start as usize..range.end as usize);
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::iter([Ok(bytes)]).boxed()),
            meta,
            range,
            attributes: stored.attributes,
            extensions: object_store::Extensions::default(),
        })
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<Bytes>> {
        let bytes = self.stored(location)?.bytes;
        let slice = |range: &std::ops::Range<u64>| {
            let range = object_store::GetRange::Bounded(range.clone());
            let range = range.as_range(bytes.len() as u64);
            let range = range.map_err(|error| Failure::range(location, &error))?;
            #[allow(clippy::cast_possible_truncation, reason = "it lies in the object")]
            Ok(bytes.slice(range.start as usize..range.end as usize))
        };
        ranges.iter().map(slice).collect()
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        locations
            .map(move |location| {
                let location = location?;
                store.objects().by_key.remove(&location);
                Ok(location)
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::iter(self.below(prefix).into_iter().map(Ok)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        Ok(one_level(prefix, self.below(prefix)))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let stored = self.stored(from)?;
        let mode = match options.mode {
            CopyMode::Overwrite => PutMode::Overwrite,
            CopyMode::Create => PutMode::Create,
        };
        self.insert(to, stored.bytes, &mode, stored.attributes).map(drop)
    }
}

/// Folds what lies below `prefix` to the level right under it.
fn one_level(prefix: Option<&Path>, metas: Vec<ObjectMeta>) -> ListResult {
    let root = Path::default();
    let prefix = prefix.unwrap_or(&root);
    let mut common_prefixes: Vec<Path> = Vec::new();
    let mut objects = Vec::new();
    for meta in metas {
        let Some(mut parts) = meta.location.prefix_match(prefix) else { continue };
        let Some(first) = parts.next() else { continue };
        if parts.next().is_none() {
            drop(parts);
            objects.push(meta);
            continue;
        }
        let common = prefix.clone().join(first);
        // Keys come in order of their text, so that those below one prefix are neighbours.
        if common_prefixes.last() != Some(&common) {
            common_prefixes.push(common);
        }
    }
    ListResult { common_prefixes, objects, extensions: object_store::Extensions::default() }
}

#[derive(Debug)]
struct Upload {
    store: Memory,
    location: Path,
    attributes: Attributes,
    parts: Vec<Arc<Mutex<Option<Bytes>>>>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = Arc::new(Mutex::new(None));
        self.parts.push(Arc::clone(&part));
        async move {
            *part.lock().unwrap_or_else(PoisonError::into_inner) = Some(data.into());
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let mut bytes = Vec::new();
        for part in self.parts.drain(..) {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner).take();
            bytes.extend_from_slice(&part.ok_or_else(|| Error::Generic {
                store: "memory",
                source: "a part was not written before the upload was completed".into(),
            })?);
        }
        let attributes = std::mem::take(&mut self.attributes);
        self.store.insert(&self.location, bytes.into(), &PutMode::Overwrite, attributes)
    }

    async fn abort(&mut self) -> Result<()> {
        self.parts.clear();
        Ok(())
    }
}
