//! Changes of keys as they come: lines of JSON, or events that the server sends (SSE).
//!
//! Whoever watches is asked for its permission again before all that is told and a few times a second in
//! between (ACCESS-5). A watch has a place of its own, since it lasts. Nothing is left out (KV-3): a
//! client that comes back with the last position that it was told goes on there, or is told that it
//! cannot.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use cairn_access::{Action, Resource, Visit};
use cairn_base::ErrorKind;
use cairn_env::Clock;
use cairn_kv::{Changes, Follow, KeyRange, Seq};
use futures::StreamExt as _;
use tokio::sync::watch;

use super::follow::{END, EVENTS, LAST_EVENT_ID, wants_events};
use super::kv::{named, number, range};
use super::kv_bulk::{FROM, PREFIX, TO};
use super::route;
use crate::api::{FollowEnd, KeyChange, KeyChangeKind};
use crate::call::{Call, LINES, line, respond};
use crate::error::Error;
use crate::limits::{FOLLOW_CHECK_EVERY, FOLLOW_HEARTBEAT_EVERY};
use crate::openapi::{BodyDoc, Doc, Holds, Query, shape};
use crate::route::{self, Route};

const QUERY: &[Query] = &[
    Query::new(
        "after",
        "Changes after this commit; without it those that come from now on. The header Last-Event-ID \
         says the same, and wins.",
        Holds::Number(0, u64::MAX),
    ),
    PREFIX,
    FROM,
    TO,
];

pub(super) fn routes() -> Vec<Route> {
    let path = "/api/v1/kv/{project}/{name}/watch";
    vec![route!(GET path, watch).permission(route::READ_KEYS).lasting().doc(Doc {
        group: "keys",
        summary: "Changes of keys in the order of commits, without gaps: as lines of JSON, or as \
                  server-sent events for who accepts `text/event-stream`. 410 when changes after the \
                  position are not kept any more.",
        query: QUERY,
        answers: BodyDoc::LinesOrEvents(shape::<KeyChange>),
        ..Doc::default()
    })]
}

async fn watch(call: Call) -> Result<Response, Error> {
    let (kv, namespace) = named(&call)?;
    let range = range(&call)?.unwrap_or_else(KeyRange::all);
    let mut follow = kv.follow(&namespace, range, after(&call)?.map(Seq)).await?;
    let begin = follow.after();
    // Whether it can be followed is said by the status.
    let first = follow.next(Duration::ZERO).await?;
    let watching = Watching {
        follow,
        visit: call.visit()?.clone(),
        resource: Resource::Dataset(namespace.project, namespace.name),
        clock: Arc::clone(&call.door.env().clock),
        closing: call.door.closing(),
    };
    let shape = if wants_events(&call.headers) { Shape::Events } else { Shape::Lines };
    let told = shape.position(begin).chain(shape.changes(first));
    Ok(answer(watching, shape, Box::new(told)))
}

fn after(call: &Call) -> Result<Option<u64>, Error> {
    match call.headers.get(LAST_EVENT_ID) {
        None => number(call, "after"),
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse().ok());
            let wrong = || Error::invalid("Last-Event-ID is the id of an event of this watch");
            id.map(Some).ok_or_else(wrong)
        }
    }
}

/// A caller that watches keys.
struct Watching {
    follow: Follow,
    visit: Visit,
    resource: Resource,
    clock: Arc<dyn Clock>,
    closing: watch::Receiver<bool>,
}

impl Watching {
    /// The next changes, if some come before `until`, for a caller that may still see them; none at all
    /// when the node stops.
    async fn next(&mut self, until: Duration) -> Result<Option<Changes>, Error> {
        loop {
            let left = until.saturating_sub(self.clock.monotonic()).min(FOLLOW_CHECK_EVERY);
            let changes = tokio::select! {
                biased;
                _ = self.closing.wait_for(|closing| *closing) => return Ok(None),
                changes = self.follow.next(left) => changes,
            };
            self.visit = self.visit.again().await?;
            self.visit.authorize(Action::ReadKeys, &self.resource)?;
            let over = self.clock.monotonic() >= until;
            match changes {
                Ok(changes) if !changes.changes.is_empty() || over => return Ok(Some(changes)),
                Ok(_) => {}
                // It is looked at again in a moment; what came meanwhile is told then.
                Err(error) if matches!(error.kind(), ErrorKind::Retry) && !over => {
                    tracing::debug!(%error, "keys that are watched could not be looked at");
                    self.clock.sleep(left).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// How changes are told.
#[derive(Clone, Copy)]
enum Shape {
    Lines,
    Events,
}

impl Shape {
    fn position(self, seq: Seq) -> impl Iterator<Item = Result<Bytes, Error>> + Send {
        std::iter::once(self.told(&KeyChange::at(seq)))
    }

    /// Each change by itself, written out when it is its turn.
    fn changes(self, told: Changes) -> impl Iterator<Item = Result<Bytes, Error>> + Send {
        let mut left = told.changes.into_iter().peekable();
        std::iter::from_fn(move || {
            let change = left.next()?;
            let last = left.peek().is_none_or(|next| next.seq != change.seq);
            Some(self.told(&KeyChange::new(&change, last)))
        })
    }

    fn told(self, change: &KeyChange) -> Result<Bytes, Error> {
        match self {
            Self::Lines => line(change),
            Self::Events => event(change),
        }
    }

    fn end(self, error: &Error) -> Result<Bytes, Error> {
        let end = FollowEnd { kind: error.kind().to_string(), message: error.to_string() };
        match self {
            Self::Lines => {
                let kind = KeyChangeKind::End;
                line(&KeyChange { kind, error: Some(end), ..KeyChange::default() })
            }
            Self::Events => Ok(format!("event: {END}\ndata: {}\n\n", text(&end)?).into()),
        }
    }
}

/// An event. Its id is where to go on, so it has one only after a whole commit.
fn event(change: &KeyChange) -> Result<Bytes, Error> {
    let name = match change.kind {
        KeyChangeKind::Position => "position",
        KeyChangeKind::Put => "put",
        KeyChangeKind::Delete => "delete",
        KeyChangeKind::DeleteRange => "delete_range",
        KeyChangeKind::End => END,
    };
    let id = if change.last { format!("id: {}\n", change.seq) } else { String::new() };
    Ok(format!("{id}event: {name}\ndata: {}\n\n", text(change)?).into())
}

fn text<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    serde_json::to_string(value)
        .map_err(|error| Error::Internal { detail: format!("an event is no JSON: {error}") })
}

type Pieces = Box<dyn Iterator<Item = Result<Bytes, Error>> + Send>;

fn answer(watching: Watching, shape: Shape, first: Pieces) -> Response {
    let first = futures::stream::iter(first);
    let rest = futures::stream::unfold(Some(watching), move |watching| async move {
        let mut watching = watching?;
        let until = watching.clock.monotonic() + FOLLOW_HEARTBEAT_EVERY;
        let (told, next): (Pieces, _) = match watching.next(until).await {
            Ok(None) => return None,
            Ok(Some(told)) if told.changes.is_empty() => {
                (Box::new(shape.position(told.upto)), Some(watching))
            }
            Ok(Some(told)) => (Box::new(shape.changes(told)), Some(watching)),
            Err(error) => (Box::new(std::iter::once(shape.end(&error))), None),
        };
        Some((futures::stream::iter(told), next))
    });
    let body = Body::from_stream(first.chain(rest.flatten()));
    let media_type = match shape {
        Shape::Lines => LINES,
        Shape::Events => EVENTS,
    };
    let mut response = respond(StatusCode::OK, media_type, body);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // For proxies that would collect lines before they pass them on.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
