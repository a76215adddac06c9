//! The suite against real servers, and what only a remote store can do wrong.

use std::time::Duration;

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_bucket::{Bucket, Error, Options, Settings, conformance};
use cairn_env::Env;
use cairn_testkit::store::{Kind, Server};

use crate::whole;

/// What a person should have to read at most, in bytes.
const TEXT_BYTES_MAX: usize = 500;

fn options(env: Vec<(String, String)>) -> Options {
    Options { settings: Settings::from_iter(env), ..Options::default() }
}

async fn open(server: &Server, prefix: &str) -> Bucket {
    Bucket::open(&server.url(prefix), options(server.env()), &Env::real()).await.unwrap()
}

/// The environment of a server with one variable changed.
fn with(server: &Server, name: &str, value: &str) -> Options {
    let mut env = server.env();
    env.push((name.to_owned(), value.to_owned()));
    options(env)
}

async fn conforms(kind: Kind) {
    let server = Server::start(kind).unwrap();
    let bucket = open(&server, "some/prefix").await;
    conformance::all(&bucket).await;
    conformance::pair(&bucket, &open(&server, "some/prefix/").await).await;
    let other = open(&server, "").await;
    bucket.put("inside", Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(other.get("some/prefix/inside").await.unwrap().bytes, "x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versitygw() {
    conforms(Kind::Versitygw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto() {
    // It looks whether an object is there and then puts it, in threads: of two at once both may succeed,
    // and that is for tests of one client.
    let server = Server::start(Kind::Moto).unwrap();
    conformance::alone(&open(&server, "some/prefix").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azurite() {
    conforms(Kind::Azurite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_prefixes() {
    let server = Server::start(Kind::Versitygw).unwrap();
    for (prefix, key) in [
        ("a b", "a b"),
        ("a%20b/c", "a b/c"),
        ("ä/日本", "ä/日本"),
        ("x+y&z=1", "x+y&z=1"),
        ("q'(~)*:@!$,;", "q'(~)*:@!$,;"),
        ("100%25", "100%"),
    ] {
        let bucket = open(&server, prefix).await;
        bucket.probe().await.unwrap();
        let version = bucket.create("k", Bytes::from(prefix)).await.unwrap();
        assert_eq!(bucket.get("k").await.unwrap().version, version, "{prefix}");
        let all = open(&server, "").await;
        assert_eq!(all.get(&format!("{key}/k")).await.unwrap().bytes, prefix);
    }
    let bad = ["per%cent", "%ff", "a//b", "../x", "a/%2E%2e/b", ".", r"back\slash", "%00"];
    for prefix in bad {
        let opened = Bucket::open(&server.url(prefix), options(server.env()), &Env::real()).await;
        let error = opened.unwrap_err();
        assert!(matches!(error, Error::Url { .. }), "{prefix}: {error:?}");
    }
}

/// Credentials that are wrong are said to be, whatever the server calls that, and never look like an
/// empty bucket.
#[tokio::test]
async fn wrong_keys() {
    let server = Server::start(Kind::Versitygw).unwrap();
    let good = open(&server, "p").await;
    good.put("there", Bytes::from_static(b"x")).await.unwrap();
    for (name, code) in
        [("AWS_SECRET_ACCESS_KEY", "SignatureDoesNotMatch"), ("AWS_ACCESS_KEY_ID", "user")]
    {
        let options = with(&server, name, "not it");
        let bucket = Bucket::open(&server.url("p"), options, &Env::real()).await.unwrap();
        let errors = [
            bucket.get("there").await.map(drop),
            bucket.get_range("there", 0..1).await.map(drop),
            bucket.probe().await,
        ];
        for error in errors {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{name}: {error:?}");
            let text = whole(&error);
            assert!(text.contains(code) && text.len() < TEXT_BYTES_MAX, "{text}");
        }
        for error in [bucket.put("k", Bytes::new()).await, bucket.create("k", Bytes::new()).await] {
            let kind = error.unwrap_err().kind();
            assert!(matches!(kind, ErrorKind::Denied | ErrorKind::Invalid), "{name}: {kind:?}");
        }
        assert!(bucket.delete("there").await.is_err(), "{name}");
    }
    assert_eq!(good.get("there").await.unwrap().bytes, "x");
}

async fn has_no_bucket(kind: Kind, url: &str) {
    let server = Server::start(kind).unwrap();
    let bucket = Bucket::open(url, options(server.env()), &Env::real()).await.unwrap();
    let errors = [
        bucket.get("a").await.map(drop),
        bucket.put("a", Bytes::new()).await.map(drop),
        bucket.create("a", Bytes::new()).await.map(drop),
        bucket.probe().await,
    ];
    for error in errors {
        let error = error.unwrap_err();
        assert!(matches!(error, Error::NoBucket { .. }), "{error:?}");
        let text = whole(&error);
        assert!(text.contains(url) && text.len() < TEXT_BYTES_MAX, "{text}");
    }
}

#[tokio::test]
async fn a_bucket_that_does_not_exist() {
    has_no_bucket(Kind::Versitygw, "s3://no-such-bucket/x").await;
}

#[tokio::test]
async fn a_container_that_does_not_exist() {
    has_no_bucket(Kind::Azurite, "az://no-such-container/x").await;
}

/// BUCKET-6: what certainly never reached the store is not in doubt.
#[tokio::test]
async fn bucket_6_a_store_that_is_away_leaves_no_doubt() {
    let mut server = Server::start(Kind::Versitygw).unwrap();
    let hasty =
        Options { deadline: Duration::from_secs(30), attempts_max: 2, ..options(server.env()) };
    let bucket = Bucket::open(&server.url("p"), hasty, &Env::real()).await.unwrap();
    let version = bucket.create("k", Bytes::from_static(b"1")).await.unwrap();
    server.kill();
    let next = Bytes::from_static(b"2");
    let errors = [
        bucket.get("k").await.map(drop),
        bucket.create("l", next.clone()).await.map(drop),
        bucket.replace("k", next.clone(), &version).await.map(drop),
        bucket.probe().await,
    ];
    for error in errors {
        let error = error.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        let text = whole(&error);
        assert!(text.contains(&server.endpoint()) && text.len() < TEXT_BYTES_MAX, "{text}");
    }
    server.restart().unwrap();
    bucket.replace("k", next.clone(), &version).await.unwrap();
    bucket.create("l", next).await.unwrap();
}

#[tokio::test]
async fn endpoints_that_are_none() {
    let cases = [
        ("s3://b/x", "AWS_ENDPOINT_URL", "nonsense", "is no URL"),
        ("s3://b/x", "AWS_ENDPOINT_URL", "ftp://host", "is no URL"),
        ("s3://b/x", "AWS_ENDPOINT_URL_S3", "http://", "is no URL"),
        ("s3://b/x", "AWS_ENDPOINT_URL", "http://host", "AWS_ALLOW_HTTP"),
        ("s3://b/x", "AWS_ENDPOINT_URL_S3", "http://host", "AWS_ALLOW_HTTP"),
        ("az://b/x", "AZURE_ENDPOINT", "nonsense", "is no URL"),
        ("az://b/x", "AZURE_ENDPOINT", "http://host/account", "AZURE_ALLOW_HTTP"),
    ];
    for (url, name, value, expected) in cases {
        let options = options(vec![(name.to_owned(), value.to_owned())]);
        let error = Bucket::open(url, options, &Env::real()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{name}={value}: {error:?}");
        assert!(error.to_string().contains(expected), "{name}={value}: {error}");
        assert!(error.to_string().contains(name), "{name}={value}: {error}");
    }
}
