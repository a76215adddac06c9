//! Files read and written as streams.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Mutex;
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

use super::{Called, File, FileError};
use crate::command::Output;
use crate::sink::{Take as _, WRITE_BYTES_MAX};

/// Bytes that are read ahead at a time.
const READ_BYTES: usize = 256 << 10;

/// A part of a file.
pub(crate) struct FileStream {
    file: Arc<dyn File>,
    at: u64,
    end: u64,
    ready: Bytes,
    ended: Option<Result<(), FileError>>,
}

impl FileStream {
    /// A file from a place on.
    pub(super) fn new(file: Arc<dyn File>, at: u64) -> Self {
        Self::part(file, at, u64::MAX)
    }

    /// A file from a place to before another one.
    pub(crate) fn part(file: Arc<dyn File>, at: u64, end: u64) -> Self {
        Self { file, at, end, ready: Bytes::new(), ended: None }
    }
}

pub(super) fn io_error(error: &FileError) -> std::io::Error {
    let kind = match error {
        FileError::NotFound => std::io::ErrorKind::NotFound,
        FileError::Denied => std::io::ErrorKind::PermissionDenied,
        FileError::Seek => std::io::ErrorKind::InvalidInput,
        FileError::NoFolder | FileError::Other(_) => std::io::ErrorKind::Other,
    };
    std::io::Error::new(kind, error.to_string())
}

#[async_trait::async_trait]
impl Pollable for FileStream {
    async fn ready(&mut self) {
        if !self.ready.is_empty() || self.ended.is_some() {
            return;
        }
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        if left == 0 {
            self.ended = Some(Ok(()));
            return;
        }
        match self.file.read(self.at, READ_BYTES.min(left)).await {
            Ok(bytes) if bytes.is_empty() => self.ended = Some(Ok(())),
            Ok(bytes) => {
                self.at += bytes.len() as u64;
                self.ready = bytes;
            }
            Err(error) => self.ended = Some(Err(error)),
        }
    }
}

#[async_trait::async_trait]
impl InputStream for FileStream {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if !self.ready.is_empty() {
            return Ok(self.ready.split_to(size.min(self.ready.len())));
        }
        match &self.ended {
            None => Ok(Bytes::new()),
            Some(Ok(())) => Err(StreamError::Closed),
            Some(Err(error)) => Err(StreamError::LastOperationFailed(io_error(error).into())),
        }
    }
}

/// A file as standard input: one place in it for all who read it.
#[derive(Clone)]
pub(crate) struct Stdin(Arc<Mutex<FileStream>>);

impl Stdin {
    pub(crate) fn of(file: &Arc<dyn File>) -> Self {
        Self(Arc::new(Mutex::new(FileStream::new(Arc::clone(file), 0))))
    }

    fn read(&self, size: usize) -> StreamResult<Bytes> {
        // Whoever has it waits for more.
        self.0.try_lock().map_or_else(|_| Ok(Bytes::new()), |mut stream| stream.read(size))
    }
}

impl IsTerminal for Stdin {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Stdin {
    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(StdinRead { stdin: self.clone(), waits: Lock::new(None) })
    }
}

#[async_trait::async_trait]
impl Pollable for Stdin {
    async fn ready(&mut self) {
        self.0.lock().await.ready().await;
    }
}

#[async_trait::async_trait]
impl InputStream for Stdin {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        Self::read(self, size)
    }
}

type Waits = Pin<Box<dyn Future<Output = ()> + Send>>;

struct StdinRead {
    stdin: Stdin,
    waits: Lock<Option<Waits>>,
}

impl AsyncRead for StdinRead {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let Self { stdin, waits } = self.get_mut();
        let waits = waits.get_mut().unwrap_or_else(PoisonError::into_inner);
        loop {
            match stdin.read(buffer.remaining()) {
                Ok(bytes) if !bytes.is_empty() => {
                    buffer.put_slice(&bytes);
                    return Poll::Ready(Ok(()));
                }
                Ok(_) if buffer.remaining() == 0 => return Poll::Ready(Ok(())),
                Ok(_) => {}
                Err(StreamError::Closed) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(std::io::Error::other(error.to_string()))),
            }
            let waiting = waits.get_or_insert_with(|| {
                let mut stdin = stdin.clone();
                Box::pin(async move { stdin.ready().await })
            });
            ready!(waiting.as_mut().poll(context));
            *waits = None;
        }
    }
}

/// The output as a file, from a place on.
pub(super) struct OutputFile {
    called: Arc<Called>,
    at: u64,
}

impl OutputFile {
    pub(super) fn new(called: &Arc<Called>, at: u64) -> Self {
        Self { called: Arc::clone(called), at }
    }

    /// What is written to the file follows what was written to it before.
    pub(super) fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let Called { output, written, .. } = &*self.called;
        if written.load(Ordering::Relaxed) != self.at {
            return Err(io_error(&FileError::Seek));
        }
        Output::take(output, bytes)?;
        self.at += bytes.len() as u64;
        written.store(self.at, Ordering::Relaxed);
        Ok(())
    }
}

#[async_trait::async_trait]
impl Pollable for OutputFile {
    async fn ready(&mut self) {}
}

impl OutputStream for OutputFile {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.put(&bytes).map_err(|error| StreamError::LastOperationFailed(error.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}
