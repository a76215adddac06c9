//! Chunks for pulls.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use cairn_blocks::OpenFrame;
use cairn_chunk::ChunkId;
use cairn_datasets::{Dataset, Datasets, Store as _};
use futures::StreamExt as _;

use super::route;
use crate::call::{Call, respond, streamed};
use crate::error::Error;
use crate::limits::{CHUNKS_PER_REQUEST_MAX, IDS_BYTES_MAX, READ_BYTES};
use crate::openapi::{BodyDoc, Doc};
use crate::route::{self, Route};
use crate::wire::{BINARY, decode_ids, encode_frame};

/// Chunks travel with the fastest compression: the link is rarely slower than that.
const LEVEL: i32 = 1;
/// Parts of an answer that are read and compressed while the one before is sent.
const PARTS_AHEAD: usize = 2;

pub(super) fn routes() -> Vec<Route> {
    let pattern = "/api/v1/projects/{project}/datasets/{name}/chunks";
    vec![route!(POST pattern, chunks).permission(route::READ).body_max(IDS_BYTES_MAX).doc(Doc {
        group: "transfer",
        summary: "Chunks by id, as a stream of frames. A chunk's id is a capability: it \
                          cannot be guessed without its content.",
        takes: BodyDoc::Other(BINARY, "Chunk ids, 32 bytes each, at most 4096."),
        answers: BodyDoc::Other(BINARY, "Frames with these chunks, each once."),
        ..Doc::default()
    })]
}

pub(super) fn ids_of(body: &[u8]) -> Result<Vec<ChunkId>, Error> {
    let ids = decode_ids(body).map_err(Error::invalid)?;
    if ids.len() > CHUNKS_PER_REQUEST_MAX {
        return Err(Error::TooLarge { max: IDS_BYTES_MAX as u64 });
    }
    Ok(ids)
}

async fn chunks(mut call: Call) -> Result<Response, Error> {
    let dataset = call.args.dataset()?;
    let asked = ids_of(&call.bytes().await?)?;
    let mut seen = BTreeSet::new();
    let ids: Vec<ChunkId> = asked.into_iter().filter(|id| seen.insert(*id)).collect();
    if ids.is_empty() {
        return Ok(respond(StatusCode::OK, BINARY, Bytes::new()));
    }
    let datasets = call.door.datasets().clone();
    let parts = parts(&datasets, ids).await?;
    // The place is kept to the end of the answer.
    let place = Arc::clone(call.door.chunk_streams()).acquire_owned().await;
    let place = place.map_err(|_| cairn_env::Lost)?;
    let frames = futures::stream::iter(parts)
        .map(move |part| frames(datasets.clone(), dataset.clone(), part))
        .buffered(PARTS_AHEAD)
        .inspect(move |_| {
            let _kept = &place;
        });
    streamed(BINARY, frames).await
}

/// Cuts a list of chunks so that each part has a few megabytes of content.
async fn parts(datasets: &Datasets, ids: Vec<ChunkId>) -> Result<Vec<Vec<ChunkId>>, Error> {
    let places = datasets.blocks().locate(&ids).await.map_err(cairn_datasets::Error::from)?;
    let mut parts: Vec<Vec<ChunkId>> = Vec::new();
    let mut bytes = u64::MAX;
    for (id, place) in ids.into_iter().zip(places) {
        let Some(place) = place else {
            return Err(Error::NoPath { detail: format!("chunk {id} is not in the bucket") });
        };
        if bytes >= READ_BYTES {
            bytes = 0;
            parts.push(Vec::new());
        }
        bytes += u64::from(place.len);
        parts.last_mut().expect("one was pushed above").push(id);
    }
    Ok(parts)
}

/// Reads the chunks of a part and frames them again.
async fn frames(datasets: Datasets, dataset: Dataset, ids: Vec<ChunkId>) -> Result<Bytes, Error> {
    let chunks = datasets.read(&dataset, &ids).await?;
    let framed = datasets.blocks().env().spawn.run(move || {
        let mut body = Vec::new();
        let mut open = OpenFrame::default();
        for (id, chunk) in ids.into_iter().zip(chunks) {
            open.push(id, &chunk);
            if open.is_full() {
                let full = std::mem::take(&mut open);
                body.extend_from_slice(&encode_frame(&full.encode(LEVEL)));
            }
        }
        if !open.is_empty() {
            body.extend_from_slice(&encode_frame(&open.encode(LEVEL)));
        }
        Bytes::from(body)
    });
    Ok(framed.await?)
}
