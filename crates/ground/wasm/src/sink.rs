//! Streams that guests write to.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Bytes that a guest may write at a time.
pub(crate) const WRITE_BYTES_MAX: usize = 1 << 20;

/// Takes what is written at once.
pub(crate) trait Take: Clone + Send + Sync + 'static {
    /// Whether a guest is ended that writes more than is taken: it may not look at errors, and write for ever.
    const ENDS: bool = false;

    fn take(&self, bytes: &[u8]) -> std::io::Result<()>;
}

/// A stream to what takes it.
#[derive(Clone)]
pub(crate) struct Sink<T>(pub(crate) T);

impl<T: Take> IsTerminal for Sink<T> {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl<T: Take + Unpin> StdoutStream for Sink<T> {
    // Without this one each stream gets a task of its own.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl<T: Take> OutputStream for Sink<T> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.take(&bytes).map_err(|error| match T::ENDS {
            true => StreamError::Trap(error.into()),
            false => StreamError::LastOperationFailed(error.into()),
        })
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[async_trait::async_trait]
impl<T: Take> Pollable for Sink<T> {
    async fn ready(&mut self) {}
}

impl<T: Take + Unpin> AsyncWrite for Sink<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(self.0.take(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
