use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result, UploadPart,
};
use tokio::sync::Mutex;

use super::{Damage, Dice, Faulty, Kind, Shared};

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let kind = match opts.mode {
            PutMode::Overwrite => Kind::Put,
            PutMode::Create => Kind::Create,
            PutMode::Update(_) => Kind::Update,
        };
        let (key, location) = (location.to_string(), location.clone());
        let put = move |inner: Arc<dyn ObjectStore>, _| async move {
            inner.put_opts(&location, payload, opts).await.map(|done| (done, false))
        };
        self.shared.act(kind, key, put).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let (key, location) = (location.to_string(), location.clone());
        let begin = move |inner: Arc<dyn ObjectStore>, _| async move {
            inner.put_multipart_opts(&location, opts).await.map(|upload| (upload, false))
        };
        let acted = self.shared.act(Kind::UploadBegin, key.clone(), begin);
        let inner = Arc::new(Mutex::new(acted.await?));
        Ok(Box::new(Upload { shared: Arc::clone(&self.shared), key, inner }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let kind = if options.head { Kind::Head } else { Kind::Get };
        let (key, location) = (location.to_string(), location.clone());
        let get = move |inner: Arc<dyn ObjectStore>, dice: Dice| async move {
            let head = options.head;
            let mut found = inner.get_opts(&location, options).await?;
            if head {
                return Ok((found, false));
            }
            let body = std::mem::replace(
                &mut found.payload,
                GetResultPayload::Stream(stream::empty().boxed()),
            );
            let whole = GetResult {
                payload: body,
                meta: found.meta.clone(),
                range: found.range.clone(),
                attributes: object_store::Attributes::new(),
                extensions: object_store::Extensions::default(),
            };
            let (bytes, damaged) = damage(whole.bytes().await?, dice);
            found.payload = GetResultPayload::Stream(stream::iter([Ok(bytes)]).boxed());
            Ok((found, damaged))
        };
        self.shared.act(kind, key, get).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let (key, location, ranges) = (location.to_string(), location.clone(), ranges.to_vec());
        let get = move |inner: Arc<dyn ObjectStore>, dice: Dice| async move {
            let mut found = inner.get_ranges(&location, &ranges).await?;
            let mut damaged = false;
            if let Some(first) = found.first_mut() {
                (*first, damaged) = damage(std::mem::take(first), dice);
            }
            Ok((found, damaged))
        };
        self.shared.act(Kind::Get, key, get).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let shared = Arc::clone(&self.shared);
        locations
            .then(move |location| {
                let shared = Arc::clone(&shared);
                async move {
                    let location = location?;
                    let key = location.to_string();
                    let delete = move |inner: Arc<dyn ObjectStore>, _| async move {
                        inner.delete(&location).await.map(|()| (location, false))
                    };
                    shared.act(Kind::Delete, key, delete).await
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.cloned();
        let key = prefix.as_ref().map_or_else(String::new, Path::to_string);
        let list = move |inner: Arc<dyn ObjectStore>, dice: Dice| async move {
            let found: Vec<ObjectMeta> = inner.list(prefix.as_ref()).try_collect().await?;
            Ok(break_off(found, dice))
        };
        let shared = Arc::clone(&self.shared);
        let listed = async move { shared.act(Kind::List, key, list).await };
        listed.map_ok(stream::iter).try_flatten_stream().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let prefix = prefix.cloned();
        let key = prefix.as_ref().map_or_else(String::new, Path::to_string);
        let list = move |inner: Arc<dyn ObjectStore>, _| async move {
            inner.list_with_delimiter(prefix.as_ref()).await.map(|found| (found, false))
        };
        self.shared.act(Kind::ListLevel, key, list).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (from, to) = (from.clone(), to.clone());
        let key = format!("{from} -> {to}");
        let copy = move |inner: Arc<dyn ObjectStore>, _| async move {
            inner.copy_opts(&from, &to, options).await.map(|()| ((), false))
        };
        self.shared.act(Kind::Copy, key, copy).await
    }
}

/// Flips a bit or cuts the end, if the dice say so.
fn damage(bytes: Bytes, dice: Dice) -> (Bytes, bool) {
    let len = bytes.len() as u64;
    if len == 0 {
        return (bytes, false);
    }
    let place = usize::try_from(dice.place % len).unwrap_or(0);
    match dice.damage {
        Some(Damage::Truncate) => (bytes.slice(..place), true),
        Some(Damage::Corrupt) => {
            let mut bytes = bytes.to_vec();
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << (dice.place >> 61);
            }
            (bytes.into(), true)
        }
        Some(Damage::BreakOff) | None => (bytes, false),
    }
}

/// A listing that breaks off somewhere, if the dice say so.
fn break_off(found: Vec<ObjectMeta>, dice: Dice) -> (Vec<Result<ObjectMeta>>, bool) {
    let mut found: Vec<Result<ObjectMeta>> = found.into_iter().map(Ok).collect();
    if dice.damage != Some(Damage::BreakOff) {
        return (found, false);
    }
    let len = found.len() as u64 + 1;
    found.truncate(usize::try_from(dice.place % len).unwrap_or(0));
    let source = "a simulated fault: the listing broke off".into();
    found.push(Err(Error::Generic { store: "faulty", source }));
    (found, true)
}

#[derive(Debug)]
struct Upload {
    shared: Arc<Shared>,
    key: String,
    inner: Arc<Mutex<Box<dyn MultipartUpload>>>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        // The part takes its place in the object now, whatever happens to its bytes later.
        let part = self.inner.try_lock().map(|mut inner| inner.put_part(data));
        let acted = self.shared.act(Kind::UploadPart, self.key.clone(), move |_, _| async move {
            let part = part.map_err(|_| Error::Generic {
                store: "faulty",
                source: "a part was added while the upload was being completed".into(),
            })?;
            part.await.map(|()| ((), false))
        });
        acted.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let inner = Arc::clone(&self.inner);
        let end = move |_, _| async move {
            inner.lock().await.complete().await.map(|done| (done, false))
        };
        self.shared.act(Kind::UploadEnd, self.key.clone(), end).await
    }

    async fn abort(&mut self) -> Result<()> {
        let inner = Arc::clone(&self.inner);
        let end = move |_, _| async move { inner.lock().await.abort().await.map(|()| ((), false)) };
        self.shared.act(Kind::UploadAbort, self.key.clone(), end).await
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}
