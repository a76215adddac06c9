//! Functions: their releases, which of them answers, and calls without a route.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use cairn_access::Action;
use cairn_functions::{ARGUMENTS_MAX, Call as Run, Function, Functions, Kind, Settings};

use super::{invoke, route};
use crate::api::{ChooseRelease, FunctionPage, LogPage, ReleasePage, schema};
use crate::call::{Call, changed, json, no_content, parse_json, respond};
use crate::error::Error;
use crate::limits::{FUNCTION_BYTES_MAX, FUNCTION_INPUT_BYTES_MAX, FUNCTION_WAIT_MAX, PAGE_MAX};
use crate::openapi::{BodyDoc, Doc, Holds, Query, shape};
use crate::route::{self, Route};

const PAGE: &[Query] = &[
    Query::new("limit", "Entries of a page.", Holds::Number(1, PAGE_MAX as u64)),
    Query::new("after", "`next` of the page before.", Holds::Text),
];
pub(super) const WAIT: Query = Query::new(
    "wait",
    "Seconds that it is waited at most; none when not given.",
    Holds::Number(0, FUNCTION_WAIT_MAX),
);
const WITH_ROUTES: &[Query] = &[Query::new("with_routes", "Remove its routes too.", Holds::Flag)];
pub(super) const CALL: &[Query] = &[
    Query::new("path", "The path that is asked for; `/` when not given.", Holds::Text),
    Query::new("arg", "An argument of a program; again for more.", Holds::Text),
];
const INVOKE: &[Query] = &[
    CALL[0],
    Query::new("method", "The method that is asked with; POST when not given.", Holds::Text),
    CALL[1],
];
const LINES_AFTER: &[Query] = &[
    Query::new("after", "Only lines with a greater number.", Holds::Number(0, u64::MAX)),
    Query::new(
        "start",
        "The start that counted it: of another one all lines are given.",
        Holds::Text,
    ),
    WAIT,
];
pub(super) const BYTES: &str = "application/octet-stream";
const FUNCTION: &str = "/api/v1/functions/{project}/{name}";
/// What a release is run with, as JSON.
pub(crate) const SETTINGS: &str = "cairn-settings";
/// The exit code of a program.
pub(crate) const EXIT: &str = "cairn-exit-code";

pub(super) fn routes() -> Vec<Route> {
    let doc = Doc { group: "functions", ..Doc::default() };
    let releases = "/api/v1/functions/{project}/{name}/releases";
    let current = "/api/v1/functions/{project}/{name}/current";
    let invoke = "/api/v1/functions/{project}/{name}/invoke";
    let logs = "/api/v1/functions/{project}/{name}/logs";
    vec![
        route!(GET "/api/v1/functions/{project}", list).permission(route::LIST).doc(Doc {
            summary: "The functions of a project that the caller may read, by name.",
            query: PAGE,
            answers: BodyDoc::Json(shape::<FunctionPage>),
            ..doc
        }),
        route!(GET FUNCTION, function).permission(route::READ_FUNCTION).doc(Doc {
            summary: "A function, and which of its releases answers.",
            answers: BodyDoc::Json(shape::<schema::Function>),
            ..doc
        }),
        route!(DELETE FUNCTION, remove).permission(route::REMOVE_FUNCTION).doc(Doc {
            summary: "Removes a function with all its releases, for good. While routes lead to it that is \
                      refused, unless `?with_routes=true` removes them too.",
            query: WITH_ROUTES,
            status: 204,
            ..doc
        }),
        route!(GET releases, all).permission(route::READ_FUNCTION).doc(Doc {
            summary: "The releases of a function that are kept, the newest first.",
            answers: BodyDoc::Json(shape::<ReleasePage>),
            ..doc
        }),
        route!(POST releases, deploy)
            .permission(route::DEPLOY_FUNCTION)
            .body_max(FUNCTION_BYTES_MAX)
            .doc(Doc {
                summary: "Deploys a release: a component, a core module for `wasi_snapshot_preview1`, or the text of \
                          either. It is compiled in the background, and answers once it can. The header \
                          `cairn-settings` has what it is run with, as JSON.",
                takes: BodyDoc::Other(BYTES, "WebAssembly"),
                query: &[WAIT],
                answers: BodyDoc::Json(shape::<schema::Release>),
                status: 201,
                ..doc
            }),
        route!(PUT current, choose).permission(route::DEPLOY_FUNCTION).doc(Doc {
            summary: "Chooses which release answers from now on.",
            takes: BodyDoc::Json(shape::<ChooseRelease>),
            answers: BodyDoc::Json(shape::<schema::Release>),
            ..doc
        }),
        route!(POST invoke, call_it)
            .counted()
            .permission(route::INVOKE_FUNCTION)
            .body_max(FUNCTION_INPUT_BYTES_MAX)
            .doc(Doc {
                summary: "Calls a function: one that answers requests is asked to POST the body to `?path=`, with the \
                          headers that are sent as `cairn-set-NAME`; a program has it as its standard input. What it \
                          answers or writes is the answer. Of a program the header `cairn-exit-code` has the exit \
                          code, else `cairn-answer` has the status and the headers that were answered, as JSON.",
                takes: BodyDoc::Other(BYTES, "its input"),
                optional: true,
                query: INVOKE,
                answers: BodyDoc::Other(BYTES, "its output"),
                ..doc
            }),
        route!(GET logs, logs_of).lasting().permission(route::READ_FUNCTION).doc(Doc {
            summary: "The last lines that a function wrote on this node.",
            query: LINES_AFTER,
            answers: BodyDoc::Json(shape::<LogPage>),
            ..doc
        }),
    ]
}

/// The engine, and the function in the path.
pub(super) fn named(call: &Call) -> Result<(Functions, Function), Error> {
    let dataset = call.args.dataset()?;
    let function = Function { project: dataset.project, name: dataset.name };
    Ok((call.door.functions()?.clone(), function))
}

pub(super) fn wait(call: &Call) -> Result<Duration, Error> {
    let Some(text) = call.query("wait")? else { return Ok(Duration::ZERO) };
    match text.parse::<u64>() {
        Ok(seconds) if seconds <= FUNCTION_WAIT_MAX => Ok(Duration::from_secs(seconds)),
        _ => Err(Error::invalid(format!("?wait= takes 0 to {FUNCTION_WAIT_MAX} seconds"))),
    }
}

async fn list(call: Call) -> Result<Response, Error> {
    let project = call.args.project()?;
    let (limit, after) = (call.limit()?, call.query("after")?.unwrap_or_default());
    let visit = call.visit()?;
    let all = call.door.functions()?.list(&project).await?;
    let seen = |name: &str| {
        name > after.as_str() && name.parse().is_ok_and(|name| visit.may_read(&project, &name))
    };
    let mut left = all.into_iter().filter(|info| seen(&info.name));
    let functions: Vec<_> = left.by_ref().take(limit).collect();
    let more = left.next().is_some();
    let next = functions.last().filter(|_| more).map(|last| last.name.clone());
    json(StatusCode::OK, &FunctionPage { functions, next })
}

async fn function(call: Call) -> Result<Response, Error> {
    let (functions, function) = named(&call)?;
    json(StatusCode::OK, &functions.function(&function).await?)
}

async fn remove(call: Call) -> Result<Response, Error> {
    let (functions, function) = named(&call)?;
    let routes = functions.remove(&function, call.flag("with_routes")?).await?;
    let what = match routes.len() {
        0 => "removed a function".to_owned(),
        count => format!("removed a function and {count} routes to it"),
    };
    Ok(changed(no_content(), what))
}

async fn all(call: Call) -> Result<Response, Error> {
    let (functions, function) = named(&call)?;
    let mut releases = functions.releases(&function).await?;
    // Variables may be secrets: who may not set them is told their names.
    if !call.visit()?.may(Action::DeployFunction, &function.resource()) {
        let variables = releases.iter_mut().flat_map(|release| &mut release.settings.environment);
        variables.for_each(|(_, value)| value.clear());
    }
    json(StatusCode::OK, &ReleasePage { releases })
}

async fn deploy(mut call: Call) -> Result<Response, Error> {
    let (functions, function) = named(&call)?;
    let (by, wait) = (call.by()?, wait(&call)?);
    let settings = call.headers.get(SETTINGS).map(|value| parse_json(value.as_bytes()));
    let settings: Settings = settings.transpose()?.unwrap_or_default();
    let room = super::kv::room(&call, FUNCTION_BYTES_MAX).await?;
    let upload = call.bytes().await?;
    let release = functions.deploy(&function, upload, &settings, &by).await?;
    drop(room);
    let release = functions.decided(&function, release.number, wait).await?;
    let what = format!("deployed release {} with {}", release.number, release.digest);
    Ok(changed(json(StatusCode::CREATED, &release)?, what))
}

async fn choose(mut call: Call) -> Result<Response, Error> {
    let (functions, function) = named(&call)?;
    let ChooseRelease { release } = call.json().await?;
    let release = functions.switch(&function, release).await?;
    let what = format!("chose release {}", release.number);
    Ok(changed(json(StatusCode::OK, &release)?, what))
}

async fn call_it(mut call: Call) -> Result<Response, Error> {
    let (functions, function) = named(&call)?;
    let reached = functions.reach(&function).await?;
    reached.past_filters(call.visit()?)?;
    if functions.kind(&function).await? == Kind::Command {
        let arguments = [function.name.to_string()].into_iter().chain(arguments(&call)?).collect();
        let _room = super::kv::room(&call, FUNCTION_INPUT_BYTES_MAX).await?;
        let inputs = vec![cairn_functions::held(call.bytes().await?)];
        let run = Run { arguments, inputs, ..Run::default() };
        let done = functions.run(&function, run).await?;
        let mut response = respond(StatusCode::OK, BYTES, done.output);
        response.headers_mut().insert(EXIT, HeaderValue::from(done.exit));
        return Ok(response);
    }
    let mut request = axum::http::Request::new(());
    *request.method_mut() = invoke::method(&call)?;
    *request.uri_mut() = path_of(&call, &function)?;
    *request.headers_mut() = invoke::headers(&call)?;
    let body = cairn_functions::body(Body::from_stream(call.take_body()));
    let request = request.map(|()| body);
    Ok(shown(functions.request(&function, request).await?.map(Body::new)))
}

/// What is asked of a function that answers requests: `?path=`.
pub(super) fn path_of(call: &Call, function: &Function) -> Result<Uri, Error> {
    let path = call.query("path")?.unwrap_or_else(|| "/".to_owned());
    let wrong = || Error::invalid("?path= takes a path that begins with a slash");
    if !path.starts_with('/') {
        return Err(wrong());
    }
    format!("http://{}{path}", function.name).parse().map_err(|_| wrong())
}

/// What a function answered, on the origin of the API and the console: without what it says to browsers, and
/// in a sandbox.
fn shown(answered: Response) -> Response {
    let (parts, body) = answered.into_parts();
    let mut response = Response::new(body);
    *response.status_mut() = parts.status;
    response.headers_mut().insert(invoke::ANSWER, invoke::answered(&parts));
    let plain = HeaderValue::from_static(BYTES);
    let media_type = parts.headers.get(header::CONTENT_TYPE).cloned().unwrap_or(plain);
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    crate::fs::sandbox(response.headers_mut());
    response
}

/// `?arg=`, as often as it is there.
pub(super) fn arguments(call: &Call) -> Result<Vec<String>, Error> {
    let query = call.uri.query().unwrap_or_default();
    let given = query.split('&').filter_map(|pair| pair.strip_prefix("arg="));
    let decoded = given.map(|value| {
        let spaced = value.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8();
        Ok(decoded.map_err(|_| Error::invalid("?arg= is not UTF-8"))?.into_owned())
    });
    let all: Vec<String> = decoded.collect::<Result<_, Error>>()?;
    if all.len() > ARGUMENTS_MAX {
        return Err(Error::invalid(format!("a call has at most {ARGUMENTS_MAX} arguments")));
    }
    Ok(all)
}

async fn logs_of(call: Call) -> Result<Response, Error> {
    let (functions, function) = named(&call)?;
    let (start, after) = (call.query("start")?, super::kv::number(&call, "after")?.unwrap_or(0));
    let after = (start.as_deref(), after);
    let (lines, start) = functions.logs(&function, after, wait(&call)?).await?;
    // It may have been waited for long (ACCESS-5).
    call.visit()?.again().await?.authorize(Action::ReadFunction, &function.resource())?;
    json(StatusCode::OK, &LogPage { start, lines })
}
