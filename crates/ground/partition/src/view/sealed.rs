//! The store of a view: whole objects, sealed page by page. In a bucket that is not encrypted, where
//! tables have checksums of their own, all others get one ([`Checked`]) and tables pass as they are.
//!
//! The tree would leave its manifests and the keys in its tables' indexes in the clear, and its
//! manifests without a checksum. So nothing of it reaches the bucket unsealed, and nothing of the
//! bucket reaches it unverified (BUCKET-3). The bytes of an object are in [`page`]. Names of objects,
//! their times and attributes, and how long they are stay readable.
//!
//! Every page is bound to the object's key, to its place, to whether it is the last one, and to one
//! writing of the object. What a read returns is of one writing. A store that gives back a whole earlier
//! writing, or a page of one to who reads this page alone, is not noticed: tables and manifests have
//! names that are used once, so that no other writing exists.

mod checked;
mod page;
mod read;
#[cfg(test)]
mod tests;
mod upload;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use cairn_bucket::{Seal, SealError};
use cairn_env::Rng;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use slatedb_common::retry::NonRetryable;

pub(crate) use checked::Checked;
use page::{Layout, PAGE_BYTES, Pages};
#[cfg(test)]
pub(crate) use tests::Keyed;

/// Plain bytes of a part of an upload: more than the 5 MiB that stores ask for.
const PART_BYTES: usize = 8 << 20;

/// What the bytes of tables are below, in the directory of a view.
const TABLES: &str = "compacted";

/// `store`, with everything in it sealed; when `seal` seals nothing, with a checksum of all but tables.
pub(crate) fn sealed(
    store: Arc<dyn ObjectStore>,
    seal: Arc<dyn Seal>,
    rng: Arc<dyn Rng>,
) -> Arc<dyn ObjectStore> {
    if seal.seals() {
        Arc::new(Sealed::new(store, seal, rng, PAGE_BYTES, PART_BYTES))
    } else {
        let sealed = Sealed::new(store, Arc::new(Checked), rng, PAGE_BYTES, PART_BYTES);
        Arc::new(Sealed { tables_pass: true, ..sealed })
    }
}

/// The error of the seal, when that is why the tree failed.
pub(crate) fn refusal<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a SealError> {
    NonRetryable::find(error)?.0.downcast_ref()
}

/// An [`ObjectStore`] around another. Sizes and ranges are those of the plain bytes.
pub(super) struct Sealed {
    store: Arc<dyn ObjectStore>,
    pages: Pages,
    part_bytes: usize,
    /// Tables are as they are.
    tables_pass: bool,
}

impl Sealed {
    /// `part_bytes` is a multiple of `page_bytes`.
    fn new(
        store: Arc<dyn ObjectStore>,
        seal: Arc<dyn Seal>,
        rng: Arc<dyn Rng>,
        page_bytes: usize,
        part_bytes: usize,
    ) -> Self {
        assert!(part_bytes.is_multiple_of(page_bytes), "parts are whole pages");
        let pages = Pages::new(seal, rng, page_bytes);
        Self { store, pages, part_bytes, tables_pass: false }
    }

    /// Whether an object is as it is.
    fn passes(&self, location: &Path) -> bool {
        self.tables_pass && passes(location)
    }

    fn meta(layout: Layout, tables_pass: bool, mut meta: ObjectMeta) -> Result<ObjectMeta> {
        if tables_pass && passes(&meta.location) {
            return Ok(meta);
        }
        let size = layout.plain_size(meta.size);
        meta.size = size.ok_or_else(|| page::cut(meta.location.as_ref()))?;
        Ok(meta)
    }

    fn listed(
        &self,
        metas: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (layout, tables_pass) = (self.pages.layout, self.tables_pass);
        metas.map(move |meta| Self::meta(layout, tables_pass, meta?)).boxed()
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sealed {}", self.store)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sealed").field(&self.store).finish()
    }
}

fn passes(location: &Path) -> bool {
    let is_table = location.extension() == Some("sst");
    is_table && location.parts().any(|part| part.as_ref() == TABLES)
}

/// An error that trying again does not mend.
fn generic(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Generic { store: "sealed", source: Box::new(NonRetryable(error.into())) }
}

#[async_trait]
impl ObjectStore for Sealed {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        if self.passes(location) {
            return self.store.put_opts(location, payload, opts).await;
        }
        let mut writing = self.pages.writing(location);
        let payload = writing.seal(&payload.into(), true);
        self.store.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.store.put_multipart_opts(location, opts).await?;
        if self.passes(location) {
            return Ok(inner);
        }
        Ok(Box::new(upload::Upload::new(inner, self.pages.writing(location), self.part_bytes)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if self.passes(location) {
            return self.store.get_opts(location, options).await;
        }
        let (layout, wanted, head) = (self.pages.layout, options.range.clone(), options.head);
        if let Some(range) = &wanted {
            range.is_valid().map_err(generic)?;
        }
        let range = wanted.as_ref().map(|range| layout.covering(range));
        let found = self.store.get_opts(location, GetOptions { range, ..options }).await?;
        let sealed_size = found.meta.size;
        let meta = Self::meta(layout, false, found.meta.clone())?;
        let range = match &wanted {
            Some(range) => range.as_range(meta.size).map_err(generic)?,
            None => 0..meta.size,
        };
        let (attributes, extensions) = (found.attributes.clone(), found.extensions.clone());
        let payload = if head {
            stream::empty().boxed()
        } else {
            let from = found.range.start;
            let reading = self.pages.reading(location, sealed_size);
            read::plain(reading, found.into_stream(), from, range.clone())?
        };
        let payload = GetResultPayload::Stream(payload);
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.store.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.store.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let found = self.store.list_with_delimiter(prefix).await?;
        let (layout, tables_pass) = (self.pages.layout, self.tables_pass);
        let metas = found.objects.into_iter().map(|meta| Self::meta(layout, tables_pass, meta));
        let objects = metas.collect::<Result<Vec<_>>>()?;
        Ok(ListResult { objects, ..found })
    }

    /// Reads and seals anew, because pages are bound to their object's key. Takes as much memory as the
    /// object; the tree copies nothing but what it clones.
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let found = self.get_opts(from, GetOptions::default()).await?;
        let attributes = found.attributes.clone();
        let chunks: Vec<_> = found.into_stream().try_collect().await?;
        let mode = match options.mode {
            CopyMode::Overwrite => PutMode::Overwrite,
            CopyMode::Create => PutMode::Create,
        };
        let opts = PutOptions { mode, attributes, ..PutOptions::default() };
        self.put_opts(to, PutPayload::from_iter(chunks), opts).await.map(drop)
    }
}
