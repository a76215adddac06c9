//! The value of one key. A large one is not held: it goes from and to the bucket while it goes over the
//! wire.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use cairn_kv::{Entry, Error as KvError, Kv, Namespace, Only, Put, large_size};
use futures::{StreamExt as _, TryStreamExt as _};

use super::kv::{
    AT, AT_MS, DURABLE, KEY, TTL, Tag, at, counted, durable, etag, named, room, tag, tagged, ttl,
};
use super::route;
use crate::api::KeysCommitted;
use crate::call::{Call, begun, json, respond};
use crate::error::Error;
use crate::fs::{Asked, range_of, set};
use crate::limits::{KV_LARGE_BYTES_MAX, KV_VALUE_BYTES_MAX};
use crate::openapi::{BodyDoc, Doc, shape};
use crate::route::{self, Route};

const EXPIRES: HeaderName = HeaderName::from_static("x-cairn-expires-ms");
const BYTES: &str = "application/octet-stream";

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "keys", ..Doc::default() };
    vec![
        route!(GET KEY, get).counted().permission(route::READ_KEYS).doc(Doc {
            summary: "The value of a key, or one range of its bytes. `ETag` is the commit that wrote it.",
            query: &[AT, AT_MS],
            answers: BodyDoc::Other(BYTES, "The value."),
            also: &[
                (206, "The bytes that `Range` asks for."),
                (304, "It is the one that `If-None-Match` names."),
                (416, "It has none of the bytes that `Range` asks for."),
            ],
            ..doc
        }),
        route!(PUT KEY, put).counted().permission(route::WRITE_KEYS).body_max(KV_LARGE_BYTES_MAX).doc(
            Doc {
                summary: "Gives a key a value, of 1 GiB at most. `If-Match: \"SEQ\"` only when that commit \
                          was the last to write it, `If-None-Match: *` only when it is absent; else 412.",
                query: &[TTL, DURABLE],
                takes: BodyDoc::Other(BYTES, "The value."),
                answers: BodyDoc::Json(shape::<KeysCommitted>),
                ..doc
            },
        ),
    ]
}

async fn get(call: Call) -> Result<Response, Error> {
    let (kv, namespace) = named(&call)?;
    let key = call.args.key();
    let found = kv.get(&namespace, key, at(&call)?).await?;
    let Some(entry) = found else {
        return Err(KvError::NoKey { namespace, key: key.to_vec() }.into());
    };
    let known = call.headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let ours = etag(entry.seq);
    let same = |tag: &str| tag == "*" || tag.trim_start_matches("W/") == ours;
    if known.is_some_and(|known| known.split(',').any(|tag| same(tag.trim()))) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(tagged(response, entry.seq));
    }
    let len = large_size(&entry).unwrap_or(entry.value.len() as u64);
    let asked = asked(&call.headers, &call.method, &ours, len)?;
    let is_head = call.method == Method::HEAD;
    value(&kv, &namespace, entry, len, asked, is_head).await
}

async fn value(
    kv: &Kv,
    namespace: &Namespace,
    entry: Entry,
    len: u64,
    asked: Option<Range<u64>>,
    is_head: bool,
) -> Result<Response, Error> {
    let range = asked.clone().unwrap_or(0..len);
    let body = match large_size(&entry) {
        _ if is_head => Body::empty(),
        Some(_) => {
            let pieces = kv.large(namespace, &entry, range.clone()).await?;
            Body::from_stream(begun(pieces.map_err(Error::from)).await?)
        }
        None => Body::from(part(&entry.value, &range)),
    };
    let mut response = respond(StatusCode::OK, BYTES, body);
    if asked.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let text = format!("bytes {}-{}/{len}", range.start, range.end.saturating_sub(1));
        set(response.headers_mut(), header::CONTENT_RANGE, &text);
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, (range.end - range.start).into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(expires_ms) = entry.expires_ms {
        headers.insert(EXPIRES, expires_ms.into());
    }
    Ok(tagged(response, entry.seq))
}

/// The one range that is asked for; none for the whole value, and for several at once.
fn asked(
    headers: &HeaderMap,
    method: &Method,
    ours: &str,
    len: u64,
) -> Result<Option<Range<u64>>, Error> {
    let of = |name: &HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    let stands = of(&header::IF_RANGE).is_none_or(|tag| tag == ours.as_bytes());
    let asked = of(&header::RANGE).filter(|_| stands && *method == Method::GET);
    match asked.map_or(Asked::Whole, |asked| range_of(asked, len)) {
        Asked::Whole => Ok(None),
        Asked::Unsatisfiable => Err(Error::Range { len, max: 1 }),
        Asked::Ranges(ranges) => {
            let one = <[Range<u64>; 1]>::try_from(ranges);
            Ok(one.ok().map(|[range]| range))
        }
    }
}

fn part(value: &Bytes, range: &Range<u64>) -> Bytes {
    let at = |place: u64| usize::try_from(place).map_or(value.len(), |at| at.min(value.len()));
    value.slice(at(range.start)..at(range.end))
}

/// How many bytes a request says that it has.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn put(mut call: Call) -> Result<Response, Error> {
    let (kv, namespace) = named(&call)?;
    let only =
        match (tag(&call.headers, &header::IF_MATCH)?, tag(&call.headers, &header::IF_NONE_MATCH)?)
        {
            (None, None) => Only::Always,
            (Some(Tag::Seq(seq)), None) => Only::Seq(seq),
            (None, Some(Tag::Any)) => Only::Absent,
            _ => {
                let detail = "a put takes If-Match: \"SEQ\", or If-None-Match: *, or neither";
                return Err(Error::invalid(detail));
            }
        };
    let (ttl, durable, size) = (ttl(&call)?, durable(&call)?, length(&call.headers));
    let room = room(&call, KV_VALUE_BYTES_MAX).await?;
    let key = Bytes::copy_from_slice(call.args.key());
    // What the door finds wrong with the body is its answer.
    let wrong = Arc::new(Mutex::new(None));
    let found = Arc::clone(&wrong);
    let told = move |error: Error| {
        let (kind, message) = (error.kind(), error.to_string());
        *found.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        KvError::Remote { kind, message }
    };
    let mut put = Put { key, value: Bytes::new(), ttl, only, durable };
    let mut body = call.take_body();
    // A small value is whole before anything is begun: who goes away while he sends it changes nothing.
    let small = size.is_some_and(|size| size <= KV_VALUE_BYTES_MAX as u64);
    if small {
        let mut value = Vec::new();
        while let Some(piece) = body.next().await {
            value.extend_from_slice(&piece?);
        }
        put.value = value.into();
    }
    let pieces = Box::pin(body.map(move |piece| piece.map_err(&told)));
    let work = async move {
        let done = kv.write(&namespace, put, size, pieces).await;
        drop(room);
        done
    };
    let done = counted(&call, work, |done| done.seq).await.map_err(|error| {
        wrong.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(error)
    })?;
    Ok(tagged(json(StatusCode::OK, &KeysCommitted::from(done))?, done.seq))
}
