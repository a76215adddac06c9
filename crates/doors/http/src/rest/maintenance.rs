//! What an operator runs.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use cairn_blocks::CollectOptions;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::progress::{Lines, progress_lines};
use super::route;
use crate::api::{Collect, Collected, Usage, Verified, VerifyLine};
use crate::call::{Call, LINES, changed, json, parse_json, streamed};
use crate::error::Error;
use crate::openapi::{BodyDoc, Doc, shape};
use crate::route::{self, Route};

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "maintenance", ..Doc::default() };
    vec![
        route!(POST "/api/v1/maintenance/collect", collect).permission(route::MAINTAIN).doc(Doc {
            summary: "Applies retention rules and deletes what nothing reaches any more.",
            takes: BodyDoc::Json(shape::<Collect>),
            optional: true,
            answers: BodyDoc::Json(shape::<Collected>),
            ..doc
        }),
        route!(POST "/api/v1/maintenance/verify", verify).permission(route::MAINTAIN).changes_nothing().doc(Doc {
            summary: "Reads every byte back and walks every version. Progress, then the result.",
            answers: BodyDoc::Lines(shape::<VerifyLine>),
            ..doc
        }),
        route!(GET "/api/v1/usage", usage).permission(route::METRICS).doc(Doc {
            summary: "What is stored.",
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
    let default = CollectOptions::default();
    let grace = asked.grace_seconds.map_or(default.grace, Duration::from_secs);
    let options = CollectOptions { grace, dry_run: asked.dry_run, ..default };
    let datasets = call.door.datasets().clone();
    let collected = call.to_its_end(async move { datasets.collect(options).await }).await??;
    let collected: Collected = told(&collected)?;
    let what = if asked.dry_run {
        "nothing: it was only asked what would be collected".to_owned()
    } else {
        format!(
            "removed {} tags, {} versions, {} packs",
            collected.tags_removed, collected.versions_removed, collected.packs_deleted
        )
    };
    Ok(changed(json(StatusCode::OK, &collected)?, what))
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
    let usage = call.door.datasets().blocks().usage();
    let usage = Usage {
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
