//! What the functions of a worker reach of their node: the node's side.
//!
//! WORKER-2 A call reaches only its own world: what it asks for is found by the token of its function, of which a worker
//! knows those of its own project alone, and what is open belongs to the token that opened it.

mod blobs;
mod keys;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use cairn_env::Env;
use cairn_wasm::{
    BlobError, Chain, Container, File, FileError, Limits, OutsideError, Store, StoreError, World,
    streamed, whole,
};
use hyper::body::Incoming;
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::messages::{
    Found, FromWorld, Handle, ListedNames, OpenFile, RequestHead, ResponseHead, Stream, Token, What,
};
use crate::wire::{Broken, Message, Rest, parse};

/// What the functions of one worker may have open at a time.
const OPEN_MAX: usize = 20_000;
const MANY: &str = "as many files and stores are open as may be";
/// Bytes of a file that are read at a time.
const READ_BYTES_MAX: usize = 1 << 20;
/// Bytes that one worker puts at a time, all its functions together, in KiB.
const PUT_KIB_MAX: u32 = 256 << 10;
/// A line that is longer is cut, and so are more lines.
const LINE_BYTES_MAX: usize = 4096;
const LINES_MAX: usize = 10_000;

/// The worlds of the functions of one worker. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Worlds {
    shared: Arc<Shared>,
}

struct Shared {
    known: Mutex<BTreeMap<Token, Known>>,
    open: Mutex<BTreeMap<Handle, (Token, Open)>>,
    next: AtomicU64,
    puts: Semaphore,
}

/// A function of the worker.
#[derive(Clone)]
struct Known {
    world: World,
    limits: Limits,
    /// How deep the chains of its calls are that are under way, with how many there are of each.
    depths: Arc<Mutex<BTreeMap<u32, usize>>>,
}

#[derive(Clone)]
enum Open {
    Store(Arc<dyn Store>),
    Container(Arc<dyn Container>),
    File(Arc<dyn File>),
}

/// A call that is under way, with its inputs.
pub(crate) struct Underway {
    worlds: Worlds,
    depths: Arc<Mutex<BTreeMap<u32, usize>>>,
    depth: u32,
    inputs: Vec<Handle>,
}

impl Worlds {
    pub(crate) fn new() -> Self {
        let (known, open, next) = (Mutex::default(), Mutex::default(), AtomicU64::new(0));
        let puts = Semaphore::new(PUT_KIB_MAX as usize);
        Self { shared: Arc::new(Shared { known, open, next, puts }) }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Token, Known>> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<Handle, (Token, Open)>> {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, token: &str, world: &World, limits: &Limits) {
        let (world, limits) = (world.clone(), limits.clone());
        let known = Known { world, limits, depths: Arc::default() };
        self.known().insert(token.to_owned(), known);
    }

    pub(crate) fn remove(&self, token: &str) {
        self.known().remove(token);
        self.open().retain(|_, (of, _)| of != token);
    }

    /// A call begins; none of a function that is not there.
    pub(crate) fn begin(&self, token: &str, depth: u32) -> Option<Underway> {
        let depths = Arc::clone(&self.known().get(token)?.depths);
        *lock(&depths).entry(depth).or_default() += 1;
        Some(Underway { worlds: self.clone(), depths, depth, inputs: Vec::new() })
    }

    fn keep(&self, token: &str, what: Open) -> Option<Handle> {
        let mut open = self.open();
        if open.len() >= OPEN_MAX {
            return None;
        }
        let handle = self.shared.next.fetch_add(1, Ordering::Relaxed);
        open.insert(handle, (token.to_owned(), what));
        Some(handle)
    }

    /// What is open under this number, for who has opened it.
    fn opened(&self, token: &str, handle: Handle) -> Option<Open> {
        self.open().get(&handle).filter(|(of, _)| of == token).map(|(_, what)| what.clone())
    }

    async fn file(&self, token: &str, file: Arc<dyn File>) -> Result<OpenFile, FileError> {
        let (size, modified) = (file.size().await, file.modified());
        let many = || FileError::Other(MANY.to_owned());
        let handle = self.keep(token, Open::File(file)).ok_or_else(many)?;
        Ok(OpenFile { handle, size, modified })
    }

    /// Room for bytes that are put.
    async fn room(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX).saturating_add(1);
        self.shared.puts.acquire_many(kib.min(PUT_KIB_MAX)).await.ok()
    }

    /// Answers what a worker asks on this connection, as long as that lasts.
    pub(crate) fn serve(
        &self,
        connection: tokio::net::UnixStream,
        env: &Env,
    ) -> impl Future<Output = ()> + Send + use<> {
        let worlds = self.clone();
        let answer = hyper::service::service_fn(move |request: http::Request<Incoming>| {
            let worlds = worlds.clone();
            async move { Ok::<_, Infallible>(worlds.answer(request.into_body()).await) }
        });
        let io = hyper_util::rt::TokioIo::new(connection);
        let served = crate::wire::answers(env).serve_connection(io, answer);
        async move {
            if let Err(error) = served.await {
                tracing::debug!(%error, "a worker asks no more");
            }
        }
    }

    async fn answer(&self, body: Incoming) -> http::Response<Message> {
        let refused = |why: &dyn std::fmt::Display| {
            tracing::warn!(%why, "a worker asked for what it may not");
            let mut refused = http::Response::new(Message::alone(&()));
            *refused.status_mut() = http::StatusCode::BAD_REQUEST;
            refused
        };
        let (asked, rest) = match parse::<FromWorld>(body).await {
            Ok(parsed) => parsed,
            Err(error) => return refused(&error),
        };
        let Some(known) = self.known().get(&asked.token).cloned() else {
            return refused(&"it shows the token of no function that it has");
        };
        match self.done(&known, &asked.token, asked.what, rest).await {
            Ok(message) => http::Response::new(message),
            Err(error) => refused(&error),
        }
    }

    async fn done(
        &self,
        known: &Known,
        token: &str,
        what: What,
        rest: Rest,
    ) -> Result<Message, Broken> {
        let world = &known.world;
        Ok(match what {
            What::Log { lines, left_out } => {
                log(world, &lines, left_out);
                Message::alone(&())
            }
            What::Close { handle } => {
                self.open().retain(|kept, (of, _)| *kept != handle || of != token);
                Message::alone(&())
            }
            What::Store { name } => {
                let many = || StoreError::Other(MANY.to_owned());
                let opened = world.stores.open(&name).await;
                let kept =
                    opened.and_then(|store| self.keep(token, Open::Store(store)).ok_or_else(many));
                Message::alone(&kept)
            }
            What::Find { path } => {
                let found = match world.files.find(&path).await {
                    Ok(cairn_wasm::Found::Folder) => Ok(Found::Folder),
                    Ok(cairn_wasm::Found::File(file)) => {
                        self.file(token, file).await.map(Found::File)
                    }
                    Err(error) => Err(error),
                };
                Message::alone(&found)
            }
            What::List { path, after } => {
                let listed: ListedNames = world.files.list(&path, after.as_deref()).await;
                Message::alone(&listed)
            }
            What::Read { handle, at, most } => {
                let read = match self.opened(token, handle) {
                    Some(Open::File(file)) => file.read(at, most.min(READ_BYTES_MAX)).await,
                    _ => Err(FileError::NotFound),
                };
                with(read.map(|bytes| ((), bytes)))
            }
            What::Send { depth, request } => known.send(depth, request, rest).await,
            What::Keys { handle, op } => match self.opened(token, handle) {
                Some(Open::Store(store)) => keys::done(self, &*store, op, rest).await,
                _ => Message::alone(&Err::<(), _>(StoreError::NoSuchStore)),
            },
            What::Container { name, create } => {
                let opened = match create {
                    true => world.blobs.create(&name).await,
                    false => world.blobs.open(&name).await,
                };
                let many = || BlobError::Other(MANY.to_owned());
                let kept = opened.and_then(|container| {
                    self.keep(token, Open::Container(container)).ok_or_else(many)
                });
                Message::alone(&kept)
            }
            What::RemoveContainer { name } => Message::alone(&world.blobs.remove(&name).await),
            What::Copy { from, to, moves } => {
                Message::alone(&world.blobs.copy(&from, &to, moves).await)
            }
            What::Blobs { handle, op } => match self.opened(token, handle) {
                Some(Open::Container(container)) => {
                    let max = known.limits.output_bytes;
                    blobs::done((self, token), (&*container, max), op, rest).await
                }
                _ => Message::alone(&Err::<(), _>(BlobError::NoContainer)),
            },
        })
    }
}

impl Known {
    /// Sends a request, of a chain that is no shorter than the shortest of its calls.
    async fn send(&self, depth: u32, request: RequestHead, rest: Rest) -> Message {
        let least = lock(&self.depths).first_key_value().map_or(0, |(depth, _)| *depth);
        let sent = async {
            let mut request = request.with(streamed(rest)).map_err(OutsideError::Address)?;
            request.extensions_mut().insert(Chain { depth: depth.max(least.saturating_add(1)) });
            self.world.outside.send(request).await
        };
        match sent.await {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                Message::new(&Ok::<_, OutsideError>(ResponseHead::of(&parts)), body)
            }
            Err(error) => Message::alone(&Err::<ResponseHead, _>(error)),
        }
    }
}

impl Underway {
    /// The inputs of a program, open for it until it ends.
    pub(crate) async fn inputs(
        &mut self,
        token: &str,
        inputs: &[Arc<dyn File>],
    ) -> Result<Vec<OpenFile>, FileError> {
        let mut open = Vec::with_capacity(inputs.len());
        for input in inputs {
            let file = self.worlds.file(token, Arc::clone(input)).await?;
            self.inputs.push(file.handle);
            open.push(file);
        }
        Ok(open)
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut depths = lock(&self.depths);
        if let Some(count) = depths.get_mut(&self.depth) {
            *count -= 1;
            if *count == 0 {
                depths.remove(&self.depth);
            }
        }
        drop(depths);
        let mut open = self.worlds.open();
        for input in &self.inputs {
            open.remove(input);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A head and the bytes that it is about, or an error.
fn with<H: Serialize, E: Serialize>(done: Result<(H, Bytes), E>) -> Message {
    match done {
        Ok((head, bytes)) => Message::new(&Ok::<_, E>(head), whole(bytes)),
        Err(error) => Message::alone(&Err::<H, _>(error)),
    }
}

fn log(world: &World, lines: &[(Stream, String)], left_out: u64) {
    for (stream, line) in lines.iter().take(LINES_MAX) {
        let stream = match stream {
            Stream::Out => cairn_wasm::Stream::Stdout,
            Stream::Err => cairn_wasm::Stream::Stderr,
        };
        let end = line.floor_char_boundary(LINE_BYTES_MAX);
        world.logs.line(stream, &line[..end]);
    }
    if left_out > 0 {
        world.logs.left_out(left_out);
    }
}

#[cfg(test)]
mod tests;
