//! Files below `/fs/[@PROJECT/]NAME/TAG/path`, as browsers, curl and everything that speaks HTTP
//! want them.
//!
//! Files come from strangers. They are served as what their name says, never guessed
//! (`nosniff`), and in a sandbox without scripts and without our origin.

mod archive;
mod file;
mod listing;
mod location;
mod tar;
mod walk;
mod zip;

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use cairn_datasets::Browser;
use cairn_tree::Kind;

pub(crate) use cairn_files::{
    Asked, Validators, first_name, http_date, media_type, range_of, resolve, set,
};
pub(crate) use location::Location;
pub(crate) use walk::{Walker, children, encoded, file_exact, resolve_exact};

use crate::call::{Call, respond};
use crate::error::Error;
use crate::guard::escape;
use crate::limits::PAGE_MAX;
use crate::openapi::{BodyDoc, Doc, Holds, Query};
use crate::rest::route;
use crate::route::{self, Route};

const HTML: &str = "text/html; charset=utf-8";

/// What a page of ours and a file of a stranger may do in a browser: show itself, no more.
const SANDBOX: &str = "sandbox allow-downloads allow-top-navigation-by-user-activation; \
                       default-src 'none'; img-src 'self' data:; media-src 'self'; \
                       style-src 'self' 'unsafe-inline'; font-src 'self' data:; \
                       form-action 'none'; frame-ancestors 'self'; base-uri 'none'";

pub(crate) const QUERY: &[Query] = &[
    Query::new(
        "format",
        "What a listing is; else the Accept header decides.",
        Holds::OneOf(&["json", "html"]),
    ),
    Query::new("limit", "Entries of a page.", Holds::Number(1, PAGE_MAX as u64)),
    Query::new("after", "`next` of the page before.", Holds::Text),
    Query::new("download", "A directory as one file.", Holds::OneOf(&["tar.zst", "zip"])),
];

pub(crate) const OTHERWISE: &[(u16, &str)] = &[
    (206, "The ranges of a file that the Range header asks for."),
    (304, "The client has the file already."),
    (307, "Leads to the same path with a slash."),
    (412, "The file is not the one that the client thinks it is."),
];

pub(crate) fn routes() -> Vec<Route> {
    let doc = Doc {
        group: "files",
        query: QUERY,
        answers: BodyDoc::Other("*/*", "A file, or a listing as HTML or JSON."),
        also: OTHERWISE,
        ..Doc::default()
    };
    vec![
        route!(GET "/fs", entrance).permission(route::LOOK).doc(Doc {
            summary: "Leads to /fs/.",
            status: 307,
            group: "files",
            ..Doc::default()
        }),
        route!(GET "/fs/", browse).permission(route::BROWSE).doc(Doc {
            summary: "The datasets of the project `main` that the caller may read.",
            ..doc
        }),
        route!(GET "/fs/{*path}", browse).permission(route::BROWSE).doc(Doc {
            summary: "A file, with ranges and conditions; or a directory, a dataset's tags, a \
                      project's datasets.",
            ..doc
        }),
    ]
}

async fn entrance(_call: Call) -> Result<Response, Error> {
    Ok(redirect("/fs/"))
}

/// Answers what a path below `/fs/` or `/dav/` names.
pub(crate) async fn browse(call: Call) -> Result<Response, Error> {
    let location = Location::parse(call.args.tail())?;
    let slash = call.args.ends_with_slash();
    let Some(dataset) = location.dataset() else {
        return if slash { listing::datasets(call, location).await } else { add_slash(&call) };
    };
    let Some(tag) = location.tag.clone() else {
        return if slash { listing::tags(call, dataset).await } else { add_slash(&call) };
    };
    let browser = Browser::warm(call.door.datasets(), dataset);
    let root = browser.version(&tag).await?.root;
    let entry = match browser.remembered(root, &location.path) {
        Some(entry) => entry,
        None => {
            let top = browser.root(root).await?;
            let entry = Arc::new(resolve(&browser, &top, &location.path).await?);
            browser.remember(root, location.path.clone(), &entry);
            entry
        }
    };
    match &entry.kind {
        Kind::File { .. } if slash => {
            Err(no_path(&location.path, "it is a file; ask for it without the last /"))
        }
        Kind::File { content } => {
            let name = location.path.last().map(Vec::as_slice).unwrap_or_default();
            file::serve(call, &browser, &entry, content, name).await
        }
        Kind::Directory { .. } if call.query_bytes("download").is_some() => {
            let (root, entry) = (browser.root(root).await?, Arc::unwrap_or_clone(entry));
            archive::download(call, browser, root, entry, &location).await
        }
        Kind::Directory { .. } if !slash => add_slash(&call),
        Kind::Directory { page, .. } => {
            let page = *page;
            let entry = Arc::unwrap_or_clone(entry);
            listing::directory(call, &browser, entry, page, location.path).await
        }
        Kind::Symlink { .. } | Kind::Hardlink { .. } => {
            Err(Error::Internal { detail: "a link was not followed".to_owned() })
        }
    }
}

/// Relative links of a listing need the slash.
fn add_slash(call: &Call) -> Result<Response, Error> {
    let path = call.uri.path();
    if !path.starts_with("/fs") && !path.starts_with("/dav") {
        return Err(Error::Internal { detail: "a path is not below /fs or /dav".to_owned() });
    }
    let query = call.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    Ok(redirect(&format!("{path}/{query}")))
}

fn redirect(to: &str) -> Response {
    let mut response = respond(StatusCode::TEMPORARY_REDIRECT, "text/plain; charset=utf-8", "");
    set(response.headers_mut(), header::LOCATION, to);
    response
}

fn no_path(path: &[Vec<u8>], why: &str) -> Error {
    let path = String::from_utf8_lossy(&path.join(&b'/')).into_owned();
    Error::NoPath { detail: format!("{path:?}: {why}") }
}

/// An error as a page for people.
pub(crate) fn error_page(status: StatusCode, message: &str, id: &str) -> Response {
    let reason = status.canonical_reason().unwrap_or_default();
    let body = format!(
        "<!doctype html><meta charset=utf-8><title>{status}</title>\
         <body style=\"font:16px system-ui;margin:3em\"><h1>{reason}</h1><p>{}</p>\
         <p style=\"color:#777\">Request {id}</p>\n",
        escape(message)
    );
    let mut response = respond(status, HTML, body);
    sandbox(response.headers_mut());
    response
}

pub(crate) fn sandbox(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
}
