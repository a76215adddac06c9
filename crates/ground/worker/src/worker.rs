//! One worker, as its node sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cairn_env::Env;
use cairn_wasm::{Body, whole};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::sync::OnceCell;

use crate::messages::{Ask, Token};
use crate::process::{End, Process, Program};
use crate::wire::{Broken, Message, Rest, parse};
use crate::worlds::Worlds;

/// What the program is told to be a worker, as its first argument.
pub(crate) const WORD: &str = "worker";
/// How long a start is waited for: the engine takes its place in memory.
const START_WAIT: Duration = Duration::from_secs(30);
/// How long it is waited for how a process ended whose connection did.
const END_WAIT: Duration = Duration::from_secs(2);
/// How often it is looked whether a worker still answers, and how long it may take for that.
const LOOK_EVERY: Duration = Duration::from_secs(10);
const LOOK_WAIT: Duration = Duration::from_secs(20);

/// Why there is no worker.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStarted {
    /// This machine cannot confine one.
    #[error("{0}")]
    Unconfined(String),
    /// It did not start.
    #[error("its worker did not start: {0}")]
    Failed(String),
}

pub(crate) struct Worker {
    process: Arc<Process>,
    calls: SendRequest<Message>,
    pub(crate) worlds: Worlds,
    /// The functions that it has taken.
    taken: Mutex<BTreeMap<Token, Arc<OnceCell<()>>>>,
    used: Mutex<Use>,
    env: Env,
}

#[derive(Default)]
struct Use {
    calls: usize,
    last: Duration,
    stopped: bool,
}

/// A call that keeps its worker.
pub(crate) struct Using {
    pub(crate) worker: Arc<Worker>,
}

impl Worker {
    pub(crate) async fn start(program: &Program, env: &Env) -> Result<Self, NotStarted> {
        let failed = |error: std::io::Error| NotStarted::Failed(error.to_string());
        let (process, calls, asks) = Process::start(program, env).await.map_err(failed)?;
        let calls = tokio::net::UnixStream::from_std(calls).map_err(failed)?;
        let asks = tokio::net::UnixStream::from_std(asks).map_err(failed)?;
        let process = Arc::new(process);
        let begun = Self::begun(Arc::clone(&process), (calls, asks), env);
        let error = tokio::select! {
            biased;
            begun = begun => match begun {
                Ok(worker) => return Ok(worker),
                Err(error) => error.to_string(),
            },
            () = env.clock.sleep(START_WAIT) => "it does not answer".to_owned(),
        };
        let End { how, words, unconfined } = ended(&process, env).await;
        Err(match unconfined {
            true => NotStarted::Unconfined(words),
            false => NotStarted::Failed(format!("{error}; {how}; {words}")),
        })
    }

    /// Speaks with it until it says that it is confined.
    async fn begun(
        process: Arc<Process>,
        (calls, asks): (UnixStream, UnixStream),
        env: &Env,
    ) -> Result<Self, Broken> {
        let mut builder = crate::wire::asks(env);
        builder
            .timer(hyper_util::rt::TokioTimer::new())
            .keep_alive_interval(LOOK_EVERY)
            .keep_alive_timeout(LOOK_WAIT);
        let (calls, connection) = builder.handshake(TokioIo::new(calls)).await?;
        let worlds = Worlds::new();
        let answered = worlds.serve(asks, env);
        let kept = Arc::clone(&process);
        env.spawn.task(Box::pin(async move {
            tokio::select! {
                biased;
                _ = connection => {}
                () = answered => {}
            }
            // Who does not speak any more is of no use.
            kept.kill();
        }));
        let used = Mutex::new(Use { last: env.clock.monotonic(), ..Use::default() });
        let (taken, env) = (Mutex::default(), env.clone());
        let worker = Self { process, calls, worlds, taken, used, env };
        worker.ask::<()>(&Ask::Ready, None).await?;
        Ok(worker)
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        self.process.pid()
    }

    /// How it ended; one whose connection ended is ended.
    pub(crate) async fn end(&self) -> End {
        ended(&self.process, &self.env).await
    }

    /// How it ended, once it has.
    pub(crate) fn ending(&self) -> impl Future<Output = End> + Send + use<> {
        let process = Arc::clone(&self.process);
        async move { process.ended().await }
    }

    /// Asks for something: what the answer says, and what follows that.
    pub(crate) async fn ask<A: DeserializeOwned>(
        &self,
        ask: &Ask,
        body: Option<Body>,
    ) -> Result<(A, Rest), Broken> {
        let message = Message::new(ask, body.unwrap_or_else(|| whole(Bytes::new())));
        let mut request = http::Request::new(message);
        (*request.method_mut(), *request.uri_mut()) = (http::Method::POST, crate::wire::address());
        parse(self.calls.clone().send_request(request).await?.into_body()).await
    }

    /// Whether it was given a function.
    pub(crate) fn taken(&self, token: &str) -> Arc<OnceCell<()>> {
        Arc::clone(lock(&self.taken).entry(token.to_owned()).or_default())
    }

    /// It has no such function any more.
    pub(crate) fn forget(self: &Arc<Self>, token: &str) {
        self.worlds.remove(token);
        if lock(&self.taken).remove(token).is_none_or(|taken| !taken.initialized()) {
            return;
        }
        let (worker, token) = (Arc::clone(self), token.to_owned());
        self.env.spawn.task(Box::pin(async move {
            // One that is gone has none.
            drop(worker.ask::<()>(&Ask::Forget { token }, None).await);
        }));
    }

    /// A call of it; none when it has ended, or is about to.
    pub(crate) fn begin(self: &Arc<Self>) -> Option<Using> {
        let mut used = lock(&self.used);
        if used.stopped || !self.process.lives() {
            return None;
        }
        used.calls += 1;
        Some(Using { worker: Arc::clone(self) })
    }

    pub(crate) fn takes_calls(&self) -> bool {
        !lock(&self.used).stopped && self.process.lives() && !self.calls.is_closed()
    }

    pub(crate) fn last_used(&self) -> Duration {
        lock(&self.used).last
    }

    /// Ends it when nobody calls it, and has not for so long.
    pub(crate) fn stop_if_idle(&self, since: Duration) -> bool {
        let mut used = lock(&self.used);
        let now = self.env.clock.monotonic();
        let idle = used.calls == 0 && now.saturating_sub(used.last) >= since;
        if idle {
            used.stopped = true;
            self.process.kill();
        }
        idle
    }

    pub(crate) fn is_stopped(&self) -> bool {
        lock(&self.used).stopped
    }
}

/// How a process ended that does not speak any more.
async fn ended(process: &Process, env: &Env) -> End {
    tokio::select! {
        biased;
        end = process.ended() => return end,
        () = env.clock.sleep(END_WAIT) => process.kill(),
    }
    process.ended().await
}

impl Drop for Using {
    fn drop(&mut self) {
        let mut used = lock(&self.worker.used);
        used.calls -= 1;
        used.last = self.worker.env.clock.monotonic();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
