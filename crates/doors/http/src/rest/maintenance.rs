//! What an operator runs.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::Response;
use cairn_blocks::CollectOptions;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::doctor::{disk_of, space_of};
use super::progress::{Lines, Report, progress_lines};
use super::route;
use crate::api::{Collect, CollectLine, Collected, DiskSpace, Usage, Verified, VerifyLine};
use crate::call::{Call, LINES, json, parse_json, streamed, to_its_end};
use crate::error::Error;
use crate::openapi::{BodyDoc, Doc, Holds, Query, shape};
use crate::route::{self, Route};

const COLLECT_QUERY: &[Query] =
    &[Query::new("dry_run", "Only says what would be done, as in the body.", Holds::Flag)];

const USAGE_QUERY: &[Query] = &[Query::new(
    "detail",
    "Also the bytes of all packs and what each project has: reads the list of packs and every ref.",
    Holds::Flag,
)];

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "maintenance", ..Doc::default() };
    vec![
        route!(POST "/api/v1/maintenance/collect", collect)
            .permission(route::MAINTAIN)
            .records_itself()
            .doc(Doc {
                summary: "Applies retention rules and deletes what nothing reaches any more. With `Accept: \
                          application/x-ndjson` it tells how far it is, then the result. It goes on when \
                          its client goes away.",
                query: COLLECT_QUERY,
                takes: BodyDoc::Json(shape::<Collect>),
                optional: true,
                answers: BodyDoc::JsonOrLines(shape::<Collected>, shape::<CollectLine>),
                ..doc
            }),
        route!(POST "/api/v1/maintenance/verify", verify).permission(route::MAINTAIN).changes_nothing().doc(Doc {
            summary: "Reads every byte back and walks every version. Progress, then the result.",
            answers: BodyDoc::Lines(shape::<VerifyLine>),
            ..doc
        }),
        route!(GET "/api/v1/usage", usage).permission(route::METRICS).doc(Doc {
            summary: "What is stored.",
            query: USAGE_QUERY,
            answers: BodyDoc::Json(shape::<Usage>),
            ..doc
        }),
    ]
}

/// A type of the engine as the API tells it. They have the same fields, which a test holds.
pub(crate) fn told<T: Serialize, U: DeserializeOwned>(value: &T) -> Result<U, Error> {
    let internal = |error: serde_json::Error| Error::Internal { detail: error.to_string() };
    let value = serde_json::to_value(value).map_err(internal)?;
    serde_json::from_value(value).map_err(internal)
}

async fn collect(mut call: Call) -> Result<Response, Error> {
    let body = call.bytes().await?;
    let asked: Collect = if body.is_empty() { Collect::default() } else { parse_json(&body)? };
    let dry_run = asked.dry_run || call.flag("dry_run")?;
    let default = CollectOptions::default();
    let grace = asked.grace_seconds.map_or(default.grace, Duration::from_secs);
    let options = CollectOptions { grace, dry_run, ..default };
    let lines = call.headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let lines = lines.is_some_and(|accept| accept.contains(LINES));
    let (datasets, visit) = (call.door.datasets().clone(), call.visit()?.clone());
    let (door, place) = (call.door.clone(), call.place.clone());
    // It is recorded when it is done, whether or not somebody still waits for it (ACCESS-6).
    let work = |report: Report<(u64, u64)>| {
        let noting = door.clone();
        let work = async move {
            let ended = datasets.collect_telling(options, report).await;
            if !dry_run {
                let now_ns = noting.env().clock.wall_ns();
                let told = ended.as_ref().map_err(ToString::to_string);
                noting.last_collection().note(now_ns, told);
            }
            Ok::<_, Error>(ended?)
        };
        let change = async move { visit.change(work, |done| collected_what(done, dry_run)).await };
        let done = to_its_end(&door, place, change);
        async move { done.await? }
    };
    if lines {
        let progress = |(versions, all)| CollectLine::Progress { versions, all };
        let last = |ended: Result<cairn_datasets::Collected, Error>| {
            Ok(match ended {
                Ok(collected) => CollectLine::Result(told::<_, Collected>(&collected)?),
                Err(error) => {
                    let (kind, message) = (error.kind().to_string(), error.to_string());
                    CollectLine::Error { kind, message }
                }
            })
        };
        let clock = &call.door.env().clock;
        return streamed(LINES, progress_lines(clock, work, Lines { progress, last })).await;
    }
    json(StatusCode::OK, &told::<_, Collected>(&work(Arc::new(|_| {})).await?)?)
}

fn collected_what(done: &cairn_datasets::Collected, dry_run: bool) -> String {
    if dry_run {
        return "nothing: it was only asked what would be collected".to_owned();
    }
    crate::checks::collected_what(done)
}

/// Ends with its client: it only reads.
async fn verify(call: Call) -> Result<Response, Error> {
    let datasets = call.door.datasets().clone();
    let work = |report| async move { datasets.verify(report).await };
    let lines = Lines { progress: |bytes| VerifyLine::Progress { bytes }, last: last_line };
    streamed(LINES, progress_lines(&call.door.env().clock, work, lines)).await
}

fn last_line(
    ended: Result<cairn_datasets::Verified, cairn_datasets::Error>,
) -> Result<VerifyLine, Error> {
    Ok(match ended {
        Ok(verified) => VerifyLine::Result(told::<_, Verified>(&verified)?),
        Err(error) => {
            let (kind, message) = (error.kind().to_string(), error.to_string());
            VerifyLine::Error { kind, message }
        }
    })
}

async fn usage(call: Call) -> Result<Response, Error> {
    let datasets = call.door.datasets();
    let usage = datasets.blocks().usage();
    let (mut pack_bytes, mut projects) = (None, None);
    if call.flag("detail")? {
        pack_bytes = Some(datasets.pack_bytes().await?);
        projects = Some(told(&datasets.usage_by_project().await?)?);
    }
    let mut disk = None;
    if let Some(path) = disk_of(datasets.blocks().bucket().url()) {
        let space = call.door.env().spawn.run(move || space_of(&path)).await?;
        disk = space.ok().map(|(free_bytes, bytes)| DiskSpace { free_bytes, bytes });
    }
    let usage = Usage {
        pack_bytes,
        projects,
        disk,
        edits: call.door.edits().count() as u64,
        packs: usage.packs,
        chunks: usage.chunks,
        runs: usage.runs,
        index_bytes: usage.index_bytes,
        sessions: usage.sessions,
        condemned: usage.condemned,
        uploads: call.door.uploads().count() as u64,
    };
    json(StatusCode::OK, &usage)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn fields(value: &impl Serialize) -> BTreeSet<String> {
        let value = serde_json::to_value(value).unwrap();
        value.as_object().unwrap().keys().cloned().collect()
    }

    /// What the engine tells comes through whole: a field that the API does not know would be lost.
    #[test]
    fn the_api_has_every_field_of_the_engine() {
        let engine = fields(&cairn_datasets::Collected::default());
        assert_eq!(engine, fields(&Collected::default()));
        let mut verified = cairn_datasets::Verified::default();
        assert_eq!(fields(&verified), fields(&Verified::default()));
        let (object, detail) = ("packs/x".to_owned(), "bad".to_owned());
        verified.blocks.found(cairn_blocks::Finding { object, offset: 7, detail, chunks: 3 });
        let told: Verified = told(&verified).unwrap();
        assert_eq!((told.findings[0].offset, told.findings[0].chunks), (7, 3));
    }
}
