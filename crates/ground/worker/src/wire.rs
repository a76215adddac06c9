//! How a node and its workers talk: HTTP/2 on a socket that only the two have. A message, each way, is the body of a
//! POST or of its answer: a head, and the bytes that follow it as they come.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the head, big endian |
//! | … | the head, JSON |
//! | … | what follows it |
//!
//! Both sides are one program of one version. What the other sends is bounded all the same: a worker may be
//! whatever broke out of its guest.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use cairn_env::Env;
use cairn_wasm::Body;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes of a head.
pub(crate) const HEAD_BYTES_MAX: usize = 4 << 20;
/// Bytes of one message that are on their way and nobody has read yet.
const STREAM_WINDOW: u32 = 128 << 10;
/// Messages that are on their way to a worker at a time, and from it: a call asks for more than one thing.
pub(crate) const CALLS_MAX: u32 = 1024;
const ASKED_MAX: u32 = 16 * CALLS_MAX;
/// Bytes of one frame.
const FRAME_BYTES: u32 = 64 << 10;

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// The connection.
    #[error("the connection broke: {0}")]
    Connection(#[from] hyper::Error),
    /// It is none.
    #[error("what came is no message: {0}")]
    NoMessage(String),
    /// More than is taken.
    #[error("a message has more than {max} bytes")]
    TooLong {
        /// How many are taken.
        max: usize,
    },
}

/// A head, and what follows it.
pub(crate) struct Message {
    head: Option<Bytes>,
    body: Body,
}

impl Message {
    pub(crate) fn new(head: &impl Serialize, body: Body) -> Self {
        // What is sent are maps of texts, lists and numbers, which are JSON.
        let json = serde_json::to_vec(head).unwrap_or_default();
        let length = u32::try_from(json.len()).unwrap_or(u32::MAX).to_be_bytes();
        Self { head: Some([&length[..], &json].concat().into()), body }
    }

    /// One that may be none.
    #[cfg(test)]
    pub(crate) fn bare(body: Body) -> Self {
        Self { head: None, body }
    }

    /// One without anything that follows.
    pub(crate) fn alone(head: &impl Serialize) -> Self {
        Self::new(head, cairn_wasm::whole(Bytes::new()))
    }
}

impl http_body::Body for Message {
    type Data = Bytes;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.head.take() {
            Some(head) => Poll::Ready(Some(Ok(Frame::data(head)))),
            None => Pin::new(&mut self.body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.head.is_none() && self.body.is_end_stream()
    }
}

/// What follows a head.
pub(crate) struct Rest {
    first: Bytes,
    incoming: Incoming,
}

/// The head of a message, and what follows it.
pub(crate) async fn parse<H: DeserializeOwned>(
    mut incoming: Incoming,
) -> Result<(H, Rest), Broken> {
    let mut read = Bytes::new();
    let length = loop {
        if let Some(length) = read.first_chunk() {
            break u32::from_be_bytes(*length) as usize;
        }
        read = more(read, &mut incoming).await?;
    };
    read.advance(size_of::<u32>());
    if length > HEAD_BYTES_MAX {
        return Err(Broken::TooLong { max: HEAD_BYTES_MAX });
    }
    while read.len() < length {
        read = more(read, &mut incoming).await?;
    }
    let head = read.split_to(length);
    let head = serde_json::from_slice(&head);
    let head = head.map_err(|error| Broken::NoMessage(error.to_string()))?;
    Ok((head, Rest { first: read, incoming }))
}

/// What was read and some more of it.
async fn more(read: Bytes, incoming: &mut Incoming) -> Result<Bytes, Broken> {
    loop {
        let frame = incoming.frame().await;
        let frame = frame.ok_or_else(|| Broken::NoMessage("it ends early".to_owned()))??;
        let Ok(data) = frame.into_data() else { continue };
        if read.is_empty() {
            return Ok(data);
        }
        let mut both = BytesMut::from(read);
        both.extend_from_slice(&data);
        return Ok(both.freeze());
    }
}

impl Rest {
    /// All of it, `max` bytes at most.
    pub(crate) async fn all(mut self, max: usize) -> Result<Bytes, Broken> {
        let mut all = BytesMut::new();
        while let Some(frame) = self.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            if data.len() > max.saturating_sub(all.len()) {
                return Err(Broken::TooLong { max });
            }
            all.extend_from_slice(&data);
        }
        Ok(all.freeze())
    }
}

impl http_body::Body for Rest {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        Pin::new(&mut self.incoming).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

/// Starts tasks of connections.
#[derive(Clone)]
pub(crate) struct Tasks(pub(crate) Env);

impl<F: Future + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.0.spawn.task(Box::pin(async move { drop(task.await) }));
    }
}

/// Where messages go: there is one place.
pub(crate) fn address() -> http::Uri {
    http::Uri::from_static("http://worker/")
}

/// How the side that asks is set.
pub(crate) fn asks(env: &Env) -> hyper::client::conn::http2::Builder<Tasks> {
    let mut builder = hyper::client::conn::http2::Builder::new(Tasks(env.clone()));
    builder
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(window(CALLS_MAX))
        .initial_max_send_streams(CALLS_MAX as usize)
        .max_frame_size(FRAME_BYTES)
        .max_concurrent_reset_streams(CALLS_MAX as usize);
    builder
}

/// How the side that answers is set.
pub(crate) fn answers(env: &Env) -> hyper::server::conn::http2::Builder<Tasks> {
    let mut builder = hyper::server::conn::http2::Builder::new(Tasks(env.clone()));
    builder
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(window(CALLS_MAX))
        .max_concurrent_streams(ASKED_MAX)
        .max_frame_size(FRAME_BYTES)
        .max_pending_accept_reset_streams(CALLS_MAX as usize)
        .auto_date_header(false);
    builder
}

/// So much that no reader who is slow holds up others.
fn window(streams: u32) -> u32 {
    STREAM_WINDOW * streams
}
