//! Tests of the log as a whole.

mod basics;
mod damage;
mod model;
mod ship;

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};

use cairn_env::Env;

use super::*;
use crate::Seq;

/// A log with small segments.
async fn open(disk: &SimDisk, env: &Env) -> Result<Log, Error> {
    Log::open(Arc::new(disk.clone()), small(), env).await
}

fn small() -> LogOptions {
    LogOptions { segment_bytes: 8192, local_bytes_max: 32768, ..LogOptions::default() }
}

fn partition(number: u8) -> PartitionId {
    PartitionId([number; 16])
}

async fn replayed(log: &Log, partition: PartitionId, after: u64) -> Result<Vec<Frame>, Error> {
    let mut replay = log.replay(partition, after, |_| true);
    let mut frames = Vec::new();
    while let Some(frame) = replay.next().await? {
        frames.push(frame);
    }
    Ok(frames)
}

/// Appends `text` as commit `seq` and waits until it is acknowledged.
async fn put(writer: &Writer, text: &str, seq: u64) -> Result<u64, Error> {
    writer.append(text.as_bytes(), Seq(seq), Seq(seq))?;
    let (id, flush) = writer.flush();
    flush.await.map(|()| id)
}

fn is_ready<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    match std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}
