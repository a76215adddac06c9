//! Chunks for pulls.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use cairn_chunk::ChunkId;
use cairn_datasets::{Dataset, Datasets};
use futures::StreamExt as _;

use super::route;
use crate::call::{Call, respond, streamed};
use crate::error::Error;
use crate::limits::{CHUNKS_PER_REQUEST_MAX, IDS_BYTES_MAX, READ_BYTES};
use crate::openapi::{BodyDoc, Doc};
use crate::route::{self, Route};
use crate::wire::{BINARY, decode_ids, encode_frame};

/// How frames are compressed that are not sent as they are stored.
const LEVEL: i32 = 3;
/// Parts of an answer that are read and compressed while the one before is sent.
const PARTS_AHEAD: usize = 2;

pub(super) fn routes() -> Vec<Route> {
    let pattern = "/api/v1/projects/{project}/datasets/{name}/chunks";
    let route = route!(POST pattern, chunks).permission(route::READ).changes_nothing();
    vec![route.body_max(IDS_BYTES_MAX).doc(Doc {
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
    if asked.is_empty() {
        return Ok(respond(StatusCode::OK, BINARY, Bytes::new()));
    }
    let datasets = call.door.datasets().clone();
    let parts = parts(&datasets, &asked).await?;
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

/// Orders chunks as they are stored and cuts the list so that each part has a few megabytes.
async fn parts(datasets: &Datasets, ids: &[ChunkId]) -> Result<Vec<Vec<ChunkId>>, Error> {
    let places = datasets.blocks().locate(ids).await.map_err(cairn_datasets::Error::from)?;
    let mut located = Vec::with_capacity(ids.len());
    for (id, place) in ids.iter().zip(places) {
        let missing = || Error::NoPath { detail: format!("chunk {id} is not in the bucket") };
        located.push(place.ok_or_else(missing)?);
    }
    located.sort_unstable_by_key(|entry| (entry.frame, entry.at));
    located.dedup_by_key(|entry| entry.id);
    let mut parts: Vec<Vec<ChunkId>> = Vec::new();
    let (mut bytes, mut frame) = (u64::MAX, None);
    for entry in located {
        // A part ends with a frame, for whole frames are sent as they are.
        if bytes >= READ_BYTES && frame != Some(entry.frame) {
            bytes = 0;
            parts.push(Vec::new());
        }
        bytes = bytes.saturating_add(u64::from(entry.len));
        frame = Some(entry.frame);
        parts.last_mut().expect("one was pushed above").push(entry.id);
    }
    Ok(parts)
}

/// The frames of a part.
async fn frames(datasets: Datasets, dataset: Dataset, ids: Vec<ChunkId>) -> Result<Bytes, Error> {
    let blocks = datasets.blocks();
    let key = blocks.chunk_key(&dataset.project);
    let frames =
        blocks.read_frames(&key, &ids, LEVEL).await.map_err(cairn_datasets::Error::from)?;
    let mut body = Vec::new();
    frames.iter().for_each(|frame| body.extend_from_slice(&encode_frame(frame)));
    Ok(body.into())
}
