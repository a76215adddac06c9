use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_bucket::{Bucket, Engine, Error, Options};
use cairn_env::Env;
use futures::TryStreamExt as _;

use crate::open;

#[tokio::test]
async fn a_directory_is_a_bucket() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = open(dir.path(), Engine::Auto).await;
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
async fn a_directory_that_is_missing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file://{}/x%20y/z", dir.path().display());
    let bucket = Bucket::open(&url, Options::default(), &Env::real()).await.unwrap();
    bucket.put("k", Bytes::from_static(b"v")).await.unwrap();
    assert_eq!(std::fs::read(dir.path().join("x y/z/k")).unwrap(), b"v");
}

#[tokio::test]
async fn memory_takes_its_time_from_the_clock() {
    let env = Env { clock: std::sync::Arc::new(cairn_env::TokioClock::default()), ..Env::real() };
    let bucket = Bucket::memory(&env);
    bucket.put("k", Bytes::new()).await.unwrap();
    let age_ns = bucket.head("k").await.unwrap().modified_ns - 1_577_836_800_000_000_000;
    assert!((0..60_000_000_000).contains(&age_ns), "{age_ns}");
}

#[tokio::test]
async fn wrong_urls_are_refused_without_showing_secrets() {
    let env = Env::real();
    let long = format!("s3://{}", "x".repeat(5000));
    let bad = [
        "",
        "srv/cairn",
        "file://relative/dir",
        "file:///tmp/x?y",
        "http://example.com",
        "memory://name",
        "s3://me:hunter2@bucket",
        "s3://bucket?secret=hunter2",
        "hunter2",
        "s3://",
        "s3://bucket:9000/x",
        "s3://bucket/a//b",
        "file:///proc/version",
        "file:///proc/version/x",
        long.as_str(),
    ];
    for url in bad {
        let error = Bucket::open(url, Options::default(), &env).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{url}: {error}");
        assert!(matches!(error, Error::Url { .. }), "{url}: {error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        assert!(error.to_string().len() < 300, "{error}");
    }
}
