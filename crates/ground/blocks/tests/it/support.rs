use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use cairn_base::ProjectName;
use cairn_blocks::{
    Blocks, CollectOptions, CollectReport, Error, OpenFrame, Options, Secret, Session,
};
use cairn_bucket::Bucket;
use cairn_chunk::{ChunkId, ChunkKey};
use cairn_env::Env;

/// Runs a test on simulated time.
pub(crate) fn run<F: Future<Output = ()>>(test: impl FnOnce(Env) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async { test(Env::simulated(7)).await });
}

pub(crate) async fn blocks(env: &Env) -> Blocks {
    Blocks::init(Bucket::memory(env), None, Options::default(), env).await.unwrap()
}

pub(crate) async fn reopened(blocks: &Blocks, secret: Option<&Secret>) -> Result<Blocks, Error> {
    let bucket = blocks.bucket().clone();
    Blocks::open(bucket, secret, Options::default(), blocks.env()).await
}

pub(crate) fn key(blocks: &Blocks) -> ChunkKey {
    blocks.chunk_key(&ProjectName::default())
}

/// Distinct contents of some hundred bytes.
pub(crate) fn content(number: u32) -> Bytes {
    Bytes::from(format!("content {number} ").repeat(20 + number as usize % 50))
}

pub(crate) fn ids(blocks: &Blocks, numbers: impl Iterator<Item = u32>) -> Vec<ChunkId> {
    numbers.map(|number| key(blocks).id(&content(number))).collect()
}

/// Adds contents that are not stored yet, without flushing. Returns how many were new.
pub(crate) async fn add(session: &Session, blocks: &Blocks, numbers: std::ops::Range<u32>) -> u32 {
    let wanted = session.claim(&ids(blocks, numbers.clone())).await.unwrap();
    let mut new = 0;
    let mut open = OpenFrame::default();
    for (number, wanted) in numbers.zip(wanted) {
        if wanted {
            let content = content(number);
            open.push(key(blocks).id(&content), &content);
            new += 1;
            if open.is_full() {
                session.add(std::mem::take(&mut open).encode(3)).await.unwrap();
            }
        }
    }
    if !open.is_empty() {
        session.add(open.encode(3)).await.unwrap();
    }
    new
}

pub(crate) async fn store(blocks: &Blocks, numbers: std::ops::Range<u32>) -> u32 {
    let session = blocks.session().await.unwrap();
    let new = add(&session, blocks, numbers).await;
    session.flush().await.unwrap();
    session.end().await.unwrap();
    new
}

pub(crate) async fn read_all(blocks: &Blocks, numbers: std::ops::Range<u32>) -> Result<(), Error> {
    let read = blocks.read(&key(blocks), &ids(blocks, numbers.clone())).await?;
    for (number, bytes) in numbers.zip(read) {
        assert_eq!(bytes, content(number));
    }
    Ok(())
}

/// Collects with these numbers as the only living ones.
pub(crate) async fn collect(
    blocks: &Blocks,
    living: std::ops::Range<u32>,
    grace: Duration,
) -> Result<CollectReport, Error> {
    let options = CollectOptions { grace, ..CollectOptions::default() };
    let mut collection = blocks.collect(options).await?;
    collection.mark(&ids(blocks, living)).await?;
    collection.finish().await
}
