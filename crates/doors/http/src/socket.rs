//! A socket that does not wait for ever, neither for its first bytes nor for its other side to read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cairn_env::{Clock, Patience};
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::options::Waits;

/// What an HTTP/2 connection begins with. Until it is clear which protocol is spoken, hyper has no
/// timer of its own.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that fails when its first bytes do not come, and when the other side takes nothing
/// for a while, or less than its pace. Without this, a client that is silent or stops reading keeps
/// its place.
pub(crate) struct Socket<S> {
    stream: S,
    clock: Arc<dyn Clock>,
    /// What is left for writes to wait.
    patience: Patience,
    /// Runs while a write waits, since when.
    waiting: Option<(BoxFuture<'static, ()>, Duration)>,
    /// Runs until the protocol is clear.
    beginning: Option<BoxFuture<'static, ()>>,
    /// Bytes of the preface that have come.
    seen: usize,
}

impl<S> Socket<S> {
    pub(crate) fn new(stream: S, clock: Arc<dyn Clock>, waits: &Waits) -> Self {
        let (timer, first) = (Arc::clone(&clock), waits.headers);
        let beginning: BoxFuture<'static, ()> = Box::pin(async move { timer.sleep(first).await });
        let (patience, beginning) = (Patience::new(waits.write), Some(beginning));
        Self { stream, clock, patience, waiting: None, beginning, seen: 0 }
    }

    /// Looks whether what has come makes the protocol clear.
    fn look(&mut self, new: &[u8]) {
        let expected = &PREFACE[self.seen..];
        let len = new.len().min(expected.len());
        self.seen += len;
        if new[..len] != expected[..len] || self.seen == PREFACE.len() {
            self.beginning = None;
        }
    }

    /// What a write of so many bytes came to, or an error when it waited for too long.
    fn within<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        bytes: fn(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(done) = &written {
            let waited = self.waiting.take().map(|(_, since)| self.clock.monotonic() - since);
            self.patience.got(done.as_ref().map_or(0, bytes), waited.unwrap_or_default());
            return written;
        }
        let (clock, left) = (Arc::clone(&self.clock), self.patience.left());
        let (timer, _) = self.waiting.get_or_insert_with(|| {
            let now = clock.monotonic();
            (Box::pin(async move { clock.sleep(left).await }), now)
        });
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if let Some(beginning) = &mut self.beginning {
            if read.is_pending() && beginning.as_mut().poll(context).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.look(&buffer.filled()[before..]);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.within(context, written, |bytes| *bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.within(context, written, |bytes| *bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.within(context, flushed, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
