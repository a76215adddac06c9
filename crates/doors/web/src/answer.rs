//! One request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use cairn_access::{Action, Origin, Pass, Peer, Shown};
use cairn_functions::{Auth, Function, Kept, NoMatch, Target};

use crate::error::Error;
use crate::{Shared, URI_BYTES_MAX, files, filter, headers, sockets};

pub(crate) async fn answer(door: &Arc<Shared>, request: Request) -> Response {
    let id = door.ids.next();
    door.requests.fetch_add(1, Ordering::Relaxed);
    match answered(door, request, &id).await {
        Ok(response) => response,
        Err(error) => {
            door.errors.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(request = id, ?error, "no function answered");
            error.answer(&id)
        }
    }
}

/// What is said of an answer to a request for that alone (RFC 9110, 9.3.2).
pub(crate) fn without_body(mut response: Response) -> Response {
    let length = response.body().size_hint().exact();
    if let Some(length) = length.filter(|length| *length > 0) {
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(length.into());
    }
    response.map(|_| Body::empty())
}

async fn answered(door: &Arc<Shared>, request: Request, id: &str) -> Result<Response, Error> {
    let place = Arc::clone(&door.places).try_acquire_owned().map_err(|_| Error::Busy)?;
    let (mut parts, body) = request.into_parts();
    if parts.uri.path_and_query().is_some_and(|text| text.as_str().len() > URI_BYTES_MAX) {
        return Err(Error::Invalid("the address is too long"));
    }
    let host = host(&parts.uri, &parts.headers)?;
    let found = match door.functions.find(parts.method.as_str(), &host, parts.uri.path()).await {
        Ok(found) => found,
        Err(NoMatch::Method(allowed)) => return Err(Error::Method(allowed)),
        Err(NoMatch::Path) => return unrouted(door, &parts, &host).await,
    };
    let pass = authorized(door, &found.target, &parts, id).await?;
    if let Some(files) = &found.target.files {
        let response = files::serve(door, &found, files, &parts).await?;
        return Ok(response.map(|body| Body::new(Kept::new(body, place))));
    }
    if sockets::is_asked(&parts) {
        return sockets::open(door, found, parts, (pass.caller().name(), id)).await;
    }
    headers::prepare(&mut parts.headers, &found, pass.caller().name(), id);
    let mut response = passed(door, &found.target.function, parts, body).await?;
    headers::clean(response.headers_mut());
    // The place is kept until the answer is sent.
    Ok(response.map(|body| Body::new(Kept::new(body, place))))
}

/// What is said where no route is for a path: to somebody who left out the slash that it ends with, where it is.
async fn unrouted(door: &Shared, parts: &Parts, host: &str) -> Result<Response, Error> {
    let path = parts.uri.path();
    if door.functions.is_reading() {
        return Err(Error::Reading);
    }
    if percent_encoding::percent_decode_str(path).decode_utf8().is_err() {
        return Err(Error::Invalid("the path is no UTF-8"));
    }
    let folder = format!("{path}/");
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    // Two slashes at the beginning would name a host.
    if !is_read || path.ends_with('/') || path.starts_with("//") {
        return Err(Error::NoRoute);
    }
    let found = door.functions.find(parts.method.as_str(), host, &folder).await;
    found.map_err(|_| Error::NoRoute)?;
    let query = parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let location = HeaderValue::try_from(format!("{folder}{query}"));
    response.headers_mut().insert(header::LOCATION, location.map_err(|_| Error::NoRoute)?);
    Ok(response)
}

/// What a function answers to a request, or the filter that stops it on its way.
pub(crate) async fn passed(
    door: &Shared,
    function: &Function,
    mut parts: Parts,
    body: Body,
) -> Result<axum::http::Response<cairn_functions::Body>, Error> {
    let reached = door.functions.reach(function).await.map_err(Error::Function)?;
    for passes in reached.filters() {
        if let Some(answer) = filter::pass(door, &passes, &mut parts).await? {
            return Ok(answer);
        }
    }
    let request = axum::http::Request::from_parts(parts, cairn_functions::body(body));
    door.functions.request_to(&reached, request).await.map_err(Error::Function)
}

/// The host that is asked for, without a port.
fn host(uri: &Uri, headers: &HeaderMap) -> Result<String, Error> {
    let mut named = headers.get_all(header::HOST).iter();
    let (first, second) = (named.next(), named.next());
    if second.is_some() {
        return Err(Error::Invalid("there are two Host headers"));
    }
    let host = match (uri.host(), first) {
        (Some(host), _) => host,
        (None, Some(named)) => named.to_str().map_err(|_| Error::Invalid("the Host is no text"))?,
        (None, None) => "",
    };
    let end = if host.starts_with('[') { host.find(']').map(|at| at + 1) } else { host.find(':') };
    Ok(host[..end.unwrap_or(host.len())].to_owned())
}

/// Who asks, once it is said that it may (WEB-1).
pub(crate) async fn authorized(
    door: &Shared,
    target: &Target,
    request: &Parts,
    id: &str,
) -> Result<Arc<Pass>, Error> {
    let function = &target.function;
    let resource = function.resource();
    let peer = request.extensions.get::<Peer>().copied().unwrap_or_default();
    let origin = |peer| Origin { door: "web", request: id.to_owned(), peer };
    let (shown, origin) = match target.auth {
        // What is shown is the function's business, and one record counts for all who come.
        Auth::None => (Shown::default(), origin(Peer::default())),
        Auth::Cairn => {
            let mut shown = request.headers.get_all(header::AUTHORIZATION).iter();
            let (first, second) = (shown.next(), shown.next());
            let first = first.map(|value| value.to_str()).transpose();
            let (Ok(authorization), None) = (first, second) else {
                return Err(Error::Invalid("the Authorization header cannot be read"));
            };
            (Shown { authorization, session: None }, origin(peer))
        }
    };
    let action = match target.files {
        Some(_) => Action::ReadDataset,
        None => Action::InvokeFunction,
    };
    Ok(door.access.pass(shown, origin, action, &resource).await?)
}
