//! A request that was let through, as handlers see it.

use std::pin::Pin;

use axum::body::Body;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use cairn_access::{Caller, Snapshot};
use cairn_datasets::Browser;
use futures::{Stream, StreamExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::args::Args;
use crate::door::Inner;
use crate::error::Error;
use crate::limits::{PAGE_DEFAULT, PAGE_MAX};

/// Pieces of a request body.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// A request that its route's permission let through. All that it needs of the access state it has
/// in one snapshot.
pub struct Call {
    pub(crate) door: Inner,
    pub(crate) args: Args,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) caller: Caller,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) body: Pieces,
}

impl Call {
    /// The parts of the path.
    #[must_use]
    pub fn args(&self) -> &Args {
        &self.args
    }

    /// Who asks.
    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The state that the permission was decided on.
    pub(crate) fn snapshot(&self) -> Result<&Snapshot, Error> {
        self.snapshot.as_ref().ok_or_else(|| Error::Internal {
            detail: "a public route looked at the access state".to_owned(),
        })
    }

    /// The principal, for what is written in somebody's name.
    pub(crate) fn by(&self) -> Result<String, Error> {
        match self.caller.principal() {
            Some(principal) => Ok(principal.to_string()),
            None => Err(Error::Internal { detail: "an anonymous caller writes".to_owned() }),
        }
    }

    /// Looks into the dataset in the path.
    pub(crate) fn browser(&self) -> Result<Browser, Error> {
        let store = std::sync::Arc::new(self.door.datasets().clone());
        Ok(Browser::new(store, self.args.dataset()?))
    }

    /// The first value of a query parameter, decoded to bytes.
    pub(crate) fn query_bytes(&self, name: &str) -> Option<Vec<u8>> {
        let query = self.uri.query()?;
        let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let (_, value) = pairs.find(|(key, _)| *key == name)?;
        let spaced = value.replace('+', " ");
        Some(percent_encoding::percent_decode_str(&spaced).collect())
    }

    pub(crate) fn query(&self, name: &str) -> Result<Option<String>, Error> {
        let text = self.query_bytes(name).map(String::from_utf8).transpose();
        text.map_err(|_| Error::invalid(format!("?{name}= is not UTF-8")))
    }

    /// A query parameter that is `true`, `false`, empty for `true`, or not there for `false`.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Error> {
        match self.query(name)?.as_deref() {
            None | Some("false" | "0") => Ok(false),
            Some("" | "true" | "1") => Ok(true),
            Some(_) => Err(Error::invalid(format!("?{name}= takes true or false"))),
        }
    }

    /// `?limit=`, within its bounds.
    pub(crate) fn limit(&self) -> Result<usize, Error> {
        let Some(text) = self.query("limit")? else { return Ok(PAGE_DEFAULT) };
        match text.parse::<usize>() {
            Ok(limit @ 1..=PAGE_MAX) => Ok(limit),
            _ => Err(Error::invalid(format!("?limit= takes 1 to {PAGE_MAX}"))),
        }
    }

    /// The whole body, which its route bounds.
    pub(crate) async fn bytes(&mut self) -> Result<Bytes, Error> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.body.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all.freeze())
    }

    /// The body as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        parse_json(&self.bytes().await?)
    }
}

pub(crate) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|error| Error::invalid(format!("the JSON body is refused: {error}")))
}

/// The pieces of a body, of which no more than `max` bytes are taken and none is waited for too long.
pub(crate) fn pieces(door: &Inner, body: Body, max: usize) -> Pieces {
    let clock = std::sync::Arc::clone(&door.env().clock);
    let wait = door.options().waits.body;
    let state = (body.into_data_stream(), max as u64, clock);
    Box::pin(futures::stream::try_unfold(state, move |(mut body, left, clock)| async move {
        let seconds = wait.as_secs();
        let next = tokio::select! {
            next = body.next() => next,
            () = clock.sleep(wait) => {
                return Err(Error::Stalled { seconds, detail: "nothing came".to_owned() });
            }
        };
        let Some(piece) = next else { return Ok(None) };
        let piece = piece.map_err(|error| Error::Stalled { seconds, detail: error.to_string() })?;
        match left.checked_sub(piece.len() as u64) {
            Some(left) => Ok(Some((piece, (body, left, clock)))),
            None => Err(Error::TooLarge { max: max as u64 }),
        }
    }))
}

/// An answer in JSON.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Result<Response, Error> {
    let body = serde_json::to_vec(value)
        .map_err(|error| Error::Internal { detail: format!("an answer is no JSON: {error}") })?;
    Ok(respond(status, "application/json", body))
}

/// An answer without a body.
pub(crate) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

pub(crate) fn respond(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let value = axum::http::HeaderValue::from_static(media_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}

/// An answer that is made while it is sent. An error breaks the connection, so that what came before
/// it never looks whole; an error of the first piece is an answer of its own.
pub(crate) async fn streamed(
    media_type: &'static str,
    pieces: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
) -> Result<Response, Error> {
    let pieces = begun(pieces).await?;
    Ok(respond(StatusCode::OK, media_type, Body::from_stream(pieces)))
}

/// A stream whose first piece was seen to be good.
pub(crate) async fn begun(
    pieces: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + 'static, Error> {
    let mut pieces = Box::pin(pieces);
    let first = pieces.next().await.transpose()?;
    let first = futures::stream::iter(first.map(Ok));
    Ok(first.chain(pieces.inspect(|piece| {
        if let Err(error) = piece {
            tracing::error!(%error, "a response breaks off");
        }
    })))
}

/// Values as lines of JSON.
pub(crate) fn line<T: Serialize>(value: &T) -> Result<Bytes, Error> {
    let mut body = serde_json::to_vec(value)
        .map_err(|error| Error::Internal { detail: format!("an answer is no JSON: {error}") })?;
    body.push(b'\n');
    Ok(body.into())
}

/// The media type of lines of JSON.
pub(crate) const LINES: &str = "application/x-ndjson";
