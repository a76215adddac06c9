//! Bodies of requests and answers.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;

/// The body of a request or of an answer.
pub type Body = wasmtime_wasi_http::WasiBody;

/// A body that comes from elsewhere.
pub fn streamed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let broken = |error: B::Error| {
        wasmtime_wasi_http::Error::InternalError(Some(format!("the body broke off: {error}")))
    };
    body.map_err(broken).boxed_unsync()
}

/// A body of bytes that are there.
#[must_use]
pub fn whole(bytes: Bytes) -> Body {
    http_body_util::Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// A body that keeps something until it is dropped.
pub struct Kept<B, K> {
    body: B,
    _kept: K,
}

impl<B, K> Kept<B, K> {
    /// `body`, with what it keeps.
    pub fn new(body: B, kept: K) -> Self {
        Self { body, _kept: kept }
    }
}

impl<B: http_body::Body + Unpin, K: Unpin> http_body::Body for Kept<B, K> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
