//! Stores that ignore conditions are found out before anything rests on them.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_bucket::{Bucket, Error, Memory};
use cairn_env::Env;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    IgnoresCreate,
    IgnoresUpdate,
    OffersNoUpdate,
    OffersNoAttributes,
    CreatesOnUpdate,
}

#[derive(Debug)]
struct Flawed {
    inner: Memory,
    flaw: Flaw,
}

impl fmt::Display for Flawed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.flaw)
    }
}

fn unsupported() -> object_store::Error {
    object_store::Error::NotImplemented {
        operation: String::from("this"),
        implementer: String::from("the flawed store"),
    }
}

#[async_trait]
impl ObjectStore for Flawed {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut opts: PutOptions,
    ) -> Result<PutResult> {
        match (&opts.mode, self.flaw) {
            (PutMode::Create, Flaw::IgnoresCreate) | (PutMode::Update(_), Flaw::IgnoresUpdate) => {
                opts.mode = PutMode::Overwrite;
            }
            (PutMode::Update(_), Flaw::OffersNoUpdate) => return Err(unsupported()),
            (PutMode::Update(_), Flaw::CreatesOnUpdate) => {
                let found = self.inner.get_opts(location, GetOptions::default()).await;
                if found.is_err() {
                    opts.mode = PutMode::Overwrite;
                }
            }
            _ => {}
        }
        if self.flaw == Flaw::OffersNoAttributes && !opts.attributes.is_empty() {
            return Err(unsupported());
        }
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn flawed(flaw: Flaw) -> Bucket {
    let env = Env::real();
    let store = Flawed { inner: Memory::new(&env), flaw };
    Bucket::from_store(Arc::new(store), "memory://flawed", &env)
}

#[tokio::test]
async fn probe_names_what_the_store_lacks() {
    let cases = [
        (Flaw::IgnoresCreate, "conditional create must leave alone"),
        (Flaw::IgnoresUpdate, "conditional replace must leave alone"),
        (Flaw::OffersNoUpdate, "offers no conditional replace"),
        (Flaw::CreatesOnUpdate, "makes an object that was deleted"),
    ];
    for (flaw, text) in cases {
        let bucket = flawed(flaw);
        let error = bucket.probe().await.unwrap_err();
        assert!(matches!(error, Error::Unconditional { .. }), "{flaw:?}: {error:?}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(text), "{flaw:?}: {error}");
        assert!(error.to_string().contains("memory://flawed"), "{error}");
        let left: Vec<_> = bucket.list("").try_collect().await.unwrap();
        assert!(left.is_empty(), "the probe left {left:?}");
    }
}

#[tokio::test]
async fn attributes_are_not_needed_for_conditions() {
    let bucket = flawed(Flaw::OffersNoAttributes);
    bucket.probe().await.unwrap();
    bucket.create("k", Bytes::from_static(b"mine")).await.unwrap();
    let error = bucket.create("k", Bytes::from_static(b"other")).await.unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error:?}");
}
