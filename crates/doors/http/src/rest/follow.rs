//! Following a tag: events that the server sends (SSE), or a question that waits (long poll).
//!
//! Both tell the same states, each with an id that a client names to go on after it. An event stream
//! asks again who its caller is before all that it tells and a few times a second in between, so that
//! it ends with the credential (ACCESS-5). Both have places of their own, since they last.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use cairn_access::{Action, Resource, Visit};
use cairn_base::ErrorKind;
use cairn_datasets::{Follow, Store as _, Version, state_id};
use cairn_env::Clock;
use futures::FutureExt as _;
use tokio::sync::watch;

use super::route;
use crate::api::{FollowEnd, TagState, TagStates};
use crate::call::{Call, json, respond};
use crate::error::Error;
use crate::limits::{
    FOLLOW_CHECK_EVERY, FOLLOW_HEARTBEAT_EVERY, FOLLOW_STATES_MAX, FOLLOW_WAIT_MAX,
};
use crate::openapi::{BodyDoc, Doc, Holds, Query, shape};
use crate::route::{self, Route};

const PATTERN: &str = "/api/v1/projects/{project}/datasets/{name}/tags/{tag}/follow";
const WAIT_DEFAULT: u64 = 30;
/// The media type of events.
pub(crate) const EVENTS: &str = "text/event-stream";
/// The event that says why a stream ends.
pub(crate) const END: &str = "end";
/// The header with the id of the last event that a client saw.
pub(crate) const LAST_EVENT_ID: &str = "last-event-id";

const QUERY: &[Query] = &[
    Query::new(
        "after",
        "The id of the state that the caller knows; without it the answer is the state of now. The \
         header Last-Event-ID says the same, and wins.",
        Holds::Text,
    ),
    Query::new("wait", "Seconds to wait for something newer.", Holds::Number(1, FOLLOW_WAIT_MAX)),
];

pub(super) fn routes() -> Vec<Route> {
    vec![route!(GET PATTERN, follow).permission(route::READ).lasting().doc(Doc {
        group: "datasets",
        summary: "What the tag points to, and what it comes to point to: as server-sent events for \
                  who accepts `text/event-stream`, else in one answer as soon as there is \
                  something newer.",
        query: QUERY,
        answers: BodyDoc::JsonOrEvents(shape::<TagStates>),
        ..Doc::default()
    })]
}

async fn follow(call: Call) -> Result<Response, Error> {
    let target = call.args.target()?;
    let after = last_seen(&call)?;
    let wait = wait(&call)?;
    let following = Following {
        follow: call.door.datasets().follow_from(&target, after.clone()),
        visit: call.visit()?.clone(),
        resource: Resource::Dataset(target.dataset.project, target.dataset.name),
        clock: Arc::clone(&call.door.env().clock),
        closing: call.door.closing(),
    };
    if wants_events(&call.headers) {
        return Ok(events(following));
    }
    json(StatusCode::OK, &states(following, after, wait).await?)
}

fn last_seen(call: &Call) -> Result<Option<String>, Error> {
    match call.headers.get(LAST_EVENT_ID) {
        None => call.query("after"),
        Some(id) => match id.to_str() {
            Ok(id) => Ok(Some(id.to_owned()).filter(|id| !id.is_empty())),
            Err(_) => Err(Error::invalid("Last-Event-ID is the id of an event of this tag")),
        },
    }
}

fn wait(call: &Call) -> Result<Duration, Error> {
    let Some(text) = call.query("wait")? else { return Ok(Duration::from_secs(WAIT_DEFAULT)) };
    match text.parse::<u64>() {
        Ok(seconds @ 1..=FOLLOW_WAIT_MAX) => Ok(Duration::from_secs(seconds)),
        _ => Err(Error::invalid(format!("?wait= takes 1 to {FOLLOW_WAIT_MAX} seconds"))),
    }
}

pub(super) fn wants_events(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains(EVENTS))
}

/// A caller that follows a tag.
struct Following {
    follow: Follow,
    visit: Visit,
    resource: Resource,
    clock: Arc<dyn Clock>,
    closing: watch::Receiver<bool>,
}

/// What there is to tell.
enum Told {
    State(Option<Version>),
    /// Nothing new came.
    Quiet,
    /// The node stops.
    Closing,
}

impl Following {
    /// The next state, if one comes before `until`, for a caller that may still see it.
    async fn next(&mut self, until: Duration) -> Result<Told, Error> {
        loop {
            let left = until.saturating_sub(self.clock.monotonic()).min(FOLLOW_CHECK_EVERY);
            let state = tokio::select! {
                biased;
                _ = self.closing.wait_for(|closing| *closing) => return Ok(Told::Closing),
                state = self.follow.next() => Some(state),
                () = self.clock.sleep(left) => None,
            };
            self.visit = self.visit.again().await?;
            self.visit.authorize(Action::ReadDataset, &self.resource)?;
            match state {
                Some(Ok(state)) => return Ok(Told::State(state)),
                // It is looked at again in a moment.
                Some(Err(error))
                    if matches!(error.kind(), ErrorKind::Retry | ErrorKind::Closed) =>
                {
                    tracing::debug!(%error, "a tag that is followed could not be looked at");
                }
                Some(Err(error)) => return Err(error.into()),
                None if self.clock.monotonic() >= until => return Ok(Told::Quiet),
                None => {}
            }
        }
    }
}

fn tag_state(version: Option<Version>) -> TagState {
    TagState { id: state_id(version.as_ref()), version }
}

/// The states after `after`: as soon as there are some, or none when there were none for `wait`.
async fn states(
    mut following: Following,
    after: Option<String>,
    wait: Duration,
) -> Result<TagStates, Error> {
    let mut states = Vec::new();
    let until = following.clock.monotonic() + wait;
    if let Told::State(state) = following.next(until).await? {
        states.push(tag_state(state));
        while states.len() < FOLLOW_STATES_MAX
            && let Some(Ok(state)) = following.follow.next().now_or_never()
        {
            states.push(tag_state(state));
        }
    }
    let after = states.last().map(|state| state.id.clone()).or(after);
    Ok(TagStates { states, after })
}

/// A stream of events, which begins at once.
fn events(following: Following) -> Response {
    let hello = Bytes::from_static(b"retry: 1000\n\n");
    let first = futures::stream::iter([Ok::<_, Error>(hello)]);
    let rest = futures::stream::unfold(Some(following), |following| async move {
        let mut following = following?;
        let until = following.clock.monotonic() + FOLLOW_HEARTBEAT_EVERY;
        match following.next(until).await {
            Ok(Told::State(state)) => Some((event(state), Some(following))),
            Ok(Told::Quiet) => Some((Ok(Bytes::from_static(b":\n\n")), Some(following))),
            Ok(Told::Closing) => None,
            Err(error) => Some((end(&error), None)),
        }
    });
    let body = Body::from_stream(futures::StreamExt::chain(first, rest));
    let mut response = respond(StatusCode::OK, EVENTS, body);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // For proxies that would collect events before they pass them on.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn event(version: Option<Version>) -> Result<Bytes, Error> {
    let state = tag_state(version);
    let name = if state.version.is_some() { "version" } else { "removed" };
    Ok(format!("id: {}\nevent: {name}\ndata: {}\n\n", state.id, text(&state)?).into())
}

fn end(error: &Error) -> Result<Bytes, Error> {
    let end = FollowEnd { kind: error.kind().to_string(), message: error.to_string() };
    Ok(format!("event: {END}\ndata: {}\n\n", text(&end)?).into())
}

fn text<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|error| Error::Internal { detail: format!("an event is no JSON: {error}") })
}
