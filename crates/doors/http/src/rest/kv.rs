//! Namespaces of keys, and single keys but for their values. Keys are bytes: all that stands behind `keys/`, decoded once.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use cairn_base::DatasetName;
use cairn_kv::{
    At, Durable, Error as KvError, KeyRange, Kv, Namespace, Seq, SettingsChange, Touched,
};
use tokio::sync::OwnedSemaphorePermit;

use super::route;
use crate::api::{KeysCommitted, NamespaceName, NamespacePage, NamespaceSettings, schema};
use crate::call::{Call, changed, json, no_content, parse_json};
use crate::error::Error;
use crate::limits::{PAGE_MAX, PLACE_WAIT_MAX};
use crate::openapi::{BodyDoc, Doc, Holds, Query, shape};
use crate::route::{self, Route};

const PAGE: &[Query] = &[
    Query::new("limit", "Entries of a page.", Holds::Number(1, PAGE_MAX as u64)),
    Query::new("after", "`next` of the page before.", Holds::Text),
];
pub(super) const AT: Query =
    Query::new("at", "The state after this commit, instead of now.", Holds::Number(0, u64::MAX));
pub(super) const AT_MS: Query = Query::new(
    "at_ms",
    "The state at this time, in milliseconds since 1970, instead of now.",
    Holds::Number(0, u64::MAX),
);
pub(super) const TTL: Query = Query::new(
    "ttl",
    "How long the key lives: seconds, or a number and `ms`, `s`, `m`, `h`, `d` or `w`.",
    Holds::Text,
);
pub(super) const DURABLE: Query = Query::new(
    "durable",
    "`bucket` waits until the bucket has it, whatever the namespace's setting.",
    Holds::OneOf(&["log", "bucket"]),
);

const NAMESPACE: &str = "/api/v1/kv/{project}/{name}";
pub(super) const KEY: &str = "/api/v1/kv/{project}/{name}/keys/{*key}";
const LIFE: &str = "/api/v1/kv/{project}/{name}/ttl/{*key}";

pub(super) fn routes() -> Vec<Route> {
    namespace_routes().into_iter().chain(key_routes()).collect()
}

fn namespace_routes() -> Vec<Route> {
    let doc = Doc { group: "keys", ..Doc::default() };
    vec![
        route!(GET "/api/v1/kv/{project}", list).permission(route::LIST).doc(Doc {
            summary: "The namespaces of a project that the caller may read, by name.",
            query: PAGE,
            answers: BodyDoc::Json(shape::<NamespacePage>),
            ..doc
        }),
        route!(GET NAMESPACE, status).permission(route::READ_KEYS).doc(Doc {
            summary: "Where a namespace stands.",
            answers: BodyDoc::Json(shape::<schema::NamespaceInfo>),
            ..doc
        }),
        route!(PUT NAMESPACE, set).permission(route::SET_NAMESPACE).doc(Doc {
            summary: "Makes a namespace, or changes its settings. `If-None-Match: *` only makes one, \
                      `If-Match: *` only changes one. With `clone_of` it makes one that begins as another.",
            takes: BodyDoc::Json(shape::<NamespaceSettings>),
            optional: true,
            answers: BodyDoc::Json(shape::<schema::NamespaceInfo>),
            also: &[(201, "It was made.")],
            ..doc
        }),
        route!(DELETE NAMESPACE, remove).permission(route::REMOVE_NAMESPACE).doc(Doc {
            summary: "Removes a namespace with all its keys, for good.",
            status: 204,
            ..doc
        }),
    ]
}

fn key_routes() -> Vec<Route> {
    let doc = Doc { group: "keys", ..Doc::default() };
    vec![
        route!(DELETE KEY, delete).counted().permission(route::WRITE_KEYS).doc(Doc {
            summary: "Removes a key, if it is there; with `If-Match: \"SEQ\"` only when that commit was \
                      the last to write it, else 412.",
            query: &[DURABLE],
            answers: BodyDoc::Json(shape::<KeysCommitted>),
            ..doc
        }),
        route!(PUT LIFE, touch).counted().permission(route::WRITE_KEYS).doc(Doc {
            summary: "Sets how long a key lives from now on. Its value stays.",
            query: &[TTL],
            answers: BodyDoc::Json(shape::<schema::KeyTouched>),
            ..doc
        }),
        route!(DELETE LIFE, keep).counted().permission(route::WRITE_KEYS).doc(Doc {
            summary: "Lets a key live for ever.",
            answers: BodyDoc::Json(shape::<schema::KeyTouched>),
            ..doc
        }),
    ]
}

/// The namespace in the path.
pub(super) fn namespace(call: &Call) -> Result<Namespace, Error> {
    let dataset = call.args.dataset()?;
    Ok(Namespace { project: dataset.project, name: dataset.name })
}

/// The engine, and the namespace in the path.
pub(super) fn named(call: &Call) -> Result<(Kv, Namespace), Error> {
    Ok((call.door.kv()?.clone(), namespace(call)?))
}

/// A change of keys: it is made whether or not its client is still there, and what came of it is counted
/// (ACCESS-9).
pub(super) fn counted<T: Send + 'static, W>(
    call: &Call,
    work: W,
    seq: fn(&T) -> Seq,
) -> impl Future<Output = Result<T, Error>> + Send + use<T, W>
where
    W: Future<Output = Result<T, KvError>> + Send + 'static,
{
    let used = call.counted.clone();
    let ended = call.to_its_end(async move {
        let used = used.ok_or_else(|| Error::Internal {
            detail: "a change of keys is not counted".to_owned(),
        })?;
        match work.await {
            Ok(done) => {
                used.changed(seq(&done).0)?;
                Ok(done)
            }
            Err(error) => {
                used.failed(&error.to_string())?;
                Err(Error::from(error))
            }
        }
    });
    async move { ended.await? }
}

/// Which state is asked for.
pub(super) fn at(call: &Call) -> Result<At, Error> {
    match (number(call, "at")?, number(call, "at_ms")?) {
        (None, None) => Ok(At::Durable),
        (Some(seq), None) => Ok(At::Seq(Seq(seq))),
        (None, Some(time_ms)) => Ok(At::TimeMs(time_ms)),
        (Some(_), Some(_)) => Err(Error::invalid("?at= and ?at_ms= name two states; give one")),
    }
}

pub(super) fn number(call: &Call, name: &str) -> Result<Option<u64>, Error> {
    let text = call.query(name)?;
    let number = text.map(|text| text.parse::<u64>()).transpose();
    number.map_err(|_| Error::invalid(format!("?{name}= takes a whole number")))
}

/// The range that `?prefix=`, or `?from=` and `?to=` say; none when none of them is there.
pub(super) fn range(call: &Call) -> Result<Option<KeyRange>, Error> {
    let bytes = |name| call.query_bytes(name).map(Bytes::from);
    match (bytes("prefix"), bytes("from"), bytes("to")) {
        (None, None, None) => Ok(None),
        (Some(prefix), None, None) => Ok(Some(KeyRange::prefix(prefix))),
        (None, from, to) => Ok(Some(KeyRange { from: from.unwrap_or_default(), to })),
        (Some(_), ..) => Err(Error::invalid("give either ?prefix=, or ?from= and ?to=")),
    }
}

/// `?durable=`.
pub(super) fn durable(call: &Call) -> Result<Option<Durable>, Error> {
    match call.query("durable")?.as_deref() {
        None => Ok(None),
        Some("log") => Ok(Some(Durable::Log)),
        Some("bucket") => Ok(Some(Durable::Bucket)),
        Some(_) => Err(Error::invalid("?durable= takes log or bucket")),
    }
}

pub(super) fn ttl(call: &Call) -> Result<Option<Duration>, Error> {
    let Some(text) = call.query("ttl")? else { return Ok(None) };
    let wrong = || Error::invalid("?ttl= takes seconds, or a number and ms, s, m, h, d or w");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_ms = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return Err(wrong()),
    };
    Ok(Some(Duration::from_millis(number.checked_mul(unit_ms).ok_or_else(wrong)?)))
}

/// Room for a body with values, taken before it is read (HTTP-2).
pub(super) fn room(
    call: &Call,
    max: usize,
) -> impl Future<Output = Result<OwnedSemaphorePermit, Error>> + Send + use<> {
    let length = call.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let length = length.and_then(|text| text.parse().ok()).unwrap_or(max).min(max);
    let kib = u32::try_from(length.div_ceil(1024)).unwrap_or(u32::MAX);
    let room = Arc::clone(call.door.kv_bytes()).acquire_many_owned(kib);
    let clock = Arc::clone(&call.door.env().clock);
    async move {
        let busy = || {
            let why = "the node holds as many values as it has room for: try again in a moment";
            Error::Kv(KvError::Partition(cairn_partition::Error::Busy { why: why.to_owned() }))
        };
        tokio::select! {
            biased;
            room = room => room.map_err(|_| busy()),
            () = clock.sleep(PLACE_WAIT_MAX) => Err(busy()),
        }
    }
}

/// What a header of conditions says.
pub(super) enum Tag {
    Any,
    Seq(Seq),
}

/// The one tag of a condition of a change.
pub(super) fn tag(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Tag>, Error> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let wrong = || Error::invalid(format!("{name} takes one ETag, a commit in quotes, or *"));
    match value.to_str().map_err(|_| wrong())?.trim() {
        "*" => Ok(Some(Tag::Any)),
        text => {
            let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
            let seq = inner.and_then(|inner| inner.parse().ok()).ok_or_else(wrong)?;
            Ok(Some(Tag::Seq(Seq(seq))))
        }
    }
}

pub(super) fn etag(seq: Seq) -> String {
    format!("\"{seq}\"")
}

pub(super) fn tagged(mut response: Response, seq: Seq) -> Response {
    if let Ok(value) = HeaderValue::from_str(&etag(seq)) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

async fn list(call: Call) -> Result<Response, Error> {
    let project = call.args.project()?;
    let (limit, after) = (call.limit()?, call.query("after")?.unwrap_or_default());
    let visit = call.visit()?;
    let all = call.door.kv()?.list(&project).await?;
    let seen =
        |name: &DatasetName| name.as_str() > after.as_str() && visit.may_read(&project, name);
    let mut left = all.into_iter().filter(|found| seen(&found.name));
    let name = |found: Namespace| NamespaceName {
        project: found.project.to_string(),
        name: found.name.to_string(),
    };
    let namespaces: Vec<_> = left.by_ref().take(limit).map(name).collect();
    let more = left.next().is_some();
    let next = namespaces.last().filter(|_| more).map(|last| last.name.clone());
    json(StatusCode::OK, &NamespacePage { namespaces, next })
}

async fn status(call: Call) -> Result<Response, Error> {
    let (kv, namespace) = named(&call)?;
    json(StatusCode::OK, &kv.status(&namespace).await?)
}

async fn set(mut call: Call) -> Result<Response, Error> {
    let (kv, namespace) = named(&call)?;
    let body = call.bytes().await?;
    let NamespaceSettings { clone_of, durable, history_ms } =
        if body.is_empty() { NamespaceSettings::default() } else { parse_json(&body)? };
    if let Some(source) = clone_of {
        if durable.is_some() || history_ms.is_some() {
            return Err(Error::invalid(
                "a clone has the settings of its source; change them after",
            ));
        }
        if call.headers.contains_key(header::IF_MATCH) {
            let why = "If-Match only changes a namespace, and a clone is a new one";
            return Err(Error::invalid(why));
        }
        return clone(call, kv, source, namespace).await;
    }
    let change = SettingsChange { durable, history_ms };
    let only_make = match tag(&call.headers, &header::IF_NONE_MATCH)? {
        None => false,
        Some(Tag::Any) => true,
        Some(Tag::Seq(_)) => return Err(Error::invalid("If-None-Match takes * here")),
    };
    let only_change = match tag(&call.headers, &header::IF_MATCH)? {
        None => false,
        Some(Tag::Any) => true,
        Some(Tag::Seq(_)) => return Err(Error::invalid("If-Match takes * here")),
    };
    let made = if only_change {
        None
    } else {
        match kv.create(&namespace, change.of(cairn_kv::Settings::default())).await {
            Err(KvError::Exists { .. }) if !only_make => None,
            made => Some(made?),
        }
    };
    let (status, info, verb) = match made {
        Some(info) => (StatusCode::CREATED, info, "made a namespace of keys"),
        None => (StatusCode::OK, kv.change(&namespace, change).await?, "set a namespace of keys"),
    };
    let level = if info.durable == Durable::Log { "log" } else { "bucket" };
    let what = format!("{verb}: durable {level}, history {} ms", info.history_ms);
    Ok(changed(json(status, &info)?, what))
}

async fn clone(call: Call, kv: Kv, name: String, to: Namespace) -> Result<Response, Error> {
    let name: DatasetName = name.parse().map_err(|error| Error::invalid(format!("{error}")))?;
    let source = Namespace { project: to.project.clone(), name };
    // The route's permission is for the one that is made.
    if !call.visit()?.may_read(&source.project, &source.name) {
        return Err(Error::Kv(KvError::NoNamespace { namespace: source }));
    }
    let what = format!("made a namespace of keys: a clone of {source}");
    let info = call.to_its_end(async move { kv.clone_to(&source, &to).await }).await??;
    Ok(changed(json(StatusCode::CREATED, &info)?, what))
}

async fn remove(call: Call) -> Result<Response, Error> {
    let (kv, namespace) = named(&call)?;
    kv.remove(&namespace).await?;
    Ok(changed(no_content(), "removed a namespace with all its keys"))
}

async fn delete(call: Call) -> Result<Response, Error> {
    let (kv, namespace) = named(&call)?;
    let key = Bytes::copy_from_slice(call.args.key());
    let expected = match tag(&call.headers, &header::IF_MATCH)? {
        None => None,
        Some(Tag::Seq(seq)) => Some(seq),
        Some(Tag::Any) => return Err(Error::invalid("If-Match takes one commit in quotes here")),
    };
    let mut commit = cairn_kv::Commit::new().delete(key.clone());
    let condition = expected.map(|seq| cairn_kv::Condition { key, expected: Some(seq) });
    commit.conditions.extend(condition);
    commit.durable = durable(&call)?;
    let work = async move { kv.commit(&namespace, commit).await };
    let done = counted(&call, work, |done| done.seq).await?;
    json(StatusCode::OK, &KeysCommitted::from(done))
}

async fn touch(call: Call) -> Result<Response, Error> {
    let ttl = ttl(&call)?;
    let ttl = ttl.ok_or_else(|| Error::invalid("give ?ttl=, such as ?ttl=1h"))?;
    touched(call, Some(ttl)).await
}

async fn keep(call: Call) -> Result<Response, Error> {
    touched(call, None).await
}

async fn touched(call: Call, ttl: Option<Duration>) -> Result<Response, Error> {
    let (kv, namespace) = named(&call)?;
    let key = call.args.key().to_vec();
    let work = async move { kv.touch(&namespace, &key, ttl).await };
    let done: Touched = counted(&call, work, |done| done.seq).await?;
    Ok(tagged(json(StatusCode::OK, &done)?, done.seq))
}
