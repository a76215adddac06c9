//! A worker that is not what it should be.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cairn_env::Env;
use cairn_wasm::{
    Blob, BlobError, Blobs, Body, Chain, Container, FileError, Files, Found as FoundFile, Limits,
    Listed, Logs, Outside, OutsideError, Store, StoreError, Stores, World, held, whole,
};
use hyper::client::conn::http2::SendRequest;

use super::{LINE_BYTES_MAX, Worlds};
use crate::messages::{
    BlobsOp, Found, FromWorld, Handle, KeysOp, RequestHead, ResponseHead, Stream, What,
};
use crate::wire::{Message, address, asks, parse};

/// A world whose one file and whose answers are its name.
struct Named(&'static str, std::sync::Mutex<Vec<String>>);

impl Named {
    fn world(name: &'static str) -> (World, Arc<Self>) {
        let named = Arc::new(Self(name, std::sync::Mutex::default()));
        let world = World {
            environment: Vec::new(),
            logs: Arc::clone(&named) as _,
            stores: Arc::clone(&named) as _,
            files: Arc::clone(&named) as _,
            blobs: Arc::clone(&named) as _,
            outside: Arc::clone(&named) as _,
        };
        (world, named)
    }
}

impl Logs for Named {
    fn line(&self, _: cairn_wasm::Stream, line: &str) {
        self.1.lock().unwrap().push(line.to_owned());
    }

    fn left_out(&self, _: u64) {}
}

#[async_trait]
impl Stores for Named {
    async fn open(&self, _: &str) -> Result<Arc<dyn Store>, StoreError> {
        Err(StoreError::NoSuchStore)
    }
}

#[async_trait]
impl Files for Named {
    async fn find(&self, _: &str) -> Result<FoundFile, FileError> {
        Ok(FoundFile::File(held(Bytes::from_static(self.0.as_bytes()))))
    }

    async fn list(&self, _: &str, _: Option<&str>) -> Result<Vec<Listed>, FileError> {
        Err(FileError::NoFolder)
    }
}

#[async_trait]
impl Blobs for Named {
    async fn open(&self, _: &str) -> Result<Arc<dyn Container>, BlobError> {
        Err(BlobError::NoContainer)
    }

    async fn create(&self, _: &str) -> Result<Arc<dyn Container>, BlobError> {
        Err(BlobError::NoContainer)
    }

    async fn remove(&self, _: &str) -> Result<(), BlobError> {
        Err(BlobError::NoContainer)
    }

    async fn copy(&self, _: &Blob, _: &Blob, _: bool) -> Result<(), BlobError> {
        Err(BlobError::NoContainer)
    }
}

#[async_trait]
impl Outside for Named {
    async fn send(&self, asked: http::Request<Body>) -> Result<http::Response<Body>, OutsideError> {
        let depth = asked.extensions().get::<Chain>().map_or(0, |chain| chain.depth);
        let kept = asked.headers().contains_key("transfer-encoding");
        let said = format!("{} {depth} {kept}", self.0);
        Ok(http::Response::new(whole(said.into())))
    }
}

/// What a worker that asks is answered; none for what is refused altogether.
struct Asker(SendRequest<Message>);

impl Asker {
    async fn of(worlds: &Worlds) -> Self {
        let env = Env::real();
        let (node, worker) = tokio::net::UnixStream::pair().unwrap();
        env.spawn.task(Box::pin(worlds.serve(node, &env)));
        let io = hyper_util::rt::TokioIo::new(worker);
        let (sender, connection) = asks(&env).handshake(io).await.unwrap();
        env.spawn.task(Box::pin(async move { drop(connection.await) }));
        Self(sender)
    }

    async fn send<A: serde::de::DeserializeOwned>(&self, body: Message) -> Option<(A, Bytes)> {
        let mut request = http::Request::new(body);
        (*request.method_mut(), *request.uri_mut()) = (http::Method::POST, address());
        let answered = self.0.clone().send_request(request).await.unwrap();
        if !answered.status().is_success() {
            return None;
        }
        let (head, rest) = parse(answered.into_body()).await.unwrap();
        Some((head, rest.all(1 << 20).await.unwrap()))
    }

    async fn ask<A: serde::de::DeserializeOwned>(
        &self,
        token: &str,
        what: What,
    ) -> Option<(A, Bytes)> {
        self.send(Message::alone(&FromWorld { token: token.to_owned(), what })).await
    }

    async fn opened(&self, token: &str) -> Option<Handle> {
        let found = self.ask(token, What::Find { path: "x".to_owned() }).await?;
        let (Ok(Found::File(open)), _): (Result<Found, FileError>, _) = found else { return None };
        Some(open.handle)
    }

    async fn read(&self, token: &str, handle: Handle) -> Option<Bytes> {
        let (read, bytes) = self.ask(token, What::Read { handle, at: 0, most: 100 }).await?;
        let read: Result<(), FileError> = read;
        read.ok().map(|()| bytes)
    }
}

/// WORKER-2: by the token of a function its own world is reached, and by no token none; what one has opened no other
/// reads, closes or takes for something else.
#[tokio::test]
async fn worker_2_a_token_reaches_its_own_world_alone() {
    let (worlds, others) = (Worlds::new(), Worlds::new());
    let limits = Limits::default();
    worlds.add("a", &Named::world("alpha").0, &limits);
    worlds.add("b", &Named::world("beta").0, &limits);
    others.add("c", &Named::world("gamma").0, &limits);
    let asker = Asker::of(&worlds).await;
    let (a, b) = (asker.opened("a").await.unwrap(), asker.opened("b").await.unwrap());
    assert_eq!(asker.read("a", a).await.unwrap(), "alpha");
    assert_eq!(asker.read("b", b).await.unwrap(), "beta");
    assert_eq!((asker.read("a", b).await, asker.read("b", a).await), (None, None));
    for token in ["", "c", "A"] {
        assert_eq!(asker.opened(token).await, None, "{token}");
    }
    asker.ask::<()>("b", What::Close { handle: a }).await.unwrap();
    assert_eq!(asker.read("a", a).await.unwrap(), "alpha");
    let op = KeysOp::Exists { key: "x".to_owned() };
    let keys = asker.ask("a", What::Keys { handle: a, op }).await.unwrap();
    let (keys, _): (Result<bool, StoreError>, _) = keys;
    assert_eq!(keys, Err(StoreError::NoSuchStore));
    let made = asker.ask("a", What::Blobs { handle: a, op: BlobsOp::Made }).await.unwrap();
    let (made, _): (Result<std::time::Duration, BlobError>, _) = made;
    assert_eq!(made, Err(BlobError::NoContainer));
    worlds.remove("a");
    assert_eq!((asker.opened("a").await, asker.read("b", a).await), (None, None));
    assert_eq!(asker.read("b", b).await.unwrap(), "beta");
}

/// WORKER-2: inputs are there as long as their call.
#[tokio::test]
async fn worker_2_inputs_end_with_their_call() {
    let worlds = Worlds::new();
    worlds.add("a", &Named::world("alpha").0, &Limits::default());
    let asker = Asker::of(&worlds).await;
    let mut call = worlds.begin("a", 0).unwrap();
    let inputs = call.inputs("a", &[held(Bytes::from_static(b"given"))]).await.unwrap();
    assert_eq!(asker.read("a", inputs[0].handle).await.unwrap(), "given");
    drop(call);
    assert_eq!(asker.read("a", inputs[0].handle).await, None);
    assert!(worlds.begin("b", 0).is_none());
}

/// FUNCTIONS-9: a worker that says that its chain begins with it is not believed.
#[tokio::test]
async fn chains_are_as_deep_as_the_calls_that_are_under_way() {
    let worlds = Worlds::new();
    worlds.add("a", &Named::world("alpha").0, &Limits::default());
    let asker = Asker::of(&worlds).await;
    let _calls = (worlds.begin("a", 7).unwrap(), worlds.begin("a", 5).unwrap());
    for (said, deep) in [(0, 6), (6, 6), (8, 8)] {
        let request =
            http::Request::get("http://example.org/").header("transfer-encoding", "chunked");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let what = What::Send { depth: said, request: RequestHead::of(&parts) };
        let (answered, body) = asker.ask("a", what).await.unwrap();
        let answered: Result<ResponseHead, OutsideError> = answered;
        assert!(answered.is_ok());
        assert_eq!(body, format!("alpha {deep} false"));
    }
}

#[tokio::test]
async fn what_is_too_much_or_no_message_is_refused_and_harms_nobody() {
    let worlds = Worlds::new();
    let (world, named) = Named::world("alpha");
    worlds.add("a", &world, &Limits::default());
    let asker = Asker::of(&worlds).await;
    for body in [&b""[..], b"\0", b"\0\0\0\x02{}", b"\xff\xff\xff\xff{}", b"\0\0\0\x0a{}"] {
        let body = whole(Bytes::copy_from_slice(body));
        assert!(asker.send::<()>(Message::bare(body)).await.is_none());
    }
    let lines = vec![(Stream::Out, "x".repeat(LINE_BYTES_MAX * 2)), (Stream::Err, "é".into())];
    asker.ask::<()>("a", What::Log { lines, left_out: 0 }).await.unwrap();
    let lengths: Vec<_> = named.1.lock().unwrap().iter().map(String::len).collect();
    assert_eq!(lengths, [LINE_BYTES_MAX, 2]);
}
