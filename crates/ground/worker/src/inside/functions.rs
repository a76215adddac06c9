//! The functions that a worker has, and their calls.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use cairn_env::Task;
use cairn_wasm::{
    Body, Call, Chain, Code, Command, Failure, HttpFunction, Kind, Limits, Runtime, streamed, whole,
};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::remote::{Remote, RemoteLogs};
use crate::messages::{Ask, RequestHead, ResponseHead, Run, Taken, Token, Variables};
use crate::wire::{Message, Rest, parse};

/// The longest compiled code that is taken, in bytes.
const CODE_BYTES_MAX: usize = 1 << 30;

pub(super) struct Functions {
    runtime: Runtime,
    remote: Remote,
    known: Mutex<BTreeMap<Token, Arc<Known>>>,
}

/// A function.
struct Known {
    call: Callable,
    remote: Remote,
    logs: Arc<RemoteLogs>,
}

enum Callable {
    Http(HttpFunction),
    Command(Command),
}

/// What [`Ask::Function`] says.
struct Given {
    token: Token,
    digest: String,
    code: bool,
    limits: Limits,
    environment: Variables,
}

impl Functions {
    pub(super) fn new(runtime: Runtime, remote: Remote) -> Self {
        Self { runtime, remote, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Token, Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn function(&self, token: &str) -> Result<Arc<Known>, Failure> {
        let none = || Failure::NoAnswer { detail: "its worker does not have it".to_owned() };
        self.known().get(token).cloned().ok_or_else(none)
    }

    pub(super) async fn answer(&self, body: Incoming) -> http::Response<Message> {
        let message = match parse::<Ask>(body).await {
            Ok((Ask::Ready, _)) => Message::alone(&()),
            Ok((Ask::Function { token, digest, code, limits, environment }, rest)) => {
                let given = Given { token, digest, code, limits, environment };
                Message::alone(&self.take(given, rest).await.unwrap_or_else(Taken::Failed))
            }
            Ok((Ask::Forget { token }, _)) => {
                drop(self.known().remove(&token));
                Message::alone(&())
            }
            Ok((Ask::Request { token, depth, request }, rest)) => {
                match self.request(&token, depth, request, rest).await {
                    Ok((head, body)) => Message::new(&Ok::<_, Failure>(head), body),
                    Err(failure) => Message::alone(&Err::<ResponseHead, _>(failure)),
                }
            }
            Ok((Ask::Run { token, run }, _)) => match self.run(&token, run).await {
                Ok((exit, output)) => Message::new(&Ok::<_, Failure>(exit), whole(output)),
                Err(failure) => Message::alone(&Err::<i32, _>(failure)),
            },
            Err(error) => {
                eprintln!("{error}");
                let mut refused = http::Response::new(Message::alone(&()));
                *refused.status_mut() = http::StatusCode::BAD_REQUEST;
                return refused;
            }
        };
        http::Response::new(message)
    }

    async fn take(&self, given: Given, rest: Rest) -> Result<Taken, String> {
        let Given { token, digest, code, limits, environment } = given;
        let mut of = [0; 32];
        hex::decode_to_slice(&digest, &mut of).map_err(|error| error.to_string())?;
        let code = match self.runtime.known(of).await.map_err(|error| error.to_string())? {
            Some(code) => code,
            None if !code => return Ok(Taken::Code),
            None => {
                let bytes = rest.all(CODE_BYTES_MAX).await.map_err(|error| error.to_string())?;
                self.adopted(of, &bytes)?
            }
        };
        let known = self.linked(&code, &token, limits, environment);
        let known = known.map_err(|failure| failure.to_string())?;
        self.known().insert(token, Arc::new(known));
        Ok(Taken::Ready)
    }

    #[expect(unsafe_code, reason = "this is where a worker takes code of its node")]
    fn adopted(&self, digest: [u8; 32], bytes: &Bytes) -> Result<Code, String> {
        // SAFETY: they came by the socket that only the node has, which sends what its engine compiled.
        let code = unsafe { self.runtime.adopt(digest, bytes) };
        code.map_err(|error| error.to_string())
    }

    fn linked(
        &self,
        code: &Code,
        token: &str,
        limits: Limits,
        environment: Variables,
    ) -> Result<Known, Failure> {
        let remote = self.remote.of(token);
        let (world, logs) = remote.world(environment);
        let call = match code.kind() {
            Kind::Http => Callable::Http(HttpFunction::new(code, limits, world)?),
            Kind::Command => Callable::Command(Command::new(code, limits, world)?),
        };
        Ok(Known { call, remote, logs })
    }

    async fn request(
        &self,
        token: &str,
        depth: u32,
        request: RequestHead,
        rest: Rest,
    ) -> Result<(ResponseHead, Body), Failure> {
        let known = self.function(token)?;
        let no = |detail| Failure::NoAnswer { detail };
        let mut request = request.with(streamed(rest)).map_err(no)?;
        request.extensions_mut().insert(Chain { depth });
        let Callable::Http(http) = &known.call else {
            return Err(no("it is a command".to_owned()));
        };
        let answered = http.handle(request).await;
        // What it wrote is there before its answer is.
        known.logs.flush().await;
        let (parts, body) = answered?.into_parts();
        let body = streamed(Logged { body, known, flush: None });
        Ok((ResponseHead::of(&parts), body))
    }

    async fn run(&self, token: &str, run: Run) -> Result<(i32, Bytes), Failure> {
        let known = self.function(token)?;
        let Callable::Command(command) = &known.call else {
            return Err(Failure::NoAnswer { detail: "it answers requests".to_owned() });
        };
        let Run { arguments, environment, depth, inputs } = run;
        let inputs = inputs.into_iter().map(|open| known.remote.input(open)).collect();
        let chain = Chain { depth };
        let ran = command.run(Call { arguments, inputs, environment, chain }).await;
        known.logs.flush().await;
        ran.map(|done| (done.exit, done.output))
    }
}

/// A body at whose end all is told that was written meanwhile.
struct Logged {
    body: Body,
    known: Arc<Known>,
    flush: Option<Task>,
}

impl http_body::Body for Logged {
    type Data = Bytes;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.flush.is_none() {
            if let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) {
                return Poll::Ready(Some(frame));
            }
            let logs = Arc::clone(&self.known.logs);
            self.flush = Some(Box::pin(async move { logs.flush().await }));
        }
        let flushed = self.flush.as_mut().map(|flush| flush.as_mut().poll(context));
        flushed.unwrap_or(Poll::Ready(())).map(|()| None)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && self.known.logs.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
