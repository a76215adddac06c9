//! The suite against a real S3 server, and what only a remote store can do wrong.

use bytes::Bytes;
use cairn_base::ErrorKind;
use cairn_bucket::{Bucket, Error, Options, Settings, conformance};
use cairn_env::Env;
use cairn_testkit::s3::Server;

fn options(server: &Server) -> Options {
    Options { settings: Settings::from_iter(server.env()), ..Options::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix() {
    let server = Server::start().unwrap();
    let env = Env::real();
    let bucket = Bucket::open(&server.url("some/prefix"), options(&server), &env).await.unwrap();
    conformance::all(&bucket).await;
    let other = Bucket::open(&server.url(""), options(&server), &env).await.unwrap();
    bucket.put("inside", Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(other.get("some/prefix/inside").await.unwrap().bytes, "x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_handles() {
    let server = Server::start().unwrap();
    let env = Env::real();
    let first = Bucket::open(&server.url("p"), options(&server), &env).await.unwrap();
    let second = Bucket::open(&server.url("p"), options(&server), &env).await.unwrap();
    conformance::pair(&first, &second).await;
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_and_wrong_keys() {
    let server = Server::start().unwrap();
    let env = Env::real();
    let bucket = Bucket::open("s3://no-such-bucket/x", options(&server), &env).await.unwrap();
    let error = bucket.get("a").await.unwrap_err();
    assert!(matches!(error, Error::Url { .. }), "{error:?}");

    let mut wrong = server.env();
    wrong[1].1 = String::from("not the secret");
    let options = Options { settings: Settings::from_iter(wrong), ..Options::default() };
    let bucket = Bucket::open(&server.url("p"), options, &env).await.unwrap();
    let error = bucket.put("a/b", Bytes::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.to_string().contains("a/b"));
}
