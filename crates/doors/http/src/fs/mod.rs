//! Files below `/fs/[@PROJECT/]NAME/TAG/path`, as browsers, curl and everything that speaks HTTP
//! want them.
//!
//! Files come from strangers. They are served as what their name says, never guessed
//! (`nosniff`), and in a sandbox without scripts and without our origin.

mod file;
mod location;
mod resolve;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use cairn_datasets::Browser;
use cairn_tree::Kind;

pub(crate) use location::Location;

use crate::call::{Call, respond};
use crate::error::Error;
use crate::guard::escape;
use crate::openapi::{BodyDoc, Doc};
use crate::rest::route;
use crate::route::{self, Route};

const HTML: &str = "text/html; charset=utf-8";

/// What a page of ours and a file of a stranger may do in a browser: show itself, no more.
pub(crate) const SANDBOX: &str = "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; \
     style-src 'self' 'unsafe-inline'; font-src 'self' data:; form-action 'none'; \
     frame-ancestors 'self'; base-uri 'none'";

pub(crate) fn routes() -> Vec<Route> {
    let doc = Doc {
        group: "files",
        answers: BodyDoc::Other("*/*", "A file, or a listing as HTML or JSON."),
        ..Doc::default()
    };
    vec![route!(GET "/fs/{*path}", browse).permission(route::BROWSE).doc(Doc {
        summary: "A file, with ranges and conditions; or a directory, a dataset's tags, a \
                      project's datasets.",
        ..doc
    })]
}

async fn browse(call: Call) -> Result<Response, Error> {
    let location = Location::parse(call.args.tail())?;
    let (Some(dataset), Some(tag)) = (location.dataset(), &location.tag) else {
        return Err(Error::NoPath { detail: "listings come later".to_owned() });
    };
    let store = std::sync::Arc::new(call.door.datasets().clone());
    let browser = Browser::new(store, dataset);
    let (_, root) = browser.open(tag).await?;
    let entry = resolve::resolve(&browser, &root, &location.path).await?;
    match &entry.kind {
        Kind::File { content } => file::serve(call, &browser, &entry, content).await,
        _ => Err(Error::NoPath { detail: "listings come later".to_owned() }),
    }
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
