//! A request that was let through, as handlers see it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use cairn_access::{Caller, Origin, Snapshot, Use, Visit};
use cairn_datasets::Browser;
use cairn_env::{Clock, Patience};
pub(crate) use cairn_files::begun;
use futures::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedSemaphorePermit;

use crate::args::Args;
use crate::door::Inner;
use crate::error::Error;
use crate::limits::{PAGE_DEFAULT, PAGE_MAX};

/// Pieces of a request body.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// A request that its route's permission let through. All that it needs of the access state it has
/// in its visit.
pub struct Call {
    pub(crate) door: Inner,
    pub(crate) args: Args,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    /// Where the request came from.
    pub(crate) origin: Origin,
    /// Who asks; none where nobody is asked for.
    pub(crate) visit: Option<Visit>,
    /// Its use, where uses are counted.
    pub(crate) counted: Option<Use>,
    pub(crate) body: Pieces,
    /// Its place among the requests that are worked on.
    pub(crate) place: Option<Arc<OwnedSemaphorePermit>>,
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
        self.visit.as_ref().map_or(&Caller::Anonymous, Visit::caller)
    }

    /// Who asks, and the state that the permission was decided on.
    pub(crate) fn visit(&self) -> Result<&Visit, Error> {
        self.visit.as_ref().ok_or_else(|| Error::Internal {
            detail: "a public route looked at the access state".to_owned(),
        })
    }

    /// The state that the permission was decided on.
    pub(crate) fn snapshot(&self) -> Result<&Snapshot, Error> {
        Ok(self.visit()?.snapshot())
    }

    /// The principal, for what is written in somebody's name.
    pub(crate) fn by(&self) -> Result<String, Error> {
        match self.caller().owner() {
            Some(owner) => Ok(owner.to_string()),
            None => Err(Error::Internal { detail: "an anonymous caller writes".to_owned() }),
        }
    }

    /// Looks into the dataset in the path.
    pub(crate) fn browser(&self) -> Result<Browser, Error> {
        let store = std::sync::Arc::new(self.door.datasets().clone());
        Ok(Browser::new(store, self.args.dataset()?))
    }

    /// Runs work to its end whether or not its request is still there: a client that goes away does
    /// not cut an upload in two. Until then the work keeps the request's place, so that going away
    /// and coming back starts no more work than there are places (HTTP-2).
    pub(crate) fn to_its_end<T, W>(
        &self,
        work: W,
    ) -> impl Future<Output = Result<T, Error>> + Send + use<T, W>
    where
        T: Send + 'static,
        W: Future<Output = T> + Send + 'static,
    {
        to_its_end(&self.door, self.place.clone(), work)
    }

    /// The body, which is empty from here on.
    pub(crate) fn take_body(&mut self) -> Pieces {
        std::mem::replace(&mut self.body, Box::pin(futures::stream::empty()))
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

/// [`Call::to_its_end`] for whoever has no call at hand.
pub(crate) fn to_its_end<T, W>(
    door: &Inner,
    place: Option<Arc<OwnedSemaphorePermit>>,
    work: W,
) -> impl Future<Output = Result<T, Error>> + Send + use<T, W>
where
    T: Send + 'static,
    W: Future<Output = T> + Send + 'static,
{
    let ended = door.env().spawn.to_its_end(async move {
        let done = work.await;
        drop(place);
        done
    });
    ended.map(|done| done.map_err(Error::from))
}

/// What a change changed, in an answer's extensions: for the audit log.
#[derive(Clone)]
pub(crate) struct Changed(pub(crate) String);

/// The answer to a change, which says to the audit log what it changed.
pub(crate) fn changed(mut response: Response, what: impl Into<String>) -> Response {
    response.extensions_mut().insert(Changed(what.into()));
    response
}

pub(crate) fn parse_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|error| Error::invalid(format!("the JSON body is refused: {error}")))
}

/// The pieces of a body, of which no more than `max` bytes are taken and none is waited for too long.
pub(crate) fn pieces(door: &Inner, body: Body, max: usize) -> Pieces {
    let body = body.into_data_stream().map_err(|error| error.to_string());
    bounded(body, max as u64, door.options().waits.body, Arc::clone(&door.env().clock))
}

fn bounded(
    body: impl Stream<Item = Result<Bytes, String>> + Send + Unpin + 'static,
    max: u64,
    wait: Duration,
    clock: Arc<dyn Clock>,
) -> Pieces {
    let seconds = wait.as_secs();
    let state = (body, max, Patience::new(wait), clock);
    Box::pin(futures::stream::try_unfold(
        state,
        move |(mut body, left, mut patience, clock)| async move {
            let asked_at = clock.monotonic();
            let next = tokio::select! {
                biased;
                next = body.next() => next,
                () = clock.sleep(patience.left()) => {
                    let detail = "nothing came, or too little".to_owned();
                    return Err(Error::Stalled { seconds, detail });
                }
            };
            let Some(piece) = next else { return Ok(None) };
            let piece = piece.map_err(|detail| Error::Stalled { seconds, detail })?;
            patience.got(piece.len(), clock.monotonic().saturating_sub(asked_at));
            match left.checked_sub(piece.len() as u64) {
                Some(left) => Ok(Some((piece, (body, left, patience, clock)))),
                None => Err(Error::TooLarge { max }),
            }
        },
    ))
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

/// Values as lines of JSON.
pub(crate) fn line<T: Serialize>(value: &T) -> Result<Bytes, Error> {
    let mut body = serde_json::to_vec(value)
        .map_err(|error| Error::Internal { detail: format!("an answer is no JSON: {error}") })?;
    body.push(b'\n');
    Ok(body.into())
}

/// The media type of lines of JSON.
pub(crate) const LINES: &str = "application/x-ndjson";

#[cfg(test)]
mod tests {
    use cairn_env::Env;

    use super::*;

    /// What is left of a body of which `piece` bytes come every `every`, until it ends or fails.
    fn read(piece: usize, every: Duration, max: u64) -> (usize, Result<(), Error>) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let clock = Env::simulated(1).clock;
            let slow = Arc::clone(&clock);
            let body = futures::stream::repeat_with(move || Bytes::from(vec![7; piece])).take(1000);
            let body = body.then(move |piece| {
                let slow = Arc::clone(&slow);
                async move {
                    slow.sleep(every).await;
                    Ok(piece)
                }
            });
            let mut pieces = bounded(Box::pin(body), max, Duration::from_secs(30), clock);
            let mut count = 0;
            while let Some(piece) = pieces.next().await {
                match piece {
                    Ok(_) => count += 1,
                    Err(error) => return (count, Err(error)),
                }
            }
            (count, Ok(()))
        })
    }

    /// HTTP-2: a client that sends a byte now and then keeps its place no longer than one that sends
    /// nothing; one with a poor connection is served.
    #[test]
    fn http_2_a_body_keeps_a_pace() {
        let second = Duration::from_secs(1);
        assert!(matches!(read(1, second, 1 << 20), (30, Err(Error::Stalled { .. }))));
        assert!(matches!(read(1, 31 * second, 1 << 20), (0, Err(Error::Stalled { .. }))));
        assert!(matches!(read(1024, second, 1 << 20), (59, Err(Error::Stalled { .. }))));
        assert!(matches!(read(2048, second, 1 << 40), (1000, Ok(()))));
        assert!(matches!(read(64 * 1024, 25 * second, 1 << 40), (1000, Ok(()))));
        assert!(matches!(read(1024, Duration::ZERO, 10_000), (9, Err(Error::TooLarge { .. }))));
    }
}
