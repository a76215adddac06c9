//! What functions reach of the world, asked of the node.

mod blobs;
mod keys;
mod logs;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_env::Env;
use cairn_wasm::{
    Body, Chain, File, FileError, Files, Found, Listed, Outside, OutsideError, Store, StoreError,
    Stores, World, streamed, whole,
};
use hyper::client::conn::http2::SendRequest;
use serde::de::DeserializeOwned;

use self::keys::RemoteStore;
pub(super) use self::logs::RemoteLogs;
use crate::messages::{
    self, FromWorld, Handle, OpenFile, RequestHead, ResponseHead, Token, Variables, What,
};
use crate::wire::{self, Broken, Message, Rest, parse};

/// What is asked for, by one function. Cheap to clone.
#[derive(Clone)]
pub(super) struct Remote {
    asks: SendRequest<Message>,
    env: Env,
    token: Token,
}

/// Something that is open at the node, until this is dropped.
struct Opened {
    remote: Remote,
    handle: Handle,
}

impl Remote {
    pub(super) fn new(asks: SendRequest<Message>, env: &Env) -> Self {
        Self { asks, env: env.clone(), token: Token::new() }
    }

    /// The same for a function.
    pub(super) fn of(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// The world of the function, with what takes its lines.
    pub(super) fn world(&self, environment: Variables) -> (World, Arc<RemoteLogs>) {
        let (here, logs) = (Arc::new(self.clone()), RemoteLogs::new(self));
        let world = World {
            environment,
            logs: Arc::clone(&logs) as _,
            stores: Arc::clone(&here) as _,
            files: Arc::clone(&here) as _,
            blobs: Arc::clone(&here) as _,
            outside: here,
        };
        (world, logs)
    }

    /// A file that was opened for a guest.
    fn file(&self, open: OpenFile) -> Arc<dyn File> {
        let until = Some(self.opened(open.handle));
        Arc::new(RemoteFile { remote: self.clone(), open, _until: until })
    }

    /// An input of a program, which is open as long as that runs.
    pub(super) fn input(&self, open: OpenFile) -> Arc<dyn File> {
        Arc::new(RemoteFile { remote: self.clone(), open, _until: None })
    }

    async fn ask<A: DeserializeOwned>(&self, what: What, body: Body) -> Result<(A, Rest), Broken> {
        let token = self.token.clone();
        let mut request = http::Request::new(Message::new(&FromWorld { token, what }, body));
        (*request.method_mut(), *request.uri_mut()) = (http::Method::POST, wire::address());
        parse(self.asks.clone().send_request(request).await?.into_body()).await
    }

    /// The same, about what it says alone.
    async fn alone<A: DeserializeOwned>(&self, what: What) -> Result<A, Broken> {
        self.ask(what, whole(Bytes::new())).await.map(|(answer, _)| answer)
    }

    fn opened(&self, handle: Handle) -> Opened {
        Opened { remote: self.clone(), handle }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let (remote, handle) = (self.remote.clone(), self.handle);
        self.remote.env.spawn.task(Box::pin(async move {
            // A node that is gone has nothing open.
            drop(remote.alone::<()>(What::Close { handle }).await);
        }));
    }
}

fn no_file(error: Broken) -> FileError {
    FileError::Other(error.to_string())
}

#[async_trait]
impl Files for Remote {
    async fn find(&self, path: &str) -> Result<Found, FileError> {
        let asked = self.alone(What::Find { path: path.to_owned() }).await;
        let found: Result<messages::Found, FileError> = asked.map_err(no_file)?;
        Ok(match found? {
            messages::Found::Folder => Found::Folder,
            messages::Found::File(open) => Found::File(self.file(open)),
        })
    }

    async fn list(&self, path: &str, after: Option<&str>) -> Result<Vec<Listed>, FileError> {
        let what = What::List { path: path.to_owned(), after: after.map(str::to_owned) };
        let listed: messages::ListedNames = self.alone(what).await.map_err(no_file)?;
        listed
    }
}

struct RemoteFile {
    remote: Remote,
    open: OpenFile,
    _until: Option<Opened>,
}

#[async_trait]
impl File for RemoteFile {
    async fn size(&self) -> Option<u64> {
        self.open.size
    }

    fn modified(&self) -> Option<Duration> {
        self.open.modified
    }

    async fn read(&self, at: u64, most: usize) -> Result<Bytes, FileError> {
        let what = What::Read { handle: self.open.handle, at, most };
        let asked = self.remote.ask(what, whole(Bytes::new())).await;
        let (read, bytes): (Result<(), FileError>, _) = asked.map_err(no_file)?;
        read?;
        bytes.all(most).await.map_err(no_file)
    }
}

#[async_trait]
impl Outside for Remote {
    async fn send(
        &self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Body>, OutsideError> {
        let depth = request.extensions().get::<Chain>().copied().unwrap_or_default().depth;
        let (parts, body) = request.into_parts();
        let what = What::Send { depth, request: RequestHead::of(&parts) };
        let broken = |error: Broken| OutsideError::Broken(error.to_string());
        let asked = self.ask(what, body).await.map_err(broken)?;
        let (answered, rest): (Result<ResponseHead, OutsideError>, _) = asked;
        answered?.with(streamed(rest)).map_err(OutsideError::Broken)
    }
}

#[async_trait]
impl Stores for Remote {
    async fn open(&self, name: &str) -> Result<Arc<dyn Store>, StoreError> {
        let asked = self.alone(What::Store { name: name.to_owned() }).await;
        let opened: Result<Handle, StoreError> = asked.map_err(keys::no_store)?;
        Ok(Arc::new(RemoteStore(self.opened(opened?))))
    }
}
