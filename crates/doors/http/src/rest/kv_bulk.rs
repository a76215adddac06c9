//! Many keys at a time: scans, commits, ranges, export and import.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use cairn_kv::{Commit, Cursor, Error as KvError, KeyRange, Op, Scan};
use futures::{StreamExt as _, TryStreamExt as _};

use super::kv::{AT, AT_MS, at, counted, durable, named, range, room};
use super::route;
use crate::api::{KeyCommit, KeyPage, KeysCommitted, schema};
use crate::call::{Call, LINES, changed, json, parse_json, streamed};
use crate::error::Error;
use crate::limits::{KV_COMMIT_BYTES_MAX, KV_IMPORT_BYTES_MAX, PAGE_MAX};
use crate::openapi::{BodyDoc, Doc, Holds, Query, shape};
use crate::route::{self, Route};

pub(super) const PREFIX: Query =
    Query::new("prefix", "Keys that begin with this, percent-encoded bytes.", Holds::Text);
pub(super) const FROM: Query =
    Query::new("from", "Instead: the first key of the range.", Holds::Text);
pub(super) const TO: Query =
    Query::new("to", "And the first key after it; none for all that follow.", Holds::Text);

const SCAN: &[Query] = &[
    PREFIX,
    FROM,
    TO,
    Query::new("reverse", "From the last key to the first.", Holds::Flag),
    Query::new("limit", "Entries of a page.", Holds::Number(1, PAGE_MAX as u64)),
    Query::new("keys_only", "Leaves values out.", Holds::Flag),
    AT,
    AT_MS,
    Query::new("cursor", "`next` of the page before; all else as before.", Holds::Text),
];

const DELETE_RANGE: &[Query] = &[
    PREFIX,
    FROM,
    TO,
    Query::new("all", "`true` removes every key, when no range is given.", Holds::Flag),
];

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "keys", ..Doc::default() };
    let scan_path = "/api/v1/kv/{project}/{name}/scan";
    let commit_path = "/api/v1/kv/{project}/{name}/commit";
    let range_path = "/api/v1/kv/{project}/{name}/delete-range";
    let export_path = "/api/v1/kv/{project}/{name}/export";
    let import_path = "/api/v1/kv/{project}/{name}/import";
    vec![
        route!(GET scan_path, scan).counted().permission(route::READ_KEYS).doc(Doc {
            summary: "A page of keys in their order, with their values. All pages of a scan show one \
                      state.",
            query: SCAN,
            answers: BodyDoc::Json(shape::<KeyPage>),
            ..doc
        }),
        route!(POST commit_path, commit)
            .counted()
            .permission(route::WRITE_KEYS)
            .body_max(KV_COMMIT_BYTES_MAX)
            .doc(Doc {
                summary: "Makes all changes, or none: 412 when a condition does not hold.",
                takes: BodyDoc::Json(shape::<KeyCommit>),
                answers: BodyDoc::Json(shape::<KeysCommitted>),
                ..doc
            }),
        route!(POST range_path, delete_range).counted().permission(route::WRITE_KEYS).doc(Doc {
            summary: "Removes every key of a range, at a cost that does not depend on how many.",
            query: DELETE_RANGE,
            answers: BodyDoc::Json(shape::<KeysCommitted>),
            ..doc
        }),
        route!(GET export_path, export).permission(route::READ_KEYS).doc(Doc {
            summary: "All entries of one state, as lines of JSON: what an import takes.",
            query: &[PREFIX, FROM, TO, AT, AT_MS],
            answers: BodyDoc::Lines(shape::<schema::KeyLine>),
            ..doc
        }),
        route!(POST import_path, import)
            .permission(route::WRITE_KEYS)
            .body_max(KV_IMPORT_BYTES_MAX)
            .doc(Doc {
                summary: "Puts entries, told as lines of JSON. One that ended early may be \
                          given again.",
                takes: BodyDoc::Lines(shape::<schema::KeyLine>),
                answers: BodyDoc::Json(shape::<schema::KeysImported>),
                ..doc
            }),
    ]
}

async fn scan(call: Call) -> Result<Response, Error> {
    let (kv, namespace) = named(&call)?;
    let cursor = call.query("cursor")?.map(|text| Cursor::from_text(&text)).transpose();
    let keys_only = call.flag("keys_only")?;
    let scan = Scan {
        range: range(&call)?.unwrap_or_else(KeyRange::all),
        reverse: call.flag("reverse")?,
        limit: call.limit()?,
        keys_only,
        at: at(&call)?,
        cursor: cursor.map_err(KvError::from)?,
    };
    let page = kv.scan(&namespace, &scan).await?;
    json(StatusCode::OK, &KeyPage::new(&page, keys_only))
}

async fn commit(mut call: Call) -> Result<Response, Error> {
    let (kv, namespace) = named(&call)?;
    let room = room(&call, KV_COMMIT_BYTES_MAX).await?;
    let asked: KeyCommit = parse_json(&call.bytes().await?)?;
    let commit = asked.commit(|ttl_ms| kv.ends(Duration::from_millis(ttl_ms)))?;
    let work = async move {
        let done = kv.commit(&namespace, commit).await;
        drop(room);
        done
    };
    let done = counted(&call, work, |done| done.seq).await?;
    json(StatusCode::OK, &KeysCommitted::from(done))
}

async fn delete_range(call: Call) -> Result<Response, Error> {
    let (kv, namespace) = named(&call)?;
    let range = match (range(&call)?, call.flag("all")?) {
        (Some(range), false) => range,
        (None, true) => KeyRange::all(),
        (Some(_), true) => return Err(Error::invalid("?all=true takes no range")),
        (None, false) => {
            let detail = "give ?prefix=, or ?from= and ?to=; ?all=true removes every key";
            return Err(Error::invalid(detail));
        }
    };
    let ops = vec![Op::DeleteRange(range)];
    let commit = Commit { ops, durable: durable(&call)?, ..Commit::default() };
    let work = async move { kv.commit(&namespace, commit).await };
    let done = counted(&call, work, |done| done.seq).await?;
    json(StatusCode::OK, &KeysCommitted::from(done))
}

async fn export(call: Call) -> Result<Response, Error> {
    let (kv, namespace) = named(&call)?;
    let range = range(&call)?.unwrap_or_else(KeyRange::all);
    let pieces = kv.export(&namespace, range, at(&call)?).await?;
    streamed(LINES, pieces.map_err(Error::from)).await
}

async fn import(mut call: Call) -> Result<Response, Error> {
    let (kv, namespace) = named(&call)?;
    // What the door found wrong with the body keeps its kind.
    let told = |error: Error| KvError::Remote { kind: error.kind(), message: error.to_string() };
    let lines = call.take_body().map(move |piece: Result<Bytes, Error>| piece.map_err(told));
    let done = kv.import(&namespace, Box::pin(lines)).await?;
    let what = format!("imported {} entries of {} bytes", done.entries, done.bytes);
    Ok(changed(json(StatusCode::OK, &done)?, what))
}
