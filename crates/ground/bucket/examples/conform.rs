//! Runs the suite that every backend passes on a bucket of yours, below its prefix:
//! `cargo run -p cairn-bucket --features conformance --example conform -- s3://BUCKET/PREFIX`.
//! Credentials and endpoints come from the environment, as always. The place must be empty.

#![allow(clippy::unwrap_used, reason = "a check that fails panics")]

use cairn_bucket::{Bucket, Options, conformance};
use cairn_env::Env;

#[tokio::main]
async fn main() {
    let urls: Vec<String> = std::env::args().skip(1).collect();
    assert!(!urls.is_empty(), "say which bucket: URL [URL]; a second handle may have its own");
    let mut buckets = Vec::new();
    for url in &urls {
        buckets.push(Bucket::open(url, Options::default(), &Env::real()).await.unwrap());
    }
    for bucket in &buckets {
        conformance::all(bucket).await;
    }
    conformance::pair(&buckets[0], &buckets[buckets.len() - 1]).await;
    println!("all is as it should be");
}
