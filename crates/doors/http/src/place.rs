//! A request from its first look to its answer: its number, its line in the log, and the one shape of
//! errors.

use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use cairn_access::{Origin, Peer};
use serde::{Deserialize, Serialize};
use tracing::Span;
use utoipa::ToSchema;

use crate::door::Inner;
use crate::error::Error;
use crate::login::{login_address, see_other};
use crate::trace::TraceParent;

/// The header that says where the node is that owns what was asked for.
const OWNER: HeaderName = HeaderName::from_static("x-cairn-owner");

/// The one shape of errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// `retry`, `conflict`, `not_found`, `invalid`, `denied`, `corrupt`, `exhausted`, `closed` or
    /// `internal`.
    pub kind: String,
    /// What happened, and what to do.
    pub message: String,
    /// Names the request in the node's log.
    pub request_id: String,
    /// Of a file of an edit that does not go on where the request thinks: the bytes that were received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
}

/// A request among those that are worked on.
pub(crate) struct Place {
    id: String,
    pub(crate) method: Method,
    uri: Uri,
    pattern: &'static str,
    began: Duration,
    wants_html: bool,
    /// Whether it has an `Authorization` header: then it is a program's, not a person's.
    shows_header: bool,
    /// Whether a script of a page sent it: for `Basic` a browser would ask a person in its stead.
    by_script: bool,
    /// The trace that it is a part of, as its sender says.
    trace: Option<TraceParent>,
}

impl Place {
    pub(crate) fn take(door: &Inner, pattern: &'static str, request: &Request) -> Self {
        Self {
            id: door.request_id(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            pattern,
            began: door.env().clock.monotonic(),
            trace: TraceParent::of(request.headers()),
            shows_header: request.headers().contains_key(header::AUTHORIZATION),
            by_script: request.headers().get("sec-fetch-dest").is_some_and(|dest| dest == "empty"),
            wants_html: pattern.starts_with("/fs") && wants_html(request.headers()),
        }
    }

    /// What the log says of everything that is done for the request.
    pub(crate) fn span(&self) -> Span {
        let trace = self.trace.as_ref();
        let span = tracing::info_span!(
            "request",
            id = %self.id,
            trace = trace.map(|trace| tracing::field::display(trace.id())),
            otel.name = %format_args!("{} {}", self.method, self.pattern),
            otel.kind = "server",
        );
        if let Some(trace) = trace {
            trace.adopt(&span);
        }
        span
    }

    /// Where the request came from, for who decides on it.
    pub(crate) fn origin(&self, request: &Request) -> Origin {
        Origin {
            door: match self.pattern.split('/').nth(1) {
                Some("fs") => "fs",
                Some("dav") => "dav",
                _ => "rest",
            },
            request: self.id.clone(),
            peer: request.extensions().get::<Peer>().copied().unwrap_or_default(),
        }
    }

    pub(crate) fn end(self, door: &Inner, answered: Result<Response, Error>) -> Response {
        let mut response = answered.unwrap_or_else(|error| self.refusal(&error));
        let status = response.status();
        let headers = response.headers_mut();
        let id = HeaderValue::from_str(&self.id).expect("hexadecimal digits fit a header");
        headers.insert("x-request-id", id);
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let took = door.env().clock.monotonic().saturating_sub(self.began);
        door.metrics().request(self.pattern, self.method.as_str(), status.as_u16(), took);
        let trace = self.trace.as_ref().map(|trace| tracing::field::display(trace.id()));
        tracing::debug!(trace, id = %self.id, method = %self.method, uri = %self.uri, %status, ?took, "request");
        response
    }

    fn refusal(&self, error: &Error) -> Response {
        let status = error.status();
        if self.wants_html && status == StatusCode::UNAUTHORIZED && !self.shows_header {
            return see_other(login_address(self.uri.path()));
        }
        // 502 is what somebody else's server did.
        if status.is_server_error() && status != StatusCode::BAD_GATEWAY {
            tracing::error!(id = %self.id, uri = %self.uri, %error, "a request failed");
        }
        let mut response = if self.wants_html {
            crate::fs::error_page(status, &error.to_string(), &self.id)
        } else {
            let detail = ErrorDetail {
                kind: error.kind().to_string(),
                message: error.to_string(),
                request_id: self.id.clone(),
                received: error.received(),
            };
            let body = serde_json::to_vec(&ErrorBody { error: detail })
                .expect("three strings are always JSON");
            crate::call::respond(status, "application/json", body)
        };
        let length = HttpBody::size_hint(response.body()).exact();
        let headers = response.headers_mut();
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let (name, value) = match (error, status.as_u16()) {
            (Error::Method { allowed, .. }, _) => (header::ALLOW, allowed.clone()),
            (Error::Ambiguous { .. }, _) => (header::CONNECTION, "close".to_owned()),
            (Error::Range { len, .. }, _) => (header::CONTENT_RANGE, format!("bytes */{len}")),
            (_, 401) if self.by_script => (header::WWW_AUTHENTICATE, "Bearer".to_owned()),
            (_, 401) => (
                header::WWW_AUTHENTICATE,
                "Basic realm=\"cairn\", charset=\"UTF-8\", Bearer".to_owned(),
            ),
            (error, 421) => match error.owner() {
                Some(owner) => (OWNER, owner.to_owned()),
                None => return response,
            },
            (_, 429 | 503) => (header::RETRY_AFTER, "1".to_owned()),
            _ => return response,
        };
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}
