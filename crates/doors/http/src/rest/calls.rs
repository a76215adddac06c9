//! Calls of functions that are done later.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use cairn_access::{Action, Resource};
use cairn_functions::{
    Asked, CallInfo, CallState, Function, Functions, KEY_BYTES_MAX, call_id, new_id,
};

use super::functions::{BYTES, CALL, EXIT, WAIT, arguments, named, path_of, wait};
use super::route;
use crate::api::{LaterCallPage, schema};
use crate::call::{Call, changed, json, respond};
use crate::error::Error;
use crate::limits::FUNCTION_INPUT_BYTES_MAX;
use crate::openapi::{BodyDoc, Doc, shape};
use crate::route::{self, Route};

/// What makes calls that are sent twice one call.
pub(crate) const IDEMPOTENCY_KEY: &str = "idempotency-key";

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "functions", ..Doc::default() };
    let calls = "/api/v1/functions/{project}/{name}/calls";
    let call = "/api/v1/functions/{project}/{name}/calls/{id}";
    let output = "/api/v1/functions/{project}/{name}/calls/{id}/output";
    vec![
        route!(POST calls, add)
            .counted()
            .permission(route::INVOKE_FUNCTION)
            .body_max(FUNCTION_INPUT_BYTES_MAX)
            .doc(Doc {
                summary: "Calls a function later: the call is kept with its input, and done at least once. With the \
                          header `idempotency-key`, of one caller's calls with one key there is one. What came of \
                          it is kept for a day.",
                takes: BodyDoc::Other(BYTES, "its input"),
                optional: true,
                query: CALL,
                answers: BodyDoc::Json(shape::<schema::LaterCall>),
                status: 202,
                ..doc
            }),
        route!(GET calls, list).permission(route::INVOKE_FUNCTION).doc(Doc {
            summary: "The caller's calls of a function that wait, run or ended in the last day, the newest first, two \
                      hundred at most.",
            answers: BodyDoc::Json(shape::<LaterCallPage>),
            ..doc
        }),
        route!(GET call, one).lasting().permission(route::INVOKE_FUNCTION).doc(Doc {
            summary: "How far a call of the caller's is, once it is done or `?wait=` is over.",
            query: &[WAIT],
            answers: BodyDoc::Json(shape::<schema::LaterCall>),
            ..doc
        }),
        route!(GET output, output_of).permission(route::INVOKE_FUNCTION).doc(Doc {
            summary: "What a call of the caller's answered or wrote that is done; of a program the header \
                      `cairn-exit-code` has the exit code.",
            answers: BodyDoc::Other(BYTES, "its output"),
            ..doc
        }),
    ]
}

/// Who calls: nobody in particular may not, for what came of it would be everybody's.
pub(super) fn caller(call: &Call) -> Result<String, Error> {
    let named = call.caller().owner().map(|owner| owner.to_string());
    named.ok_or_else(|| Error::invalid("a call that is kept is somebody's: show a credential"))
}

/// An id that nobody has.
pub(super) fn made_up(call: &Call) -> String {
    new_id(&*call.door.datasets().blocks().env().rng)
}

async fn add(mut call: Call) -> Result<Response, Error> {
    let (functions, function) = named(&call)?;
    let by = caller(&call)?;
    let reached = functions.reach(&function).await?;
    reached.past_filters(call.visit()?)?;
    let id = match call.headers.get(IDEMPOTENCY_KEY) {
        Some(key) if key.len() > KEY_BYTES_MAX || key.is_empty() => {
            return Err(Error::invalid(format!("idempotency-key has 1 to {KEY_BYTES_MAX} bytes")));
        }
        Some(key) => call_id(&function, &by, key.as_bytes()),
        None => made_up(&call),
    };
    let media_type = call.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let asked = Asked {
        path: path_of(&call, &function)?.path_and_query().map_or("/", |path| path.as_str()).into(),
        media_type: media_type.map(str::to_owned),
        arguments: arguments(&call)?,
    };
    let _room = super::kv::room(&call, FUNCTION_INPUT_BYTES_MAX).await?;
    let input = call.bytes().await?;
    let made = functions.call_later(&(function, id), &asked, input, &by).await?;
    Ok(changed(json(StatusCode::ACCEPTED, &made)?, format!("call {}", made.id)))
}

/// The engine, the call that is asked for, and who asks.
fn asked_for(call: &Call) -> Result<(Functions, (Function, String), String), Error> {
    let (functions, function) = named(call)?;
    Ok((functions, (function, call.args.id()?.to_owned()), caller(call)?))
}

/// A call, for who has asked for it: others are not told that it is there.
async fn own(functions: &Functions, key: &(Function, String), by: &str) -> Result<CallInfo, Error> {
    let info = functions.called(key, Duration::ZERO).await?;
    if info.by == by {
        return Ok(info);
    }
    let (function, id) = key.clone();
    Err(cairn_functions::Error::NoCall { function, id }.into())
}

async fn list(call: Call) -> Result<Response, Error> {
    let (functions, function) = named(&call)?;
    let by = caller(&call)?;
    let (calls, complete) = functions.calls_by(&function, &by).await?;
    json(StatusCode::OK, &LaterCallPage { calls, complete })
}

async fn one(call: Call) -> Result<Response, Error> {
    let (functions, key, by) = asked_for(&call)?;
    let wait = wait(&call)?;
    own(&functions, &key, &by).await?;
    let info = functions.called(&key, wait).await?;
    // It may have been waited for long (ACCESS-5).
    let resource = Resource::Dataset(key.0.project, key.0.name);
    call.visit()?.again().await?.authorize(Action::InvokeFunction, &resource)?;
    json(StatusCode::OK, &info)
}

async fn output_of(call: Call) -> Result<Response, Error> {
    let (functions, key, by) = asked_for(&call)?;
    let room = super::kv::room(&call, FUNCTION_INPUT_BYTES_MAX);
    let info = own(&functions, &key, &by).await?;
    let CallState::Done { exit, media_type, .. } = info.state else {
        return Err(Error::invalid("it is not done yet: ask for the call with ?wait="));
    };
    let _room = room.await?;
    let mut response = respond(StatusCode::OK, BYTES, functions.output(&key).await?);
    if let Some(media_type) = media_type.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    }
    if let Some(exit) = exit {
        response.headers_mut().insert(EXIT, HeaderValue::from(exit));
    }
    crate::fs::sandbox(response.headers_mut());
    Ok(response)
}
