//! Uploads: chunks on their way in. An upload belongs to the principal that opened it, and every
//! request asks again whether that one may write all its targets. Until it is published it changes nothing
//! that anybody sees.

use axum::http::StatusCode;
use axum::response::Response;
use cairn_access::{Action, Resource};
use cairn_chunk::ChunkId;
use cairn_datasets::{Dataset, Publication, Store as _, Target, UPLOADS_MAX, UploadId};

use super::chunks::ids_of;
use super::route;
use crate::api::{BeginUpload, Publish, PublishedVersion, Stored, UploadOpened};
use crate::args::Args;
use crate::call::{Call, changed, json, no_content, parse_json, respond};
use crate::error::Error;
use crate::limits::{FRAMES_BYTES_MAX, IDS_BYTES_MAX, TARGETS_MAX};
use crate::openapi::{BodyDoc, Doc, shape};
use crate::route::{self, Permission, Route, Rule, Scope};
use crate::wire::{BINARY, FrameError, FrameReader, encode_bitmap};

/// To write every target in the body, which is read only for those who may see something here.
const BEGIN: Permission = Permission::Needs(&[
    Rule { action: Action::ListDatasets, scope: Scope::Project },
    Rule { action: Action::WriteDataset, scope: Scope::Body(resources) },
]);

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "transfer", ..Doc::default() };
    vec![
        route!(POST "/api/v1/projects/{project}/uploads", begin).permission(BEGIN).changes_nothing().doc(Doc {
            summary: "Opens an upload of chunks that all targets will refer to.",
            takes: BodyDoc::Json(shape::<BeginUpload>),
            answers: BodyDoc::Json(shape::<UploadOpened>),
            status: 201,
            ..doc
        }),
        route!(POST "/api/v1/uploads/{upload}/claim", claim)
            .permission(route::UPLOAD).changes_nothing()
            .body_max(IDS_BYTES_MAX)
            .doc(Doc {
                summary: "Says which chunks are to be sent. A claim is given once.",
                takes: BodyDoc::Other(BINARY, "Chunk ids, 32 bytes each, at most 4096."),
                answers: BodyDoc::Other(BINARY, "A bitmap: which of them are to be sent."),
                ..doc
            }),
        route!(POST "/api/v1/uploads/{upload}/keep", keep).permission(route::UPLOAD).changes_nothing().doc(Doc {
            summary: "Says that the upload goes on though nothing is sent. One that is silent for \
                      15 minutes may be forgotten.",
            status: 204,
            ..doc
        }),
        route!(POST "/api/v1/uploads/{upload}/frames", frames)
            .permission(route::UPLOAD).changes_nothing()
            .body_max(FRAMES_BYTES_MAX)
            .doc(Doc {
                summary: "Adds frames of claimed chunks. Each chunk is checked against its id.",
                takes: BodyDoc::Other(BINARY, "Frames."),
                status: 204,
                ..doc
            }),
        route!(POST "/api/v1/uploads/{upload}/publish", publish).permission(route::UPLOAD).doc(
            Doc {
                summary: "Makes it durable and moves the targets. The upload ends, also when this \
                          is refused.",
                takes: BodyDoc::Json(shape::<Publish>),
                answers: BodyDoc::Json(shape::<PublishedVersion>),
                ..doc
            },
        ),
        route!(DELETE "/api/v1/uploads/{upload}", abandon).permission(route::UPLOAD).changes_nothing().doc(Doc {
            summary: "Ends an upload. What it stored is reused or collected.",
            status: 204,
            ..doc
        }),
    ]
}

fn targets(args: &Args, body: &[u8]) -> Result<Vec<Target>, Error> {
    let begin: BeginUpload = parse_json(body)?;
    if begin.targets.is_empty() || begin.targets.len() > TARGETS_MAX {
        return Err(Error::invalid(format!("an upload has 1 to {TARGETS_MAX} targets")));
    }
    let project = args.project()?;
    let target = |target: crate::api::TagName| {
        let dataset = Dataset { project: project.clone(), name: target.name.parse()? };
        Ok(Target { dataset, tag: target.tag.parse()? })
    };
    begin.targets.into_iter().map(target).collect()
}

fn resources(args: &Args, body: &[u8]) -> Result<Vec<Resource>, Error> {
    let targets = targets(args, body)?.into_iter();
    Ok(targets.map(|t| Resource::Dataset(t.dataset.project, t.dataset.name)).collect())
}

async fn begin(mut call: Call) -> Result<Response, Error> {
    let body = call.bytes().await?;
    let targets = targets(&call.args, &body)?;
    let (uploads, owner) = (call.door.uploads().clone(), call.by()?);
    let work = async move { uploads.begin(&targets, &owner).await };
    let id = match call.to_its_end(work).await? {
        Err(cairn_datasets::Error::TooMany { .. }) => {
            return Err(Error::Uploads { what: "uploads", max: UPLOADS_MAX });
        }
        other => other?,
    };
    let project = call.door.datasets().project(&call.args.project()?).await?;
    let opened = UploadOpened {
        id: id.to_string(),
        bucket_id: project.bucket_id,
        key: hex::encode(project.key.as_bytes()),
    };
    json(StatusCode::CREATED, &opened)
}

/// The upload in the path and its owner.
fn upload(call: &Call) -> Result<(UploadId, String), Error> {
    Ok((call.args.upload()?, call.by()?))
}

async fn claim(mut call: Call) -> Result<Response, Error> {
    let ids = ids_of(&call.bytes().await?)?;
    let (uploads, (id, owner)) = (call.door.uploads().clone(), upload(&call)?);
    let work = async move { uploads.claim(id, &owner, &ids).await };
    let wanted = call.to_its_end(work).await??;
    Ok(respond(StatusCode::OK, BINARY, encode_bitmap(&wanted)))
}

async fn keep(call: Call) -> Result<Response, Error> {
    let (uploads, (id, owner)) = (call.door.uploads().clone(), upload(&call)?);
    call.to_its_end(async move { uploads.keep(id, &owner).await }).await??;
    Ok(no_content())
}

/// Frames are added one by one, each to its end: a client that goes away leaves whole frames.
async fn frames(mut call: Call) -> Result<Response, Error> {
    let (id, owner) = upload(&call)?;
    let mut reader = FrameReader::new(call.take_body());
    loop {
        let frame = match reader.next().await {
            Ok(None) => return Ok(no_content()),
            Ok(Some(frame)) => frame,
            Err(FrameError::Source(error)) => return Err(error),
            Err(FrameError::Malformed(detail)) => {
                return Err(Error::invalid(format!("the frames are refused: {detail}")));
            }
        };
        let (uploads, owner) = (call.door.uploads().clone(), owner.clone());
        call.to_its_end(async move { uploads.add(id, &owner, frame).await }).await??;
    }
}

async fn publish(mut call: Call) -> Result<Response, Error> {
    let asked: Publish = call.json().await?;
    let root = ChunkId::from_hex(&asked.root)
        .ok_or_else(|| Error::invalid("the root has 64 hexadecimal digits"))?;
    let (uploads, (id, owner)) = (call.door.uploads().clone(), upload(&call)?);
    let targets = uploads.targets(id, &owner)?;
    let targets: Vec<String> = targets.iter().map(Target::to_string).collect();
    // The author is who was authenticated, and the totals are read from the manifest.
    let publication = Publication {
        root,
        totals: cairn_tree::Totals::default(),
        by: owner.clone(),
        message: asked.message,
        expires_ns: asked.expires_ns,
    };
    let work = async move { uploads.publish(id, &owner, &publication).await };
    let published = call.to_its_end(work).await??;
    let stored = Stored {
        chunks: published.stored.chunks,
        content_bytes: published.stored.content_bytes,
        stored_bytes: published.stored.stored_bytes,
        packs: published.stored.packs,
    };
    let what = format!("published {root} as {}", targets.join(" "));
    let published = PublishedVersion { version: published.version, stored };
    Ok(changed(json(StatusCode::OK, &published)?, what))
}

async fn abandon(call: Call) -> Result<Response, Error> {
    let (uploads, (id, owner)) = (call.door.uploads().clone(), upload(&call)?);
    call.to_its_end(async move { uploads.abandon(id, &owner).await }).await??;
    Ok(no_content())
}
