use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_bucket::{Bucket, Engine, Error, Options};
use cairn_env::Env;
use futures::TryStreamExt as _;

pub(crate) fn url_of(dir: &tempfile::TempDir) -> String {
    format!("file://{}", dir.path().display())
}

async fn local(dir: &tempfile::TempDir) -> Bucket {
    let options = Options { engine: Engine::Threads, ..Options::default() };
    Bucket::open(&url_of(dir), options, &Env::real()).await.unwrap()
}

#[tokio::test]
async fn a_directory_is_a_bucket() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = local(&dir).await;
    bucket.probe().await.unwrap();
    let version = bucket.create("a/b/c", Bytes::from_static(b"hello")).await.unwrap();
    assert_eq!(std::fs::read(dir.path().join("a/b/c")).unwrap(), b"hello");
    let version = bucket.replace("a/b/c", Bytes::from_static(b"world"), &version).await.unwrap();
    assert_eq!(bucket.get("a/b/c").await.unwrap().version, version);
    assert_eq!(bucket.get_range("a/b/c", 1..3).await.unwrap(), "or");
    let all: Vec<_> = bucket.list("").try_collect().await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].key.as_str(), all[0].size), ("a/b/c", 5));
    bucket.delete("a/b/c").await.unwrap();
    assert!(!dir.path().join("a").exists(), "empty directories go away");
}

#[tokio::test]
async fn memory_is_a_bucket() {
    Bucket::memory(&Env::real()).probe().await.unwrap();
}

#[tokio::test]
async fn wrong_urls_are_refused_without_showing_secrets() {
    let env = Env::real();
    let bad = [
        "",
        "srv/cairn",
        "file://relative/dir",
        "file:///tmp/x?y",
        "http://example.com",
        "memory://name",
        "s3://me:hunter2@bucket",
        "s3://",
    ];
    for url in bad {
        let error = Bucket::open(url, Options::default(), &env).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{url}: {error}");
        assert!(matches!(error, Error::Url { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("hunter2"));
    }
}
