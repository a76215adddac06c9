//! Following a tag on a node: its events, over as many connections as it takes.

use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cairn_base::ErrorKind;
use cairn_datasets::{Error, Follow, Target, Version};
use futures::{Stream, StreamExt as _};
use reqwest::{Method, header};

use super::http::{Node, strange};
use super::store::tag_path;
use crate::api::{FollowEnd, TagState};
use crate::limits::FOLLOW_HEARTBEAT_EVERY;
use crate::rest::follow::{END, EVENTS, LAST_EVENT_ID};

/// The longest event.
const EVENT_BYTES_MAX: usize = 1024 * 1024;
/// The pauses between attempts to reach the node: the first, and what they grow to.
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// One that follows a tag on a node.
struct Follower {
    node: Node,
    target: Target,
    last: Option<String>,
    open: Option<Events>,
    pause: Option<Duration>,
}

/// The events of one answer.
struct Events {
    pieces: Pieces,
    buffer: BytesMut,
}

impl Node {
    pub(super) fn follow(&self, target: &Target, last: Option<String>) -> Follow {
        let (node, target) = (self.clone(), target.clone());
        let follower = Follower { node, target, last, open: None, pause: None };
        Follow::new(futures::stream::unfold(follower, |mut follower| async move {
            Some((follower.next().await, follower))
        }))
    }
}

impl Follower {
    async fn next(&mut self) -> Result<Option<Version>, Error> {
        loop {
            let events = match &mut self.open {
                Some(events) => events,
                None => {
                    let events = self.connect().await?;
                    self.open.insert(events)
                }
            };
            let silence = 3 * FOLLOW_HEARTBEAT_EVERY;
            let event = tokio::select! {
                biased;
                event = events.next() => event,
                // A node that says nothing at all is not there any more.
                () = self.node.env_ref().clock.sleep(silence) => Ok(None),
            };
            let Ok(Some(event)) = event else {
                self.open = None;
                match event {
                    // A broken connection is made again; what was missed is told then.
                    Ok(_) | Err(Error::Remote { kind: ErrorKind::Closed, .. }) => continue,
                    Err(error) => return Err(error),
                }
            };
            self.pause = None;
            match event {
                Event::State(state) => {
                    self.last = Some(state.id);
                    return Ok(state.version);
                }
                Event::End(end) => {
                    self.open = None;
                    let kind = ErrorKind::parse(&end.kind).unwrap_or(ErrorKind::Internal);
                    return Err(Error::Remote { kind, message: end.message });
                }
                Event::Beat => {}
            }
        }
    }

    /// Asks for events after the last one that was seen, with a pause before all but the first time.
    async fn connect(&mut self) -> Result<Events, Error> {
        if let Some(pause) = self.pause {
            self.node.env_ref().clock.sleep(pause).await;
        }
        self.pause = Some(self.pause.map_or(PAUSE, |pause| (2 * pause).min(PAUSE_MAX)));
        let [a, b, c, d, e, f, g, h] = tag_path(&self.target);
        let path = [a, b, c, d, e, f, g, h, "follow"];
        let mut headers = vec![(header::ACCEPT.as_str(), EVENTS)];
        headers.extend(self.last.as_deref().map(|last| (LAST_EVENT_ID, last)));
        let response = self.node.open(Method::GET, &path, &headers).await?;
        let found = response.headers().get(header::CONTENT_TYPE);
        if found.is_none_or(|found| !found.as_bytes().starts_with(EVENTS.as_bytes())) {
            return Err(strange("it has no events of a tag"));
        }
        Ok(Events { pieces: Box::pin(self.node.pieces(response)), buffer: BytesMut::new() })
    }
}

enum Event {
    State(TagState),
    End(FollowEnd),
    Beat,
}

impl Events {
    /// The next event; none when there are no more. Cancel safe.
    async fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let event = self.buffer.split_to(end + 2);
                return parse(&event).map(Some);
            }
            if self.buffer.len() > EVENT_BYTES_MAX {
                return Err(strange("an event is too long"));
            }
            match self.pieces.next().await {
                Some(piece) => self.buffer.extend_from_slice(&piece?),
                None => return Ok(None),
            }
        }
    }
}

/// Reads one event as our node writes them: each field on one line.
fn parse(event: &[u8]) -> Result<Event, Error> {
    let text = std::str::from_utf8(event).map_err(|_| strange("an event is not UTF-8"))?;
    let field =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let Some(data) = field("data") else { return Ok(Event::Beat) };
    let bad = |error: serde_json::Error| strange(&format!("an event's JSON is wrong: {error}"));
    if field("event") == Some(END) {
        return Ok(Event::End(serde_json::from_str(data).map_err(bad)?));
    }
    Ok(Event::State(serde_json::from_str(data).map_err(bad)?))
}
