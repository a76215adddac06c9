//! WebSockets: a client's messages are requests to the function, and its answers are messages to the client.
//!
//! WEB-4 A socket is opened only when the function says so, and each message of it reaches the function as its own request does:
//! by its route, as long as the caller may, after the filters.
//!
//! What is said is the protocol "WebSocket-over-HTTP", as published with Pushpin. The first request has the event `OPEN`, and its
//! answer too, or the client gets the answer as it is. Then each request has what the client sent since, one request at a
//! time; headers `Set-Meta-NAME` of an answer come back as `Meta-NAME` with all that follow, and `Keep-Alive-Interval` asks for
//! an empty request after so many seconds without one. An instance lasts for a request, not for the socket.

mod events;

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use cairn_functions::{Kept, Match};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Limited};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use self::events::{BYTES_MAX, EVENTS_MAX, Event, MEDIA_TYPE, decoded, encoded};
use crate::answer::{authorized, passed};
use crate::error::Error;
use crate::{Shared, headers};

/// Sockets that are open at a time; more get 503.
pub const SOCKETS_MAX: usize = 10_000;
/// Bytes of one message of a client.
pub const MESSAGE_BYTES_MAX: usize = 512 << 10;
/// Bytes of messages after which no more are waited for: with one more they are what a program takes.
const ENOUGH_BYTES: usize = 448 << 10;
/// How long a client may be silent before it is asked whether it is there, and then until it is given up.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long a message may take to be sent.
const SEND_WAIT: Duration = Duration::from_secs(30);
/// Bytes of what an answer gives to be remembered.
const META_BYTES_MAX: usize = 16 << 10;
const BUFFER_BYTES: usize = 8 << 10;

const SET_META: &str = "set-meta-";
const META: &str = "meta-";
const CONNECTION_ID: HeaderName = HeaderName::from_static("connection-id");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive-interval");
/// What is between the client and this door.
const HANDSHAKE: [HeaderName; 8] = [
    header::CONNECTION,
    header::UPGRADE,
    header::SEC_WEBSOCKET_KEY,
    header::SEC_WEBSOCKET_VERSION,
    header::SEC_WEBSOCKET_EXTENSIONS,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::EXPECT,
];

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Whether a request asks for a WebSocket.
pub(crate) fn is_asked(parts: &Parts) -> bool {
    let has = |name: HeaderName, word: &str| {
        parts.headers.get_all(name).iter().any(|value| {
            let mut words = value.as_bytes().split(|byte| *byte == b',');
            words.any(|one| one.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
        })
    };
    parts.method == Method::GET
        && has(header::CONNECTION, "upgrade")
        && has(header::UPGRADE, "websocket")
}

/// Opens a socket, when the function does.
pub(crate) async fn open(
    door: &Arc<Shared>,
    found: Match,
    mut parts: Parts,
    (caller, request): (&str, &str),
) -> Result<Response, Error> {
    let mut keys = parts.headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
    let (Some(key), None) = (keys.next(), keys.next()) else {
        return Err(Error::Invalid("it asks for a WebSocket and has not one Sec-WebSocket-Key"));
    };
    if parts.headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Error::SocketVersion);
    }
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or(Error::Invalid("this connection can be no WebSocket"))?;
    let place = Arc::clone(&door.sockets).try_acquire_owned().map_err(|_| Error::Busy)?;
    for name in HANDSHAKE {
        parts.headers.remove(name);
    }
    let spoofed = |name: &HeaderName| name.as_str().starts_with(META) || *name == CONNECTION_ID;
    let spoofed: Vec<HeaderName> = parts.headers.keys().filter(|n| spoofed(n)).cloned().collect();
    spoofed.iter().for_each(|name| drop(parts.headers.remove(name)));
    let id = format!("{:016x}{:016x}", door.env.rng.next_u64(), door.env.rng.next_u64());
    let mut talk =
        Talk { door: Arc::clone(door), found, parts, id, meta: HeaderMap::new(), keep_alive: None };
    let answer = talk.asked(&[Event::Open], (caller, request)).await?;
    if answer.status() != StatusCode::OK {
        let mut answer = answer.map(|body| Body::new(Kept::new(body, place)));
        headers::clean(answer.headers_mut());
        return Ok(answer);
    }
    let (head, said) = talk.heard(answer).await?;
    if said.first() != Some(&Event::Open) {
        return Err(Error::Socket("takes no WebSockets: it answers OPEN with something else"));
    }
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let to = response.headers_mut();
    to.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    to.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    cairn_files::set(to, header::SEC_WEBSOCKET_ACCEPT, &accept);
    for name in [header::SEC_WEBSOCKET_PROTOCOL, header::SET_COOKIE] {
        for value in head.get_all(&name) {
            to.append(&name, value.clone());
        }
    }
    headers::clean(to);
    door.env.spawn.task(Box::pin(served(talk, upgrade, said, place)));
    Ok(response)
}

/// One client and what its function knows of it.
struct Talk {
    door: Arc<Shared>,
    found: Match,
    /// The request that the client began with.
    parts: Parts,
    id: String,
    meta: HeaderMap,
    keep_alive: Option<Duration>,
}

impl Talk {
    /// What the function answers to events of a caller that may use the route.
    async fn asked(
        &self,
        events: &[Event],
        (caller, request): (&str, &str),
    ) -> Result<axum::http::Response<cairn_functions::Body>, Error> {
        let mut parts = self.parts.clone();
        parts.method = Method::POST;
        headers::prepare(&mut parts.headers, &self.found, caller, request);
        let to = &mut parts.headers;
        to.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        to.insert(header::ACCEPT, HeaderValue::from_static(MEDIA_TYPE));
        cairn_files::set(to, CONNECTION_ID, &self.id);
        for (name, value) in &self.meta {
            to.insert(name, value.clone());
        }
        let body = encoded(events);
        to.insert(header::CONTENT_LENGTH, body.len().into());
        passed(&self.door, &self.found.target.function, parts, Body::from(body)).await
    }

    /// What is said by an answer, of which `Set-Meta-` and the interval are kept.
    async fn heard(
        &mut self,
        answer: axum::http::Response<cairn_functions::Body>,
    ) -> Result<(HeaderMap, Vec<Event>), Error> {
        let (head, body) = answer.into_parts();
        let kind = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let kind = kind.and_then(|kind| kind.split(|byte| *byte == b';').next());
        if head.status != StatusCode::OK
            || kind.map(<[u8]>::trim_ascii) != Some(MEDIA_TYPE.as_bytes())
        {
            return Err(Error::Socket(
                "answers no WebSocket events (application/websocket-events)",
            ));
        }
        let body = Limited::new(body, BYTES_MAX).collect().await;
        let body = body.map_err(|_| Error::Socket("breaks off, or says too much at a time"))?;
        let said = decoded(&body.to_bytes()).map_err(Error::Socket)?;
        for (name, value) in &head.headers {
            let Some(name) = name.as_str().strip_prefix(SET_META) else { continue };
            let Ok(name) = HeaderName::try_from(format!("{META}{name}")) else { continue };
            if value.is_empty() {
                self.meta.remove(name);
            } else {
                self.meta.insert(name, value.clone());
            }
        }
        let meta: usize = self.meta.iter().map(|(n, v)| n.as_str().len() + v.len()).sum();
        if meta > META_BYTES_MAX {
            return Err(Error::Socket("gives more than 16 KiB to be remembered of a WebSocket"));
        }
        let seconds = head.headers.get(KEEP_ALIVE).and_then(|value| value.to_str().ok());
        let seconds = seconds.and_then(|text| text.parse::<u32>().ok());
        if let Some(seconds) = seconds {
            self.keep_alive = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        }
        Ok((head.headers, said))
    }

    /// Tells the function events, when the caller still may (WEB-4), and hears what it says.
    async fn told(&mut self, events: &[Event]) -> Result<Vec<Event>, Error> {
        let id = self.door.ids.next();
        let pass = authorized(&self.door, &self.found.target, &self.parts, &id).await?;
        let answer = self.asked(events, (pass.caller().name(), &id)).await?;
        Ok(self.heard(answer).await?.1)
    }
}

async fn served(talk: Talk, upgrade: OnUpgrade, said: Vec<Event>, place: OwnedSemaphorePermit) {
    let _place = place;
    let Ok(upgraded) = upgrade.await else { return };
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let upgraded = TokioIo::new(upgraded);
    let socket = WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await;
    let mut line =
        Line { talk, socket, silent: Duration::ZERO, pinged: false, rests: Duration::ZERO };
    line.serve(said).await;
}

/// A socket with what is at its two ends.
struct Line {
    talk: Talk,
    socket: Socket,
    /// How long nothing was heard of the client, and whether it was asked since.
    silent: Duration,
    pinged: bool,
    /// How long the function was not asked.
    rests: Duration,
}

/// What comes next.
enum Next {
    Heard(Vec<Event>),
    /// The client was silent for so long.
    Silence(Duration),
    Stopping,
}

/// What came of what a function said.
enum Said {
    /// It was sent, and the socket goes on.
    All,
    /// The socket was ended by it.
    End,
}

impl Line {
    async fn serve(&mut self, said: Vec<Event>) {
        let mut said = said;
        loop {
            match self.say(said).await {
                Ok(Said::All) => {}
                Ok(Said::End) => return,
                Err(_) => return drop(self.talk.told(&[Event::Disconnect]).await),
            }
            let events = match self.next().await {
                Next::Stopping => return self.end(Some((1001, "the node stops"))).await,
                Next::Heard(events) => events,
                Next::Silence(silence) => {
                    if !self.alive(silence).await {
                        return drop(self.talk.told(&[Event::Disconnect]).await);
                    }
                    self.rests += silence;
                    if self.talk.keep_alive.is_none_or(|interval| self.rests < interval) {
                        said = Vec::new();
                        continue;
                    }
                    Vec::new()
                }
            };
            let gone = events.last() == Some(&Event::Disconnect);
            let closed = matches!(events.last(), Some(Event::Close(_)));
            self.rests = Duration::ZERO;
            said = match self.talk.told(&events).await {
                Ok(said) => said,
                Err(error) => {
                    tracing::debug!(?error, "a WebSocket ends");
                    return self.end(Some(error.closes())).await;
                }
            };
            if gone || closed {
                return self.end(None).await;
            }
        }
    }

    /// Whether a client that was silent for a while is there, as far as it is known: it is asked now and then.
    async fn alive(&mut self, silence: Duration) -> bool {
        self.silent += silence;
        if self.silent < SILENCE_MAX {
            return true;
        }
        if self.pinged && self.silent >= 2 * SILENCE_MAX {
            return false;
        }
        if self.pinged {
            return true;
        }
        self.pinged = true;
        self.send(Message::Ping(Bytes::new())).await.is_ok()
    }

    /// Waits for the client, and takes all that it has sent.
    async fn next(&mut self) -> Next {
        let clock = Arc::clone(&self.talk.door.env.clock);
        let mut stopping = self.talk.door.stopping.subscribe();
        let wait = self.talk.keep_alive.unwrap_or(SILENCE_MAX).min(SILENCE_MAX);
        let mut events = Vec::new();
        let first = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return Next::Stopping,
            first = self.socket.next() => first,
            () = clock.sleep(wait) => return Next::Silence(wait),
        };
        (self.silent, self.pinged) = (Duration::ZERO, false);
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(heard) = next {
            let event = match heard {
                Some(Ok(message)) => event(message),
                None | Some(Err(WsError::ConnectionClosed)) => Some(Event::Disconnect),
                Some(Err(error)) => {
                    tracing::debug!(%error, "a WebSocket breaks");
                    Some(Event::Disconnect)
                }
            };
            if let Some(event) = event {
                bytes += size(&event);
                let last = matches!(event, Event::Close(_) | Event::Disconnect);
                events.push(event);
                if last || events.len() == EVENTS_MAX || bytes > ENOUGH_BYTES {
                    break;
                }
            }
            next = self.socket.next().now_or_never();
        }
        // It was only a ping, or the answer to one.
        if events.is_empty() { Next::Silence(Duration::ZERO) } else { Next::Heard(events) }
    }

    /// Sends what the function says; an error when the client is gone.
    async fn say(&mut self, said: Vec<Event>) -> Result<Said, WsError> {
        for event in said {
            let message = match event {
                Event::Open => continue,
                Event::Text(text) => Message::Text(text.into()),
                Event::Binary(bytes) => Message::Binary(bytes),
                Event::Ping(bytes) => Message::Ping(bytes.slice(..bytes.len().min(125))),
                Event::Pong(bytes) => Message::Pong(bytes.slice(..bytes.len().min(125))),
                Event::Disconnect => {
                    self.end(None).await;
                    return Ok(Said::End);
                }
                Event::Close(with) => {
                    let with = with.as_ref().map(|(code, reason)| (*code, reason.as_str()));
                    self.end(with).await;
                    return Ok(Said::End);
                }
            };
            self.send(message).await?;
        }
        Ok(Said::All)
    }

    async fn send(&mut self, message: Message) -> Result<(), WsError> {
        let clock = Arc::clone(&self.talk.door.env.clock);
        tokio::select! {
            biased;
            sent = self.socket.send(message) => sent,
            () = clock.sleep(SEND_WAIT) => Err(WsError::ConnectionClosed),
        }
    }

    async fn end(&mut self, with: Option<(u16, &str)>) {
        let frame = with.map(|(code, reason)| {
            let end = reason.floor_char_boundary(120);
            CloseFrame { code: code.into(), reason: reason[..end].into() }
        });
        let clock = Arc::clone(&self.talk.door.env.clock);
        tokio::select! {
            biased;
            closed = self.socket.close(frame) => drop(closed),
            () = clock.sleep(SEND_WAIT) => {}
        }
    }
}

/// What a message of a client is to the function.
fn event(message: Message) -> Option<Event> {
    match message {
        Message::Text(text) => Some(Event::Text(text.as_str().to_owned())),
        Message::Binary(bytes) => Some(Event::Binary(bytes)),
        Message::Close(with) => Some(Event::Close(with.map(|with| {
            let CloseFrame { code, reason } = with;
            (code.into(), reason.as_str().to_owned())
        }))),
        // It was answered already, or is the answer.
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => None,
    }
}

fn size(event: &Event) -> usize {
    match event {
        Event::Text(text) => text.len(),
        Event::Binary(bytes) => bytes.len(),
        _ => 0,
    }
}
