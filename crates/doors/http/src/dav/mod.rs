//! WebDAV (RFC 4918), read only, below `/dav/[@PROJECT/]NAME/TAG/path`: the trees of `/fs` for file
//! managers and sync programs. Class 1 without what changes anything: OPTIONS, PROPFIND of one
//! resource or of what is directly in it, GET and HEAD.
//!
//! A listing that breaks off breaks its connection (HTTP-1): a program that syncs would take a short
//! one for deletions. WebDAV knows no symbolic links: one to a file is that file, and one to a
//! directory is not listed, since it may lead in a circle; by its own path it is there.

mod multistatus;
mod propfind;
mod request;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::call::{Call, respond};
use crate::error::Error;
use crate::fs::browse;
use crate::limits::PROPFIND_BYTES_MAX;
use crate::openapi::{BodyDoc, Doc};
use crate::rest::route;
use crate::route::{self, Route};

const ALLOWED: &str = "OPTIONS, GET, HEAD, PROPFIND";
const XML: &str = "application/xml; charset=utf-8";

pub(crate) fn routes() -> Vec<Route> {
    ["/dav", "/dav/", "/dav/{*path}"].into_iter().flat_map(of_pattern).collect()
}

fn of_pattern(pattern: &'static str) -> [Route; 3] {
    // The path without a slash is the entrance of programs that were given it so.
    let permission = if pattern == "/dav" { route::LOOK } else { route::BROWSE };
    let doc = Doc { group: "files", ..Doc::default() };
    let propfind = axum::http::Method::from_bytes(b"PROPFIND").expect("it is a token");
    [
        route!(OPTIONS pattern, options)
            .permission(permission)
            .doc(Doc { summary: "What WebDAV can do here.", ..doc }),
        route!(GET pattern, browse).permission(permission).doc(Doc {
            summary: "A file, as below /fs.",
            answers: BodyDoc::Other("*/*", "A file, or a listing as HTML or JSON."),
            also: crate::fs::OTHERWISE,
            query: crate::fs::QUERY,
            ..doc
        }),
        Route::new(propfind, pattern, |call| Box::pin(propfind::answer(call)))
            .permission(permission)
            .body_max(PROPFIND_BYTES_MAX)
            .doc(Doc { summary: "Properties of a file or a directory.", ..doc }),
    ]
}

async fn options(_call: Call) -> Result<Response, Error> {
    let mut response = respond(StatusCode::OK, "text/plain; charset=utf-8", "");
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static(ALLOWED));
    headers.insert("dav", HeaderValue::from_static("1"));
    headers.insert("ms-author-via", HeaderValue::from_static("DAV"));
    Ok(response)
}

/// The answer to a PROPFIND of an empty collection with this body; none when the body is refused.
pub(crate) fn answered(body: &[u8]) -> Option<String> {
    let asked = request::parse(body).ok()?;
    let mut text = multistatus::HEAD.to_owned();
    multistatus::Resource::default().write(&asked, &mut text);
    text.push_str(multistatus::TAIL);
    Some(text)
}
